//! What a check found.

use serde::{Serialize, Serializer};

use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::exit_code::ExitCode;
use crate::output::Status;

/// The result of one check.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) name: &'static str,
    pub(crate) status: Status,
    pub(crate) detail: Detail,
    /// What this failure means for the exit code.
    #[serde(skip)]
    pub(crate) exit_code: ExitCode,
    /// Whether a query of it was given up.
    #[serde(skip)]
    pub(crate) is_given_up: bool,
}

/// One line or several.
#[derive(Debug)]
pub(crate) struct Detail(pub(crate) Vec<String>);

impl From<&str> for Detail {
    fn from(line: &str) -> Self {
        Self(vec![line.to_owned()])
    }
}

impl From<String> for Detail {
    fn from(line: String) -> Self {
        Self(vec![line])
    }
}

impl From<Vec<String>> for Detail {
    fn from(lines: Vec<String>) -> Self {
        Self(lines)
    }
}

impl Serialize for Detail {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.join("\n"))
    }
}

impl Finding {
    pub(crate) fn new(name: &'static str, status: Status, detail: impl Into<Detail>) -> Self {
        Self { name, status, detail: detail.into(), exit_code: ExitCode::Done, is_given_up: false }
    }

    pub(crate) fn ok(name: &'static str, detail: impl Into<Detail>) -> Self {
        Self::new(name, Status::Ok, detail)
    }

    pub(crate) fn skipped(name: &'static str, detail: impl Into<Detail>) -> Self {
        Self::new(name, Status::Skipped, detail)
    }

    pub(crate) fn failed(name: &'static str, exit_code: ExitCode, detail: impl Into<Detail>) -> Self {
        Self { exit_code, ..Self::new(name, Status::Failed, detail) }
    }

    /// A check that the database did not answer.
    pub(crate) fn unanswered(name: &'static str, cause: &DatabaseCause) -> Self {
        match cause.class {
            // A role that may not look is not a database that is broken.
            ErrorClass::Privilege => Self::skipped(name, format!("not permitted: {cause}")),
            // The check of the policies fails for them.
            ErrorClass::RowPolicy => Self::skipped(name, format!("a row policy hides rows: {cause}")),
            class => Self {
                is_given_up: class == ErrorClass::TimedOut,
                ..Self::failed(name, class.exit_code(), cause.to_string())
            },
        }
    }

    /// What `judge` says of what was read, if the database gave it.
    pub(crate) fn of<T>(
        name: &'static str,
        read: Result<T, impl Into<DatabaseCause>>,
        judge: impl FnOnce(T) -> Self,
    ) -> Self {
        match read {
            Ok(read) => judge(read),
            Err(error) => Self::unanswered(name, &error.into()),
        }
    }
}

/// What all of them mean. The first failure decides, because later ones often follow from it. Only a schema that is
/// merely not there yet gives way: `init` repairs no damage.
pub(crate) fn exit_code(findings: &[Finding]) -> ExitCode {
    let failures = findings.iter().filter(|finding| finding.status == Status::Failed);
    let mut codes = failures.map(|finding| finding.exit_code);
    codes.clone().find(|code| *code != ExitCode::Pending).or_else(|| codes.next()).unwrap_or(ExitCode::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_decides_and_a_pending_schema_gives_way() {
        let failed = |code| Finding::failed("name", code, "detail");
        let ok = || Finding::ok("name", "detail");
        assert_eq!(exit_code(&[]), ExitCode::Done);
        assert_eq!(exit_code(&[ok(), Finding::skipped("name", "detail")]), ExitCode::Done);
        assert_eq!(exit_code(&[ok(), failed(ExitCode::Pending)]), ExitCode::Pending);
        let all = [failed(ExitCode::Pending), ok(), failed(ExitCode::Drift), failed(ExitCode::Remaining)];
        assert_eq!(exit_code(&all), ExitCode::Drift);
    }

    #[test]
    fn what_the_role_may_not_read_is_skipped_and_what_took_too_long_is_given_up() {
        let unanswered = |class| Finding::unanswered("name", &DatabaseCause::new(class, "no"));
        assert_eq!(unanswered(ErrorClass::Privilege).status, Status::Skipped);
        assert_eq!(unanswered(ErrorClass::RowPolicy).status, Status::Skipped);
        let slow = unanswered(ErrorClass::TimedOut);
        assert!(slow.is_given_up);
        assert_eq!((slow.status, slow.exit_code), (Status::Failed, ErrorClass::TimedOut.exit_code()));
        assert!(!unanswered(ErrorClass::Other).is_given_up);
    }
}
