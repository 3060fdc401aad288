//! The report of a run: one JSON document, readable only by its owner and written completely or not at all.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::value::change::Change;
use super::value::hazard::Hazard;
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::fs::atomic_file::AtomicFile;
use crate::fs::{regular_file, temporary, write_error};
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
    /// The rows of a move or an append are complete, and the COMMIT was about to be sent.
    Pending,
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
    /// The file is the report of a move that was killed, or lost its connection, at its COMMIT.
    #[error(
        "{path} is the report of a move to {target} that ended before it knew whether its commit took place; refusing to \
         overwrite it"
    )]
    Pending { path: String, target: String },
    /// The file is not a report.
    #[error("{path} exists and is not a tarsy-db report; refusing to overwrite it")]
    Foreign { path: String },
}

impl Diagnostic for ReportError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Write { source, .. } => write_error::exit_code(source),
            Self::Published { .. } | Self::Pending { .. } | Self::Foreign { .. } => ExitCode::Refused,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Write { source, .. } => write_error::hint(source, "--report"),
            Self::Pending { .. } => Some(
                "compare both databases with `--verify-only` and another `--report`: if the target holds the rows, the \
                 commit took place and this is its report, which may hold the only copy of changed values; otherwise move \
                 it away"
                    .into(),
            ),
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

/// The field of a pending report that is overwritten after the commit is as long as the longest outcome.
const OUTCOME_WIDTH: usize = "\"appended\"".len();

/// A report that is being written, without a name. Dropping it before it was placed or published deletes it.
pub(crate) struct ReportFile {
    path: PathBuf,
    draft: Draft,
    changes: u64,
    /// The reasons for a refusal, which follow the other fields, in a file of their own until these are known.
    reasons: Option<BufWriter<AtomicFile>>,
}

enum Draft {
    /// Still written.
    Open(BufWriter<AtomicFile>),
    /// Under its final name, until the outcome of the commit is known.
    Pending { file: File, outcome: String, offset: u64 },
}

/// What a move that may follow a killed one has in common with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SameMove<'m> {
    pub(crate) source: &'m str,
    pub(crate) target: &'m str,
}

impl ReportFile {
    /// Creates a report. The report of a completed move may hold the only copy of changed values, so it is never
    /// overwritten; neither is a file that is not a report, such as the source. A pending one is overwritten only if it
    /// holds no changes, and only by the same move, which finds the target empty before it overwrites anything.
    ///
    /// # Errors
    /// [`ReportError`].
    pub(crate) fn create(path: &Path, this: Option<SameMove<'_>>) -> Result<Self, ReportError> {
        require_replaceable(path, this)?;
        let file = AtomicFile::create(path, 0o600).map_err(|source| failed(path, source))?;
        let draft = Draft::Open(BufWriter::new(file));
        let mut report = Self { path: path.to_owned(), draft, changes: 0, reasons: None };
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
            let written = file.write_all(separator(is_first)).and_then(|()| file.write_all(shown(reason)?.as_bytes()));
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
        let writer = self.draft.writer();
        // Seeking flushes the buffer first.
        let emptied = writer.rewind().and_then(|()| writer.get_ref().file().set_len(0));
        emptied.map_err(|source| failed(&self.path, source))?;
        self.write(BEGINNING)
    }

    /// Appends the other fields and syncs the file, still without a name.
    ///
    /// # Errors
    /// [`ReportError::Write`].
    pub(crate) fn complete(&mut self, document: &Value) -> Result<(), ReportError> {
        self.write_fields(document)?;
        self.finish()
    }

    /// Does the same, and gives the file its name with the outcome `pending`: the COMMIT comes next. If the process is
    /// killed then, this may be the only copy of what policies changed.
    ///
    /// # Errors
    /// [`ReportError::Write`].
    pub(crate) fn place(&mut self, document: &Value) -> Result<(), ReportError> {
        let mut others = document.clone();
        let outcome = others.as_object_mut().and_then(|fields| fields.shift_remove("outcome")).unwrap_or_default();
        self.write_fields(&others)?;
        self.write(b",\n\"outcome\": ")?;
        let offset = self.draft.writer().stream_position().map_err(|source| failed(&self.path, source))?;
        self.write(field(&json!(Outcome::Pending)).as_bytes())?;
        self.finish()?;
        let draft = self.draft.writer().get_mut();
        let placed = draft.file().try_clone().and_then(|file| draft.place().map(|()| file));
        let file = placed.map_err(|source| failed(&self.path, source))?;
        self.draft = Draft::Pending { file, outcome: field(&outcome), offset };
        temporary::keep(&self.path);
        Ok(())
    }

