//! The sources of the settings in order of precedence, and the parsing of values.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use migration::Revision;

use super::dotenv::Dotenv;
use super::environment::{Environment, lookup};
use super::error::SettingsError;
use super::file::{DEFAULT_FILE, SettingsFile};
use super::flags::Flags;
use super::key::{DIRECT_URL, Key, URL};
use super::setting::{Setting, SettingSource, is_blank, is_given};
use super::working_directory;
use crate::database::url::Secret;
use crate::format;
use crate::fs::secret_file;
use crate::schema::revision_name::known_revision;

/// The sources of the settings.
pub(crate) struct Layers<'a> {
    pub(crate) flags: &'a Flags,
    pub(crate) environment: &'a Environment,
    pub(crate) dotenv: Dotenv,
    file: Option<SettingsFile>,
}

impl<'a> Layers<'a> {
    pub(crate) fn read(flags: &'a Flags, environment: &'a Environment) -> Result<Self, SettingsError> {
        let closed = working_directory::warning_if_closed();
        let default_file = if closed.is_some() { None } else { Some(DEFAULT_FILE) };
        let file = SettingsFile::find(flags, environment, default_file)?;
        let mut layers = Self { flags, environment, dotenv: Dotenv::default(), file };
        if closed.is_some() {
            layers.dotenv.warnings.extend(closed);
            return Ok(layers);
        }
        match Dotenv::read(environment) {
            Ok(dotenv) => layers.dotenv = dotenv,
            // The file cannot change the database, which a flag or a variable names.
            Err(error) if layers.flag_url().is_some() || layers.environment_url()?.is_some() => {
                layers.dotenv.warnings.push(format!("{error}; all settings in it are ignored: {}", reason(&error)));
            }
            Err(error) => return Err(error),
        }
        Ok(layers)
    }

    pub(crate) fn text(&self, key: Key) -> Result<Option<Setting<String>>, SettingsError> {
        match lookup(self.environment, key.environment)?.or_else(|| self.dotenv.text(key)) {
            Some(setting) => Ok(Some(setting)),
            None => self.in_file(key.path),
        }
    }

    fn in_file(&self, path: &str) -> Result<Option<Setting<String>>, SettingsError> {
        self.file.as_ref().map_or(Ok(None), |file| file.text(path))
    }

    /// A setting that may be read from its own file, from the environment or the settings file. An empty value counts as
    /// not set.
    pub(crate) fn secret(&self, key: Key, layer: Layer) -> Result<Option<FoundSecret>, SettingsError> {
        let (name, file_name) = match layer {
            Layer::Environment => (key.environment, format!("{}_FILE", key.environment)),
            Layer::File => (key.path, format!("{}_file", key.path)),
        };
        let (direct, file) = match layer {
            Layer::Environment => (lookup(self.environment, name)?, lookup(self.environment, &file_name)?),
            Layer::File => (self.in_file(name)?, self.in_file(&file_name)?),
        };
        // An empty variable hides the one in the `.env`, as it does for the backend.
        let is_hidden = direct.is_some();
        match (direct.filter(is_given), file.filter(is_given)) {
            (Some(_), Some(_)) => Err(SettingsError::Both { name, file_name }),
            (Some(setting), None) => Ok(Some(setting.into())),
            (None, Some(file)) => secret_from(&file_name, &file).map(Some),
            (None, None) => match layer {
                Layer::Environment if !is_hidden => Ok(self.dotenv.text(key).filter(is_given).map(FoundSecret::from)),
                Layer::Environment | Layer::File => Ok(None),
            },
        }
    }

    fn given(&self, key: Key) -> Result<Option<Setting<String>>, SettingsError> {
        match self.text(key)?.filter(|setting| !is_blank(setting)) {
            Some(setting) => Ok(Some(setting)),
            None => Ok(self.in_file(key.path)?.filter(|setting| !is_blank(setting))),
        }
    }

    /// A revision; an unknown one is answered as that of a flag.
    pub(crate) fn revision(&self, key: Key, default: Revision) -> Result<Setting<Revision>, SettingsError> {
        let Some(Setting { value, source }) = self.given(key)? else { return Ok(Setting::default(default)) };
        match known_revision(value.trim()) {
            Ok(revision) => Ok(Setting { value: revision, source }),
            Err(problem) => Err(SettingsError::Revision {
                name: key.environment,
                source_name: source.to_string(),
                value: value.into(),
                problem,
            }),
        }
    }

