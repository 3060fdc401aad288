//! The errors of the settings.

use std::fmt;
use std::io::ErrorKind;

use crate::database::url::{POSTGRESQL_URL, UrlError, is_url};
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;

/// A value as it was given, unless it may hold a password: then it is not kept.
#[derive(Debug, Clone)]
pub struct ShownValue(Option<String>);

impl From<String> for ShownValue {
    fn from(value: String) -> Self {
        Self((!is_url(&value) || is_kubernetes_port(&value)).then_some(value))
    }
}

impl fmt::Display for ShownValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => write!(f, "`{value}`"),
            None => f.write_str("a URL or a login, which is not shown"),
        }
    }
}

/// `tcp://10.0.0.1:5432`, the variable of a service.
fn is_kubernetes_port(value: &str) -> bool {
    value.starts_with("tcp://") && !value.contains('@')
}

/// Why the settings cannot be used. No variant carries the value of a secret.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The value of a setting is not valid.
    #[error("{} is {value}; expected {expected}", setting_from(name, source_name))]
    Value {
        name: &'static str,
        /// The source of the value.
        source_name: String,
        value: ShownValue,
        expected: &'static str,
    },
    /// The value names no revision.
    #[error("{} is {value}; {problem}", setting_from(name, source_name))]
    Revision {
        name: &'static str,
        /// The source of the value.
        source_name: String,
        value: ShownValue,
        /// What was expected, or why it is not clear which revision is meant.
        problem: String,
    },
    /// The value of a variable is not UTF-8.
    #[error("the environment variable `{name}` is not UTF-8")]
    NotUtf8 { name: String },
    /// A setting in the file is a table, a list or another unsupported type.
    #[error("`{key}` in {path} is a {kind}; expected a string, an integer, `true` or `false`")]
    NotAValue { path: String, key: String, kind: &'static str },
    /// A variable and its `_FILE` form are both set.
    #[error("`{name}` and `{file_name}` are both set; set only one of them")]
    Both {
        /// The setting, as a variable or as a key of the settings file.
        name: &'static str,
        /// The setting that names a file.
        file_name: String,
    },
    /// A file cannot be read.
    #[error("cannot read {what}")]
    Read {
        /// The file, and the setting that names it.
        what: String,
        source: std::io::Error,
    },
    /// The file of a URL or a password has nothing but blanks.
    #[error("the file {path} (`{name}`) is empty or has only blanks")]
    Empty {
        /// The setting that names the file.
        name: String,
        path: String,
    },
    /// The settings file is not TOML. The parser's own message is not used, because it quotes the line, which may hold a
    /// password.
    #[error("{path}:{line}: {message}")]
    Toml {
        path: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong in that line.
        message: String,
    },
    /// The settings file has an unknown key.
    #[error("{path} has the unknown setting `{key}`")]
    UnknownKey {
        path: String,
        key: String,
        /// The most similar known key.
        suggestion: &'static str,
    },
    /// The connection would differ from that of libpq.
    #[error(transparent)]
    Libpq(#[from] LibpqError),
    /// A SQLite file has no pooler.
    #[error("the direct URL from {source_name} names a SQLite file; expected a URL of PostgreSQL")]
    DirectFile {
        /// The source of the URL.
        source_name: String,
    },
    /// The database URL cannot be used.
    #[error("the database URL from {source_name} cannot be used")]
    Url {
        /// The source of the URL.
        source_name: String,
        /// What is wrong with it.
        source: UrlError,
    },
}

/// A setting and, unless the source is the variable itself, its source.
pub(crate) fn setting_from(name: &str, source_name: &str) -> String {
    match source_name.strip_prefix(name) {
        Some(file) => format!("`{name}`{file}"),
        None if source_name.eq_ignore_ascii_case(name) => format!("`{source_name}`"),
        None => format!("`{name}` from {source_name}"),
    }
}

/// Whether this source names a database of PostgreSQL and no other.
fn is_of_server(source_name: &str) -> bool {
    let is_direct = source_name.to_ascii_uppercase().starts_with("DIRECT_DATABASE_URL");
    is_direct || matches!(source_name, "--to" | "--direct-url")
}

impl Diagnostic for SettingsError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Configuration
    }

    fn hint(&self) -> Option<String> {
        match self {
            // As for every service in the namespace of a pod.
            SettingsError::Value { value: ShownValue(Some(value)), .. } if is_kubernetes_port(value) => Some(
                "Kubernetes sets this variable in each pod for a service named `database`: set it yourself, or set \
                 `enableServiceLinks: false` in the pod"
                    .to_owned(),
            ),
            SettingsError::Value { name: "DATABASE_HOST", value: ShownValue(None), .. } => {
                Some("set `DATABASE_URL` to a whole URL".into())
            }
            SettingsError::UnknownKey { suggestion, .. } => Some(format!("did you mean `{suggestion}`?")),
            SettingsError::Url { source_name, source: UrlError::NoScheme { .. } } if is_of_server(source_name) => {
                Some(POSTGRESQL_URL.to_owned())
            }
            SettingsError::Url { source, .. } => source.hint(),
            SettingsError::Read { source, .. } if source.kind() == ErrorKind::NotFound => {
                Some("check the path, or create the file".to_owned())
            }
            SettingsError::Read { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
                Some("give this system user read permission for the file".to_owned())
            }
            SettingsError::Libpq(error) => error.hint(),
            SettingsError::Empty { name, .. } => Some(format!("write the value into the file, or unset `{name}`")),
            _ => None,
        }
    }
}

