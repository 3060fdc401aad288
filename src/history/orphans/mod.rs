//! Rows whose session, stage or chat does not exist. SQLite leaves them if foreign keys are switched off, and any
//! database without them. The references are TARSy's, whatever the database enforces.
//!
//! | module | what it is for |
//! |---|---|
//! | [`batch`] | removes orphans in one transaction |
//! | [`search`] | where the orphans are, and which of them are parents of others |
//! | [`count`] | how many there are |
//! | [`condition`] | what makes a row an orphan, and what needs it nevertheless |

pub(crate) mod batch;
pub(crate) mod condition;
pub(crate) mod count;
pub(crate) mod search;
