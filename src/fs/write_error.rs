//! What an error of creating or writing a file means for the operator.

use std::io::{Error, ErrorKind};

use super::regular_file::is_special;
use crate::exit_code::ExitCode;

/// The exit code of a command whose file cannot be written.
#[must_use]
pub(crate) fn exit_code(error: &Error) -> ExitCode {
    if is_special(error) || is_full(error) { ExitCode::InputOutput } else { ExitCode::CannotCreate }
}

/// What the operator can do, if the disk is full, the file may not grow, or its directory does not exist. `flag` names the
/// file.
#[must_use]
pub(crate) fn hint(error: &Error, flag: &str) -> Option<String> {
    match error.kind() {
        _ if is_full(error) => {
            Some("free disk space, or raise the limit of the file size, then run the same command again".to_owned())
        }
        ErrorKind::NotFound => Some(format!("create the directory, or name another file with `{flag}`")),
        _ => None,
    }
}

fn is_full(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_an_error_of_output_and_a_missing_directory_one_of_creation() {
        for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge] {
            assert_eq!(exit_code(&kind.into()), ExitCode::InputOutput);
            assert!(hint(&kind.into(), "--report").is_some_and(|hint| hint.starts_with("free disk space")));
        }
        for kind in [ErrorKind::NotFound, ErrorKind::PermissionDenied, ErrorKind::AlreadyExists] {
            assert_eq!(exit_code(&kind.into()), ExitCode::CannotCreate);
        }
        let missing = hint(&ErrorKind::NotFound.into(), "--report");
        assert_eq!(missing.as_deref(), Some("create the directory, or name another file with `--report`"));
        assert_eq!(hint(&ErrorKind::PermissionDenied.into(), "--report"), None);
    }
}
