//! What went wrong below the database: input and output, TLS, the protocol.

use std::io::ErrorKind;

use super::class::ErrorClass;

/// Classes an error of the operating system's, or of what is between it and the driver.
pub(crate) fn io_class(error: &std::io::Error) -> ErrorClass {
    match error.kind() {
        // A socket directory without a socket is a server that does not run.
        ErrorKind::ConnectionRefused | ErrorKind::NotFound => ErrorClass::Refused,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => ErrorClass::Unreachable,
        ErrorKind::TimedOut => ErrorClass::TimedOut,
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => ErrorClass::ConnectionLost,
        ErrorKind::PermissionDenied => ErrorClass::Privilege,
        ErrorKind::InvalidData if error.to_string().starts_with(INVALID_CERTIFICATE) => ErrorClass::Certificate,
        // The only other data that is looked at while connecting is the server's part of TLS.
        ErrorKind::InvalidData => ErrorClass::Tls,
        // std gives a failed look-up no kind of its own.
        _ if error.to_string().contains("lookup address") => ErrorClass::NameResolution,
        _ => ErrorClass::InputOutput,
    }
}

/// How the TLS library's words about a certificate begin.
const INVALID_CERTIFICATE: &str = "invalid peer certificate: ";
/// The server's certificate is from another CA than those that are trusted.
pub(crate) const UNKNOWN_CA: &str = "the server's certificate is not from a CA that is trusted";

/// What is wrong with a certificate; some of the TLS library's words for it are names of its own.
pub(crate) fn certificate_message(text: &str) -> String {
    match text.strip_prefix(INVALID_CERTIFICATE).unwrap_or(text) {
        "UnknownIssuer" => UNKNOWN_CA.to_owned(),
        what if what.contains("CaUsedAsEndEntity") => {
            "the server presents the certificate of a CA (`CA:TRUE`) as its own, which is not accepted".to_owned()
        }
        what => format!("the server's certificate is not accepted: {what}"),
    }
}

/// What to ask where a server does not keep to the protocol.
pub(crate) const OTHER_PROGRAM: &str = "does something other than PostgreSQL answer at this host and port?";

/// What breaks the protocol, without the place in the driver that found it: `(sqlx_postgres::message:139)`.
pub(crate) fn protocol_message(text: &str) -> String {
    let what = match text.rsplit_once(" (") {
        Some((what, place)) if place.starts_with("sqlx") && place.ends_with(')') => what,
        _ => text,
    };
    match what {
        // The driver reads a byte where there is none.
        "unexpected response from SSLRequest: 0x00" => CLOSED.to_owned(),
        _ => format!("{what}; {OTHER_PROGRAM}"),
    }
}

/// What a connection that has ended is called.
const CLOSED: &str = "the connection was closed by the other end";

/// The text of an I/O error without the operating system's number behind it.
pub(crate) fn io_message(error: &std::io::Error) -> String {
    // The driver's words for it count bytes.
    if error.kind() == ErrorKind::UnexpectedEof {
        return CLOSED.to_owned();
    }
    let text = error.to_string();
    match text.rsplit_once(" (os error") {
        Some((text, _)) => text.to_lowercase(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Error;

    use super::*;

    #[test]
    fn what_breaks_the_protocol_is_told_without_the_place_in_the_driver() {
        let told = protocol_message("unknown message type: 'H' (sqlx_postgres::message:139)");
        assert_eq!(told, format!("unknown message type: 'H'; {OTHER_PROGRAM}"));
        let kept = protocol_message("unknown message (of three)");
        assert_eq!(kept, format!("unknown message (of three); {OTHER_PROGRAM}"));
        assert_eq!(protocol_message("unexpected response from SSLRequest: 0x00"), CLOSED);
    }

    #[test]
    fn a_certificate_is_told_from_other_trouble_with_tls() {
        let invalid = |text: &str| Error::new(ErrorKind::InvalidData, text.to_owned());
        assert_eq!(io_class(&invalid("invalid peer certificate: UnknownIssuer")), ErrorClass::Certificate);
        assert_eq!(io_class(&invalid("received corrupt message")), ErrorClass::Tls);
        assert_eq!(certificate_message("invalid peer certificate: UnknownIssuer"), UNKNOWN_CA);
    }

    #[test]
    fn an_error_of_the_operating_system_has_no_number() {
        assert_eq!(io_message(&Error::from_raw_os_error(2)), "no such file or directory");
        assert_eq!(io_message(&Error::new(ErrorKind::UnexpectedEof, "got 0 bytes at EOF")), CLOSED);
    }
}
