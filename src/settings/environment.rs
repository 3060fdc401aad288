//! The environment variables of the process. The caller reads them, so that a test can supply its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::error::SettingsError;
use super::setting::{Setting, SettingSource, is_given};
use crate::database::url;

/// The environment variables of the process.
pub type Environment = BTreeMap<String, OsString>;

/// Finds a variable by its name in any case, as the backend does; the exact name has precedence.
pub(crate) fn lookup(environment: &Environment, name: &str) -> Result<Option<Setting<String>>, SettingsError> {
    let found =
        environment.get_key_value(name).or_else(|| environment.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)));
    let Some((name, value)) = found else { return Ok(None) };
    let value = value.to_str().ok_or_else(|| SettingsError::NotUtf8 { name: name.clone() })?;
    Ok(Some(Setting { value: value.to_owned(), source: SettingSource::Environment(name.clone()) }))
}

/// Reads a variable that names a file. An empty one counts as not set.
pub(crate) fn path_from(environment: &Environment, name: &'static str) -> Result<Option<PathBuf>, SettingsError> {
    match lookup(environment, name)?.filter(is_given) {
        Some(Setting { value, source }) if url::is_url(&value) => Err(SettingsError::Value {
            name,
            source_name: source.to_string(),
            value: value.into(),
            expected: "the path of a file",
        }),
        named => Ok(named.map(|named| PathBuf::from(named.value))),
    }
}

/// Reads a variable of another program, by its exact name.
pub(crate) fn lookup_exactly(environment: &Environment, name: &str) -> Result<Option<String>, SettingsError> {
    let text = |value: &OsString| {
        value.to_str().map(str::to_owned).ok_or_else(|| SettingsError::NotUtf8 { name: name.to_owned() })
    };
    environment.get(name).map(text).transpose()
}
