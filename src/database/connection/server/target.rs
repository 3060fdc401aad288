//! Whether a server is one that was asked for: `target_session_attrs`.

use super::failure::{Failure, Reach};
use super::messages::Messages;
use crate::database::failure::ErrorClass;
use crate::database::url::TargetServer;

/// Makes sure that the server will do.
pub(super) async fn require(messages: &mut Messages, greeting: &[u8], target: TargetServer) -> Result<(), Failure> {
    let unwanted = |class, message: &str| Err(Failure::new(Reach::Host, class, message.to_owned()));
    match target {
        TargetServer::ReadWrite if is_read_only(messages, greeting).await? => {
            unwanted(ErrorClass::ReadOnly, "its sessions are read-only, and `target_session_attrs=read-write`")
        }
        TargetServer::ReadOnly if !is_read_only(messages, greeting).await? => {
            unwanted(ErrorClass::Configuration, "its sessions are not read-only, and `target_session_attrs=read-only`")
        }
        TargetServer::Primary if is_standby(messages, greeting).await? => {
            unwanted(ErrorClass::Standby, "the server is a standby, and `target_session_attrs=primary`")
        }
        TargetServer::Standby if !is_standby(messages, greeting).await? => {
            unwanted(ErrorClass::Configuration, "the server is no standby, and `target_session_attrs=standby`")
        }
        _ => Ok(()),
    }
}

/// Servers since version 14 report it; others and poolers are asked.
async fn is_read_only(messages: &mut Messages, greeting: &[u8]) -> Result<bool, Failure> {
    match (is_on(greeting, "default_transaction_read_only"), is_on(greeting, "in_hot_standby")) {
        (Some(by_default), Some(standby)) => Ok(by_default || standby),
        _ => Ok(messages.ask("SHOW transaction_read_only").await? == b"on"),
    }
}

async fn is_standby(messages: &mut Messages, greeting: &[u8]) -> Result<bool, Failure> {
    match is_on(greeting, "in_hot_standby") {
        Some(standby) => Ok(standby),
        None => Ok(messages.ask("SELECT pg_catalog.pg_is_in_recovery()").await? == b"t"),
    }
}

/// Whether a parameter is on, if the server has reported it.
fn is_on(greeting: &[u8], name: &str) -> Option<bool> {
    reported(greeting, name).map(|value| value == b"on")
}

/// The value of a parameter, if the server has reported it.
pub(super) fn reported<'g>(mut greeting: &'g [u8], name: &str) -> Option<&'g [u8]> {
    while let Some((head, _)) = greeting.split_first_chunk::<5>() {
        let length = usize::try_from(u32::from_be_bytes([head[1], head[2], head[3], head[4]])).ok()?;
        let message = greeting.get(..=length)?;
        let mut words = message.get(5..)?.split(|byte| *byte == 0);
        if head[0] == b'S' && words.next() == Some(name.as_bytes()) {
            return words.next();
        }
        greeting = &greeting[length + 1..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reported_parameter_is_found() {
        let greeting = b"S\0\0\0\x08a\0b\0S\0\0\0\x16in_hot_standby\0on\0Z\0\0\0\x05I";
        assert_eq!(is_on(greeting, "in_hot_standby"), Some(true));
        assert_eq!((is_on(greeting, "a"), reported(greeting, "a")), (Some(false), Some(&b"b"[..])));
        assert_eq!(reported(greeting, "other"), None);
        assert_eq!(reported(b"S\xff\xff\xff\xff", "a"), None);
    }
}
