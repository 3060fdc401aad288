//! Metrics of a run of `prune`, as a file for the textfile collector of Prometheus's node exporter. The format:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::fs::atomic_file::AtomicFile;
use crate::fs::{regular_file, write_error};
use crate::history::removal::batch_error::Removed;

/// The prefix of all metric names.
const PREFIX: &str = "tarsy_db_prune_";
/// The metric that failed runs keep.
const LAST_SUCCESS: &str = "last_success_timestamp_seconds";

/// What a run of `prune` did, and the state in which it left the database.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Metrics {
    /// The database without its password; the label of every metric.
    pub database: String,
    pub sessions_deleted: u64,
    /// Removed rows by table.
    pub rows_deleted: Removed,
    /// Sessions that started before the cutoff and still exist; `None` if the run ended before they were counted.
    pub sessions_remaining: Option<u64>,
    /// The start of the oldest remaining session, in microseconds since the epoch.
    pub oldest_session_us: Option<i64>,
    /// Whether a retention of sessions is set, or has a default; `None` if the run ended before that was known.
    pub has_retention: Option<bool>,
    pub duration: Duration,
    pub exit_code: ExitCode,
    pub finished_at: DateTime<Utc>,
}

/// The metrics file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the metrics to `{path}`")]
pub(crate) struct MetricsError {
    pub path: String,
    pub source: io::Error,
}

impl Diagnostic for MetricsError {
    fn exit_code(&self) -> ExitCode {
        write_error::exit_code(&self.source)
    }

    fn hint(&self) -> Option<String> {
        write_error::hint(&self.source, "--metrics-file")
    }
}

impl Metrics {
    /// The metrics of a run that has not removed anything yet.
    #[must_use]
    pub(crate) fn of(database: &str) -> Self {
        Self {
            database: database.to_owned(),
            sessions_deleted: 0,
            rows_deleted: Removed::new(),
            sessions_remaining: None,
            oldest_session_us: None,
            has_retention: None,
            duration: Duration::ZERO,
            exit_code: ExitCode::Done,
            finished_at: DateTime::UNIX_EPOCH,
        }
    }

    /// Replaces the file atomically. After a failed run the last success of the earlier file is kept, so that an alert on
    /// its age works.
    ///
    /// # Errors
    /// [`MetricsError`]; the earlier file is unchanged.
    pub(crate) fn write(&self, path: &Path) -> Result<(), MetricsError> {
        let earlier = earlier(path)?;
        let text = self.render(self.last_success(&earlier).as_deref());
        // The node exporter runs as another user, whatever the umask of this process.
        let written = AtomicFile::create(path, 0o644).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.file().sync_all()?;
            file.publish()
        });
        written.map_err(|source| failed(path, source))
    }

    /// The metrics in the exposition format; unknown values are left out.
    #[must_use]
    pub(crate) fn render(&self, last_success: Option<&str>) -> String {
        let mut page = Exposition { text: String::new(), database: escaped(&self.database) };
        page.gauge("sessions_deleted", "Sessions that the last run removed.", Some(self.sessions_deleted));
        page.family("rows_deleted", "Rows that the last run removed, by table.");
        for (table, rows) in &self.rows_deleted {
            page.sample("rows_deleted", &format!(",table=\"{}\"", escaped(table)), rows);
        }
        let help = "Sessions that started before the cutoff and still exist.";
        page.gauge("sessions_remaining", help, self.sessions_remaining);
        let oldest = self.oldest_session_us.map(seconds);
        page.gauge("oldest_session_timestamp_seconds", "Start of the oldest remaining session.", oldest);
        let help = "Whether a retention of sessions is set: 1, or 0.";
        page.gauge("retention_set", help, self.has_retention.map(u8::from));
        page.gauge("duration_seconds", "Duration of the last run.", Some(self.duration.as_secs_f64()));
        page.gauge("exit_code", "Exit code of the last run.", Some(self.exit_code));
        page.gauge("last_run_timestamp_seconds", "When the last run ended.", Some(self.finished()));
        page.gauge(LAST_SUCCESS, "When the last run with exit code 0 ended.", last_success);
        page.text
    }

    fn finished(&self) -> String {
        seconds(self.finished_at.timestamp_micros())
    }

    /// The end of this run if it succeeded, otherwise the value in the earlier file for the same database.
    fn last_success(&self, earlier: &str) -> Option<String> {
        if self.exit_code == ExitCode::Done {
            return Some(self.finished());
        }
        let sample = format!("{PREFIX}{LAST_SUCCESS}{{database=\"{}\"}} ", escaped(&self.database));
        let value = earlier.lines().find_map(|line| line.strip_prefix(&sample))?;
        value.parse::<f64>().is_ok().then(|| value.to_owned())
    }
}

