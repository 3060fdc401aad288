//! Why the settings cannot be used.

use crate::database::url::UrlError;
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;

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

/// Why a connection would lead elsewhere than libpq's, or be less protected.
#[derive(Debug, thiserror::Error)]
pub enum LibpqError {
    /// `verify-ca` would trust every public CA, and those sign certificates for everyone.
    #[error(
        "`sslmode=verify-ca` needs the certificate of a CA, and neither `sslrootcert` nor `PGSSLROOTCERT` names one"
    )]
    NoRootCertificate,
    /// The same, asked for.
    #[error("`sslrootcert=system` needs `sslmode=verify-full`: the public CAs sign certificates for every host")]
    TooWeakForSystemRoots,
    /// A variable or a file that libpq would heed.
    #[error("`{name}` asks for {what}, which tarsy-db does not support")]
    Unsupported {
        /// The variable or the file.
        name: String,
        /// What it asks for.
        what: &'static str,
    },
}

impl Diagnostic for LibpqError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Configuration
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoRootCertificate => "add `sslrootcert=FILE` with the CA's certificate to the database URL".into(),
            Self::TooWeakForSystemRoots => "set `sslmode=verify-full`".into(),
            Self::Unsupported { name, .. } => {
                format!("if the connection is right without it, run tarsy-db without `{name}`")
            }
        })
    }
}
