//! The documents: what they promise is run, what is generated is compared.

mod examples;
mod generated;
mod manifest;
mod readme;
