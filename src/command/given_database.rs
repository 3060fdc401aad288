//! How the database was given on the command line: for commands to paste, which never hold a password.

use crate::database::url::GivenUrl;
use crate::settings::{SettingSource, Settings};

/// The flags that name the database, with their URLs. What the environment or a file names is still named there.
pub(super) fn given_urls(settings: &Settings) -> Vec<(&'static str, GivenUrl)> {
    let database = settings.pooled.as_ref().unwrap_or(&settings.database);
    let direct = settings.pooled.as_ref().map_or(settings.direct.as_ref(), |_| Some(&settings.database));
    let settings = [Some(database), direct].into_iter().flatten();
    let given = settings.filter_map(|setting| match setting.source {
        SettingSource::Flag(flag) => Some((flag, setting.value.given()?)),
        _ => None,
    });
    given.collect()
}

/// What was left out of a command because it is secret, and how to give it.
pub(super) fn lacking(urls: &[(&'static str, GivenUrl)]) -> Vec<String> {
    let password = "the command lacks the password: set PGPASSWORD or use a password file";
    let key_password = "the command lacks the password of the key: add the parameter `sslpassword` to its URL";
    let lines = [
        (urls.iter().any(|(_, url)| url.lacks_password), password),
        (urls.iter().any(|(_, url)| url.lacks_key_password), key_password),
    ];
    lines.into_iter().filter(|(is_lacking, _)| *is_lacking).map(|(_, line)| line.to_owned()).collect()
}
