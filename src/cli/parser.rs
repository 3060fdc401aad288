//! Parsers of the values of flags.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use clap::builder::{
    NonEmptyStringValueParser, OsStringValueParser, PossibleValue, StringValueParser, TypedValueParser,
};
use migration::Revision;

use crate::database::url::{self, Secret};
use crate::format;
use crate::history::tables::{ACTIVE_STATUSES, TERMINAL_STATUSES};
use crate::schema::revision_name::known_revision;
use crate::transfer::value::policy::Choice;

/// Parses a value, and has others for the completions to offer; what is not among them is up to the parser.
#[derive(Clone)]
pub(crate) struct Offering<P> {
    parser: P,
    offered: fn() -> Vec<PossibleValue>,
}

impl<P: TypedValueParser> TypedValueParser for Offering<P> {
    type Value = P::Value;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<P::Value, clap::Error> {
        self.parser.parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new((self.offered)().into_iter()))
    }
}

/// Parses `nul=replace`.
pub(crate) fn choice() -> Offering<impl TypedValueParser<Value = Choice>> {
    let offered = || Choice::all().map(|choice| PossibleValue::new(choice.to_string()).help(choice.help())).collect();
    Offering { parser: StringValueParser::new().try_map(|text| text.parse::<Choice>()), offered }
}

/// Parses a revision.
pub(crate) fn revision() -> Offering<impl TypedValueParser<Value = Revision>> {
    let offered = || {
        let ids = Revision::all().map(|revision| PossibleValue::new(revision.id()).help(revision.change()));
        ["head", "baseline"].into_iter().map(PossibleValue::new).chain(ids).collect()
    };
    Offering { parser: StringValueParser::new().try_map(|text| known_revision(&text)), offered }
}

/// Parses the status of a session; one that TARSy does not have is refused when no session has it.
pub(crate) fn status() -> Offering<StringValueParser> {
    let offered = || TERMINAL_STATUSES.into_iter().chain(ACTIVE_STATUSES).map(PossibleValue::new).collect();
    Offering { parser: StringValueParser::new(), offered }
}

/// Keeps a URL as a secret, because it may hold a password.
#[expect(clippy::unnecessary_wraps, reason = "the form that clap wants")]
pub(crate) fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

/// Parses a percentage, with or without its sign, into a share from 0 to 1.
pub(crate) fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    let percent = number.parse::<f64>().ok().filter(|percent| (0.0..=100.0).contains(percent));
    match percent {
        None => Err("expected a percentage from `0%` to `100%`".to_owned()),
        // `0.6` may mean 60 %.
        Some(share) if share > 0.0 && share <= 1.0 && !text.ends_with('%') => {
            let scaled = format::percentage(share).replace(' ', "");
            Err(format!("ambiguous without the percent sign: write `{number}%` or `{scaled}`"))
        }
        Some(percent) => Ok(percent / 100.0),
    }
}

/// Parses the path of a file. A URL is refused, because it may hold a password and paths are shown.
pub(crate) fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(|text| match url::is_url(&text.to_string_lossy()) {
        false => Ok(PathBuf::from(text)),
        true => Err("expected the path of a file, not a URL"),
    })
}

/// Parses the path of an archive, which is compressed under another name.
pub(crate) fn archive() -> impl TypedValueParser<Value = PathBuf> {
    path().try_map(|path| match path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zst")) {
        false => Ok(path),
        true => Err("leave out `.zst`: `--compress` appends it"),
    })
}

/// Parses the name of a role of PostgreSQL. A URL is refused, because it may hold a password and names are shown.
pub(crate) fn role() -> impl TypedValueParser<Value = String> {
    NonEmptyStringValueParser::new().try_map(|name| match name.as_str() {
        text if url::is_url(text) => Err("expected the name of a role, not a URL"),
        "public" | "none" => Err("PostgreSQL reserves this name: expected the role with which the backend logs in"),
        text if text.starts_with("pg_") => {
            Err("PostgreSQL reserves names with `pg_`: expected the role with which the backend logs in")
        }
        _ => Ok(name),
    })
}

/// Parses a duration, such as `90d` or `1h 30m`. The messages of humantime are for programmers.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| match error {
        humantime::DurationError::UnknownUnit { unit, value, .. } if unit.is_empty() => {
            format!(
                "`{value}` has no unit: `{value}d` is days, `{value}h` hours, `{value}m` minutes, `{value}s` seconds"
            )
        }
        humantime::DurationError::UnknownUnit { unit, .. } => {
            format!("`{unit}` is not a unit: units are ms, s, m (minutes), h, d, w, M (months) and y")
        }
        humantime::DurationError::NumberOverflow => "the number is too large".to_owned(),
        _ if is_negative(text) => format!("`{text}` is negative: expected a duration, such as `30s`"),
        _ if text.starts_with('-') => format!("`{text}` is a flag: expected a duration, such as `30s`"),
        _ => "expected a duration, such as `30s`, `90d` or `90days`".to_owned(),
    })
}

fn is_negative(text: &str) -> bool {
    text.trim_start().strip_prefix('-').is_some_and(|rest| rest.trim_start().starts_with(|c: char| c.is_ascii_digit()))
}

