//! Settings: flag > environment > `.env` > file > default, each value with its source.
//!
//! | module | what it is for |
//! |---|---|
//! | [`mod@warnings`] | warnings about settings that are ignored |
//! | [`mod@database`] | the database of the settings |
//! | [`libpq`] | libpq's variables and files |
//! | [`service_file`] | libpq's service file |
//! | [`libpq_files`] | where libpq's files are |
//! | [`layers`] | the sources in order of precedence |
//! | [`mod@file`] | the settings file, in TOML |
//! | [`flags`] | the settings of the command line |
//! | [`dotenv`] | the `.env` of the working directory |
//! | [`working_directory`] | the working directory: whether it can be searched |
//! | [`environment`] | the variables of the process |
//! | [`error`] | the errors |
//! | [`setting`] | a value and its source |
//! | [`key`] | the list of all settings |

mod database;
mod dotenv;
mod environment;
pub(crate) mod error;
mod file;
mod flags;
mod key;
mod layers;
mod libpq;
mod libpq_files;
mod service_file;
mod setting;
mod warnings;
mod working_directory;

use std::path::PathBuf;
use std::time::Duration;

use migration::Revision;
use serde_json::Value;

pub use crate::settings::environment::Environment;
pub(crate) use crate::settings::error::{SettingsError, setting_from};
pub use crate::settings::flags::Flags;
pub use crate::settings::key::KEYS;
pub(crate) use crate::settings::key::RETENTION_DAYS;
pub(crate) use crate::settings::setting::SettingSource;

use crate::database::connection::PoolLimits;
use crate::database::url::DatabaseUrl;
use crate::history::retention::policy::DAYS_BY_DESIGN;
use crate::settings::database::{DirectUrl, Parts};
use crate::settings::key::{
    DIRECT_URL, EVENT_RETENTION_HOURS, HISTORY_ENABLED, HOST, Key, MAX_OVERFLOW, NAME, PASSWORD, POOL_PRE_PING,
    POOL_RECYCLE, POOL_SIZE, POOL_TIMEOUT, PORT, REQUIRE_TLS, SCHEMA_TARGET, URL, USER,
};
use crate::settings::layers::Layers;
use crate::settings::setting::Setting;

/// All settings in force.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The SQLite file, or the address of the PostgreSQL database with the password.
    pub database: Setting<DatabaseUrl>,
    /// The address of the same database without its pooler.
    pub direct: Option<Setting<DatabaseUrl>>,
    /// The address by way of the pooler, where `database` is the other one.
    pub pooled: Option<Setting<DatabaseUrl>>,
    /// The parts of the address, if the settings name it by parts.
    pub parts: Option<Parts>,
    /// Whether plain text may not leave this machine.
    pub require_tls: Setting<bool>,
    /// Whether TARSy stores a history.
    pub history_enabled: Setting<bool>,
    /// How long sessions are kept, in days. The default applies at the baseline revision only.
    pub retention_days: Setting<u32>,
    /// How long events are kept, in hours.
    pub event_retention_hours: Setting<u32>,
    /// The lowest revision that the schema must have.
    pub schema_target: Setting<Revision>,
    /// The PostgreSQL connection pool.
    pub pool: PoolSettings,
    /// The settings file that `--config` names.
    pub config: Option<PathBuf>,
    /// Warnings about settings that are ignored or ambiguous.
    pub warnings: Vec<String>,
}

/// TARSy's five settings of the PostgreSQL connection pool.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// Connections that are kept open.
    pub size: Setting<u32>,
    /// Temporary connections in addition to these; -1 is no limit, as in SQLAlchemy.
    pub max_overflow: Setting<i32>,
    /// How long to wait for a connection, in seconds.
    pub timeout: Setting<u32>,
    /// The age in seconds after which a connection is replaced; -1 is never, as in SQLAlchemy.
    pub recycle: Setting<i32>,
    /// Whether a connection is tested before it is used.
    pub pre_ping: Setting<bool>,
}

impl PoolSettings {
    /// How many connections one pool may open; `None` is no limit, as SQLAlchemy reads a size of 0 and an overflow of -1.
    #[must_use]
    pub(crate) fn most(&self) -> Option<u32> {
        let overflow = u32::try_from(self.max_overflow.value).ok()?;
        (self.size.value > 0).then(|| self.size.value.saturating_add(overflow))
    }

