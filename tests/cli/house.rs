//! Checks of the tests themselves: no test is left out, and every fixture is in `support`.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};

use crate::support::cases::failures;
use crate::support::{apply, test};

/// The Rust files below a directory.
fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    let (directories, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let files = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files.chain(directories.iter().flat_map(|directory| rust_files(directory))).collect()
}

/// The files of the tests, with their contents.
fn test_files() -> Vec<(PathBuf, String)> {
    let files = rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli"));
    files.into_iter().map(|path| (path.clone(), std::fs::read_to_string(&path).expect("a source file"))).collect()
}

/// The runner of these tests finds `#[apply(test)]`; a plain `#[test]` would never run.
#[apply(test)]
fn every_test_is_one_that_the_runner_finds() {
    let lost = test_files().into_iter().filter(|(_, source)| source.lines().any(|line| line.trim() == "#[test]"));
    assert_eq!(lost.map(|(path, _)| path).collect::<Vec<_>>(), Vec::<PathBuf>::new());
}

/// A file without a `mod` is not compiled, and its tests never run.
#[apply(test)]
fn every_file_is_compiled() {
    let forgotten = test_files().into_iter().map(|(path, _)| path).filter(|path| {
        let module = path.with_extension("");
        // `main.rs` and `mod.rs` declare the modules beside them, and the parent declares a folder.
        let named = if path.ends_with("mod.rs") { module.parent().expect("a folder") } else { &module };
        let folder = named.parent().expect("a folder");
        let name = named.file_name().expect("a name").to_string_lossy();
        let names =
            ["main.rs", "mod.rs"].map(|parent| std::fs::read_to_string(folder.join(parent)).unwrap_or_default());
        let is_named = |line: &str| line.trim_start_matches("pub(crate) ") == format!("mod {name};");
        !path.ends_with("main.rs") && !names.iter().any(|text| text.lines().any(is_named))
    });
    assert_eq!(forgotten.collect::<Vec<_>>(), Vec::<PathBuf>::new());
}

/// Fixtures that two test modules need are in `support`.
#[apply(test)]
fn no_module_of_tests_imports_another() {
    let others = test_files().into_iter().filter(|(path, _)| !path.iter().any(|part| part == "support"));
    let imports = others.flat_map(|(path, source)| {
        let lines = source.lines().map(str::trim_start).map(|line| line.trim_start_matches("pub(crate) "));
        let imports = lines.filter(|line| {
            let path = line.strip_prefix("use ").unwrap_or_default();
            path.starts_with("super::") || path.starts_with("crate::") && !path.starts_with("crate::support::")
        });
        imports.map(|line| format!("{}: {line}", path.display())).collect::<Vec<_>>()
    });
    assert_eq!(imports.collect::<Vec<_>>(), Vec::<String>::new());
}

/// Most tests with many cases rely on it.
#[apply(test)]
fn a_case_that_fails_is_named_and_the_others_are_tried() {
    let mut tried = 0;
    let failed = failures([("one", 1), ("two", 2), ("three", 3)], |(_, number)| {
        tried += 1;
        if number == 2 {
            // Unlike a panic this prints nothing.
            resume_unwind(Box::new("not this one"));
        }
    });
    assert_eq!((tried, failed), (3, vec![r#"case ("two", 2): not this one"#.to_owned()]));
}
