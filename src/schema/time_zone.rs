//! The time zone of sessions, in which the server writes the times of TARSy's events.

/// Whether a time zone is one of the names of UTC.
pub(crate) fn is_utc(zone: &str) -> bool {
    let zone = zone.to_uppercase();
    let name = zone.strip_prefix("ETC/").unwrap_or(&zone);
    matches!(name, "UTC" | "UCT" | "GMT" | "GMT0" | "GMT+0" | "GMT-0" | "GREENWICH" | "UNIVERSAL" | "ZULU" | "<+00>+00")
}
