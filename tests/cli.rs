//! Runs the binary as a user does, against real databases, and looks at what comes out.

mod support;

#[path = "cli/baseline.rs"]
mod baseline;
#[path = "cli/check.rs"]
mod check;
#[path = "cli/drift.rs"]
mod drift;
#[path = "cli/files.rs"]
mod files;
#[path = "cli/info.rs"]
mod info;
#[path = "cli/init.rs"]
mod init;
#[path = "cli/wait.rs"]
mod wait;