/// Reads the file of an earlier run; empty if there is none. Call it before a run, so that a wrong path fails before
/// rows are removed.
///
/// # Errors
/// [`MetricsError`] for a file that cannot be read or does not hold metrics of `prune`.
pub(crate) fn earlier(path: &Path) -> Result<String, MetricsError> {
    require_writable_directory(path).map_err(|source| failed(path, source))?;
    let text = match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => Err(error),
        Ok(metadata) if metadata.is_dir() => Err(ErrorKind::IsADirectory.into()),
        Ok(_) => regular_file::refuse_special(path).and_then(|()| std::fs::read(path)),
    };
    let text = text.map_err(|source| failed(path, source))?;
    if !text.is_empty() && !text.starts_with(format!("# HELP {PREFIX}").as_bytes()) {
        let source =
            io::Error::other("the file exists and is not a metrics file of tarsy-db; refusing to overwrite it");
        return Err(failed(path, source));
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The file is replaced by one that is written beside it.
fn require_writable_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    Ok(rustix::fs::access(directory.unwrap_or(Path::new(".")), rustix::fs::Access::WRITE_OK)?)
}

fn failed(path: &Path, source: io::Error) -> MetricsError {
    MetricsError { path: path.display().to_string(), source }
}

/// The text that is being rendered.
struct Exposition {
    text: String,
    /// The value of the label, escaped.
    database: String,
}

impl Exposition {
    /// Adds a metric with one sample, if its value is known.
    fn gauge(&mut self, name: &str, help: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.family(name, help);
            self.sample(name, "", value);
        }
    }

    fn family(&mut self, name: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} gauge");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.text, "{PREFIX}{name}{{database=\"{}\"{labels}}} {value}", self.database);
    }
}

/// Microseconds as seconds, without rounding.
fn seconds(microseconds: i64) -> String {
    let sign = if microseconds < 0 { "-" } else { "" };
    let microseconds = microseconds.unsigned_abs();
    format!("{sign}{}.{:06}", microseconds / 1_000_000, microseconds % 1_000_000)
}

