//! Files, and the file systems that they are on.
//!
//! | module | what it is for |
//! |---|---|
//! | [`atomic_file`] | a file that is in its place completely or not at all |
//! | [`temporary`] | files that go when a defect ends the process |
//! | [`free_space`] | what file systems have room for |

pub(crate) mod atomic_file;
pub(crate) mod free_space;
pub(crate) mod temporary;
