//! Texts drawn from a seed, sound and odd ones: JSON, and what is meant for a column of another type.

use super::random::Random;

const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "42",
    "1.5",
    "1.50",
    "-0",
    "-0.0",
    "0.10",
    "1e2",
    "1E+2",
    "12e-1",
    "0e0",
    "-0e5",
    "100",
    "1e15",
    "123456789012345678901234567890",
    "9223372036854775808",
    "0.1000000000000000055511151231257827",
    "1e-20",
    "0e131072",
    "0e-16384",
    "10.0e-1",
];

const ODD_NUMBERS: &[&str] = &[
    "01",
    "+1",
    ".5",
    "1.",
    "1e",
    "--1",
    "0x1",
    "1_0",
    "NaN",
    "Infinity",
    "-Infinity",
    "-NaN",
    "nan",
    "1e131071",
    "1e131072",
    "-1e131072",
    "1e-16383",
    "1e-16384",
    "0.01e131073",
    "1.5e-16383",
    "0e1073741822",
    "0e99999999999999999999",
    "1e99999999999999999999",
    "1e-2000000000",
];

const PLAIN: &[&str] = &[
    "a",
    "b",
    "ab",
    "key",
    "role",
    " ",
    "é",
    "漢",
    "🚀",
    "\u{7f}",
    "\u{2028}",
    "\u{feff}",
    "/",
    "'",
    "long text without end",
    r"\n",
    r"\t",
    r"\b",
    r"\f",
    r"\r",
    r#"\""#,
    r"\\",
    r"\/",
    r"\u00e9",
    r"\u0041",
    r"\u001f",
    r"\u001F",
    r"\u000a",
    r"\u0007",
    r"\u007f",
    r"\ud83d\ude80",
    r"\uD83D\uDE80",
    r"\ud800\udc00",
    r"\udbff\udfff",
    r"\\u0000",
    r"\uffff",
    r"\u0022",
    r"\u005c",
];

const ODD: &[&[u8]] = &[
    br"\u0000",
    br"\ud83d",
    br"\ude80",
    br"\ud83d\u0041",
    br"\ud83d\ud83d\ude80",
    br"\ude80\ud83d",
    br"\x",
    br"\u12g4",
    br"\u12",
    br"\U0041",
    br"\",
    b"\n",
    b"\x01",
    b"\t",
    b"\0",
    b"\xc3\x28",
    b"\xed\xa0\xbd",
    b"\xf0\x9f\x9a",
    b"\xff",
    b"\xc0\x80",
    b"\xf4\x90\x80\x80",
    br"\ud83d\",
    br"\u0000\ud83d",
];

const SPACES: &[&str] = &["", " ", "  ", "\n", "\t\r\n", " "];

/// Writes JSON of every shape, sound unless `oddity` lets something slip in now and then.
struct Writer<'r> {
    random: &'r mut Random,
    text: Vec<u8>,
    /// One token in so many is odd; none with 0.
    oddity: u64,
}

impl Writer<'_> {
    fn is_odd(&mut self) -> bool {
        self.oddity != 0 && self.random.one_in(self.oddity)
    }

    fn value(&mut self, depth: usize) {
        match self.random.index(if depth > 4 { 5 } else { 9 }) {
            0 => self.text.extend(self.random.pick(&[&b"true"[..], b"false", b"null"])),
            1 | 2 => self.number(),
            3 | 4 => self.string(6),
            5 | 6 => self.container(*b"[]", depth, Self::value),
            _ => self.container(*b"{}", depth, |writer, depth| {
                writer.string(2);
                writer.space("");
                writer.text.push(b':');
                writer.space(" ");
                writer.value(depth);
            }),
        }
    }

    fn container(&mut self, brackets: [u8; 2], depth: usize, mut member: impl FnMut(&mut Self, usize)) {
        self.text.push(brackets[0]);
        for index in 0..self.random.index(5) {
            if index > 0 {
                self.text.push(b',');
                self.space(" ");
            }
            member(self, depth + 1);
            self.space("");
        }
        self.text.push(brackets[1]);
    }

    /// White space as the server would print it, mostly.
    fn space(&mut self, usual: &str) {
        let space = if self.random.one_in(12) { self.random.pick(SPACES) } else { usual };
        self.text.extend(space.as_bytes());
    }

    fn number(&mut self) {
        let number = if self.is_odd() { self.random.pick(ODD_NUMBERS) } else { self.random.pick(NUMBERS) };
        self.text.extend(number.as_bytes());
    }

    fn string(&mut self, most: usize) {
        self.text.push(b'"');
        for _ in 0..self.random.index(most) {
            let odd = self.is_odd();
            let piece = if odd { self.random.pick(ODD) } else { self.random.pick(PLAIN).as_bytes() };
            // Now and then beyond what is kept as it is in a digest.
            let times = if self.random.one_in(100) { 700 } else { 1 };
            self.text.extend(piece.repeat(times));
        }
        self.text.push(b'"');
    }
}