    /// An empty value counts as not set.
    pub(crate) fn parsed<T: FromStr>(
        &self,
        key: Key,
        default: T,
        expected: &'static str,
    ) -> Result<Setting<T>, SettingsError> {
        let Some(Setting { value, source }) = self.given(key)? else { return Ok(Setting::default(default)) };
        match value.trim().parse() {
            Ok(value) => Ok(Setting { value, source }),
            Err(_) => Err(SettingsError::Value {
                name: key.environment,
                source_name: source.to_string(),
                value: value.into(),
                expected,
            }),
        }
    }

    pub(crate) fn number(&self, key: Key, default: u32) -> Result<Setting<u32>, SettingsError> {
        self.parsed(key, default, "a whole number from 0 to 4294967295")
    }

    /// A number with -1 for none.
    pub(crate) fn limit(&self, key: Key, default: i32) -> Result<Setting<i32>, SettingsError> {
        const EXPECTED: &str = "a whole number from -1 to 2147483647";
        let setting = self.parsed(key, default, EXPECTED)?;
        if setting.value >= -1 {
            return Ok(setting);
        }
        let (value, source_name) = (setting.value.to_string().into(), setting.source.to_string());
        Err(SettingsError::Value { name: key.environment, source_name, value, expected: EXPECTED })
    }

    pub(crate) fn flag(&self, key: Key, default: bool) -> Result<Setting<bool>, SettingsError> {
        let setting =
            self.parsed(key, Switch(default), "one of `true`, `false`, `1`, `0`, `yes`, `no`, `on`, `off`")?;
        Ok(Setting { value: setting.value.0, source: setting.source })
    }

    /// A blank `--database-url` counts as not set.
    pub(crate) fn flag_url(&self) -> Option<Setting<String>> {
        let target = self.flags.target.as_ref().map(|url| of_flag("--to", url));
        let database = || self.flags.database_url.as_ref().map(|url| of_flag("--database-url", url));
        target.or_else(|| database().filter(|url| !is_blank(url)))
    }

    /// The direct URL of the source with the highest precedence.
    pub(crate) fn direct_url(&self) -> Result<Option<FoundSecret>, SettingsError> {
        let flag = self.flags.direct_url.as_ref().map(|url| of_flag("--direct-url", url));
        if let Some(url) = flag.filter(|url| !is_blank(url)) {
            return Ok(Some(url.into()));
        }
        for layer in [Layer::Environment, Layer::File] {
            if let Some(url) = self.secret(DIRECT_URL, layer)?.filter(|url| !is_blank(&url.setting)) {
                return Ok(Some(url));
            }
        }
        Ok(None)
    }

    /// The URL of the environment, otherwise of the `.env`.
    pub(crate) fn environment_url(&self) -> Result<Option<Setting<String>>, SettingsError> {
        Ok(self.secret(URL, Layer::Environment)?.map(|found| found.setting).filter(|url| !is_blank(url)))
    }
}

/// A secret, with the file that holds it if it has one of its own.
pub(crate) struct FoundSecret {
    pub(crate) setting: Setting<String>,
    pub(crate) file: Option<PathBuf>,
}

impl From<Setting<String>> for FoundSecret {
    fn from(setting: Setting<String>) -> Self {
        Self { setting, file: None }
    }
}

/// The sources of a secret, in order of precedence.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Layer {
    Environment,
    File,
}

fn of_flag(flag: &'static str, url: &Secret) -> Setting<String> {
    Setting { value: url.expose().to_owned(), source: SettingSource::Flag(flag) }
}

/// Why a file cannot be read.
fn reason(error: &SettingsError) -> String {
    std::error::Error::source(error).map(format::cause).unwrap_or_default()
}

/// Reads the file of a secret. An error shows only an absolute path, because the value may be the secret itself.
fn secret_from(name: &str, file: &Setting<String>) -> Result<FoundSecret, SettingsError> {
    let value = secret_file::read(Path::new(&file.value)).map_err(|source| {
        let path = if file.value.starts_with('/') { format!(" {}", file.value) } else { String::new() };
        SettingsError::Read { what: format!("the file{path} of `{name}`"), source }
    })?;
    let path = std::path::absolute(&file.value).unwrap_or_else(|_| PathBuf::from(&file.value));
    if value.trim().is_empty() {
        return Err(SettingsError::Empty { name: name.to_owned(), path: path.display().to_string() });
    }
    let source = match &file.source {
        SettingSource::Environment(name) => SettingSource::Environment(name.clone()),
        other => SettingSource::SecretFile(format!("{other}, {name}")),
    };
    Ok(FoundSecret { setting: Setting { value, source }, file: Some(path) })
}

/// A boolean, in the forms that TARSy's own settings accept.
struct Switch(bool);

impl FromStr for Switch {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" | "t" | "y" => Ok(Self(true)),
            "false" | "0" | "no" | "off" | "f" | "n" => Ok(Self(false)),
            _ => Err(()),
        }
    }
}
