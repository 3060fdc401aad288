//! Figures and times as text.

use indicatif::HumanCount;

/// `1 value`, `1234 values`.
#[must_use]
pub(crate) fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

/// `1 value`, `1,234 values`.
#[must_use]
pub(crate) fn counted_in_groups(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{} {what}s", HumanCount(count)),
    }
}

/// A share, 1 for all, as a percentage.
#[must_use]
pub(crate) fn percentage(share: f64) -> String {
    format!("{}%", (share * 1000.0).round() / 10.0)
}

/// Microseconds since the epoch as RFC 3339 in UTC, for JSON.
#[must_use]
pub(crate) fn rfc3339(microseconds: i64) -> Option<String> {
    chrono::DateTime::from_timestamp_micros(microseconds)
        .map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        let plain = [0, 1, 2, 1234].map(|count| counted(count, "value"));
        assert_eq!(plain, ["0 values", "1 value", "2 values", "1234 values"]);
        assert_eq!(counted_in_groups(1, "row"), "1 row");
        assert_eq!(counted_in_groups(1234, "row"), "1,234 rows");
    }
}
