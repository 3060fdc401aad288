//! JSON numbers as exact decimals of any size.

/// The maximum number of decimal digits of `numeric` before and after the point.
const MAX_INTEGER_DIGITS: i64 = 131_072;
const MAX_SCALE: i64 = 16_383;
/// PostgreSQL 16 accepts one more for a zero.
const MAX_EXPONENT: i64 = i32::MAX as i64 / 2;

/// A number in JSON's syntax: `0.digits × 10^exponent`, exactly.
pub(crate) struct Decimal<'a> {
    negative: bool,
    integer: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
    has_exponent: bool,
}

impl<'a> Decimal<'a> {
    pub(crate) fn parse(text: &'a [u8]) -> Self {
        let (negative, text) = match text.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let end = text.iter().position(|byte| matches!(byte, b'e' | b'E'));
        let (mantissa, exponent) = text.split_at(end.unwrap_or(text.len()));
        let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
        Self {
            negative,
            integer: &mantissa[..point],
            fraction: mantissa.get(point + 1..).unwrap_or_default(),
            exponent: exponent_value(exponent.get(1..).unwrap_or_default()),
            has_exponent: end.is_some(),
        }
    }

    /// Whether PostgreSQL's `numeric` can hold it.
    pub(crate) fn fits_numeric(&self) -> bool {
        let scale = length(self.fraction).saturating_sub(self.exponent);
        // With a larger exponent PostgreSQL rejects even zero.
        self.exponent.abs() < MAX_EXPONENT
            && scale <= MAX_SCALE
            && (self.is_zero() || self.integer_digits() <= MAX_INTEGER_DIGITS)
    }

    /// Whether `numeric` prints it as it is written here.
    pub(crate) fn is_printed_as_written(&self) -> bool {
        !(self.has_exponent || self.negative && self.is_zero())
    }

    /// Appends an encoding that is the same for equal numbers: sign, position of the point, digits without leading and
    /// trailing zeros.
    pub(crate) fn encode_into(&self, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        bytes.push(if self.negative { b'-' } else { b'+' });
        bytes.extend_from_slice(&[0; 4]);
        let content = bytes.len();
        let is_digit = |digit: &u8| *digit != b'0';
        let first = self.integer.iter().position(is_digit);
        let fraction = match first {
            Some(first) => {
                bytes.extend_from_slice(&self.integer[first..]);
                self.fraction
            }
            None => &self.fraction[self.fraction.iter().position(is_digit).unwrap_or(self.fraction.len())..],
        };
        bytes.extend_from_slice(fraction);
        let Some(last) = bytes[content..].iter().rposition(is_digit) else {
            // Zero has neither sign nor point.
            bytes.truncate(start);
            return;
        };
        let digits_before_point = length(&bytes[content..]) - length(self.fraction) + self.exponent;
        bytes.truncate(content + last + 1);
        let point = i32::try_from(digits_before_point).unwrap_or(i32::MAX);
        bytes[start + 1..content].copy_from_slice(&point.to_be_bytes());
    }

    fn digits(&self) -> impl Iterator<Item = &u8> {
        self.integer.iter().chain(self.fraction)
    }

    /// The number of digits before the point; negative if zeros follow the point.
    fn integer_digits(&self) -> i64 {
        let zeros = self.digits().take_while(|digit| **digit == b'0').count();
        length(self.integer) - i64::try_from(zeros).unwrap_or(i64::MAX) + self.exponent
    }

    fn is_zero(&self) -> bool {
        self.digits().all(|digit| *digit == b'0')
    }
}

/// Whether two numbers in JSON's syntax are equal.
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    let [mut first, mut second] = [Vec::new(), Vec::new()];
    Decimal::parse(a).encode_into(&mut first);
    Decimal::parse(b).encode_into(&mut second);
    first == second
}

fn length(digits: &[u8]) -> i64 {
    i64::try_from(digits.len()).unwrap_or(i64::MAX)
}

/// The exponent, limited to a bound larger than any exponent that can be stored.
fn exponent_value(text: &[u8]) -> i64 {
    const BEYOND: i64 = 1 << 40;
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        _ => (1, text),
    };
    sign * digits.iter().fold(0, |value, digit| (value * 10 + i64::from(digit - b'0')).min(BEYOND))
}
