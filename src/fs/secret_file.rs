//! Files that hold one secret.

use std::io::Result;
use std::path::Path;

/// Reads a secret, without the line end behind it.
///
/// # Errors
/// The operating system's error.
pub(crate) fn read(path: &Path) -> Result<String> {
    let mut secret = std::fs::read_to_string(path)?;
    if secret.ends_with('\n') {
        secret.pop();
        if secret.ends_with('\r') {
            secret.pop();
        }
    }
    Ok(secret)
}
