//! Parses timestamps in SQLite's form: `2026-01-31 12:00:00`, with or without a fraction, in UTC.

use chrono::NaiveDate;

/// PostgreSQL's epoch, 2000-01-01T00:00:00Z, in microseconds since the Unix epoch.
const POSTGRESQL_EPOCH_US: i64 = 946_684_800_000_000;

/// Parses a timestamp exactly, as microseconds since 2000-01-01. `CURRENT_TIMESTAMP` writes no fraction and Python six
/// digits; fewer digits are accepted too. The separator may be a `T`.
#[must_use]
pub(crate) fn parse(text: &[u8]) -> Option<i64> {
    let (seconds, fraction) = text.split_at_checked(19)?;
    let punctuation = [4, 7, 10, 13, 16].map(|index| seconds[index]);
    if !matches!(&punctuation, b"-- ::" | b"--T::") {
        return None;
    }
    let number = |from, to| digits(&seconds[from..to]);
    let microsecond = match fraction {
        [] => 0,
        [b'.', fraction @ ..] if (1..=6).contains(&fraction.len()) => {
            digits(fraction)? * [100_000, 10_000, 1000, 100, 10, 1][fraction.len() - 1]
        }
        _ => return None,
    };
    // PostgreSQL has no year 0.
    let year = i32::try_from(number(0, 4)?).ok().filter(|year| *year > 0)?;
    let date = NaiveDate::from_ymd_opt(year, number(5, 7)?, number(8, 10)?)?;
    let time = date.and_hms_micro_opt(number(11, 13)?, number(14, 16)?, number(17, 19)?, microsecond)?;
    Some(time.and_utc().timestamp_micros() - POSTGRESQL_EPOCH_US)
}

/// Parses decimal digits only: `str::parse` would accept a sign too.
fn digits(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_what_postgresql_sends_for_them() {
        // As `SELECT timestamp_send(…)` prints them.
        for (text, expected) in [
            ("2000-01-01 00:00:00", 0),
            ("1999-12-31 23:59:59.999999", -1),
            ("2026-11-23 03:53:20", 0x0003_03e8_4da3_ac00),
            ("2026-01-31 12:00:00.000000", 0x0002_ecac_9911_5000),
            ("2026-01-31 12:00:00.000001", 0x0002_ecac_9911_5001),
            ("2026-01-31T12:00:00.5", 0x0002_ecac_9918_f120),
            ("2024-02-29 00:00:00.123", 0x0002_b578_b58e_4078),
            ("0001-01-01 00:00:00", -0x00e0_1d00_3a63_a000),
            ("9999-12-31 23:59:59.999999", 0x0380_e70b_913b_7fff),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "now",
            "2026-01-31",
            "2026-01-31 12:00",
            "2026-01-31 12:00:00Z",
            "2026-01-31 12:00:00+00:00",
            "2026-01-31 12:00:00.5+02",
            "2026-01-31 12:00:00.",
            "2026-01-31 12:00:00,5",
            "2026-01-31 12:00:00.0000000",
            " 2026-01-31 12:00:00",
            "2026-01-31 12:00:00 ",
            "2026-01-31 12:00:00\0",
            "2026-01-31t12:00:00",
            "2026-01-31 +2:00:00",
            "2026-1-31 12:00:00.0",
            "31.01.2026 12:00:00",
            "2026-02-29 12:00:00",
            "2026-13-01 12:00:00",
            "2026-00-01 12:00:00",
            "2026-01-31 24:00:00",
            "2026-01-31 12:60:00",
            "2016-12-31 23:59:60",
            "0000-01-01 00:00:00",
            "2026-01-31 12:00:0\u{664}",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
    }
}
