//! What a run of `prune` did, as a file for the textfile collector of Prometheus's node exporter. The format:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::fs::atomic_file::AtomicFile;
use crate::history::removal::batch::Removed;

/// What the names of all metrics begin with.
const PREFIX: &str = "tarsy_db_prune_";
/// The metric that outlives failed runs.
const LAST_SUCCESS: &str = "last_success_timestamp_seconds";

/// What a run of `prune` did, and where it left the database.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Metrics {
    /// The database without its password: the label of every metric, so that one machine can prune several.
    pub database: String,
    /// Sessions that were removed.
    pub sessions_deleted: u64,
    /// Rows that were removed, by table.
    pub rows_deleted: Removed,
    /// Sessions that started before the cutoff and are still there; `None` where the run ended before it knew.
    pub sessions_remaining: Option<u64>,
    /// The start of the oldest session that is still there, in microseconds since the epoch.
    pub oldest_session_us: Option<i64>,
    /// How long the run took.
    pub duration: Duration,
    /// What it exited with.
    pub exit_code: ExitCode,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
}

/// A file that the metrics could not be written to.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the metrics to `{path}`")]
pub(crate) struct MetricsError {
    /// The file.
    pub path: String,
    /// Why not.
    pub source: io::Error,
}

impl Diagnostic for MetricsError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::CannotCreate
    }
}

impl Metrics {
    /// Of a run that has done nothing yet.
    #[must_use]
    pub(crate) fn of(database: &str) -> Self {
        Self {
            database: database.to_owned(),
            sessions_deleted: 0,
            rows_deleted: Removed::new(),
            sessions_remaining: None,
            oldest_session_us: None,
            duration: Duration::ZERO,
            exit_code: ExitCode::Done,
            finished_at: DateTime::UNIX_EPOCH,
        }
    }

    /// Writes the file: beside its place, under a name that the node exporter passes over, then in its place. After a
    /// run that failed the earlier file's last success is kept, so that an alert on its age works.
    ///
    /// # Errors
    /// [`MetricsError`]; what was there is as it was.
    pub(crate) fn write(&self, path: &Path) -> Result<(), MetricsError> {
        let earlier = earlier(path)?;
        let text = self.render(self.last_success(&earlier).as_deref());
        // The node exporter is another user, and whoever runs at night has a mask.
        let written = AtomicFile::create(path, 0o644).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.file().sync_all()?;
            file.publish()
        });
        written.map_err(|source| failed(path, source))
    }

    /// The metrics in the exposition format. What is not known is left out.
    #[must_use]
    pub(crate) fn render(&self, last_success: Option<&str>) -> String {
        let mut page = Exposition { text: String::new(), database: escaped(&self.database) };
        page.gauge("sessions_deleted", "Sessions that the last run removed.", Some(self.sessions_deleted));
        page.family("rows_deleted", "Rows that the last run removed, by table.");
        for (table, rows) in &self.rows_deleted {
            page.sample("rows_deleted", &format!(",table=\"{}\"", escaped(table)), rows);
        }
        let help = "Sessions that started before the cutoff and are still there.";
        page.gauge("sessions_remaining", help, self.sessions_remaining);
        let oldest = self.oldest_session_us.map(seconds);
        page.gauge("oldest_session_timestamp_seconds", "Start of the oldest session that is still there.", oldest);
        page.gauge("duration_seconds", "How long the last run took.", Some(self.duration.as_secs_f64()));
        page.gauge("exit_code", "Exit code of the last run.", Some(self.exit_code));
        page.gauge("last_run_timestamp_seconds", "When the last run ended.", Some(self.finished()));
        page.gauge(LAST_SUCCESS, "When the last run with exit code 0 ended.", last_success);
        page.text
    }

    fn finished(&self) -> String {
        seconds(self.finished_at.timestamp_micros())
    }

    /// This run's end, if it was a success; otherwise what the earlier file says of the same database.
    fn last_success(&self, earlier: &str) -> Option<String> {
        if self.exit_code == ExitCode::Done {
            return Some(self.finished());
        }
        let sample = format!("{PREFIX}{LAST_SUCCESS}{{database=\"{}\"}} ", escaped(&self.database));
        let value = earlier.lines().find_map(|line| line.strip_prefix(&sample))?;
        value.parse::<f64>().is_ok().then(|| value.to_owned())
    }
}

