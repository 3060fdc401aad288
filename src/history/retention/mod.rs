//! Which sessions are old enough to be removed.
//!
//! | module | what it is for |
//! |---|---|
//! | [`plan`] | counts what would be removed and what is kept |
//! | [`estimate`] | what many sessions have, from a sample of them |
//! | [`kept`] | old sessions that are kept: how many, which, and why |
//! | [`table_counts`] | the rows and bytes of a table that would be removed |
//! | [`session_batch`] | removes the selected sessions in batches |
//! | [`stretch`] | the history in parts that have few kept sessions each |
//! | [`selection`] | the condition for the sessions to remove |
//! | [`needed`] | sessions whose stages rows of other sessions refer to |
//! | [`in_use`] | sessions that are in use although their status is terminal |
//! | [`known_sessions`] | sessions that are known by their keys and starts |
//! | [`policy`] | the operator's retention as conditions |

pub(crate) mod estimate;
pub(crate) mod in_use;
pub(crate) mod kept;
pub(crate) mod known_sessions;
pub(crate) mod needed;
pub(crate) mod plan;
pub(crate) mod policy;
pub(crate) mod selection;
pub(crate) mod session_batch;
pub(crate) mod stretch;
pub(crate) mod table_counts;
