//! libpq's service file: <https://www.postgresql.org/docs/current/libpq-pgservice.html>.

use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::error::{LibpqError, SettingsError};
use super::libpq_files::home;
use crate::database::url::{KEYWORDS, PostgresqlAddress, is_url, trimmed};
use crate::format::io_message;

/// Adds the parameters of the address's service that it does not have itself.
///
/// # Errors
/// [`SettingsError`] if no file has the service, or a line of it is not valid.
pub(super) fn complete(address: &mut PostgresqlAddress, environment: &Environment) -> Result<(), SettingsError> {
    let Some(service) = address.service.clone() else { return Ok(()) };
    if environment.get("PGSERVICEFILE").is_some_and(|path| path.is_empty()) {
        return Err(unusable(&service, "`PGSERVICEFILE` is empty".to_owned()));
    }
    for path in paths(environment) {
        let text = match std::fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => {
                return Err(unusable(&service, format!("cannot read {}: {}", path.display(), io_message(&error))));
            }
        };
        if let Some(number) = too_long(&text, &service) {
            let what = format!("line {number} of {} is longer than {LONGEST_LINE} bytes", path.display());
            return Err(unusable(&service, what));
        }
        let Some(lines) = section(&text, &service) else { continue };
        for (number, line) in lines {
            require_sound(line)
                .and_then(|()| set(address, trimmed(line)))
                .map_err(|what| unusable(&service, format!("{what} ({} line {number})", path.display())))?;
        }
        return Ok(());
    }
    Err(unusable(&service, "no service file has it".to_owned()))
}

fn unusable(service: &str, why: String) -> SettingsError {
    LibpqError::Service { service: service.to_owned(), why }.into()
}

/// The file that `PGSERVICEFILE` names, or that of the user; and that of the machine, if they exist.
fn paths(environment: &Environment) -> Vec<PathBuf> {
    let named = |name: &str| environment.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let of_user = named("PGSERVICEFILE");
    let of_home = home(environment).map(|home| home.join(".pg_service.conf")).filter(|path| path.exists());
    let of_machine = match environment.get("PGSYSCONFDIR") {
        // libpq writes a slash behind it.
        Some(empty) if empty.is_empty() => Path::new("/"),
        Some(directory) => Path::new(directory),
        None => Path::new("/etc/postgresql-common"),
    };
    let of_machine = Some(of_machine.join("pg_service.conf")).filter(|path| path.exists());
    of_user.or(of_home).into_iter().chain(of_machine).collect()
}

/// The lines of a section, with their numbers.
fn section<'t>(text: &'t str, service: &str) -> Option<Vec<(usize, &'t str)>> {
    let lines = text.lines().zip(1..).map(|(line, number)| (number, line));
    let mut lines = lines.filter(|(_, line)| !trimmed(line).is_empty() && !trimmed(line).starts_with('#'));
    // libpq does not look at what follows the bracket.
    lines.find(|(_, line)| trimmed(line).starts_with(&format!("[{service}]")))?;
    Some(lines.take_while(|(_, line)| !trimmed(line).starts_with('[')).collect())
}

/// libpq's limit of a line, with its end.
const LONGEST_LINE: usize = 1022;

/// The number of a line that is too long for libpq, which reads up to the end of the section.
fn too_long(text: &str, service: &str) -> Option<usize> {
    let mut is_found = false;
    for (line, number) in text.lines().zip(1..) {
        if line.len() >= LONGEST_LINE {
            return Some(number);
        }
        if trimmed(line).starts_with('[') {
            if is_found {
                return None;
            }
            is_found = trimmed(line).starts_with(&format!("[{service}]"));
        }
    }
    None
}

/// Makes sure that libpq reads the same line.
fn require_sound(line: &str) -> Result<(), String> {
    if line.contains(char::REPLACEMENT_CHARACTER) {
        return Err("a line is not UTF-8".to_owned());
    }
    Ok(())
}

/// Other names of `sslmode`, which libpq does not take from a file.
const ONLY_IN_URLS: [&str; 2] = ["ssl", "requiressl"];

/// Sets a parameter, unless the address has it.
fn set(address: &mut PostgresqlAddress, line: &str) -> Result<(), String> {
    let (name, value) = line.split_once('=').ok_or("a line is not `parameter=value`")?;
    if name == "service" {
        return Err("a service has no service".to_owned());
    }
    let keyword = KEYWORDS.iter().find(|keyword| keyword.name == name && !ONLY_IN_URLS.contains(&name));
    // A line with a URL, such as one of LDAP, may have a login.
    let shown = || if is_url(name) { "a URL".to_owned() } else { format!("`{name}`") };
    let keyword = keyword.ok_or_else(|| format!("{} is not supported", shown()))?;
    // An empty value hides the variable and further lines, too.
    if !address.given.insert(keyword.name) || (value.is_empty() && !keyword.keeps_empty()) {
        return Ok(());
    }
    keyword.apply(address, value).map_err(|expected| format!("`{name}` is not {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_value_is_the_default_or_an_error_and_hides_other_values() {
        let mut address = PostgresqlAddress::new("db", 1, None, None, None);
        for line in ["password=", "user=", "dbname=", "application_name=", "user=other"] {
            set(&mut address, line).expect("it is the default");
        }
        assert!(address.password.is_none() && address.user.is_none() && address.database.is_none());
        assert!(["password", "user", "dbname", "application_name"].iter().all(|name| address.given.contains(name)));
        for name in ["sslmode", "target_session_attrs", "channel_binding", "connect_timeout", "keepalives_idle"] {
            assert!(set(&mut address, &format!("{name}=")).is_err(), "{name}");
        }
    }

    #[test]
    fn blanks_of_ascii_end_a_line_and_others_belong_to_it() {
        let section =
            section("[a] # production\n\x0b password=x \t\x0c\r\n password=y\u{a0}\n", "a").expect("a section");
        let lines: Vec<_> = section.iter().map(|(_, line)| trimmed(line)).collect();
        assert_eq!(lines, ["password=x", "password=y\u{a0}"]);
    }

    #[test]
    fn a_section_ends_where_the_next_begins() {
        let text = "# one\n[a]\nhost=x\n\n  port=1  \n[b]\nhost=y\n";
        assert_eq!(section(text, "a"), Some(vec![(3, "host=x"), (5, "  port=1  ")]));
        assert_eq!(section(text, "b"), Some(vec![(7, "host=y")]));
        assert_eq!(section(text, "c"), None);
    }
}