/// An age; one that is not positive is refused later, with the exit code of a wrong retention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Age {
    Positive(Duration),
    /// The text, as given.
    NotPositive(String),
}

pub(crate) fn age(text: &str) -> Result<Age, String> {
    let age = duration(text.strip_prefix('-').filter(|_| is_negative(text)).unwrap_or(text))?;
    let is_positive = !text.starts_with('-') && !age.is_zero();
    Ok(if is_positive { Age::Positive(age) } else { Age::NotPositive(text.to_owned()) })
}

/// Parses a time in RFC 3339, or a date, which is midnight in UTC.
pub(crate) fn time(text: &str) -> Result<DateTime<Utc>, String> {
    let midnight = text.parse::<NaiveDate>().map(|date| date.and_time(NaiveTime::MIN).and_utc());
    let time = midnight.or_else(|_| DateTime::parse_from_rfc3339(text).map(|time| time.to_utc()));
    let time = time.map_err(|_| match with_zone(text) {
        Some(whole) => format!("the time is not complete: write `{whole}` for UTC"),
        None => {
            "expected a date (midnight in UTC) or a time in RFC 3339, such as `2026-02-01` or `2026-02-01T00:00:00Z`"
                .to_owned()
        }
    })?;
    // What PostgreSQL, RFC 3339 and TARSy's backend can represent.
    if (1..=9999).contains(&time.year()) { Ok(time) } else { Err("the year has to be from 1 to 9999".to_owned()) }
}

/// A time without a zone, or also without seconds, as it is complete.
fn with_zone(text: &str) -> Option<String> {
    let text = text.trim_end_matches('Z');
    let whole = [text.to_owned(), format!("{text}:00")].into_iter().find(|text| text.parse::<NaiveDateTime>().is_ok());
    whole.map(|text| format!("{text}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_up_to_one_needs_its_sign() {
        assert_eq!([percent("50%"), percent("50"), percent("0"), percent("1%")], [Ok(0.5), Ok(0.5), Ok(0.0), Ok(0.01)]);
        assert_eq!(percent("0.6"), Err("ambiguous without the percent sign: write `0.6%` or `60%`".to_owned()));
        for wrong in ["", "half", "-1%", "101%", "NaN"] {
            assert_eq!(percent(wrong), Err("expected a percentage from `0%` to `100%`".to_owned()), "{wrong}");
        }
    }

    #[test]
    fn an_age_that_is_not_positive_keeps_its_text() {
        assert_eq!(age("90d"), Ok(Age::Positive(Duration::from_hours(90 * 24))));
        for text in ["-90d", "0d", "0"] {
            assert_eq!(age(text), Ok(Age::NotPositive(text.to_owned())));
        }
        assert!(age("ninety").is_err());
    }

    #[test]
    fn a_date_is_midnight_and_a_time_needs_its_zone() {
        let at = |text: &str| time(text).map(|time| time.to_rfc3339());
        assert_eq!(at("2026-02-01"), Ok("2026-02-01T00:00:00+00:00".to_owned()));
        assert_eq!(at("2026-02-01T01:00:00+01:00"), at("2026-02-01"));
        let zoneless = "the time is not complete: write `2026-02-01T00:00:00Z` for UTC";
        for incomplete in ["2026-02-01T00:00:00", "2026-02-01T00:00", "2026-02-01T00:00Z"] {
            assert_eq!(at(incomplete), Err(zoneless.to_owned()), "{incomplete}");
        }
        for year in ["0000-12-31", "-262142-01-01"] {
            assert_eq!(at(year), Err("the year has to be from 1 to 9999".to_owned()), "{year}");
        }
        for wrong in ["", "yesterday", "2026-02-30", "2026-02"] {
            assert!(time(wrong).is_err_and(|message| message.contains("such as `2026-02-01`")), "{wrong}");
        }
    }

    #[test]
    fn a_wrong_duration_is_answered_with_the_units() {
        for (text, message) in [
            ("90", "`90` has no unit: `90d` is days, `90h` hours, `90m` minutes, `90s` seconds"),
            ("1h 30", "`30` has no unit: `30d` is days, `30h` hours, `30m` minutes, `30s` seconds"),
            ("5x", "`x` is not a unit: units are ms, s, m (minutes), h, d, w, M (months) and y"),
            ("soon", "expected a duration, such as `30s`, `90d` or `90days`"),
            ("", "expected a duration, such as `30s`, `90d` or `90days`"),
            ("-5d", "`-5d` is negative: expected a duration, such as `30s`"),
            ("-v", "`-v` is a flag: expected a duration, such as `30s`"),
            ("--retry-all", "`--retry-all` is a flag: expected a duration, such as `30s`"),
            ("99999999999999999999d", "the number is too large"),
        ] {
            assert_eq!(duration(text), Err(message.to_owned()), "{text}");
        }
        for unit in ["ms", "s", "m", "h", "d", "w", "M", "y"] {
            assert!(duration(&format!("1{unit}")).is_ok(), "{unit}");
        }
    }
}