/// Why a connection would reach another server than libpq's, or be less protected.
#[derive(Debug, thiserror::Error)]
pub enum LibpqError {
    /// Without the certificate of a CA no certificate can be verified.
    #[error("`sslmode={0}` needs the certificate of a CA, but neither `sslrootcert` nor `PGSSLROOTCERT` is set")]
    NoRootCertificate(&'static str),
    /// `sslrootcert=system` would accept a certificate for any host.
    #[error("`sslrootcert=system` needs `sslmode=verify-full`: the public CAs sign certificates for every host")]
    TooWeakForSystemRoots,
    /// Without TLS the server would not understand the first bytes of it.
    #[error("`sslnegotiation=direct` needs `sslmode=require`, `verify-ca` or `verify-full`")]
    TooWeakForDirectTls,
    /// No version of TLS is allowed.
    #[error("`ssl_max_protocol_version` is lower than `ssl_min_protocol_version`; if that is not set, it is `TLSv1.2`")]
    NoTlsVersion,
    /// One list is longer than another.
    #[error("there are more or fewer ports or addresses than hosts")]
    HostLists,
    /// PostgreSQL ends a value with this character.
    #[error("the {0} has the character NUL, which PostgreSQL does not accept")]
    Nul(&'static str),
    /// libpq would use the name of the system's user.
    #[error("no role is given, and the system's user has no name in /etc/passwd")]
    NoUser,
    /// The service file has no such service, or one that is not valid.
    #[error("the service `{service}` cannot be used: {why}")]
    Service {
        /// Its name.
        service: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Diagnostic for LibpqError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Configuration
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoRootCertificate(_) => {
                "add `sslrootcert=FILE`, with the certificate of the CA, to the database URL, \
                                           or `sslrootcert=system` to trust the CAs of this machine"
                    .into()
            }
            Self::TooWeakForDirectTls => "add `sslmode=verify-full` to the database URL".into(),
            Self::NoTlsVersion => "leave out both, unless the server is older than TLS 1.2".into(),
            Self::HostLists => "name a port and an address for each host, or one port for all".into(),
            Self::Nul(_) => "remove `%00` from the database URL, or the character from where the value is".into(),
            Self::NoUser => "name the role in the database URL, or in `PGUSER`".into(),
            Self::TooWeakForSystemRoots => "set `sslmode=verify-full`".into(),
            Self::Service { .. } => {
                "check `PGSERVICE` and the file that `PGSERVICEFILE` names, or ~/.pg_service.conf".into()
            }
        })
    }
}
