//! How much of a value a b-tree surely holds.

/// What surely fits into an entry of PostgreSQL's b-tree: 2704 bytes at most, less its header and padding. What is
/// longer may still be compressed enough, which only the server can tell.
pub(crate) const SAFE_ENTRY: usize = 2600;
