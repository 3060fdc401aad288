//! The report of a run: one JSON document, readable only by its owner and written completely or not at all.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::value::change::Change;
use super::value::hazard::Hazard;
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::fs::atomic_file::AtomicFile;
use crate::fs::regular_file;
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
            Self::Write { source, .. } if regular_file::is_special(source) => ExitCode::InputOutput,
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

/// Receives what is found in the source; an error ends the run.
pub(crate) trait Findings {
    /// What policies change.
    fn changes(&self, changes: &[Change]) -> Result<(), ReportError>;
    /// What no policy changes.
    fn hazards(&self, hazards: &[Hazard]) -> Result<(), ReportError>;
}

/// Receives what is found in a sample, of which there is no report.
pub(crate) struct Unreported;

impl Findings for Unreported {
    fn changes(&self, _: &[Change]) -> Result<(), ReportError> {
        Ok(())
    }

    fn hazards(&self, _: &[Hazard]) -> Result<(), ReportError> {
        Ok(())
    }
}

/// The first bytes of a report.
const BEGINNING: &[u8] = b"{\n\"changes\": [";

/// A report that is being written, under a temporary name in the same directory. Dropping it before it was published
/// deletes it.
pub(crate) struct ReportFile {
    path: PathBuf,
    writer: BufWriter<AtomicFile>,
    changes: u64,
    /// The reasons for a refusal, which follow the other fields, in a file of their own until these are known.
    reasons: Option<BufWriter<AtomicFile>>,
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
        let mut report = Self { path: path.to_owned(), writer: BufWriter::new(file), changes: 0, reasons: None };
        report.write(BEGINNING)?;
        Ok(report)
    }

    /// Appends what policies changed.
    ///
    /// # Errors
    /// [`ReportError::Write`].
    pub(crate) fn add(&mut self, changes: &[Change]) -> Result<(), ReportError> {
        for change in changes {
            self.write(separator(self.changes == 0))?;
            self.changes += 1;
            self.write_json(change)?;
        }
        Ok(())
    }

    /// Keeps why the move is refused for [`Self::refuse`].
    ///
    /// # Errors
    /// [`ReportError::Write`].
    pub(crate) fn add_reasons<T: Serialize>(&mut self, reasons: &[T]) -> Result<(), ReportError> {
        let failed = |source| failed(&self.path, source);
        for reason in reasons {
            let is_first = self.reasons.is_none();
            let file = match &mut self.reasons {
                Some(file) => file,
                none => none.insert(BufWriter::new(AtomicFile::create(&self.path, 0o600).map_err(failed)?)),
            };
            let written = file.write_all(separator(is_first)).and_then(|()| file.write_all(json(reason)?.as_bytes()));
            written.map_err(failed)?;
        }
        Ok(())
    }

    /// Discards the changes and the reasons: the transaction that made them was rolled back.
    ///
    /// # Errors
    /// [`ReportError::Write`].
    pub(crate) fn forget(&mut self) -> Result<(), ReportError> {
        self.changes = 0;
        self.reasons = None;
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
        self.write_fields(document)?;
        self.finish()
    }

    /// Does the same for a refusal, with the list of its reasons as the last field.
    ///
    /// # Errors
    /// [`ReportError::Write`].
    pub(crate) fn refuse(&mut self, document: &Value, name: &str) -> Result<(), ReportError> {
        self.write_fields(document)?;
        self.write(format!(",\n\"{name}\": [").as_bytes())?;
        if let Some(mut reasons) = self.reasons.take() {
            let copied = reasons.flush().and_then(|()| {
                let mut written = File::open(reasons.get_ref().unfinished())?;
                io::copy(&mut written, &mut self.writer)
            });
            copied.map_err(|source| failed(&self.path, source))?;
        }
        self.write(b"\n]")?;
        self.finish()
    }

    fn write_fields(&mut self, document: &Value) -> Result<(), ReportError> {
        self.write(b"\n]")?;
        for (name, value) in document.as_object().into_iter().flatten() {
            self.write(format!(",\n\"{name}\": ").as_bytes())?;
            self.write_json(value)?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), ReportError> {
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
        let text = json(value).map_err(|source| failed(&self.path, source))?;
        self.write(text.as_bytes())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ReportError> {
        self.writer.write_all(bytes).map_err(|source| failed(&self.path, source))
    }
}

/// Before an item of a list, which has its own line.
fn separator(is_first: bool) -> &'static [u8] {
    if is_first { b"\n" } else { b",\n" }
}

fn json(value: &impl Serialize) -> io::Result<String> {
    Ok(visible::json(&serde_json::to_string(value)?).into_owned())
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
    let file = regular_file::open(path).map_err(|source| failed(path, source))?;
    match serde_json::from_reader(BufReader::new(file)) {
        Ok(earlier) if Earlier::is_published(&earlier) => {
            Err(ReportError::Published { path: path.display().to_string() })
        }
        Ok(_) => Ok(()),
        Err(_) => Err(foreign()),
    }
}
