//! The documents: what they promise is run, what is generated is compared.

mod examples;
mod generated;
mod links;
mod man;
mod manifest;
mod pages;
mod paths;
mod schema;
