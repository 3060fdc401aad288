//! Which sessions are old enough to be removed.
//!
//! | module | what it is for |
//! |---|---|
//! | [`plan`] | counts what would be removed and what is kept |
//! | [`session_batch`] | removes the selected sessions in batches |
//! | [`selection`] | the condition for the sessions to remove, and why others are kept |
//! | [`in_use`] | sessions that are in use although their status is terminal |
//! | [`policy`] | the operator's retention as conditions |

pub(crate) mod in_use;
pub(crate) mod plan;
pub(crate) mod policy;
pub(crate) mod selection;
pub(crate) mod session_batch;
