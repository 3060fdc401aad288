//! Values as SQLite stores them, as PostgreSQL holds them, and their conversion. No I/O.
//!
//! | module | what it is for |
//! |---|---|
//! | [`convert`] | converts a stored value to its column's type, or reports faults |
//! | [`scalar`] | values in columns that are neither text nor JSON |
//! | [`repair`] | applies policies to a text that the target cannot hold |
//! | [`change`] | a value that a policy changed, for the report |
//! | [`digest`] | digests of rows and tables |
//! | [`copy_format`] | PostgreSQL's binary COPY format |
//! | [`jsonb`] | an encoding of documents by which equal `jsonb` values are recognized |
//! | [`json`] | parses JSON as PostgreSQL does |
//! | [`normalization`] | differences between a JSON text and what `jsonb` prints |
//! | [`mod@column`] | a column of the target |
//! | [`hazard_list`] | how many values cannot be converted exactly, and the first of them |
//! | [`hazard`] | values that cannot be converted exactly |
//! | [`policy`] | what is done with each class of hazards |
//! | [`timestamp`] | parses timestamps |
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
pub(crate) mod hazard_list;
pub(crate) mod json;
pub(crate) mod jsonb;
pub(crate) mod normalization;
pub(crate) mod pg_value;
pub(crate) mod policy;
pub(crate) mod repair;
pub(crate) mod scalar;
pub(crate) mod timestamp;
