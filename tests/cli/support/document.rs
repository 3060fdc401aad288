//! The documents of the project.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

/// The directory of the project.
pub(crate) fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of one of its files.
pub(crate) fn file_text(path: &str) -> String {
    std::fs::read_to_string(project().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The documents of one of its YAML files.
pub(crate) fn yaml_documents(path: &str) -> Vec<Value> {
    let text = file_text(path);
    let documents = serde_norway::Deserializer::from_str(&text).map(Value::deserialize);
    documents.map(|document| document.unwrap_or_else(|error| panic!("{path}: {error}"))).collect()
}
