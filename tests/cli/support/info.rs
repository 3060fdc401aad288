//! `info` as a document.

use serde_json::Value;

use super::{Database, Outcome, tarsy_db};

pub(crate) fn info(database: &Database, arguments: &[&str]) -> Value {
    Outcome::of(tarsy_db(database).args(["info", "--output", "json"]).args(arguments)).expect(0).json()
}
