//! Whether the server behind a Unix socket is run by the system's user that was asked for: `requirepeer`.

use super::failure::{Failure, Reach};
use super::socket::Socket;
use crate::database::failure::ErrorClass;
use crate::fs::system_user;

pub(super) fn require(socket: &Socket, required: Option<&str>) -> Result<(), Failure> {
    let (Socket::Unix(stream), Some(required)) = (socket, required) else { return Ok(()) };
    let number = stream.peer_cred()?.uid();
    let found = system_user::name_of(number);
    if found.as_deref() == Some(required) {
        return Ok(());
    }
    let found = found.map_or_else(|| format!("the user {number}"), |name| format!("`{name}`"));
    let message = format!("the server is run by {found}, and `requirepeer` is `{required}`");
    Err(Failure::new(Reach::Everything, ErrorClass::Configuration, message))
}
