//! `init`: the schema is created, adopted, brought to a revision, or left alone.

pub(crate) mod baseline;
pub(crate) mod targets;
