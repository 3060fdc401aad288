//! Settings: flag > environment > `.env` > file > default, each value with where it came from.
//!
//! [`KEYS`] is the one list of what can be set. Reading the process environment is left to the
//! caller, so that a test can bring its own.

mod dotenv;
mod libpq;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use migration::{Revision, UnknownRevision};

use dotenv::Dotenv;
pub(crate) use libpq::LibpqError;

use crate::database::url::{self, DatabaseUrl, PostgresqlAddress, Secret, SqliteLocation, UrlError};
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::history::retention::policy::DAYS_BY_DESIGN;

/// The environment variables of the process.
pub type Environment = BTreeMap<String, OsString>;

/// The name of the settings file that is read from the working directory when no other is named.
pub(crate) const DEFAULT_FILE: &str = "tarsy-db.toml";

/// One setting: its environment variable and its place in the file.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The environment variable; for URL and password also with `_FILE` behind it.
    pub environment: &'static str,
    /// The dotted path in the settings file.
    pub path: &'static str,
}

/// What the backend's template names and nothing reads.
const OLD_URL: &str = "HISTORY_DATABASE_URL";

const URL: Key = Key { environment: "DATABASE_URL", path: "database.url" };
const HOST: Key = Key { environment: "DATABASE_HOST", path: "database.host" };
const PORT: Key = Key { environment: "DATABASE_PORT", path: "database.port" };
const USER: Key = Key { environment: "DATABASE_USER", path: "database.user" };
const PASSWORD: Key = Key { environment: "DATABASE_PASSWORD", path: "database.password" };
const NAME: Key = Key { environment: "DATABASE_NAME", path: "database.name" };
const HISTORY_ENABLED: Key = Key { environment: "HISTORY_ENABLED", path: "history.enabled" };
/// How many days of history are kept.
pub(crate) const RETENTION_DAYS: Key = Key { environment: "HISTORY_RETENTION_DAYS", path: "history.retention_days" };
const EVENT_RETENTION_HOURS: Key = Key { environment: "EVENT_RETENTION_HOURS", path: "history.event_retention_hours" };
const SCHEMA_TARGET: Key = Key { environment: "TARSY_DB_SCHEMA", path: "schema.target" };
const POOL_SIZE: Key = Key { environment: "POSTGRES_POOL_SIZE", path: "postgres.pool_size" };
const MAX_OVERFLOW: Key = Key { environment: "POSTGRES_MAX_OVERFLOW", path: "postgres.max_overflow" };
const POOL_TIMEOUT: Key = Key { environment: "POSTGRES_POOL_TIMEOUT", path: "postgres.pool_timeout" };
const POOL_RECYCLE: Key = Key { environment: "POSTGRES_POOL_RECYCLE", path: "postgres.pool_recycle" };
const POOL_PRE_PING: Key = Key { environment: "POSTGRES_POOL_PRE_PING", path: "postgres.pool_pre_ping" };

/// Every setting there is.
pub const KEYS: [Key; 15] = [
    URL,
    HOST,
    PORT,
    USER,
    PASSWORD,
    NAME,
    HISTORY_ENABLED,
    RETENTION_DAYS,
    EVENT_RETENTION_HOURS,
    SCHEMA_TARGET,
    POOL_SIZE,
    MAX_OVERFLOW,
    POOL_TIMEOUT,
    POOL_RECYCLE,
    POOL_PRE_PING,
];

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
    fn default(value: T) -> Self {
        Self { value, source: SettingSource::Default }
    }
}

/// Name, value without its secret, source.
pub(crate) type ShownSetting = (&'static str, String, String);

/// TARSy's five settings of the PostgreSQL connection pool.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// Connections that are kept open.
    pub size: Setting<u32>,
    /// Connections beyond these that may be opened for a while; -1 is no limit, as in SQLAlchemy.
    pub max_overflow: Setting<i32>,
    /// How long to wait for a connection, in seconds.
    pub timeout: Setting<u32>,
    /// The age in seconds at which a connection is replaced; -1 is never, as in SQLAlchemy.
    pub recycle: Setting<i32>,
    /// Whether a connection is tried before it is used.
    pub pre_ping: Setting<bool>,
}

impl PoolSettings {}

