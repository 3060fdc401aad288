//! Values: as SQLite stores them, as PostgreSQL holds them, and the way from one to the other. No I/O.
//!
//! | module | what it is for |
//! |---|---|
//! | [`convert`] | a stored value and the type of its column make a value, or a hazard |
//! | [`scalar`] | values in columns that are neither text nor JSON |
//! | [`repair`] | what a policy makes of a text that the target cannot hold |
//! | [`change`] | one value that a policy changed, for the report |
//! | [`digest`] | digests of rows and tables |
//! | [`copy_format`] | PostgreSQL's binary COPY format |
//! | [`jsonb`] | what `jsonb` makes of a document |
//! | [`json`] | reads JSON as PostgreSQL does |
//! | [`normalization`] | what `jsonb` prints differently |
//! | [`mod@column`] | a column of the target |
//! | [`hazard`] | values that cannot be carried over exactly |
//! | [`policy`] | what is done about a class of hazards |
//! | [`timestamp`] | texts that are timestamps |
//! | [`decimal`] | numbers as exact decimals |
//! | [`column_type`] | the types of the target's columns |
//! | [`pg_value`] | a value that PostgreSQL can hold |

pub(crate) mod change;
pub(crate) mod column;
pub(crate) mod column_type;
pub(crate) mod convert;
pub(crate) mod copy_format;
pub(crate) mod decimal;
pub(crate) mod digest;
pub(crate) mod hazard;
pub(crate) mod json;
pub(crate) mod jsonb;
pub(crate) mod normalization;
pub(crate) mod pg_value;
pub(crate) mod policy;
pub(crate) mod repair;
pub(crate) mod scalar;
pub(crate) mod timestamp;