/// A text for a JSON column: sound, with something odd inside, or with bytes moved about.
pub(crate) fn json_text(random: &mut Random) -> Vec<u8> {
    let oddity = random.pick(&[0, 8, 30]);
    let mut writer = Writer { random, text: Vec::new(), oddity };
    writer.space("");
    writer.value(0);
    writer.space("");
    let mut text = writer.text;
    if random.one_in(4) && !text.is_empty() {
        let place = random.index(text.len());
        match random.index(4) {
            0 => drop(text.remove(place)),
            1 => text.insert(place, random.pick(b"\"\\{}[],: 0e-.\0\x1f\xff\n")),
            2 => text.truncate(place),
            _ => text[place] = random.pick(b"\"\\{}[],:x1 "),
        }
    }
    text
}

/// Texts that chance would take long to find.
pub(crate) fn chosen_json_texts() -> Vec<Vec<u8>> {
    let words = ["", " ", "nul", "nullx", "null null", "TRUE", "'a'", "\"", "[", "]", "{", "}", "[}", "{]", "[1 2]"];
    let more =
        ["[,]", "{,}", "{\"\": 1}", "{\"a\" 1}", "{\"a\":}", "{1: 2}", "\u{feff}[]", "\u{a0}[]", "\u{b}[]", "[1]\u{c}"];
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let texts = words.iter().chain(&more).chain(ODD_NUMBERS).chain(NUMBERS).map(|text| (*text).to_owned());
    let digits = [131_072, 131_073].map(|digits| "9".repeat(digits)).into_iter();
    let decimals = [16_383, 16_384].map(|digits| format!("0.{}", "9".repeat(digits))).into_iter();
    let strings = [60, 64, 65, 5000].map(|length| format!("\"{}\"", "é".repeat(length))).into_iter();
    texts
        .chain(digits)
        .chain(decimals)
        .chain(strings)
        .chain([nested(1000), nested(11_000)])
        .map(String::into_bytes)
        .collect()
}

pub(crate) fn text(random: &mut Random) -> Vec<u8> {
    const WORDS: &[&str] = &[
        "",
        "fast",
        "12abc",
        "true",
        "FALSE",
        "yes-ish",
        "2147483648",
        "-9223372036854775808",
        "9223372036854775808",
        "007",
        "+5",
        " 5",
        "5 ",
        "-0",
        "1.5",
        "1e3",
        "0.1",
        "0.10",
        "1e400",
        "Infinity",
        "-Infinity",
        "NaN",
        "inf",
        "2026-01-31 12:00:00",
        "2026-01-31T12:00:00.123456",
        "1999-12-31 23:59:59.5",
        "0001-01-01 00:00:00",
        "2026-02-29 12:00:00",
        "2026-01-31 24:00:00",
        "2026-01-31 12:00:00+02",
        "now",
        "2026-01-31",
        "1",
        "0",
        "é😀漢字",
        "back\\slash\ttab\r\n",
        "{}",
        "null",
        "abc   ",
        "exactly ten",
        "éééééééééé",
        "ééééééééééé",
    ];
    match random.index(5) {
        0 => random.pick(WORDS).as_bytes().to_vec(),
        1 => (0..random.index(14)).flat_map(|_| random.pick(PLAIN).as_bytes().to_vec()).collect(),
        2 => (0..random.index(14))
            .flat_map(|_| if random.one_in(9) { random.pick(ODD).to_vec() } else { b"x ".to_vec() })
            .collect(),
        3 => {
            // Days and hours that no calendar has are among them.
            let [year, month, day] = [9999, 13, 30].map(|limit| 1 + random.below(limit));
            let [hour, minute, second] = [25, 61, 61].map(|limit| random.below(limit));
            let fraction = ["", ".5", ".000001", ".999999", ".1234567"][random.index(5)];
            format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction}").into_bytes()
        }
        _ => {
            let number = random.next() >> random.below(64);
            let sign = if random.one_in(2) { "-" } else { "" };
            format!("{sign}{number}").into_bytes()
        }
    }
}