/// What an earlier run wrote; empty where there is nothing. Anything else in that place stays there: ask before a run,
/// so that a slip in the path ends it before it removes anything.
///
/// # Errors
/// [`MetricsError`] for a file that cannot be read or is none of these.
pub(crate) fn earlier(path: &Path) -> Result<String, MetricsError> {
    let text = match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => Err(error),
        Ok(metadata) if metadata.is_dir() => Err(ErrorKind::IsADirectory.into()),
        Ok(metadata) if metadata.is_file() => std::fs::read(path),
        Ok(_) => Err(io::Error::other("it is not a regular file")),
    };
    let text = text.map_err(|source| failed(path, source))?;
    if !text.is_empty() && !text.starts_with(format!("# HELP {PREFIX}").as_bytes()) {
        let source = io::Error::other("there is something else in its place, which is not written over");
        return Err(failed(path, source));
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn failed(path: &Path, source: io::Error) -> MetricsError {
    MetricsError { path: path.display().to_string(), source }
}

/// What is being rendered.
struct Exposition {
    text: String,
    /// The label's value, escaped.
    database: String,
}

impl Exposition {
    /// A metric with one sample, if its value is known.
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

/// Microseconds as seconds, exactly: Prometheus's floating point is its own affair.
fn seconds(microseconds: i64) -> String {
    let sign = if microseconds < 0 { "-" } else { "" };
    let microseconds = microseconds.unsigned_abs();
    format!("{sign}{}.{:06}", microseconds / 1_000_000, microseconds % 1_000_000)
}

/// A label's value in its quotation marks.
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
            duration: Duration::from_millis(1500),
            exit_code: ExitCode::Done,
            finished_at: DateTime::from_timestamp(1_770_000_000, 0).expect("a moment"),
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
# HELP tarsy_db_prune_sessions_remaining Sessions that started before the cutoff and are still there.
# TYPE tarsy_db_prune_sessions_remaining gauge
tarsy_db_prune_sessions_remaining{database="tarsy@db:5432/tarsy"} 1
# HELP tarsy_db_prune_oldest_session_timestamp_seconds Start of the oldest session that is still there.
# TYPE tarsy_db_prune_oldest_session_timestamp_seconds gauge
tarsy_db_prune_oldest_session_timestamp_seconds{database="tarsy@db:5432/tarsy"} 1769904000.000001
# HELP tarsy_db_prune_duration_seconds How long the last run took.
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
            exit_code: ExitCode::Unavailable,
            ..metrics()
        };
        let text = unknown.render(None);
        for name in ["sessions_remaining", "oldest_session_timestamp_seconds", LAST_SUCCESS] {
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
            std::fs::read_to_string(&path).expect("the file is there")
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
    fn whoever_collects_may_read_the_file_and_finds_nothing_beside_it() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("tarsy-db.prom");
        metrics().write(&path).expect("the file can be written");
        let mode = std::fs::metadata(&path).expect("the file is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 1);
    }

    #[test]
    fn what_is_no_file_of_metrics_is_not_written_over() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        assert!(metrics().write(directory.path()).is_err());
        let path = directory.path().join("history.db");
        std::fs::write(&path, "SQLite format 3\0").expect("the file can be written");
        let refused = metrics().write(&path).expect_err("it is a database");
        assert!(refused.source.to_string().contains("something else in its place"), "{}", refused.source);
        assert_eq!(std::fs::read(&path).expect("the file is there"), b"SQLite format 3\0");
        assert!(earlier(&directory.path().join("missing.prom")).expect("there is nothing").is_empty());
    }
}
