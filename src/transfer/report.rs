//! The report of a run: one JSON document, readable only by its owner and written completely or not at all.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::value::change::Change;
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::fs::atomic_file::AtomicFile;
use crate::visible;

/// What the reported run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Moved,
    Appended,
    /// A dry run.
    Planned,
    /// `--check-only`.
    Checked,
    /// `--verify-only`.
    Compared,
    /// Nothing was changed; the report gives the reason.
    Refused,
}

/// Why no report was written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The report cannot be written.
    #[error("cannot write the report {path}")]
    Write {
        path: String,
        /// The system's error.
        source: io::Error,
    },
    /// The file is the report of a completed move.
    #[error(
        "{path} is the report of a completed move, which may hold the only copy of changed values; refusing to overwrite it"
    )]
    Published { path: String },
    /// The file is not a report.
    #[error("{path} exists and is not a tarsy-db report; refusing to overwrite it")]
    Foreign { path: String },
}

impl Diagnostic for ReportError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Write { .. } => ExitCode::CannotCreate,
            Self::Published { .. } | Self::Foreign { .. } => ExitCode::Refused,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Write { .. } => None,
            Self::Published { .. } | Self::Foreign { .. } => Some("name another file with `--report`".into()),
        }
    }
}

/// Receives what policies change; an error ends the run.
pub(crate) type ChangeSink<'s> = dyn Fn(&[Change]) -> Result<(), ReportError> + 's;

/// The first bytes of a report.
const BEGINNING: &[u8] = b"{\n\"changes\": [";

/// A report that is being written, under a temporary name in the same directory. Dropping it before it was published
/// deletes it.
pub(crate) struct ReportFile {
    path: PathBuf,
    writer: BufWriter<AtomicFile>,
    changes: u64,
}

impl ReportFile {
    /// Creates a report. The report of a completed move may hold the only copy of changed values, so it is never
    /// overwritten; neither is a file that is not a report, such as the source.
    ///
    /// # Errors
    /// [`ReportError`].
    pub(crate) fn create(path: &Path) -> Result<Self, ReportError> {
        require_replaceable(path)?;
        let file = AtomicFile::create(path, 0o600).map_err(|source| failed(path, source))?;
        let mut report = Self { path: path.to_owned(), writer: BufWriter::new(file), changes: 0 };
        report.write(BEGINNING)?;
        Ok(report)
    }

    /// Appends what policies changed.
    ///
    /// # Errors
    /// [`ReportError::Write`].
    pub(crate) fn add(&mut self, changes: &[Change]) -> Result<(), ReportError> {
        for change in changes {
            self.write(if self.changes == 0 { b"\n" } else { b",\n" })?;
            self.changes += 1;
            self.write_json(change)?;
        }
        Ok(())
    }

    /// Discards the changes: the transaction that made them was rolled back.
    ///
    /// # Errors
    /// [`ReportError::Write`].
    pub(crate) fn forget_changes(&mut self) -> Result<(), ReportError> {
        self.changes = 0;
        // Seeking flushes the buffer first.
        let emptied = self.writer.rewind().and_then(|()| self.writer.get_ref().file().set_len(0));
        emptied.map_err(|source| failed(&self.path, source))?;
        self.write(BEGINNING)
    }

    /// Appends the other fields and syncs the file, still under its temporary name.
    ///
    /// # Errors
    /// [`ReportError::Write`].
    pub(crate) fn complete(&mut self, document: &Value) -> Result<(), ReportError> {
        self.write(b"\n]")?;
        for (name, value) in document.as_object().into_iter().flatten() {
            self.write(format!(",\n\"{name}\": ").as_bytes())?;
            self.write_json(value)?;
        }
        self.write(b"\n}\n")?;
        let written = self.writer.flush().and_then(|()| self.writer.get_ref().file().sync_all());
        written.map_err(|source| failed(&self.path, source))?;
        // The commit comes next: if the process is killed, this may be the only copy of what policies changed.
        self.writer.get_ref().keep();
        Ok(())
    }

    /// Renames it to its final name.
    ///
    /// # Errors
    /// [`ReportError::Write`].
    pub(crate) fn publish(self) -> Result<(), ReportError> {
        let (file, _) = self.writer.into_parts();
        file.publish().map_err(|source| failed(&self.path, source))
    }

    /// Keeps it under its temporary name, which is returned: the outcome of the commit is unknown.
    #[must_use]
    pub(crate) fn leave(self) -> PathBuf {
        let (file, _) = self.writer.into_parts();
        file.leave()
    }

    fn write_json(&mut self, value: &impl Serialize) -> Result<(), ReportError> {
        let text = serde_json::to_string(value).map_err(|error| failed(&self.path, io::Error::from(error)))?;
        self.write(visible::json(&text).as_bytes())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ReportError> {
        self.writer.write_all(bytes).map_err(|source| failed(&self.path, source))
    }
}

fn failed(path: &Path, source: io::Error) -> ReportError {
    ReportError::Write { path: path.display().to_string(), source }
}

/// The part of an existing report that decides whether it may be overwritten.
#[derive(Deserialize)]
struct Earlier {
    outcome: String,
}

impl Earlier {
    /// Whether it may hold the only copy of changed values. An unknown outcome counts as not published.
    fn is_published(&self) -> bool {
        let outcome = serde_json::from_value(Value::String(self.outcome.clone()));
        outcome.is_ok_and(|outcome| matches!(outcome, Outcome::Moved | Outcome::Appended))
    }
}

/// Accepts a path that is free, an empty file, or a report that holds no only copy.
fn require_replaceable(path: &Path) -> Result<(), ReportError> {
    let Ok(metadata) = std::fs::metadata(path) else { return Ok(()) };
    if metadata.is_dir() {
        return Err(failed(path, io::ErrorKind::IsADirectory.into()));
    }
    if metadata.is_file() && metadata.len() == 0 {
        return Ok(());
    }
    let foreign = || ReportError::Foreign { path: path.display().to_string() };
    if !metadata.is_file() {
        return Err(foreign());
    }
    let file = File::open(path).map_err(|source| failed(path, source))?;
    match serde_json::from_reader(BufReader::new(file)) {
        Ok(earlier) if Earlier::is_published(&earlier) => {
            Err(ReportError::Published { path: path.display().to_string() })
        }
        Ok(_) => Ok(()),
        Err(_) => Err(foreign()),
    }
}
