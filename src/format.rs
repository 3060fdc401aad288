//! Figures and times as text.

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
