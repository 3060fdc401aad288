//! A real PgBouncer between the program and the server: what works in which mode of its pool, and what its errors mean.

mod errors;
mod modes;
