//! A value that PostgreSQL can hold.

use std::borrow::Cow;

/// A value that PostgreSQL can hold.
#[derive(Debug, Clone, PartialEq)]
pub enum PgValue<'a> {
    /// SQL NULL.
    Null,
    /// The bytes of `character varying` or `json`.
    Bytes(Cow<'a, [u8]>),
    /// The text of `jsonb`.
    Jsonb(Cow<'a, [u8]>),
    /// `bigint`.
    BigInt(i64),
    /// `integer`.
    Integer(i32),
    /// `boolean`.
    Boolean(bool),
    /// `double precision`.
    Double(f64),
    /// `timestamp without time zone`, in microseconds since 2000-01-01.
    Timestamp(i64),
}
