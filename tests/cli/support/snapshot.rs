//! What people see, as files to compare with: `tests/cli/seen/snapshots`. `make snapshots` writes them anew.

use std::path::{Path, PathBuf};

/// Where the snapshots are.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/seen/snapshots")
}

/// Compares a text with the snapshot of this name.
#[track_caller]
pub(crate) fn assert_seen(name: &str, text: &str) {
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path(folder());
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}
