//! Parsers of values.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::builder::{OsStringValueParser, PossibleValue, TypedValueParser};

use crate::database::url::{self, Secret};
use crate::format;
use crate::transfer::value::policy::Choice;

/// Reads `nul=replace`, and knows all that there is for completions and help.
#[derive(Clone)]
pub(crate) struct ChoiceParser;

impl TypedValueParser for ChoiceParser {
    type Value = Choice;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Choice, clap::Error> {
        let parser = clap::builder::StringValueParser::new().try_map(|text| text.parse::<Choice>());
        parser.parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(Choice::all().map(|choice| PossibleValue::new(choice.to_string()).help(choice.help()))))
    }
}

/// A URL may hold a password, so that it is not kept as plain text.
#[expect(clippy::unnecessary_wraps, reason = "the form that clap wants")]
pub(crate) fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

/// A share from 0 to 1, given as a percentage with or without its sign.
pub(crate) fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    let percent = number.parse::<f64>().ok().filter(|percent| (0.0..=100.0).contains(percent));
    match percent {
        None => Err("not a percentage like `50%`".to_owned()),
        // Some mean `0.6` as a part of one.
        Some(share) if share > 0.0 && share <= 1.0 && !text.ends_with('%') => {
            Err(format!("`{number}%` or `{}`?", format::percentage(share).replace(' ', "")))
        }
        Some(percent) => Ok(percent / 100.0),
    }
}

/// The path of a file. A URL is refused: it may hold a password, and paths are shown.
pub(crate) fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(|text| match url::is_url(&text.to_string_lossy()) {
        false => Ok(PathBuf::from(text)),
        true => Err("a URL, where the path of a file is wanted"),
    })
}

/// The file of an archive, which is compressed under another name.
pub(crate) fn archive() -> impl TypedValueParser<Value = PathBuf> {
    path().try_map(|path| match path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zst")) {
        false => Ok(path),
        true => Err("name it without `.zst`, also where it is compressed"),
    })
}

/// A negative age is as meaningless as none, and is refused with it.
pub(crate) fn age(text: &str) -> Result<Duration, humantime::DurationError> {
    if text.starts_with('-') { Ok(Duration::ZERO) } else { humantime::parse_duration(text) }
}

pub(crate) fn rfc3339(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text)
        .map(|moment| moment.to_utc())
        .map_err(|_| "not a moment like `2026-02-01T00:00:00Z`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_up_to_one_needs_its_sign() {
        assert_eq!([percent("50%"), percent("50"), percent("0"), percent("1%")], [Ok(0.5), Ok(0.5), Ok(0.0), Ok(0.01)]);
        assert_eq!(percent("0.6"), Err("`0.6%` or `60%`?".to_owned()));
        for wrong in ["", "half", "-1%", "101%", "NaN"] {
            assert_eq!(percent(wrong), Err("not a percentage like `50%`".to_owned()), "{wrong}");
        }
    }

    #[test]
    fn a_negative_age_is_none() {
        assert_eq!((age("-90d"), age("90d")), (Ok(Duration::ZERO), Ok(Duration::from_hours(90 * 24))));
        assert!(age("ninety").is_err());
    }
}
