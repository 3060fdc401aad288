//! Which sessions are old enough to go.
//!
//! | module | what it is for |
//! |---|---|
//! | [`plan`] | what would go and what is kept, counted |
//! | [`session_batch`] | the sessions page by page, and their removal |
//! | [`selection`] | which sessions go, as a condition, and why others stay |
//! | [`in_use`] | sessions that are worked on, whatever their own status says |
//! | [`policy`] | what the operator asked for, as conditions |

pub(crate) mod in_use;
pub(crate) mod plan;
pub(crate) mod policy;
pub(crate) mod selection;
pub(crate) mod session_batch;
