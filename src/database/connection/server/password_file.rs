//! The password file: <https://www.postgresql.org/docs/current/libpq-pgpass.html>.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::database::url::{HostPlace, PostgresqlAddress, Secret};

/// The directories of sockets that the file calls `localhost`.
const SOCKET_DIRECTORIES: [&str; 2] = ["/tmp", "/var/run/postgresql"];

/// The password of a login, or why there is none.
#[derive(Debug, Clone)]
pub(super) enum Password {
    Known(Secret),
    None,
    /// The password file is not used, for this reason.
    Ignored(String),
}

/// The password of the address, otherwise that of the file. It is read for each login, because it may change.
pub(super) fn password(address: &PostgresqlAddress, host: HostPlace<'_>) -> Password {
    match (&address.password, &address.password_file) {
        (Some(password), _) => Password::Known(password.clone()),
        (None, Some(path)) => in_file(path, address, host),
        (None, None) => Password::None,
    }
}

fn in_file(path: &Path, address: &PostgresqlAddress, host: HostPlace<'_>) -> Password {
    let Ok(metadata) = std::fs::metadata(path) else { return Password::None };
    if !metadata.is_file() {
        return Password::Ignored(format!("the password file {} is not a regular file", path.display()));
    }
    if metadata.mode() & 0o077 != 0 {
        let path = path.display();
        return Password::Ignored(format!(
            "the password file {path} is ignored because others have access (allow 0600)"
        ));
    }
    let Ok(text) = std::fs::read_to_string(path) else { return Password::None };
    let name = if host.name.is_empty() { host.host } else { host.name };
    let name = if SOCKET_DIRECTORIES.contains(&name) { "localhost" } else { name };
    let user = address.user.as_deref().unwrap_or_default();
    let wanted = [name, &host.port.to_string(), address.database.as_deref().unwrap_or(user), user];
    match text.lines().find_map(|line| of_line(line, &wanted)) {
        Some(password) => Password::Known(Secret::new(password)),
        None => Password::None,
    }
}

/// The password of a line, if it is for this host, port, database and user.
fn of_line(line: &str, wanted: &[&str; 4]) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let mut rest = line;
    for wanted in wanted {
        let (field, after) = field(rest)?;
        let is_any = rest.starts_with("*:");
        if !is_any && field != *wanted {
            return None;
        }
        rest = after;
    }
    let (password, _) = field(rest).unwrap_or_else(|| (unescaped(rest), ""));
    Some(password)
}

/// The text before the next colon that has no backslash, and the rest behind it.
fn field(text: &str) -> Option<(String, &str)> {
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            ':' if !is_escaped => return Some((unescaped(&text[..at]), &text[at + 1..])),
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    None
}

fn unescaped(text: &str) -> String {
    let mut characters = text.chars();
    let mut plain = String::new();
    while let Some(c) = characters.next() {
        plain.extend(if c == '\\' { characters.next() } else { Some(c) });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: [&str; 4] = ["db", "5432", "history", "tarsy"];

    #[test]
    fn the_fields_of_a_line_decide() {
        let of = |line: &str| of_line(line, &WANTED);
        assert_eq!(of("db:5432:history:tarsy:secret").as_deref(), Some("secret"));
        assert_eq!(of("*:*:*:*:secret").as_deref(), Some("secret"));
        assert_eq!(of(r"db:*:*:tarsy:with\:colon\\and backslash").as_deref(), Some(r"with:colon\and backslash"));
        assert_eq!(of(r"d\b:*:*:tarsy:secret:comment").as_deref(), Some("secret"));
        // The first line that fits counts, also without a password.
        assert_eq!(of("*:*:*:*:").as_deref(), Some(""));
        for line in ["db:5433:history:tarsy:x", "db:5432:history:other:x", "#*:*:*:*:x", "*:*", ""] {
            assert_eq!(of(line), None, "{line}");
        }
    }
}
