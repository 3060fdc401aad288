//! What an error of creating or writing a file means for the operator.

use std::io::{Error, ErrorKind};

use super::regular_file::is_special;
use crate::exit_code::ExitCode;

/// The exit code of a command whose file cannot be written.
#[must_use]
pub(crate) fn exit_code(error: &Error) -> ExitCode {
    if is_special(error) || is_full(error) { ExitCode::InputOutput } else { ExitCode::CannotCreate }
}

/// What the operator can do, if the disk is full or the file may not grow.
#[must_use]
pub(crate) fn hint(error: &Error) -> Option<String> {
    is_full(error)
        .then(|| "free disk space, or raise the limit of the file size, then run the same command again".into())
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
            assert!(hint(&kind.into()).is_some());
        }
        for kind in [ErrorKind::NotFound, ErrorKind::PermissionDenied, ErrorKind::AlreadyExists] {
            assert_eq!(exit_code(&kind.into()), ExitCode::CannotCreate);
            assert_eq!(hint(&kind.into()), None);
        }
    }
}
