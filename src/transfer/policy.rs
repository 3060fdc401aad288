//! Shim until the real one comes.
use serde::Serialize;
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Class { Orphan, IndexEntry, DuplicateRow, DuplicateKey }
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Policy { Fail, Drop, Adopt, Truncate }
#[derive(Debug, Clone, Default)]
pub struct Policies;
impl Policies { pub fn of(&self, _class: Class) -> Policy { Policy::Fail } }
