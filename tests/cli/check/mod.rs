//! `check`: what is wrong is found and named, and mended where that is safe.

pub(crate) mod drift;
pub(crate) mod files;
pub(crate) mod findings;
pub(crate) mod fix;
pub(crate) mod large;
pub(crate) mod orphans;
