//! `init`: the schema is created, adopted, brought to a revision, or left alone.

mod baseline;
mod targets;
