//! A value and where it came from.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingSource {
    /// A command-line flag.
    Flag(&'static str),
    /// An environment variable.
    Environment(String),
    /// A line of the `.env`.
    Dotenv {
        /// The variable.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// The file that an environment variable or a setting names.
    SecretFile(String),
    /// The settings file.
    File(PathBuf),
    /// Nobody set it.
    Default,
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

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value in force.
    pub value: T,
    /// What set it.
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
