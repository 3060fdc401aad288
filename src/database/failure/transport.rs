//! Errors below the database: input and output, the protocol.

use std::io::ErrorKind;

use super::class::ErrorClass;
use crate::format;
use crate::fs::open_files;

/// Classifies an error of the operating system.
pub(crate) fn io_class(error: &std::io::Error) -> ErrorClass {
    match error.kind() {
        // A socket directory without a socket: the server does not run.
        ErrorKind::ConnectionRefused | ErrorKind::NotFound => ErrorClass::Refused,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => ErrorClass::Unreachable,
        ErrorKind::TimedOut => ErrorClass::TimedOut,
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => ErrorClass::ConnectionLost,
        // A path that no socket or file can have.
        ErrorKind::InvalidInput => ErrorClass::Configuration,
        ErrorKind::PermissionDenied => ErrorClass::FilePermission,
        // std has no error kind for a failed name lookup.
        _ if error.to_string().contains("lookup address") => ErrorClass::NameResolution,
        _ if open_files::are_too_many(error) => ErrorClass::OutOfResources,
        _ => ErrorClass::InputOutput,
    }
}

/// How a server's refusal of the certificate of this client begins.
pub(crate) const CLIENT_REJECTED: &str = "the server rejects the certificate of this client";

/// Appended where a server violates the protocol.
pub(crate) const OTHER_PROGRAM: &str = "is another program than PostgreSQL listening on this host and port?";

/// The protocol error without the place in the driver that found it: `(sqlx_postgres::message:139)`.
pub(crate) fn protocol_message(text: &str) -> String {
    let what = match text.rsplit_once(" (") {
        Some((what, place)) if place.starts_with("sqlx") && place.ends_with(')') => what,
        _ => text,
    };
    format!("{what}; {OTHER_PROGRAM}")
}

/// The message for a connection that has ended.
const CLOSED: &str = "the other end closed the connection";

/// As [`format::io_message`], for errors of a connection as well.
pub(crate) fn io_message(error: &std::io::Error) -> String {
    // The driver's own message counts bytes.
    if error.kind() == ErrorKind::UnexpectedEof {
        return CLOSED.to_owned();
    }
    format::io_message(error)
}

#[cfg(test)]
mod tests {
    use std::io::Error;

    use super::*;

    #[test]
    fn a_protocol_error_is_reported_without_the_place_in_the_driver() {
        let shown = protocol_message("unknown message type: 'H' (sqlx_postgres::message:139)");
        assert_eq!(shown, format!("unknown message type: 'H'; {OTHER_PROGRAM}"));
        let kept = protocol_message("unknown message (of three)");
        assert_eq!(kept, format!("unknown message (of three); {OTHER_PROGRAM}"));
    }

    #[test]
    fn an_error_of_the_operating_system_has_no_number() {
        assert_eq!(io_message(&Error::from_raw_os_error(2)), "no such file or directory");
        assert_eq!(io_message(&Error::new(ErrorKind::UnexpectedEof, "got 0 bytes at EOF")), CLOSED);
    }
}
