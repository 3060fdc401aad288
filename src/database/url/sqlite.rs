//! Addresses of SQLite databases, as SQLAlchemy writes them.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::error::UrlError;
use super::objection;
use super::parameters::{parameters, seconds};

const SQLITE_PARAMETERS: [&str; 2] = ["timeout", "check_same_thread"];

/// A SQLite database: a file, or memory that ends with the process.
#[derive(Debug, Clone)]
pub struct SqliteLocation {
    /// The absolute path of the file; `None` means memory.
    pub path: Option<PathBuf>,
    /// The path in the URL if that is relative to the working directory; empty for `sqlite:///`.
    relative: Option<PathBuf>,
    /// How long to wait for another writer; `None` leaves that to the caller.
    pub busy_timeout: Option<Duration>,
    /// Why the backend does not read the URL of this location.
    pub(super) objection: Option<&'static str>,
}

impl SqliteLocation {
    /// A file by its path; a relative one starts at the working directory.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        // If the working directory no longer exists, the path stays relative and opening it fails.
        let absolute = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
        Self { path: Some(absolute), relative: None, busy_timeout: None, objection: None }
    }

    #[must_use]
    pub fn memory() -> Self {
        Self { path: None, relative: None, busy_timeout: None, objection: None }
    }

    /// A warning if the backend does not read the URL, or if it may not mean what was intended: `sqlite:///var/lib/x.db`, with three slashes, is relative;
    /// `sqlite:///$EMPTY` is memory.
    #[must_use]
    pub(crate) fn warning(&self) -> Option<String> {
        self.objection.map(objection::warning).or_else(|| self.misunderstanding())
    }

    fn misunderstanding(&self) -> Option<String> {
        let relative = self.relative.as_ref()?;
        let Some(path) = &self.path else {
            return Some(
                "`sqlite:///` names no file: the database is in memory and is lost when this command ends".to_owned(),
            );
        };
        let mut components = relative.components();
        let (Some(Component::Normal(first)), Some(_)) = (components.next(), components.next()) else { return None };
        let root = Path::new("/");
        let meant = root.join(relative);
        (root.join(first).is_dir() && *path != meant).then(|| {
            format!(
                "`sqlite:///{}` is relative to the working directory and means {}; for {} write four slashes: \
                 `sqlite:///{}`",
                relative.display(),
                path.display(),
                meant.display(),
                meant.display()
            )
        })
    }
}

/// Parses the part after `sqlite://`.
pub(crate) fn parse_sqlite(rest: &str) -> Result<SqliteLocation, UrlError> {
    let (location, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut found = match location.strip_prefix('/') {
        None if location.is_empty() => SqliteLocation::memory(),
        None => return Err(UrlError::SqliteHost),
        Some(":memory:") => SqliteLocation::memory(),
        Some("") => SqliteLocation { relative: Some(PathBuf::new()), ..SqliteLocation::memory() },
        Some(path) => {
            let relative = Some(PathBuf::from(path)).filter(|path| path.is_relative());
            SqliteLocation { relative, ..SqliteLocation::file(path) }
        }
    };
    for (name, value) in parameters(query) {
        match name.as_str() {
            "timeout" if found.busy_timeout.is_some() => return Err(UrlError::Repeated("timeout")),
            "timeout" => {
                let error = UrlError::Parameter { name: "timeout", expected: "a number of seconds" };
                found.busy_timeout = Some(seconds(&value).filter(|_| !value.contains('-')).ok_or(error)?);
            }
            // Thread settings of Python's driver, which do not apply here.
            "check_same_thread" => {}
            _ => return Err(UrlError::UnknownParameter { name, allowed: SQLITE_PARAMETERS.to_vec() }),
        }
    }
    Ok(found)
}
