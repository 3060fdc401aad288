//! The report of a move: one JSON document, private, in place completely or not at all.

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

/// What a report tells of.
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
    /// Nothing was changed, and the report says why.
    Refused,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The report cannot be written.
    #[error("cannot write the report {path}")]
    Write {
        /// The file.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// The report of a move that took place is there already.
    #[error("{path} is the report of a move that took place; it may hold the only copy of values that were changed")]
    Published {
        /// The file.
        path: String,
    },
    /// Something else is in the place of the report.
    #[error("{path} is there, and is no report that could be written over")]
    Foreign {
        /// The file.
        path: String,
    },
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
            Self::Published { .. } | Self::Foreign { .. } => Some("give `--report` another file".into()),
        }
    }
}

/// Is told of what policies change, and may refuse.
pub(crate) type ChangeSink<'s> = dyn Fn(&[Change]) -> Result<(), ReportError> + 's;

/// How a report begins.
const BEGINNING: &[u8] = b"{\n\"changes\": [";

/// A report that is being written, beside the place where it will be. Dropped before it was published, it is gone.
pub(crate) struct ReportFile {
    path: PathBuf,
    writer: BufWriter<AtomicFile>,
    changes: u64,
}

impl ReportFile {
    /// Begins a report. What the changes replaced may stand in no other place, so that the report of a move that took
    /// place is never written over; and neither is what is no report at all, such as the source.
    ///
    /// # Errors
    /// [`ReportError`].
    pub(crate) fn create(path: &Path) -> Result<Self, ReportError> {
        make_sure_that_it_may_go(path)?;
        let file = AtomicFile::create(path, 0o600).map_err(|source| failed(path, source))?;
        let mut report = Self { path: path.to_owned(), writer: BufWriter::new(file), changes: 0 };
        report.write(BEGINNING)?;
        Ok(report)
    }

    /// Adds what a policy changed.
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

    /// Forgets the changes: the work that made them was rolled back.
    ///
    /// # Errors
    /// [`ReportError::Write`].
    pub(crate) fn forget_changes(&mut self) -> Result<(), ReportError> {
        self.changes = 0;
        // What the buffer holds is written first.
        let emptied = self.writer.rewind().and_then(|()| self.writer.get_ref().file().set_len(0));
        emptied.map_err(|source| failed(&self.path, source))?;
        self.write(BEGINNING)
    }

    /// Adds the rest and makes sure that it is on the disk, still under its other name.
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
        // It may hold the only copy of what a policy changed, and the commit comes next.
        self.writer.get_ref().keep();
        Ok(())
    }

    /// Puts it in its place.
    ///
    /// # Errors
    /// [`ReportError::Write`].
    pub(crate) fn publish(self) -> Result<(), ReportError> {
        let (file, _) = self.writer.into_parts();
        file.publish().map_err(|source| failed(&self.path, source))
    }

    /// Leaves it under its other name, which is given: nobody knows whether what it tells of took place.
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

/// What a report says of itself.
#[derive(Deserialize)]
struct Earlier {
    outcome: String,
}

impl Earlier {
    /// Whether it may hold the only copy of values that were changed. A word that this version does not know is no
    /// such.
    fn is_published(&self) -> bool {
        let outcome = serde_json::from_value(Value::String(self.outcome.clone()));
        outcome.is_ok_and(|outcome| matches!(outcome, Outcome::Moved | Outcome::Appended))
    }
}

/// Makes sure that there is nothing in the place, or nothing that anybody could miss.
fn make_sure_that_it_may_go(path: &Path) -> Result<(), ReportError> {
    let Ok(metadata) = std::fs::metadata(path) else { return Ok(()) };
    if metadata.is_dir() {
        return Err(failed(path, io::ErrorKind::IsADirectory.into()));
    }
    if metadata.is_file() && metadata.len() == 0 {
        return Ok(());
    }
    let no_report = || ReportError::Foreign { path: path.display().to_string() };
    if !metadata.is_file() {
        return Err(no_report());
    }
    let file = File::open(path).map_err(|source| failed(path, source))?;
    match serde_json::from_reader(BufReader::new(file)) {
        Ok(earlier) if Earlier::is_published(&earlier) => {
            Err(ReportError::Published { path: path.display().to_string() })
        }
        Ok(_) => Ok(()),
        Err(_) => Err(no_report()),
    }
}
