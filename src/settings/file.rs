//! The settings file, in TOML.

use std::path::{Path, PathBuf};

use super::environment::{Environment, path_from};
use super::error::SettingsError;
use super::flags::Flags;
use super::key::KEYS;
use super::setting::{Setting, SettingSource};

/// The settings file in the working directory, which is read if no other is named.
pub(crate) const DEFAULT_FILE: &str = "tarsy-db.toml";

pub(crate) struct SettingsFile {
    path: PathBuf,
    table: toml::Table,
}

impl SettingsFile {
    /// `--config`, otherwise `TARSY_DB_CONFIG`, otherwise the default file if it exists.
    pub(crate) fn find(
        flags: &Flags,
        environment: &Environment,
        default_file: Option<&str>,
    ) -> Result<Option<Self>, SettingsError> {
        let named = match &flags.config {
            Some(path) => Some(path.clone()),
            None => path_from(environment, "TARSY_DB_CONFIG")?,
        };
        match (named, default_file) {
            (Some(path), _) => Self::read(&path).map(Some),
            (None, None) => Ok(None),
            (None, Some(file)) => match Self::read(Path::new(file)) {
                Err(SettingsError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
                found => found.map(Some),
            },
        }
    }

    fn read(path: &Path) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| SettingsError::Read { what: format!("the settings file {}", path.display()), source })?;
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start.min(text.len()));
            SettingsError::Toml {
                path: path.display().to_string(),
                line: text.get(..start).unwrap_or_default().matches('\n').count() + 1,
                message: error.message().to_owned(),
            }
        })?;
        refuse_unknown_keys(path, &table)?;
        Ok(Self { path: path.to_owned(), table })
    }

    /// The value of a dotted key, as text.
    pub(crate) fn text(&self, path: &str) -> Result<Option<Setting<String>>, SettingsError> {
        let (section, key) = path.split_once('.').unwrap_or((path, ""));
        let value = match self.table.get(section).and_then(|keys| keys.get(key)) {
            None => return Ok(None),
            Some(toml::Value::String(text)) => text.clone(),
            Some(scalar @ (toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_))) => {
                scalar.to_string()
            }
            Some(other) => {
                let (path, key, kind) = (self.path.display().to_string(), path.to_owned(), other.type_str());
                return Err(SettingsError::NotAValue { path, key, kind });
            }
        };
        Ok(Some(Setting { value, source: SettingSource::File(self.path.clone()) }))
    }
}

fn refuse_unknown_keys(path: &Path, table: &toml::Table) -> Result<(), SettingsError> {
    let known = known_paths();
    for (section, value) in table {
        let keys: Vec<String> = match value {
            toml::Value::Table(inner) => inner.keys().map(|key| format!("{section}.{key}")).collect(),
            _ => vec![section.clone()],
        };
        if let Some(key) = keys.into_iter().find(|key| !known.contains(&key.as_str())) {
            let path = path.display().to_string();
            let suggestion = most_similar(&key, &known);
            return Err(SettingsError::UnknownKey { path, key, suggestion });
        }
    }
    Ok(())
}

fn known_paths() -> Vec<&'static str> {
    KEYS.iter()
        .map(|key| key.path)
        .chain(["database.url_file", "database.direct_url_file", "database.password_file"])
        .collect()
}

fn most_similar(key: &str, known: &[&'static str]) -> &'static str {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    known
        .iter()
        .max_by(|a, b| {
            let score = |path: &str| strsim::jaro_winkler(key, path).max(strsim::jaro_winkler(&last(key), &last(path)));
            score(a).total_cmp(&score(b))
        })
        .expect("there are settings")
}
