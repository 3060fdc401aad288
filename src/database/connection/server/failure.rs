//! A failed attempt to connect to a server, and what it rules out.

use crate::database::failure::{Answer, CLIENT_REJECTED, DatabaseCause, ErrorClass, OTHER_PROGRAM};

/// The ends of OpenSSL's reasons for which a server closes TLS because of the certificate of its client.
const REJECTIONS: [&str; 7] = [
    "alert bad certificate",
    "alert certificate expired",
    "alert certificate required",
    "alert certificate revoked",
    "alert certificate unknown",
    "alert unknown ca",
    "alert unsupported certificate",
];

/// What a failed attempt rules out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// This kind of encryption: plain text may be accepted where TLS is not, and the other way round.
    Encryption,
    /// This address of the host.
    Address,
    /// This host.
    Host,
    /// Any connection.
    Everything,
}

/// Why an attempt failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reach: Reach,
    pub(super) cause: DatabaseCause,
}

impl Failure {
    pub(super) fn new(reach: Reach, class: ErrorClass, message: String) -> Self {
        Self { reach, cause: DatabaseCause::new(class, message) }
    }

    /// The server's refusal.
    pub(super) fn of_answer(answer: &Answer<'_>, reach: Reach) -> Self {
        // Another encryption would not help a server that is starting up; another host may. After the login libpq stops.
        let reach = if answer.code == "57P03" && reach == Reach::Encryption { Reach::Host } else { reach };
        Self { reach, cause: DatabaseCause::of_login(answer) }
    }

    /// An error of the operating system.
    pub(super) fn of_io(error: &std::io::Error, reach: Reach) -> Self {
        let mut cause = DatabaseCause::of_io(error);
        if cause.class == ErrorClass::InputOutput {
            cause.class = ErrorClass::Unreachable;
        }
        Self { reach, cause }
    }

    /// An error of TLS itself.
    pub(super) fn of_tls(error: &openssl::ssl::Error, reach: Reach) -> Self {
        let reason = error.ssl_error().and_then(|stack| stack.errors().first()?.reason());
        let cause = match (error.io_error(), reason) {
            (Some(error), _) => DatabaseCause::of_io(error),
            (None, Some(reason)) => match REJECTIONS.iter().find(|words| reason.ends_with(*words)) {
                Some(words) => DatabaseCause::new(ErrorClass::Tls, format!("{CLIENT_REJECTED} ({words})")),
                None => DatabaseCause::new(ErrorClass::Tls, format!("TLS failed: {reason}")),
            },
            (None, None) => DatabaseCause::of_io(&std::io::ErrorKind::UnexpectedEof.into()),
        };
        Self { reach, cause }
    }

    /// A server that violates the protocol.
    pub(super) fn of_protocol(what: &str) -> Self {
        Self::new(Reach::Everything, ErrorClass::ConnectionLost, format!("{what}; {OTHER_PROGRAM}"))
    }
}

/// A connection that broke during the login.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let tls = error.get_ref().and_then(|error| error.downcast_ref::<openssl::ssl::Error>());
        match (tls, error.kind()) {
            (Some(tls), _) => Self::of_tls(tls, Reach::Everything),
            (None, std::io::ErrorKind::InvalidData) => Self::of_protocol(&error.to_string()),
            (None, _) => Self::of_io(&error, Reach::Everything),
        }
    }
}
