//! The documents: what they promise is run, what is generated is compared.

pub(crate) mod examples;
pub(crate) mod generated;