/// The parts of a PostgreSQL address, each from where it came.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The host.
    pub host: Setting<String>,
    /// The TCP port.
    pub port: Setting<u16>,
    /// The role.
    pub user: Setting<String>,
    /// The role's password.
    pub password: Setting<Secret>,
    /// The database.
    pub name: Setting<String>,
}

impl Parts {
    /// The address that they make, from where the password came.
    fn address(&self) -> Setting<DatabaseUrl> {
        let address = PostgresqlAddress::new(
            self.host.value.clone(),
            self.port.value,
            Some(self.user.value.clone()),
            Some(self.password.value.clone()),
            Some(self.name.value.clone()),
        );
        Setting { value: DatabaseUrl::Postgresql(address), source: self.password.source.clone() }
    }
}

/// All settings in force.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The database.
    pub database: Setting<DatabaseUrl>,
    /// The parts that the database's address was made of, if it was.
    pub parts: Option<Parts>,
    /// Whether TARSy keeps a history at all.
    pub history_enabled: Setting<bool>,
    /// How many days of history are kept. The default counts at the baseline revision only.
    pub retention_days: Setting<u32>,
    /// How many hours events are kept.
    pub event_retention_hours: Setting<u32>,
    /// The revision that the schema should have at least.
    pub schema_target: Setting<Revision>,
    /// The PostgreSQL connection pool.
    pub pool: PoolSettings,
    /// What was given and does not count, or may mean another database than it names.
    pub warnings: Vec<String>,
}

