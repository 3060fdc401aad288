//! Counts, sizes, percentages, durations and times as text: the only place where figures are formatted. Also errors of
//! the operating system.

use std::io::ErrorKind;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

/// `1,234`.
#[must_use]
pub(crate) fn number(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

/// `1 row`, `1,234 rows`, `2 batches`.
#[must_use]
pub(crate) fn counted(count: u64, what: &str) -> String {
    let ending = match count {
        1 => "",
        _ if what.ends_with("ch") => "es",
        _ => "s",
    };
    format!("{} {what}{ending}", number(count))
}

/// Bytes in binary units: `512 B`, `1.2 GiB`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1024.0, "KiB");
    for larger in ["MiB", "GiB", "TiB", "PiB", "EiB"] {
        // 1023.95 would be shown as 1024.0.
        if value < 1023.95 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    format!("{value:.1} {unit}")
}

/// A share, 1 for all, as a percentage: `72.7 %`.
#[must_use]
pub(crate) fn percentage(share: f64) -> String {
    format!("{} %", (share * 1000.0).round() / 10.0)
}

/// A duration as the flags take it, rounded to the figures that matter: `90d`, `1m 30s`, `1s 500ms`, `250ms`.
#[must_use]
pub(crate) fn duration(duration: Duration) -> String {
    const DAY: u64 = 86_400;
    if duration.subsec_nanos() == 0 && duration.as_secs() > 0 && duration.as_secs().is_multiple_of(DAY) {
        return format!("{}d", duration.as_secs() / DAY);
    }
    let unit = match duration {
        _ if duration < Duration::from_millis(1) => Duration::from_micros(1),
        _ if duration < Duration::from_secs(1) => Duration::from_millis(1),
        _ if duration < Duration::from_mins(1) => Duration::from_millis(100),
        _ => Duration::from_secs(1),
    };
    let units = duration.saturating_add(unit / 2).as_nanos() / unit.as_nanos();
    let rounded = u32::try_from(units).map_or(duration, |units| unit * units);
    humantime::format_duration(rounded).to_string()
}

/// Microseconds since the epoch as RFC 3339 in UTC, to the second: `2026-08-30T12:00:00Z`. `None` beyond what chrono
/// can say.
#[must_use]
pub(crate) fn time(microseconds: i64) -> Option<String> {
    rfc3339(microseconds, SecondsFormat::Secs)
}

/// As [`time`], with the microseconds where there are some: for JSON and for cutoffs.
#[must_use]
pub(crate) fn exact_time(microseconds: i64) -> Option<String> {
    rfc3339(microseconds, SecondsFormat::AutoSi)
}

fn rfc3339(microseconds: i64, precision: SecondsFormat) -> Option<String> {
    DateTime::<Utc>::from_timestamp_micros(microseconds).map(|time| time.to_rfc3339_opts(precision, true))
}

/// An I/O error without the operating system's error number, and in lowercase as all messages: `no such file or
/// directory`.
#[must_use]
pub(crate) fn io_message(error: &std::io::Error) -> String {
    let text = error.to_string();
    match (text.rsplit_once(" (os error"), error.get_ref()) {
        (Some((text, _)), _) => text.to_lowercase(),
        (None, Some(_)) => text,
        // The words of the standard library are about entities.
        (None, None) => match error.kind() {
            ErrorKind::AlreadyExists => "the file exists".to_owned(),
            ErrorKind::NotFound => "no such file or directory".to_owned(),
            _ => text,
        },
    }
}

/// The text of a cause; an I/O error as [`io_message`].
#[must_use]
pub(crate) fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    error.downcast_ref().map_or_else(|| error.to_string(), io_message)
}

/// A word of a command to paste, in quotes if a shell would change it.
#[must_use]
pub(crate) fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=%@+,".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_and_one_is_singular() {
        let counts = [0, 1, 2, 1234].map(|count| counted(count, "row"));
        assert_eq!(counts, ["0 rows", "1 row", "2 rows", "1,234 rows"]);
        assert_eq!([counted(1, "batch"), counted(2, "batch")], ["1 batch", "2 batches"]);
    }

    #[test]
    fn sizes_have_one_decimal_and_the_unit_that_fits() {
        let sizes = [0, 1023, 1024, 1536, (1 << 20) - 1, 1 << 20, 1_288_490_189, u64::MAX].map(size);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "1.0 MiB", "1.2 GiB", "16.0 EiB"]);
    }

    #[test]
    fn an_error_of_the_operating_system_has_no_number() {
        assert_eq!(io_message(&std::io::Error::from_raw_os_error(2)), "no such file or directory");
        assert_eq!(io_message(&std::io::Error::other("not a regular file")), "not a regular file");
        assert_eq!(io_message(&ErrorKind::AlreadyExists.into()), "the file exists");
        assert_eq!(io_message(&ErrorKind::NotFound.into()), "no such file or directory");
    }

    #[test]
    fn percentages_have_at_most_one_decimal() {
        assert_eq!([0.0, 0.5, 0.7273, 1.0].map(percentage), ["0 %", "50 %", "72.7 %", "100 %"]);
    }

    #[test]
    fn durations_are_rounded_to_what_counts_and_are_taken_by_flags() {
        let durations = [0, 999, 250_499, 1_480_000, 59_960_000, 90_400_000, 10_800_000_000, 7_776_000_000_000];
        let shown = durations.map(|microseconds| duration(Duration::from_micros(microseconds)));
        assert_eq!(shown, ["0s", "999us", "250ms", "1s 500ms", "1m", "1m 30s", "3h", "90d"]);
        for text in shown {
            assert!(humantime::parse_duration(&text).is_ok(), "{text}");
        }
        assert!(!duration(Duration::MAX).is_empty());
    }

    #[test]
    fn times_are_rfc_3339_in_utc() {
        let microseconds = 1_769_904_000_500_000;
        assert_eq!(time(microseconds).as_deref(), Some("2026-02-01T00:00:00Z"));
        assert_eq!(exact_time(microseconds).as_deref(), Some("2026-02-01T00:00:00.500Z"));
        assert_eq!(exact_time(i64::MAX), None);
    }
}
