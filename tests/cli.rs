//! Runs the binary as a user does, against real databases, and looks at what comes out.

mod support;

#[path = "cli/init.rs"]
mod init;

#[path = "cli/documents.rs"]
mod documents;
#[path = "cli/generated.rs"]
mod generated;
