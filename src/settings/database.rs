//! The database of the settings: by a URL, or by the parts of an address, and without its pooler by a direct URL.

use std::num::NonZeroU16;
use std::path::PathBuf;

use super::environment::lookup;
use super::error::SettingsError;
use super::key::{HOST, Key, NAME, PASSWORD, PORT, URL, USER};
use super::layers::{FoundSecret, Layer, Layers};
use super::setting::{Setting, SettingSource, is_given};
use crate::database::url::{
    self, Backend, DatabaseUrl, PostgresqlAddress, Secret, SecretFile, SqliteLocation, UrlError,
};

/// The parts of a PostgreSQL address, each with its source.
#[derive(Debug, Clone)]
pub struct Parts {
    pub host: Setting<String>,
    pub port: Setting<u16>,
    pub user: Setting<String>,
    pub password: Setting<Secret>,
    pub name: Setting<String>,
}

impl Parts {
    /// The address, with the source of the password.
    fn address(&self) -> Setting<DatabaseUrl> {
        let host = &self.host.value;
        let mut address = PostgresqlAddress::new(
            host,
            self.port.value,
            Some(self.user.value.clone()),
            Some(self.password.value.clone()),
            Some(self.name.value.clone()),
        );
        let is_ipv6 = host.contains(':') && !host.starts_with('[');
        address.objection = (is_ipv6 || host.starts_with('/')).then_some(UNREAD_HOST);
        Setting { value: DatabaseUrl::Postgresql(Box::new(address)), source: self.password.source.clone() }
    }
}

/// The database of the source with the highest precedence, and its parts if that source has parts.
///
/// # Errors
/// [`SettingsError`] for a URL or a value that is not valid.
pub(crate) fn database(layers: &Layers<'_>) -> Result<(Setting<DatabaseUrl>, Option<Parts>), SettingsError> {
    if let Some(url) = layers.flag_url() {
        return Ok((parsed_url(url)?, None));
    }
    for layer in [Layer::Environment, Layer::File] {
        if let Some(FoundSecret { setting, file }) = layers.secret(URL, layer)? {
            return Ok((url_of(setting, file)?, None));
        }
        if let Some(FoundSecret { setting, file }) = layers.secret(PASSWORD, layer)? {
            let parts = parts_with(layers, setting)?;
            return Ok((renewed_from(file.map(SecretFile::Password), parts.address()), Some(parts)));
        }
    }
    let testing = lookup(layers.environment, "TESTING")?.filter(|testing| testing.value.eq_ignore_ascii_case("true"));
    let database = match testing {
        Some(Setting { source, .. }) => Setting { value: DatabaseUrl::Sqlite(SqliteLocation::memory()), source },
        None => Setting::default(DatabaseUrl::sqlite_file("history.db")),
    };
    Ok((database, None))
}

/// The URL of the same database without its pooler.
#[derive(Debug)]
pub(crate) enum DirectUrl {
    Used(Setting<DatabaseUrl>),
    /// It does not belong to the database.
    Ignored(SettingSource),
}

/// The direct URL, if one is set. It is ignored if a stronger source names the database, which may be another one, and if a
/// flag does.
///
/// # Errors
/// [`SettingsError`] for a URL that is not valid, or not one of PostgreSQL.
pub(crate) fn direct(layers: &Layers<'_>, database: &Setting<DatabaseUrl>) -> Result<Option<DirectUrl>, SettingsError> {
    let Some(FoundSecret { setting: direct, file }) = layers.direct_url()? else { return Ok(None) };
    let is_weaker = direct.source.precedence() < database.source.precedence();
    if layers.flag_url().is_some() || is_weaker || database.value.backend() == Backend::Sqlite {
        return Ok(Some(DirectUrl::Ignored(direct.source)));
    }
    let direct = url_of(direct, file)?;
    match direct.value.backend() {
        Backend::Postgresql => Ok(Some(DirectUrl::Used(direct))),
        Backend::Sqlite => Err(SettingsError::DirectFile { source_name: direct.source.to_string() }),
    }
}

/// A URL, perhaps from a file of its own, where blanks around it do not matter.
fn url_of(url: Setting<String>, file: Option<PathBuf>) -> Result<Setting<DatabaseUrl>, SettingsError> {
    let value = if file.is_some() { url.value.trim().to_owned() } else { url.value };
    if file.is_some() && value.contains(['\n', '\r']) {
        return Err(SettingsError::Url { source_name: url.source.to_string(), source: UrlError::SeveralLines });
    }
    let file = file.map(|path| SecretFile::Url { path, place: Secret::new(url::without_login(&value)) });
    Ok(renewed_from(file, parsed_url(Setting { value, source: url.source })?))
}

/// The same database, whose later logins read the file again.
fn renewed_from(file: Option<SecretFile>, mut database: Setting<DatabaseUrl>) -> Setting<DatabaseUrl> {
    if let DatabaseUrl::Postgresql(address) = &mut database.value {
        address.secret_file = file;
    }
    database
}

fn parts_with(layers: &Layers<'_>, password: Setting<String>) -> Result<Parts, SettingsError> {
    let text = |key: Key, default: &str, is_sound: fn(&str) -> bool, expected| {
        let given = layers.text(key)?.filter(is_given).unwrap_or_else(|| Setting::default(default.to_owned()));
        let Setting { value, source } = given;
        match is_sound(&value) {
            true => Ok(Setting { value, source }),
            false => Err(SettingsError::Value {
                name: key.environment,
                source_name: source.to_string(),
                value: value.into(),
                expected,
            }),
        }
    };
    let is_name = |text: &str| !url::is_url(text);
    let port: Setting<NonZeroU16> = layers.parsed(PORT, DEFAULT_PORT, "a port from 1 to 65535")?;
    Ok(Parts {
        host: text(HOST, "localhost", are_hosts, HOSTS)?,
        port: Setting { value: port.value.get(), source: port.source },
        user: text(USER, "tarsy", is_name, "the name of a role")?,
        password: Setting { value: Secret::new(password.value), source: password.source },
        name: text(NAME, "tarsy", is_name, "the name of a database")?,
    })
}

const DEFAULT_PORT: NonZeroU16 = NonZeroU16::new(5432).expect("it is not zero");
/// What [`are_hosts`] accepts.
const HOSTS: &str = "a host, or several separated by commas without addresses of IPv6; a port belongs in `DATABASE_PORT`, \
                     and a login in `DATABASE_USER` and `DATABASE_PASSWORD`";

/// Why the backend does not read a host that tarsy-db takes.
const UNREAD_HOST: &str = "it writes `DATABASE_HOST` into a URL, where an address of IPv6 needs brackets, and where no directory of \
                           a Unix socket can be";

/// Whether the backend, which writes hosts and port into a URL, connects to all of these.
fn are_hosts(text: &str) -> bool {
    url::hosts(text).is_some_and(|hosts| hosts.len() == 1 || !text.contains([':', '[']))
}

fn parsed_url(url: Setting<String>) -> Result<Setting<DatabaseUrl>, SettingsError> {
    let Setting { value, source } = url;
    let value = value.parse().map_err(|error| SettingsError::Url { source_name: source.to_string(), source: error })?;
    Ok(Setting { value, source })
}
