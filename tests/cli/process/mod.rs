//! What every command has in common as a process: streams, signals, what it shows.

pub(crate) mod hostile_text;
pub(crate) mod left_behind;
pub(crate) mod streams;
