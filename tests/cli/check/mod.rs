//! `check`: what is wrong is found and named, and mended where that is safe.

mod drift;
mod files;
mod findings;
mod fix;
mod large;
mod orphans;
