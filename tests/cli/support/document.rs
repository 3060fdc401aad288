//! The documents of the project.

use std::path::{Path, PathBuf};

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

/// The paths of the manual's pages in `docs`.
pub(crate) fn pages_in_docs() -> Vec<String> {
    let entries = std::fs::read_dir(project().join("docs")).expect("the project has documents");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let pages = paths.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let names = pages.map(|path| format!("docs/{}", path.file_name().expect("a file has a name").display()));
    names.collect()
}

/// The documents of one of its YAML files.
pub(crate) fn yaml_documents(path: &str) -> Vec<Value> {
    let text = file_text(path);
    let documents = serde_norway::Deserializer::from_str(&text).map(Value::deserialize);
    documents.map(|document| document.unwrap_or_else(|error| panic!("{path}: {error}"))).collect()
}

/// The PATH of this process, with the binary under test in front.
pub(crate) fn path_with_binary() -> std::ffi::OsString {
    let directory = PathBuf::from(env!("CARGO_BIN_EXE_tarsy-db")).parent().expect("a directory").to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(directory).chain(std::env::split_paths(&path))).expect("a sound PATH")
}

/// Where cargo puts the examples, beside the binary under test.
pub(crate) fn directory_of_examples() -> PathBuf {
    let examples = Path::new(env!("CARGO_BIN_EXE_tarsy-db")).with_file_name("examples");
    assert!(examples.join("generate_history").exists(), "this test needs an example: run `cargo build --examples`");
    examples
}

/// Compares a generated file with the one in the tree, which is written first if `UPDATE_GENERATED` is set.
#[track_caller]
pub(crate) fn compare_or_write(path: &Path, expected: &[u8]) {
    let path = project().join(path);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::create_dir_all(path.parent().expect("a file is in a directory")).expect("directories can be created");
        std::fs::write(&path, expected).expect("files can be written");
    }
    let found = std::fs::read(&path).unwrap_or_default();
    assert!(found == expected, "{} is not up to date: run `make generate`", path.display());
}
