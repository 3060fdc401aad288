//! What the tables mean: sessions, what hangs on them, and how long they are kept.

pub mod retention;