/// The value of a label, as it is written between quotation marks.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Metrics {
        Metrics {
            database: "tarsy@db:5432/tarsy".to_owned(),
            sessions_deleted: 12,
            rows_deleted: Removed::from([("alert_sessions", 12), ("llm_interactions", 340)]),
            sessions_remaining: Some(1),
            oldest_session_us: Some(1_769_904_000_000_001),
            has_retention: Some(true),
            duration: Duration::from_millis(1500),
            exit_code: ExitCode::Done,
            finished_at: DateTime::from_timestamp(1_770_000_000, 0).expect("a valid time"),
        }
    }

    fn sample(text: &str, name: &str) -> Option<String> {
        let line = text.lines().find(|line| line.starts_with(&format!("{PREFIX}{name}{{")))?;
        Some(line.rsplit_once(' ').expect("a value").1.to_owned())
    }

    #[test]
    fn every_metric_has_its_help_its_type_and_its_database() {
        let expected = r#"# HELP tarsy_db_prune_sessions_deleted Sessions that the last run removed.
# TYPE tarsy_db_prune_sessions_deleted gauge
tarsy_db_prune_sessions_deleted{database="tarsy@db:5432/tarsy"} 12
# HELP tarsy_db_prune_rows_deleted Rows that the last run removed, by table.
# TYPE tarsy_db_prune_rows_deleted gauge
tarsy_db_prune_rows_deleted{database="tarsy@db:5432/tarsy",table="alert_sessions"} 12
tarsy_db_prune_rows_deleted{database="tarsy@db:5432/tarsy",table="llm_interactions"} 340
# HELP tarsy_db_prune_sessions_remaining Sessions that started before the cutoff and still exist.
# TYPE tarsy_db_prune_sessions_remaining gauge
tarsy_db_prune_sessions_remaining{database="tarsy@db:5432/tarsy"} 1
# HELP tarsy_db_prune_oldest_session_timestamp_seconds Start of the oldest remaining session.
# TYPE tarsy_db_prune_oldest_session_timestamp_seconds gauge
tarsy_db_prune_oldest_session_timestamp_seconds{database="tarsy@db:5432/tarsy"} 1769904000.000001
# HELP tarsy_db_prune_retention_set Whether a retention of sessions is set: 1, or 0.
# TYPE tarsy_db_prune_retention_set gauge
tarsy_db_prune_retention_set{database="tarsy@db:5432/tarsy"} 1
# HELP tarsy_db_prune_duration_seconds Duration of the last run.
# TYPE tarsy_db_prune_duration_seconds gauge
tarsy_db_prune_duration_seconds{database="tarsy@db:5432/tarsy"} 1.5
# HELP tarsy_db_prune_exit_code Exit code of the last run.
# TYPE tarsy_db_prune_exit_code gauge
tarsy_db_prune_exit_code{database="tarsy@db:5432/tarsy"} 0
# HELP tarsy_db_prune_last_run_timestamp_seconds When the last run ended.
# TYPE tarsy_db_prune_last_run_timestamp_seconds gauge
tarsy_db_prune_last_run_timestamp_seconds{database="tarsy@db:5432/tarsy"} 1770000000.000000
# HELP tarsy_db_prune_last_success_timestamp_seconds When the last run with exit code 0 ended.
# TYPE tarsy_db_prune_last_success_timestamp_seconds gauge
tarsy_db_prune_last_success_timestamp_seconds{database="tarsy@db:5432/tarsy"} 1770000000.000000
"#;
        assert_eq!(metrics().render(Some("1770000000.000000")), expected);
    }

    #[test]
    fn what_is_not_known_is_left_out_and_labels_are_escaped() {
        let unknown = Metrics {
            database: "C:\\a \"b\"\nc".to_owned(),
            rows_deleted: Removed::new(),
            sessions_remaining: None,
            oldest_session_us: None,
            has_retention: None,
            exit_code: ExitCode::Unavailable,
            ..metrics()
        };
        let text = unknown.render(None);
        for name in ["sessions_remaining", "oldest_session_timestamp_seconds", "retention_set", LAST_SUCCESS] {
            assert!(!text.contains(name), "{text}");
        }
        assert!(text.contains("tarsy_db_prune_exit_code{database=\"C:\\\\a \\\"b\\\"\\nc\"} 69\n"), "{text}");
        assert_eq!((seconds(-1), seconds(-1_500_000)), ("-0.000001".to_owned(), "-1.500000".to_owned()));
    }

    #[test]
    fn the_last_success_outlives_failed_runs_of_the_same_database() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("tarsy-db.prom");
        let written = |metrics: &Metrics| {
            metrics.write(&path).expect("the file can be written");
            std::fs::read_to_string(&path).expect("the file exists")
        };
        let failed = |hours| Metrics {
            exit_code: ExitCode::Busy,
            finished_at: metrics().finished_at + chrono::TimeDelta::hours(hours),
            ..metrics()
        };
        assert_eq!(sample(&written(&failed(1)), LAST_SUCCESS), None);
        let success = sample(&written(&metrics()), LAST_SUCCESS);
        assert_eq!(success.as_deref(), Some("1770000000.000000"));
        for hours in 2..4 {
            let text = written(&failed(hours));
            assert_eq!(sample(&text, LAST_SUCCESS), success);
            assert_eq!(sample(&text, "last_run_timestamp_seconds"), Some(failed(hours).finished()));
        }
        let of_another = Metrics { database: "other".to_owned(), ..failed(5) };
        assert_eq!(sample(&written(&of_another), LAST_SUCCESS), None);
    }

    #[test]
    fn other_users_may_read_the_file_and_no_temporary_file_remains() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("tarsy-db.prom");
        metrics().write(&path).expect("the file can be written");
        let mode = std::fs::metadata(&path).expect("the file exists").permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 1);
    }

    #[test]
    fn a_file_that_holds_no_metrics_is_not_overwritten() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        assert!(metrics().write(directory.path()).is_err());
        let path = directory.path().join("history.db");
        std::fs::write(&path, "SQLite format 3\0").expect("the file can be written");
        let refused = metrics().write(&path).expect_err("it is a database");
        assert!(refused.source.to_string().contains("refusing to overwrite it"), "{}", refused.source);
        assert_eq!(std::fs::read(&path).expect("the file exists"), b"SQLite format 3\0");
        assert!(earlier(&directory.path().join("missing.prom")).expect("there is no file").is_empty());
    }
}
