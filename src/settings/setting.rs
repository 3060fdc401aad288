//! A value and its source.

use std::fmt;
use std::path::PathBuf;

/// The source of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingSource {
    Flag(&'static str),
    Environment(String),
    /// A variable in the `.env`.
    Dotenv {
        name: String,
        path: PathBuf,
    },
    /// The file of a secret, by the variable or setting that names it.
    SecretFile(String),
    File(PathBuf),
    Default,
}

impl SettingSource {
    /// The place in the order of precedence: a stronger source has a larger one.
    pub(crate) fn precedence(&self) -> u8 {
        match self {
            Self::Flag(_) => 4,
            Self::Environment(_) => 3,
            Self::Dotenv { .. } => 2,
            Self::SecretFile(_) | Self::File(_) => 1,
            Self::Default => 0,
        }
    }

    /// Whether the settings file has the value, or names the file that has it.
    pub(crate) fn is_settings_file(&self) -> bool {
        matches!(self, Self::File(_) | Self::SecretFile(_))
    }
}

impl fmt::Display for SettingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingSource::Flag(flag) => f.write_str(flag),
            SettingSource::Environment(name) | SettingSource::SecretFile(name) => write!(f, "{name}"),
            SettingSource::Dotenv { name, path } => write!(f, "{name} in {}", path.display()),
            SettingSource::File(path) => write!(f, "{}", path.display()),
            SettingSource::Default => f.write_str("default"),
        }
    }
}

/// A value and its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value in force.
    pub value: T,
    /// The source that set it.
    pub source: SettingSource,
}

impl<T> Setting<T> {
    pub(crate) fn default(value: T) -> Self {
        Self { value, source: SettingSource::Default }
    }
}

/// An empty value counts as not set.
pub(crate) fn is_given(setting: &Setting<String>) -> bool {
    !setting.value.is_empty()
}

pub(crate) fn is_blank(setting: &Setting<String>) -> bool {
    setting.value.trim().is_empty()
}
