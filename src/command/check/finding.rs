//! The result of a check.

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::exit_code::ExitCode;
use crate::output::Status;

/// The code of a check that could not be made.
const UNANSWERED: &str = "unanswered";

/// The code of a damaged SQLite file.
pub(crate) const DAMAGE: &str = "damage";

/// The result of one check.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) name: &'static str,
    pub(crate) status: Status,
    /// The same in the words of monitoring systems.
    severity: Severity,
    /// What was found, for programs: the status, or a word that names the one reason for it.
    pub(crate) code: &'static str,
    pub(crate) detail: Detail,
    /// The figures and names of the detail; its fields depend on the check.
    data: Value,
    /// The exit code of a failure.
    #[serde(skip)]
    pub(crate) exit_code: ExitCode,
    /// Whether a query was cancelled because it took too long.
    #[serde(skip)]
    pub(crate) is_given_up: bool,
    /// What `--fix` has committed.
    #[serde(skip)]
    pub(crate) committed: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Severity {
    None,
    Info,
    Warning,
    Error,
    Unknown,
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
        let (severity, code) = match status {
            Status::Ok => (Severity::None, "ok"),
            Status::Note => (Severity::Info, "note"),
            Status::Warning => (Severity::Warning, "warning"),
            Status::Failed => (Severity::Error, "failed"),
            Status::Skipped => (Severity::Unknown, "skipped"),
        };
        let (exit_code, data) = (ExitCode::Done, Value::Null);
        Self {
            name,
            status,
            severity,
            code,
            detail: detail.into(),
            data,
            exit_code,
            is_given_up: false,
            committed: None,
        }
    }

    /// The same with a code of its own.
    #[must_use]
    pub(crate) fn because(self, code: &'static str) -> Self {
        Self { code, ..self }
    }

    /// The same with what it has committed.
    #[must_use]
    pub(crate) fn having(self, committed: Option<String>) -> Self {
        Self { committed, ..self }
    }

    /// The same in other words.
    #[must_use]
    pub(crate) fn saying(self, detail: impl Into<Detail>) -> Self {
        Self { detail: detail.into(), ..self }
    }

    /// The same with figures and names.
    #[must_use]
    pub(crate) fn with(self, data: Value) -> Self {
        Self { data, ..self }
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

    /// A check whose query failed.
    pub(crate) fn unanswered(name: &'static str, cause: &DatabaseCause) -> Self {
        match cause.class {
            // A missing privilege is no fault of the database.
            ErrorClass::Privilege | ErrorClass::FilePermission => {
                Self::skipped(name, format!("no privilege: {cause}")).because("no_privilege")
            }
            // The check of the row policies reports them as a failure.
            ErrorClass::RowPolicy => {
                Self::skipped(name, format!("a row policy hides rows: {cause}")).because("rows_hidden")
            }
            class => Self {
                is_given_up: class == ErrorClass::TimedOut,
                ..Self::failed(name, class.exit_code(), cause.to_string()).unanswered_by(class)
            },
        }
    }

    /// The same with the class of the database's error.
    #[must_use]
    pub(crate) fn unanswered_by(self, class: ErrorClass) -> Self {
        self.because(UNANSWERED).with(json!({ "class": class }))
    }

    /// Evaluates with `judge` what was read, if the query succeeded.
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

/// What all checks say of a database.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Sound,
    Unsound,
    /// No check found a fault, and at least one could not be made.
    Incomplete,
    /// There was no connection.
    Unchecked,
}

pub(crate) fn verdict(findings: &[Finding]) -> Verdict {
    let failures: Vec<_> = findings.iter().filter(|finding| finding.status == Status::Failed).collect();
    // A damaged file answers some queries, and none of the others.
    let is_fault = |finding: &&Finding| finding.code != UNANSWERED || finding.exit_code == ExitCode::InputOutput;
    match failures.as_slice() {
        [] => Verdict::Sound,
        _ if failures.iter().any(is_fault) => Verdict::Unsound,
        _ if findings.len() == 1 => Verdict::Unchecked,
        _ => Verdict::Incomplete,
    }
}

/// The exit code of all checks: that of the first failure, because later ones often follow from it. Damage of the file
/// comes first, because every other check may fail at it. A pending schema comes last, because `init` repairs no damage.
pub(crate) fn exit_code(findings: &[Finding]) -> ExitCode {
    let failures = || findings.iter().filter(|finding| finding.status == Status::Failed);
    let decisive = failures()
        .find(|finding| finding.code == DAMAGE)
        .or_else(|| failures().find(|finding| finding.exit_code != ExitCode::Pending))
        .or_else(|| failures().next());
    decisive.map_or(ExitCode::Done, |finding| finding.exit_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_decides_then_the_first_failure_and_a_pending_schema_gives_way() {
        let failed = |code| Finding::failed("name", code, "detail");
        let ok = || Finding::ok("name", "detail");
        assert_eq!(exit_code(&[]), ExitCode::Done);
        assert_eq!(exit_code(&[ok(), Finding::skipped("name", "detail")]), ExitCode::Done);
        assert_eq!(exit_code(&[ok(), failed(ExitCode::Pending)]), ExitCode::Pending);
        let all = [failed(ExitCode::Pending), ok(), failed(ExitCode::Drift), failed(ExitCode::Remaining)];
        assert_eq!(exit_code(&all), ExitCode::Drift);
        let damaged = [failed(ExitCode::InputOutput), failed(ExitCode::Drift).because(DAMAGE)];
        assert_eq!(exit_code(&damaged), ExitCode::Drift);
    }

    #[test]
    fn what_could_not_be_checked_is_not_called_unsound() {
        let unanswered = |class| Finding::unanswered("name", &DatabaseCause::new(class, "no"));
        let (ok, busy) = (|| Finding::ok("name", "detail"), || unanswered(ErrorClass::Busy));
        assert_eq!(verdict(&[ok(), Finding::skipped("name", "detail")]), Verdict::Sound);
        assert_eq!(verdict(&[busy()]), Verdict::Unchecked);
        assert_eq!(verdict(&[ok(), busy()]), Verdict::Incomplete);
        assert_eq!(verdict(&[busy(), Finding::failed("name", ExitCode::Drift, "detail")]), Verdict::Unsound);
        assert_eq!(verdict(&[ok(), unanswered(ErrorClass::Corrupt)]), Verdict::Unsound);
    }

    #[test]
    fn the_document_has_a_code_a_severity_and_data() {
        let plain = json!(Finding::ok("name", "detail"));
        let expected = json!({ "name": "name", "status": "ok", "severity": "none", "code": "ok", "detail": "detail",
                               "data": null });
        assert_eq!(plain, expected);
        let told =
            json!(Finding::failed("name", ExitCode::Drift, "detail").because("damage").with(json!({ "rows": 1 })));
        assert_eq!(
            (&told["severity"], &told["code"], &told["data"]["rows"]),
            (&json!("error"), &json!("damage"), &json!(1))
        );
        let unanswered = json!(Finding::unanswered("name", &DatabaseCause::new(ErrorClass::Busy, "no")));
        assert_eq!(unanswered["data"], json!({ "class": "busy" }));
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
