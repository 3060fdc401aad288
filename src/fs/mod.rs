//! Files and file systems.
//!
//! | module | what it is for |
//! |---|---|
//! | [`atomic_file`] | a file that appears completely or not at all |
//! | [`temporary`] | files that are removed even after a panic |
//! | [`system_user`] | the names of the system's users |
//! | [`write_error`] | exit code and hint of a file that cannot be written |
//! | [`regular_file`] | refuses FIFOs, devices and sockets before they are opened |
//! | [`secret_file`] | files that hold one secret |
//! | [`open_files`] | how many files this process may have open |
//! | [`free_space`] | free space, devices and permissions of file systems |

pub(crate) mod atomic_file;
pub(crate) mod free_space;
pub(crate) mod open_files;
pub(crate) mod regular_file;
pub(crate) mod secret_file;
pub(crate) mod system_user;
pub(crate) mod temporary;
pub(crate) mod write_error;
