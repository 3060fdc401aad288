//! `check`: finds and names what is wrong, and repairs it where that is safe.

mod as_role;
mod drift;
mod files;
mod findings;
mod fix;
mod large;
mod orphans;
mod sequences;