    /// Does the same for a refusal, with the list of its reasons as the last field.
    ///
    /// # Errors
    /// [`ReportError::Write`].
    pub(crate) fn refuse(&mut self, document: &Value, name: &str) -> Result<(), ReportError> {
        self.write_fields(document)?;
        self.write(format!(",\n\"{name}\": [").as_bytes())?;
        if let Some(mut reasons) = self.reasons.take() {
            let copied = reasons.rewind().and_then(|()| {
                let mut written = reasons.get_ref().file();
                io::copy(&mut written, self.draft.writer())
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
        let writer = self.draft.writer();
        let written = writer.flush().and_then(|()| writer.get_ref().file().sync_all());
        written.map_err(|source| failed(&self.path, source))
    }

    /// Gives it its final name, or a pending one its outcome.
    ///
    /// # Errors
    /// [`ReportError::Write`].
    pub(crate) fn publish(self) -> Result<(), ReportError> {
        let published = match self.draft {
            Draft::Open(writer) => writer.into_parts().0.publish(),
            Draft::Pending { file, outcome, offset } => {
                temporary::forget(&self.path);
                file.write_all_at(outcome.as_bytes(), offset).and_then(|()| file.sync_all())
            }
        };
        published.map_err(|source| failed(&self.path, source))
    }

    /// Removes it, because the transaction was rolled back.
    pub(crate) fn withdraw(self) {
        if let Draft::Pending { .. } = self.draft {
            temporary::forget(&self.path);
            // If it cannot be removed, it says that the outcome is unknown.
            let _ = std::fs::remove_file(&self.path);
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn write_json(&mut self, value: &impl Serialize) -> Result<(), ReportError> {
        let text = shown(value).map_err(|source| failed(&self.path, source))?;
        self.write(text.as_bytes())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ReportError> {
        self.draft.writer().write_all(bytes).map_err(|source| failed(&self.path, source))
    }
}

impl Draft {
    fn writer(&mut self) -> &mut BufWriter<AtomicFile> {
        match self {
            Self::Open(writer) => writer,
            Self::Pending { .. } => unreachable!("nothing is added to a pending report"),
        }
    }
}

/// An outcome with blanks after it.
fn field(outcome: &Value) -> String {
    format!("{:OUTCOME_WIDTH$}", outcome.to_string())
}

/// Before an item of a list, which has its own line.
fn separator(is_first: bool) -> &'static [u8] {
    if is_first { b"\n" } else { b",\n" }
}

fn shown(value: &impl Serialize) -> io::Result<String> {
    Ok(visible::json(&serde_json::to_string(value)?).into_owned())
}

fn failed(path: &Path, source: io::Error) -> ReportError {
    ReportError::Write { path: path.display().to_string(), source }
}

/// The part of an existing report that decides whether it may be overwritten.
#[derive(Deserialize)]
struct Earlier {
    outcome: String,
    #[serde(default)]
    changes: Vec<IgnoredAny>,
    #[serde(default)]
    source: String,
    /// Only of a run with a target.
    #[serde(default)]
    target: String,
}

impl Earlier {
    /// Whether it must not be overwritten, because it may hold the only copy of changed values. An unknown outcome is
    /// that of no move.
    fn refusal(self, path: &Path, this: Option<SameMove<'_>>) -> Option<ReportError> {
        let path = path.display().to_string();
        // The same text may name another server, so a pending report with changes is kept in any case.
        let is_of_this = this.is_some_and(|this| (this.source, this.target) == (&self.source, &self.target));
        match serde_json::from_value(Value::String(self.outcome)).ok()? {
            Outcome::Moved | Outcome::Appended => Some(ReportError::Published { path }),
            Outcome::Pending if is_of_this && self.changes.is_empty() => {
                tracing::warn!(
                    "{path} is the report of this move, which ended before it knew whether its commit took place: it did \
                     if the target holds the rows; otherwise the report is overwritten"
                );
                None
            }
            Outcome::Pending => Some(ReportError::Pending { path, target: self.target }),
            Outcome::Planned | Outcome::Checked | Outcome::Compared | Outcome::Refused => None,
        }
    }
}

/// Accepts a path that is free, an empty file, or a report that holds no only copy.
fn require_replaceable(path: &Path, this: Option<SameMove<'_>>) -> Result<(), ReportError> {
    let Ok(metadata) = std::fs::metadata(path) else { return Ok(()) };
    if metadata.is_dir() {
        return Err(failed(path, io::ErrorKind::IsADirectory.into()));
    }
    if metadata.is_file() && metadata.len() == 0 {
        return Ok(());
    }
    let foreign = || ReportError::Foreign { path: path.display().to_string() };
    let file = regular_file::open(path).map_err(|source| failed(path, source))?;
    let earlier: Earlier = serde_json::from_reader(BufReader::new(file)).map_err(|_| foreign())?;
    earlier.refusal(path, this).map_or(Ok(()), Err)
}
