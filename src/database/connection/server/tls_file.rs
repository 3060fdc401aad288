//! Files with certificates and keys.

use std::path::Path;

use crate::database::failure::{DatabaseCause, ErrorClass, io_message};

/// A file with a certificate or a key that cannot be used.
pub(super) fn unusable(what: &str, path: &Path, why: &str) -> DatabaseCause {
    DatabaseCause::new(ErrorClass::Configuration, format!("cannot read the {what} {}: {why}", path.display()))
}

/// OpenSSL itself would not say why a file cannot be read.
pub(super) fn require_file(what: &str, path: &Path) -> Result<(), DatabaseCause> {
    // To open a pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(|error| unusable(what, path, &io_message(&error)))?;
    if !metadata.is_file() && !metadata.is_dir() {
        return Err(unusable(what, path, "it is not a regular file"));
    }
    std::fs::File::open(path).map(drop).map_err(|error| unusable(what, path, &io_message(&error)))
}
