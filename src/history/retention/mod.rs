//! Which sessions are old enough to go.
//!
//! | module | what it is for |
//! |---|---|
//! | [`plan`] | what would go and what is kept, counted |
//! | [`selection`] | the sessions themselves, page by page, and their removal |
//! | [`in_use`] | sessions that are worked on, whatever their own status says |
//! | [`policy`] | what the operator asked for, as conditions |

pub(crate) mod in_use;
pub(crate) mod plan;
pub(crate) mod policy;
pub(crate) mod selection;
