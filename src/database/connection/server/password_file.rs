//! The password file: <https://www.postgresql.org/docs/current/libpq-pgpass.html>.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::database::failure::{PASSWORD_FILE, PASSWORD_FILE_OPEN_TO_OTHERS};
use crate::database::url::{HostPlace, PostgresqlAddress};

/// The directory of sockets that the file calls `localhost`: the default one of the backend's libpq.
const SOCKET_DIRECTORY: &str = "/var/run/postgresql";

/// The password of a login, or why there is none.
pub(super) enum Password {
    /// In no particular encoding.
    Known(Vec<u8>),
    /// The same, from this password file.
    InFile(Vec<u8>, PathBuf),
    None,
    /// The password file is not used, for this reason.
    Ignored(String),
}

/// The password of the address, otherwise that of the file. It is read for each login, because it may change.
pub(super) fn password(address: &PostgresqlAddress, host: HostPlace<'_>) -> Password {
    match (&address.password, &address.password_file) {
        (Some(password), _) => Password::Known(password.expose().as_bytes().to_vec()),
        (None, Some(path)) => in_file(path, address, host),
        (None, None) => Password::None,
    }
}

fn in_file(path: &Path, address: &PostgresqlAddress, host: HostPlace<'_>) -> Password {
    let Ok(metadata) = std::fs::metadata(path) else { return Password::None };
    if !metadata.is_file() {
        return Password::Ignored(format!("{PASSWORD_FILE}{} is not a regular file", path.display()));
    }
    if metadata.mode() & 0o077 != 0 {
        return Password::Ignored(format!("{PASSWORD_FILE}{}{PASSWORD_FILE_OPEN_TO_OTHERS}", path.display()));
    }
    let Ok(text) = std::fs::read(path) else { return Password::None };
    let name = if host.name.is_empty() { host.host } else { host.name };
    let name = if name == SOCKET_DIRECTORY { "localhost" } else { name };
    let user = address.user.as_deref().unwrap_or_default();
    let wanted = [name, &host.port.to_string(), address.database.as_deref().unwrap_or(user), user];
    let found = text.split(|byte| *byte == b'\n').find_map(|line| of_line(line, &wanted));
    found.map_or(Password::None, |password| Password::InFile(password, path.to_owned()))
}

/// The password of a line, if it is for this host, port, database and user.
fn of_line(line: &[u8], wanted: &[&str; 4]) -> Option<Vec<u8>> {
    if line.starts_with(b"#") {
        return None;
    }
    let end = line.iter().rposition(|byte| *byte != b'\r').map_or(0, |last| last + 1);
    let line = &line[..end];
    let rest = wanted.iter().try_fold(line, |rest, wanted| after_field(rest, wanted.as_bytes()))?;
    let mut password = Vec::new();
    let mut bytes = rest.iter();
    while let Some(byte) = bytes.next().filter(|byte| **byte != b':') {
        password.push(if *byte == b'\\' { *bytes.next().unwrap_or(byte) } else { *byte });
    }
    Some(password)
}

/// What follows a field that has this value, or is `*`. A backslash takes the meaning of the byte behind it; the value may
/// have a colon also without one.
fn after_field<'l>(line: &'l [u8], value: &[u8]) -> Option<&'l [u8]> {
    if let Some(rest) = line.strip_prefix(b"*:") {
        return Some(rest);
    }
    let mut rest = line;
    for wanted in value {
        rest = rest.strip_prefix(b"\\").unwrap_or(rest).strip_prefix(std::slice::from_ref(wanted))?;
    }
    rest.strip_prefix(b":")
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const WANTED: [&str; 4] = ["db", "5432", "history", "tarsy"];

    #[test]
    fn the_fields_of_a_line_decide() {
        let of = |line: &str| of_line(line.as_bytes(), &WANTED).map(|found| String::from_utf8(found).expect("UTF-8"));
        assert_eq!(of("db:5432:history:tarsy:secret").as_deref(), Some("secret"));
        assert_eq!(of("*:*:*:*:secret").as_deref(), Some("secret"));
        assert_eq!(of(r"db:*:*:tarsy:with\:colon\\and backslash").as_deref(), Some(r"with:colon\and backslash"));
        assert_eq!(of(r"d\b:*:*:tarsy:secret:comment").as_deref(), Some("secret"));
        let local = ["::1", "5432", "history", "tarsy"];
        assert_eq!(of_line(b"::1:*:*:*:\xff", &local).as_deref(), Some(&b"\xff"[..]));
        // The first line that fits counts, also without a password.
        assert_eq!(of("*:*:*:*:").as_deref(), Some(""));
        assert_eq!(of("*:*:*:*:with\rreturn\r\r").as_deref(), Some("with\rreturn"));
        for line in ["db:5433:history:tarsy:x", "db:5432:history:other:x", "#*:*:*:*:x", "*:*", ""] {
            assert_eq!(of(line), None, "{line}");
        }
    }

    #[test]
    fn the_name_localhost_is_for_the_default_directory_of_sockets_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("passwords");
        std::fs::write(&file, "localhost:*:*:*:secret\n").expect("the file can be written");
        std::fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("it is ours");
        let address = PostgresqlAddress::new("", 1, None, None, None);
        let is_found = |host| {
            let found = in_file(&file, &address, HostPlace { name: host, host, port: 5432 });
            matches!(found, Password::InFile(..))
        };
        let hosts = ["localhost", "/var/run/postgresql", "/tmp", "/run/postgresql"];
        assert_eq!(hosts.map(is_found), [true, true, false, false]);
    }
}
