//! A cause that the bridge to a server found, on its way through the driver: the bridge answers the driver as a server
//! would, and the driver returns that answer as an error. It is not one that the driver retries by itself.

use std::sync::Mutex;

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};
use sqlx::postgres::PgDatabaseError;

use super::class::ErrorClass;
use super::postgresql::ServerAnswer;
use crate::mutex::lock;

/// Why the connection ended that ended last: the driver does not read it while it sends the rows of a COPY, and loses it
/// at their end.
static LAST_WORDS: Mutex<Option<(ErrorClass, String)>> = Mutex::new(None);

/// Keeps the reason of a connection that has ended, if it is known.
pub(crate) fn set_last_words(words: Option<(ErrorClass, String)>) {
    *lock(&LAST_WORDS) = words;
}

/// The reason of the connection that has ended last, once.
#[must_use]
pub(super) fn take_last_words() -> Option<(ErrorClass, String)> {
    lock(&LAST_WORDS).take()
}

/// In the place of the SQLSTATE. No server uses it.
const CODE: &str = "TDB00";

/// The answer that brings a class, a message, a hint and what a server said beside the message to [`read`].
#[must_use]
pub(super) fn answer(class: ErrorClass, message: &str, hint: Option<&str>, server: Option<&ServerAnswer>) -> Vec<u8> {
    let class = serde_json::to_value(class).unwrap_or_default();
    // A zero byte ends a field.
    let message = message.replace('\0', " ");
    let server = server.map(|server| serde_json::to_string(server).unwrap_or_default());
    let class = class.as_str().unwrap_or_default();
    let fields = [('S', "FATAL"), ('V', "FATAL"), ('C', CODE), ('M', &message), ('R', class)];
    let others = [('D', server.as_deref()), ('H', hint)];
    let others = others.into_iter().filter_map(|(field, value)| Some((field, value?)));
    let fields = fields.into_iter().chain(others);
    let body = fields.map(|(field, value)| format!("{field}{value}\0")).collect::<Vec<_>>().concat();
    let length = u32::try_from(body.len() + 5).unwrap_or(u32::MAX);
    [b"E", &length.to_be_bytes()[..], body.as_bytes(), b"\0"].concat()
}

/// What [`answer`] was made of, if the bridge sent it.
#[must_use]
pub(super) fn read(answer: &PgDatabaseError) -> Option<(ErrorClass, &str, Option<&str>, Option<ServerAnswer>)> {
    let class: StrDeserializer<'_, Error> = answer.routine().filter(|_| answer.code() == CODE)?.into_deserializer();
    let server = answer.detail().and_then(|server| serde_json::from_str(server).ok());
    let class = ErrorClass::deserialize(class).unwrap_or(ErrorClass::Other);
    Some((class, answer.message(), answer.hint(), server))
}