/// Why the settings cannot be used. No variant carries the value of a secret.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The value of a setting does not mean what it has to.
    #[error("`{name}` from {source_name} is `{value}`, not {expected}")]
    Value {
        /// The setting.
        name: &'static str,
        /// Where the value came from.
        source_name: String,
        /// The value as it was given.
        value: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// A variable is not text.
    #[error("the environment variable `{name}` is not UTF-8")]
    NotUtf8 {
        /// The variable.
        name: String,
    },
    /// A setting in the file is a table or a list.
    #[error("`{key}` in {path} is a {kind}; it has to be a string, a number, `true` or `false`")]
    NotAValue {
        /// The settings file.
        path: String,
        /// The dotted key.
        key: String,
        /// What it is.
        kind: &'static str,
    },
    /// A variable and its `_FILE` form are both set.
    #[error("`{name}` and `{file_name}` are both set; only one may be")]
    Both {
        /// The setting, as a variable or as a key of the settings file.
        name: &'static str,
        /// The setting that names a file.
        file_name: String,
    },
    /// A file that was named cannot be read.
    #[error("cannot read {what}")]
    Read {
        /// Which file it is.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// A URL stands where a path has to. It may hold a password.
    #[error("`{name}` is a URL, where the path of a file is wanted")]
    NotAPath {
        /// The variable.
        name: String,
    },
    /// A file that has to hold a URL or a password holds nothing.
    #[error("the file {path} that `{name}` names is empty")]
    Empty {
        /// The setting that names the file.
        name: String,
        /// The file.
        path: String,
    },
    /// The settings file is not TOML. The parser's own message would quote the line, and with it a password.
    #[error("{path}:{line}: {message}")]
    Toml {
        /// The settings file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// The settings file has a key that means nothing.
    #[error("{path} has the unknown setting `{key}`")]
    UnknownKey {
        /// The settings file.
        path: String,
        /// The dotted key.
        key: String,
        /// The known key that is most like it.
        suggestion: &'static str,
    },
    /// The connection would lead elsewhere than libpq's, or be less protected.
    #[error(transparent)]
    Libpq(#[from] LibpqError),
    /// The database URL cannot be used.
    #[error("the database URL from {source_name} cannot be used")]
    Url {
        /// Where the URL came from.
        source_name: String,
        /// What is wrong with it.
        source: UrlError,
    },
}

impl Diagnostic for SettingsError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Configuration
    }

    fn hint(&self) -> Option<String> {
        match self {
            SettingsError::UnknownKey { suggestion, .. } => Some(format!("did you mean `{suggestion}`?")),
            SettingsError::Url { source, .. } => source.hint(),
            SettingsError::Libpq(error) => error.hint(),
            SettingsError::Empty { name, .. } => {
                Some(format!("write the value into the file, or unset `{name}` if none is meant"))
            }
            _ => None,
        }
    }
}

/// What the command line says about settings.
#[derive(Debug, Default, Clone)]
pub struct Flags {
    /// `--to` of a command that has a target.
    pub target: Option<Secret>,
    /// `--database-url`.
    pub database_url: Option<Secret>,
    /// `--config`.
    pub config: Option<PathBuf>,
}

impl Settings {
    /// Merges the layers: flag > environment > `.env` > file > default.
    ///
    /// # Errors
    /// [`SettingsError`] when a file cannot be read or a value does not mean what it has to.
    pub fn load(flags: &Flags, environment: &Environment) -> Result<Self, SettingsError> {
        let layers = Layers::read(flags, environment)?;
        let (mut database, parts) = layers.database()?;
        libpq::complete(&mut database.value, environment)?;
        let warnings = layers.warnings(&database, parts.is_some())?;
        Ok(Self {
            database,
            parts,
            warnings,
            history_enabled: layers.flag(HISTORY_ENABLED, true)?,
            retention_days: layers.number(RETENTION_DAYS, DAYS_BY_DESIGN)?,
            event_retention_hours: layers.number(EVENT_RETENTION_HOURS, 24)?,
            schema_target: layers.schema_target()?,
            pool: PoolSettings {
                size: layers.number(POOL_SIZE, 5)?,
                max_overflow: layers.limit(MAX_OVERFLOW, 10)?,
                timeout: layers.number(POOL_TIMEOUT, 30)?,
                recycle: layers.limit(POOL_RECYCLE, 3600)?,
                pre_ping: layers.flag(POOL_PRE_PING, true)?,
            },
        })
    }

    /// How long history is kept.
    #[must_use]
    pub fn retention(&self) -> Duration {
        Duration::from_secs(u64::from(self.retention_days.value) * 86_400)
    }

    /// Every setting as it is shown: name, value without its secret, source.
    #[must_use]
    pub fn shown(&self) -> Vec<ShownSetting> {
        fn line<T: ToString>(key: Key, setting: &Setting<T>) -> ShownSetting {
            (key.path, setting.value.to_string(), setting.source.to_string())
        }
        let parts = self.parts.iter().flat_map(|parts| {
            [
                line(HOST, &parts.host),
                line(PORT, &parts.port),
                line(USER, &parts.user),
                line(PASSWORD, &parts.password),
                line(NAME, &parts.name),
            ]
        });
        let mut lines = vec![line(URL, &self.database)];
        lines.extend(parts);
        lines.extend([
            line(HISTORY_ENABLED, &self.history_enabled),
            line(RETENTION_DAYS, &self.retention_days),
            line(EVENT_RETENTION_HOURS, &self.event_retention_hours),
            line(SCHEMA_TARGET, &self.schema_target),
            line(POOL_SIZE, &self.pool.size),
            line(MAX_OVERFLOW, &self.pool.max_overflow),
            line(POOL_TIMEOUT, &self.pool.timeout),
            line(POOL_RECYCLE, &self.pool.recycle),
            line(POOL_PRE_PING, &self.pool.pre_ping),
        ]);
        lines
    }
}

struct SettingsFile {
    path: PathBuf,
    table: toml::Table,
}

impl SettingsFile {
    /// `--config`, else `TARSY_DB_CONFIG`, else `./tarsy-db.toml` if it is there.
    fn find(flags: &Flags, environment: &Environment) -> Result<Option<Self>, SettingsError> {
        let named = match &flags.config {
            Some(path) => Some(path.clone()),
            None => path_from(environment, "TARSY_DB_CONFIG")?,
        };
        match named {
            Some(path) => Self::read(&path).map(Some),
            None => match Self::read(Path::new(DEFAULT_FILE)) {
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
        let known = known_paths();
        for (section, value) in &table {
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
        Ok(Self { path: path.to_owned(), table })
    }

    /// The value at a dotted path, as the text that the environment would hold.
    fn text(&self, path: &str) -> Result<Option<Setting<String>>, SettingsError> {
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

fn known_paths() -> Vec<&'static str> {
    KEYS.iter().map(|key| key.path).chain(["database.url_file", "database.password_file"]).collect()
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

/// Finds a variable by its name in any case, as the backend does; the exact name comes first.
fn lookup(environment: &Environment, name: &str) -> Result<Option<Setting<String>>, SettingsError> {
    let found =
        environment.get_key_value(name).or_else(|| environment.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)));
    let Some((name, value)) = found else { return Ok(None) };
    let value = value.to_str().ok_or_else(|| SettingsError::NotUtf8 { name: name.clone() })?;
    Ok(Some(Setting { value: value.to_owned(), source: SettingSource::Environment(name.clone()) }))
}

/// Reads a variable that names a file. An empty one counts as not set.
fn path_from(environment: &Environment, name: &str) -> Result<Option<PathBuf>, SettingsError> {
    match lookup(environment, name)?.filter(is_given) {
        Some(named) if url::is_url(&named.value) => Err(SettingsError::NotAPath { name: name.to_owned() }),
        named => Ok(named.map(|named| PathBuf::from(named.value))),
    }
}

/// Reads a variable of other programs, whose names have one case.
fn lookup_exactly(environment: &Environment, name: &str) -> Result<Option<String>, SettingsError> {
    let text = |value: &OsString| {
        value.to_str().map(str::to_owned).ok_or_else(|| SettingsError::NotUtf8 { name: name.to_owned() })
    };
    environment.get(name).map(text).transpose()
}

/// An empty value counts as not set.
fn is_given(setting: &Setting<String>) -> bool {
    !setting.value.is_empty()
}

fn is_blank(setting: &Setting<String>) -> bool {
    setting.value.trim().is_empty()
}

/// Reads a secret's file. Only what surely is a path is shown: somebody may have put the secret itself there.
fn secret_from(name: &str, file: &Setting<String>) -> Result<Setting<String>, SettingsError> {
    let mut value = std::fs::read_to_string(&file.value).map_err(|source| {
        let path = if file.value.starts_with('/') { format!(" {}", file.value) } else { String::new() };
        SettingsError::Read { what: format!("the file{path} that `{name}` names"), source }
    })?;
    if value.trim().is_empty() {
        let path = std::path::absolute(&file.value).unwrap_or_else(|_| PathBuf::from(&file.value));
        return Err(SettingsError::Empty { name: name.to_owned(), path: path.display().to_string() });
    }
    if value.ends_with('\n') {
        value.pop();
        if value.ends_with('\r') {
            value.pop();
        }
    }
    let source = match &file.source {
        SettingSource::Environment(name) => SettingSource::Environment(name.clone()),
        other => SettingSource::SecretFile(format!("{other}, {name}")),
    };
    Ok(Setting { value, source })
}

struct Layers<'a> {
    flags: &'a Flags,
    environment: &'a Environment,
    dotenv: Dotenv,
    file: Option<SettingsFile>,
}

impl<'a> Layers<'a> {
    fn read(flags: &'a Flags, environment: &'a Environment) -> Result<Self, SettingsError> {
        let file = SettingsFile::find(flags, environment)?;
        let mut layers = Self { flags, environment, dotenv: Dotenv::default(), file };
        match Dotenv::read(environment) {
            Ok(dotenv) => layers.dotenv = dotenv,
            // It cannot change which database is meant.
            Err(error) if layers.flag_url().is_some() || layers.environment_url()?.is_some() => {
                layers.dotenv.warnings.push(format!("{error}, and none of its settings count: {}", reason(&error)));
            }
            Err(error) => return Err(error),
        }
        Ok(layers)
    }

    fn text(&self, key: Key) -> Result<Option<Setting<String>>, SettingsError> {
        match lookup(self.environment, key.environment)?.or_else(|| self.dotenv.text(key)) {
            Some(setting) => Ok(Some(setting)),
            None => self.in_file(key.path),
        }
    }

    fn in_file(&self, path: &str) -> Result<Option<Setting<String>>, SettingsError> {
        self.file.as_ref().map_or(Ok(None), |file| file.text(path))
    }

    /// A setting that may stand in a file of its own, from the environment or the settings file.
    /// An empty value counts as not set.
    fn secret(&self, key: Key, layer: Layer) -> Result<Option<Setting<String>>, SettingsError> {
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
            (Some(setting), None) => Ok(Some(setting)),
            (None, Some(file)) => secret_from(&file_name, &file).map(Some),
            (None, None) => match layer {
                Layer::Environment if !is_hidden => Ok(self.dotenv.text(key).filter(is_given)),
                Layer::Environment | Layer::File => Ok(None),
            },
        }
    }

    /// An empty value counts as not set.
    fn parsed<T: FromStr>(&self, key: Key, default: T, expected: &'static str) -> Result<Setting<T>, SettingsError> {
        let given = match self.text(key)?.filter(|setting| !is_blank(setting)) {
            Some(setting) => Some(setting),
            None => self.in_file(key.path)?.filter(|setting| !is_blank(setting)),
        };
        let Some(Setting { value, source }) = given else { return Ok(Setting::default(default)) };
        match value.trim().parse() {
            Ok(value) => Ok(Setting { value, source }),
            Err(_) => {
                Err(SettingsError::Value { name: key.environment, source_name: source.to_string(), value, expected })
            }
        }
    }

    fn schema_target(&self) -> Result<Setting<Revision>, SettingsError> {
        self.parsed(SCHEMA_TARGET, Revision::BASELINE, UnknownRevision::EXPECTED)
    }

    fn number(&self, key: Key, default: u32) -> Result<Setting<u32>, SettingsError> {
        self.parsed(key, default, "a whole number from 0 to 4294967295")
    }

    /// A number with -1 for none.
    fn limit(&self, key: Key, default: i32) -> Result<Setting<i32>, SettingsError> {
        const EXPECTED: &str = "a whole number from -1 to 2147483647";
        let setting = self.parsed(key, default, EXPECTED)?;
        if setting.value >= -1 {
            return Ok(setting);
        }
        let (value, source_name) = (setting.value.to_string(), setting.source.to_string());
        Err(SettingsError::Value { name: key.environment, source_name, value, expected: EXPECTED })
    }

    fn flag(&self, key: Key, default: bool) -> Result<Setting<bool>, SettingsError> {
        let setting =
            self.parsed(key, Switch(default), "one of `true`, `false`, `1`, `0`, `yes`, `no`, `on`, `off`")?;
        Ok(Setting { value: setting.value.0, source: setting.source })
    }

    /// A blank `--database-url` counts as not set.
    fn flag_url(&self) -> Option<Setting<String>> {
        let named = |flag, url: &Secret| Setting { value: url.expose().to_owned(), source: SettingSource::Flag(flag) };
        let target = self.flags.target.as_ref().map(|url| named("--to", url));
        let database = || self.flags.database_url.as_ref().map(|url| named("--database-url", url));
        target.or_else(|| database().filter(|url| !is_blank(url)))
    }

    /// The URL of the environment, or else of the `.env`.
    fn environment_url(&self) -> Result<Option<Setting<String>>, SettingsError> {
        Ok(self.secret(URL, Layer::Environment)?.filter(|url| !is_blank(url)))
    }

    fn database(&self) -> Result<(Setting<DatabaseUrl>, Option<Parts>), SettingsError> {
        if let Some(url) = self.flag_url() {
            return Ok((parsed_url(url)?, None));
        }
        for layer in [Layer::Environment, Layer::File] {
            if let Some(url) = self.secret(URL, layer)?.filter(|url| !is_blank(url)) {
                return Ok((parsed_url(url)?, None));
            }
            if let Some(password) = self.secret(PASSWORD, layer)? {
                let parts = self.parts(password)?;
                return Ok((parts.address(), Some(parts)));
            }
        }
        let testing = lookup(self.environment, "TESTING")?.filter(|testing| testing.value.eq_ignore_ascii_case("true"));
        let database = match testing {
            Some(Setting { source, .. }) => Setting { value: DatabaseUrl::Sqlite(SqliteLocation::memory()), source },
            None => Setting::default(DatabaseUrl::sqlite_file("history.db")),
        };
        Ok((database, None))
    }

    /// What was given for a database and does not count, or may mean another one.
    fn warnings(&self, database: &Setting<DatabaseUrl>, is_of_parts: bool) -> Result<Vec<String>, SettingsError> {
        let mut warnings = self.dotenv.warnings.clone();
        let used = format!("the database is {} ({})", database.value, database.source);
        if self.flag_url().is_none() {
            if self.flags.database_url.is_some() {
                warnings.push(format!("`--database-url` is empty and does not count: {used}"));
            }
            warnings.extend(self.hidden_by_empty_variables()?);
            if !is_of_parts && self.environment_url()?.is_none() {
                warnings.extend(self.parts_without_password(&database.source, &used)?);
            }
            if let Some(old) =
                lookup(self.environment, OLD_URL)?.or_else(|| self.dotenv.variable(OLD_URL)).filter(is_given)
            {
                warnings.push(format!(
                    "`{}` does not count: neither the backend nor tarsy-db reads this name. Name the database with \
                     `DATABASE_URL`; {used}",
                    old.source
                ));
            }
        }
        warnings.extend(database.value.warning());
        Ok(warnings)
    }

    fn hidden_by_empty_variables(&self) -> Result<Vec<String>, SettingsError> {
        let mut warnings = Vec::new();
        for key in [URL, PASSWORD, HOST, PORT, USER, NAME] {
            let variable = lookup(self.environment, key.environment)?.filter(is_blank);
            let line = self.dotenv.text(key).filter(|line| !is_blank(line));
            if let (Some(variable), Some(line)) = (variable, line) {
                warnings.push(format!(
                    "`{}` does not count: the environment variable `{}` is empty and hides it, also from the backend",
                    line.source, variable.source
                ));
            }
        }
        Ok(warnings)
    }

    fn parts_without_password(&self, database: &SettingSource, used: &str) -> Result<Option<String>, SettingsError> {
        let is_in_file =
            |source: &SettingSource| matches!(source, SettingSource::File(_) | SettingSource::SecretFile(_));
        let mut names = Vec::new();
        for key in [HOST, PORT, USER, NAME] {
            match self.text(key)?.filter(is_given).map(|part| part.source) {
                // A URL beside it is the stronger one.
                Some(source) if is_in_file(&source) && is_in_file(database) => {}
                Some(SettingSource::File(path)) => names.push(format!("`{}` in {}", key.path, path.display())),
                Some(source) => names.push(format!("`{source}`")),
                None => {}
            }
        }
        let warning = format!(
            "without a password, {} {} not count: {used}; set `DATABASE_PASSWORD`, or name the database with `DATABASE_URL`",
            names.join(", "),
            if names.len() == 1 { "does" } else { "do" }
        );
        Ok((!names.is_empty()).then_some(warning))
    }

    fn parts(&self, password: Setting<String>) -> Result<Parts, SettingsError> {
        let text = |key, default: &str| {
            let given = self.text(key)?.filter(is_given);
            Ok::<_, SettingsError>(given.unwrap_or_else(|| Setting::default(default.to_owned())))
        };
        Ok(Parts {
            host: text(HOST, "localhost")?,
            port: self.parsed(PORT, 5432, "a port from 1 to 65535")?,
            user: text(USER, "tarsy")?,
            password: Setting { value: Secret::new(password.value), source: password.source },
            name: text(NAME, "tarsy")?,
        })
    }
}

/// Where a secret may stand, the stronger place first.
#[derive(Debug, Clone, Copy)]
enum Layer {
    Environment,
    File,
}

/// Why a file cannot be read.
fn reason(error: &SettingsError) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}

fn parsed_url(url: Setting<String>) -> Result<Setting<DatabaseUrl>, SettingsError> {
    let Setting { value, source } = url;
    let value = value.parse().map_err(|error| SettingsError::Url { source_name: source.to_string(), source: error })?;
    Ok(Setting { value, source })
}

/// A truth value in the words that TARSy's own settings accept.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn load(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        Settings::load(&Flags::default(), &environment)
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
        assert_eq!(load(&[("DATABASE_URL", "  ")]).expect("blank").database.source, SettingSource::Default);
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
        assert!(
            value.to_string().contains("`HISTORY_RETENTION_DAYS` from HISTORY_RETENTION_DAYS is `ninety`"),
            "{value}"
        );
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
        let flags = Flags { database_url: Some(Secret::new(url)), ..Flags::default() };
        let by_flag = Settings::load(&flags, &Environment::new()).expect("a sound URL");
        let by_parts = load(&[("DATABASE_PASSWORD", "hunter2")]).expect("parts");
        let words = ["tarsy-db", "--database-url", url, "migrate-sqlite-to-postgres", "--from", url, "--to", url];
        let cli = crate::cli::Cli::try_parse_from(words).expect("a sound command line");
        let debug = format!("{flags:?} {by_flag:?} {by_parts:?} {cli:?}");
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
