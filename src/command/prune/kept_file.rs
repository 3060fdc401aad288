//! The file of `--kept-file`: all old sessions that a run keeps, one JSON object a line.

use std::io::{self, BufWriter, Error as IoError, ErrorKind, Write};
use std::path::Path;

use sea_orm::DbErr;

use super::history::{BEGIN_TO_PLAN, OpenHistory, every_row};
use crate::database::failure::{ResultExt, Verb};
use crate::error::Error;
use crate::fs::atomic_file::AtomicFile;
use crate::fs::regular_file;
use crate::history::retention::kept::{KeptSession, each_kept};

/// Refuses a file that exists: it could be the database.
///
/// # Errors
/// [`Error::KeptFile`].
pub(crate) fn refuse_existing(path: &Path) -> Result<(), Error> {
    regular_file::refuse_special(path).map_err(|source| failed(path, source))?;
    match path.symlink_metadata() {
        Ok(_) => Err(failed(path, ErrorKind::AlreadyExists.into())),
        Err(_) => Ok(()),
    }
}

/// Writes the sessions as they are read, so that memory does not grow with their number.
///
/// # Errors
/// [`Error`] if the database cannot be read or the file cannot be written; there is no file then.
pub(crate) async fn write(path: &Path, history: &OpenHistory) -> Result<(), Error> {
    let mut file = BufWriter::new(AtomicFile::create(path, 0o600).map_err(|source| failed(path, source))?);
    let mut written = Ok(());
    let reading = every_row(&history.connection).await?;
    let add = async |session: KeptSession| {
        if written.is_ok() {
            written = write_line(&mut file, &session);
        }
        Ok::<_, DbErr>(())
    };
    let read = each_kept(&reading, &history.selection, None, add).await;
    reading.rollback().await.context(BEGIN_TO_PLAN)?;
    read.context((Verb::List, "the sessions that are kept"))?;
    let published = written.and_then(|()| {
        let file = file.into_inner()?;
        file.file().sync_all()?;
        file.publish()
    });
    published.map_err(|source| failed(path, source))
}

fn write_line(file: &mut impl Write, session: &KeptSession) -> io::Result<()> {
    serde_json::to_writer(&mut *file, session)?;
    file.write_all(b"\n")
}

fn failed(path: &Path, source: IoError) -> Error {
    Error::KeptFile { path: path.display().to_string(), source }
}