    /// The limits of the pool from which a command takes its connections.
    #[must_use]
    pub(crate) fn limits(&self) -> PoolLimits {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        PoolLimits {
            most: self.most(),
            timeout: seconds(self.timeout.value),
            recycle: u32::try_from(self.recycle.value).ok().map(seconds),
            pre_ping: self.pre_ping.value,
        }
    }
}

/// Name, value with secrets masked, source.
pub(crate) type ShownSetting = (&'static str, Value, String);

/// An error with its causes.
fn described(error: &SettingsError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

impl Settings {
    /// Merges the layers: flag > environment > `.env` > file > default.
    ///
    /// # Errors
    /// [`SettingsError`] for a file that cannot be read or a value that is not valid.
    pub fn load(flags: &Flags, environment: &Environment) -> Result<Self, SettingsError> {
        let layers = Layers::read(flags, environment)?;
        let (mut database, parts) = database::database(&layers)?;
        libpq::complete(&mut database.value, environment)?;
        let require_tls = layers.flag(REQUIRE_TLS, false)?;
        let direct = database::direct(&layers, &database).and_then(|direct| match direct {
            Some(DirectUrl::Used(mut url)) => {
                libpq::complete(&mut url.value, environment)?;
                Ok(Some(DirectUrl::Used(url)))
            }
            other => Ok(other),
        });
        // The other commands do not use it.
        let (direct, broken) = match direct {
            Err(error) if !flags.needs_session => (None, Some(format!("{}; it is not used here", described(&error)))),
            direct => (direct?, None),
        };
        let mut warnings = warnings::warnings(&layers, &database, parts.as_ref(), direct.as_ref())?;
        warnings.extend(broken);
        let mut direct = match direct {
            Some(DirectUrl::Used(url)) => Some(url),
            Some(DirectUrl::Ignored(_)) | None => None,
        };
        for url in [Some(&mut database), direct.as_mut()].into_iter().flatten() {
            if let DatabaseUrl::Postgresql(address) = &mut url.value {
                address.tls.is_required = require_tls.value;
            }
        }
        Ok(Self {
            database,
            direct,
            pooled: None,
            parts,
            require_tls,
            config: flags.config.clone(),
            warnings,
            history_enabled: layers.flag(HISTORY_ENABLED, true)?,
            retention_days: layers.parsed(RETENTION_DAYS, DAYS_BY_DESIGN, "a whole number from 1 to 700000")?,
            event_retention_hours: layers.parsed(EVENT_RETENTION_HOURS, 24, "a whole number from 1 to 17000000")?,
            schema_target: layers.revision(SCHEMA_TARGET, Revision::BASELINE)?,
            pool: PoolSettings {
                size: layers.number(POOL_SIZE, 5)?,
                max_overflow: layers.limit(MAX_OVERFLOW, 10)?,
                timeout: layers.number(POOL_TIMEOUT, 30)?,
                recycle: layers.limit(POOL_RECYCLE, 3600)?,
                pre_ping: layers.flag(POOL_PRE_PING, true)?,
            },
        })
    }

    /// The settings for work that needs a session of the server: the database is that of the direct URL, if there is one.
    #[must_use]
    pub fn for_a_session(self) -> Self {
        match self.direct {
            Some(direct) => Self { database: direct, direct: None, pooled: Some(self.database), ..self },
            None => self,
        }
    }

    /// The database as TARSy's backend reaches it.
    #[must_use]
    pub fn backend_url(&self) -> &DatabaseUrl {
        &self.pooled.as_ref().unwrap_or(&self.database).value
    }

    /// How long sessions are kept.
    #[must_use]
    pub fn retention(&self) -> Duration {
        Duration::from_secs(u64::from(self.retention_days.value) * 86_400)
    }

    /// All settings for display: name, value with secrets masked, source.
    #[must_use]
    pub fn shown(&self) -> Vec<ShownSetting> {
        fn line<T: ToString>(key: Key, setting: &Setting<T>) -> ShownSetting {
            (key.path, setting.value.to_string().into(), setting.source.to_string())
        }
        fn typed<T: Copy + Into<Value>>(key: Key, setting: &Setting<T>) -> ShownSetting {
            (key.path, setting.value.into(), setting.source.to_string())
        }
        let parts = self.parts.iter().flat_map(|parts| {
            [
                line(HOST, &parts.host),
                typed(PORT, &parts.port),
                line(USER, &parts.user),
                line(PASSWORD, &parts.password),
                line(NAME, &parts.name),
            ]
        });
        let mut lines = vec![line(URL, &self.database)];
        lines.extend(self.direct.iter().map(|direct| line(DIRECT_URL, direct)));
        lines.extend(parts);
        lines.extend([
            typed(REQUIRE_TLS, &self.require_tls),
            typed(HISTORY_ENABLED, &self.history_enabled),
            typed(RETENTION_DAYS, &self.retention_days),
            typed(EVENT_RETENTION_HOURS, &self.event_retention_hours),
            line(SCHEMA_TARGET, &self.schema_target),
            typed(POOL_SIZE, &self.pool.size),
            typed(MAX_OVERFLOW, &self.pool.max_overflow),
            typed(POOL_TIMEOUT, &self.pool.timeout),
            typed(POOL_RECYCLE, &self.pool.recycle),
            typed(POOL_PRE_PING, &self.pool.pre_ping),
        ]);
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::url::Secret;
    use crate::diagnostic::Diagnostic;

    fn load(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        Settings::load(&Flags::default(), &environment)
    }

    #[test]
    fn the_defaults_of_the_manual_are_those_in_force() {
        let settings = load(&[("DATABASE_PASSWORD", "any")]).expect("a password is enough");
        let defaults: Vec<_> = settings.shown().into_iter().filter(|(.., source)| source == "default").collect();
        // All but the URLs and the password.
        assert_eq!(defaults.len(), KEYS.len() - 3);
        for (path, value, _) in defaults {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let key = KEYS.iter().find(|key| key.path == path).expect("every setting has a key");
            match path {
                "schema.target" => assert_eq!(value, key.default.parse::<Revision>().expect("a revision").to_string()),
                _ => assert_eq!(value, key.default, "{path}"),
            }
        }
    }

    #[test]
    fn a_command_opens_no_more_connections_than_size_and_overflow_allow() {
        let limits = |variables: &[(&str, &str)]| load(variables).expect("sound values").pool.limits();
        let of = |size, overflow| limits(&[("POSTGRES_POOL_SIZE", size), ("POSTGRES_MAX_OVERFLOW", overflow)]);
        assert_eq!((limits(&[]).most, limits(&[]).recycle), (Some(15), Some(Duration::from_hours(1))));
        assert_eq!([of("1", "0").most, of("2", "-1").most, of("0", "10").most], [Some(1), None, None]);
        assert_eq!(of("4294967295", "1").most, Some(u32::MAX));
        let wanted = [of("1", "0"), of("1", "1"), of("5", "10"), of("0", "0")].map(|limits| limits.for_up_to(3).most);
        assert_eq!(wanted, [Some(1), Some(2), Some(3), Some(3)]);
        assert_eq!(limits(&[("POSTGRES_POOL_RECYCLE", "-1")]).recycle, None);
    }

    fn file(name: &str, text: &str) -> (tempfile::TempDir, String) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("a file can be written");
        (directory, path.to_str().expect("UTF-8").to_owned())
    }

    #[test]
    fn nothing_set_means_history_db() {
        let settings = load(&[]).expect("defaults");
        let here = std::env::current_dir().expect("a working directory");
        assert_eq!(settings.database.value.to_string(), here.join("history.db").display().to_string());
        assert_eq!(settings.database.source, SettingSource::Default);
        assert_eq!(settings.retention_days, Setting::default(90));
        assert_eq!(settings.event_retention_hours, Setting::default(24));
        assert_eq!(load(&[("DATABASE_URL", "")]).expect("empty").database.source, SettingSource::Default);
        assert!(load(&[("DATABASE_URL", "  ")]).is_err(), "a lost value is not the default");
        assert_eq!(load(&[("TESTING", "true")]).expect("testing").database.value.to_string(), ":memory:");
    }

    #[test]
    fn the_parts_are_used_when_the_url_is_empty_and_the_password_is_literal() {
        let parts = [("DATABASE_URL", ""), ("DATABASE_PASSWORD", "p@ss/%40 word"), ("DATABASE_HOST", "db")];
        let settings = load(&parts).expect("parts");
        assert_eq!(settings.database.value.to_string(), "tarsy@db:5432/tarsy");
        let shown = settings.shown();
        let line = |name: &str| shown.iter().find(|(key, ..)| *key == name).cloned().expect("the part is shown");
        assert_eq!(line("database.host"), ("database.host", "db".into(), "DATABASE_HOST".into()));
        assert_eq!(line("database.user"), ("database.user", "tarsy".into(), "default".into()));
        assert_eq!(line("database.password"), ("database.password", "***".into(), "DATABASE_PASSWORD".into()));
        let DatabaseUrl::Postgresql(address) = settings.database.value else { panic!("PostgreSQL") };
        assert_eq!(address.password.expect("a password").expose(), "p@ss/%40 word");
    }

    #[test]
    fn secret_files_lose_one_newline_and_exclude_their_variable() {
        let (_directory, path) = file("password", "two newlines\n\n");
        let settings = load(&[("DATABASE_PASSWORD_FILE", &path)]).expect("a password file");
        let DatabaseUrl::Postgresql(address) = settings.database.value else { panic!("PostgreSQL") };
        assert_eq!(address.password.expect("a password").expose(), "two newlines\n");
        let both = load(&[("DATABASE_PASSWORD", "x"), ("DATABASE_PASSWORD_FILE", &path)]).expect_err("both");
        assert!(both.to_string().contains("`DATABASE_PASSWORD` and `DATABASE_PASSWORD_FILE`"), "{both}");
    }

    #[test]
    fn the_environment_beats_the_file_and_the_file_the_default() {
        let (_directory, path) =
            file("x.toml", "[history]\nretention_days = 30\nenabled = \"no\"\n[postgres]\npool_size = 2");
        let settings = load(&[("TARSY_DB_CONFIG", &path), ("history_retention_days", "7")]).expect("both layers");
        assert_eq!(settings.retention_days.value, 7);
        assert_eq!(settings.retention_days.source, SettingSource::Environment("history_retention_days".into()));
        assert!(!settings.history_enabled.value);
        assert_eq!(settings.pool.size.source, SettingSource::File(path.into()));
        assert_eq!(settings.pool.max_overflow.source, SettingSource::Default);
    }

    #[test]
    fn mistakes_are_errors_and_never_defaults() {
        let value = load(&[("HISTORY_RETENTION_DAYS", "ninety")]).expect_err("not a number");
        assert!(value.to_string().contains("`HISTORY_RETENTION_DAYS` is `ninety`; expected a whole number"), "{value}");
        let (_directory, path) = file("x.toml", "[history]\nretention_day = 30\n");
        let unknown = load(&[("TARSY_DB_CONFIG", &path)]).expect_err("unknown");
        assert!(unknown.to_string().contains("`history.retention_day`"), "{unknown}");
        assert_eq!(unknown.hint().as_deref(), Some("did you mean `history.retention_days`?"));
        assert!(load(&[("TARSY_DB_CONFIG", "/nowhere/x.toml")]).is_err());
    }

    #[test]
    fn no_layer_shows_a_password_in_its_debug_form() {
        use clap::Parser;
        let url = "postgresql://tarsy:hunter2@db/tarsy";
        let flags = Flags { direct_url: Some(Secret::new(url)), ..Flags::default() };
        let directly = Settings::load(&flags, &[("DATABASE_URL".to_owned(), url.into())].into()).expect("sound URLs");
        assert_eq!(directly.direct.as_ref().expect("a direct URL").source, SettingSource::Flag("--direct-url"));
        let flags = Flags { database_url: Some(Secret::new(url)), ..flags };
        let by_flag = Settings::load(&flags, &Environment::new()).expect("a sound URL");
        let by_parts = load(&[("DATABASE_PASSWORD", "hunter2")]).expect("parts");
        let words = [
            "tarsy-db",
            "--database-url",
            url,
            "--direct-url",
            url,
            "migrate-sqlite-to-postgres",
            "--from",
            url,
            "--to",
            url,
        ];
        let cli = crate::cli::Cli::try_parse_from(words).expect("a sound command line");
        let debug = format!("{flags:?} {directly:?} {by_flag:?} {by_parts:?} {cli:?}");
        assert!(!debug.contains("hunter2"), "{debug}");
    }

    #[test]
    fn a_broken_settings_file_is_reported_without_its_text() {
        let (_directory, path) = file("x.toml", "[database]\npassword = \"hunter2\n");
        let error = load(&[("TARSY_DB_CONFIG", &path)]).expect_err("broken");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        assert!(error.to_string().contains("x.toml:2"), "{error}");
    }
}
