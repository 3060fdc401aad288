//! Warnings about settings of the database that are ignored or ambiguous.

use super::database::{DirectUrl, Parts};
use super::environment::lookup;
use super::error::SettingsError;
use super::key::{DIRECT_URL, HOST, NAME, OLD_URL, PASSWORD, PORT, URL, USER};
use super::layers::Layers;
use super::setting::{Setting, SettingSource, is_blank, is_given};
use crate::database::url::DatabaseUrl;

/// Warnings about settings of the database that are ignored or ambiguous.
///
/// # Errors
/// [`SettingsError`] if a variable or a value cannot be read.
pub(crate) fn warnings(
    layers: &Layers<'_>,
    database: &Setting<DatabaseUrl>,
    parts: Option<&Parts>,
    direct: Option<&DirectUrl>,
) -> Result<Vec<String>, SettingsError> {
    let mut warnings = layers.dotenv.warnings.clone();
    let used = format!("the database is {} ({})", database.value, database.source);
    if layers.flag_url().is_none() {
        if layers.flags.database_url.is_some() {
            warnings.push(format!("`--database-url` is empty and ignored: {used}"));
        }
        warnings.extend(hidden_by_empty_variables(layers)?);
        if parts.is_none() && layers.environment_url()?.is_none() {
            warnings.extend(parts_without_password(layers, &database.source, &used)?);
        }
        if let Some(old) =
            lookup(layers.environment, OLD_URL)?.or_else(|| layers.dotenv.variable(OLD_URL)).filter(is_given)
        {
            warnings.push(format!(
                "`{}` is ignored: neither the backend nor tarsy-db reads this name; set `DATABASE_URL` instead; {used}",
                old.source
            ));
        }
    }
    if let Some(DirectUrl::Ignored(source)) = direct
        && (layers.flag_url().is_none() || matches!(source, SettingSource::Flag(_)))
    {
        warnings.push(format!("{} is ignored: {used}", named(source)));
    }
    warnings.extend(database.value.warning());
    Ok(warnings)
}

/// The source of the direct URL.
fn named(source: &SettingSource) -> String {
    match source {
        SettingSource::File(path) => format!("`{}` in {}", DIRECT_URL.path, path.display()),
        source => format!("`{source}`"),
    }
}

fn hidden_by_empty_variables(layers: &Layers<'_>) -> Result<Vec<String>, SettingsError> {
    let mut warnings = Vec::new();
    for key in [URL, PASSWORD, HOST, PORT, USER, NAME] {
        let variable = lookup(layers.environment, key.environment)?.filter(is_blank);
        let line = layers.dotenv.text(key).filter(|line| !is_blank(line));
        if let (Some(variable), Some(line)) = (variable, line) {
            warnings.push(format!(
                "`{}` is ignored, also by the backend: the environment variable `{}` is empty and overrides it",
                line.source, variable.source
            ));
        }
    }
    Ok(warnings)
}

fn parts_without_password(
    layers: &Layers<'_>,
    database: &SettingSource,
    used: &str,
) -> Result<Option<String>, SettingsError> {
    let mut names = Vec::new();
    for key in [HOST, PORT, USER, NAME] {
        match layers.text(key)?.filter(is_given).map(|part| part.source) {
            // A URL in the same file has precedence.
            Some(source) if source.is_settings_file() && database.is_settings_file() => {}
            Some(SettingSource::File(path)) => names.push(format!("`{}` in {}", key.path, path.display())),
            Some(source) => names.push(format!("`{source}`")),
            None => {}
        }
    }
    let warning = format!(
        "{} {} ignored because no password is set: {used}; set `DATABASE_PASSWORD` or `DATABASE_URL`",
        names.join(", "),
        if names.len() == 1 { "is" } else { "are" }
    );
    Ok((!names.is_empty()).then_some(warning))
}
