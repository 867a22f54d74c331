//! Durations as `time` reads and writes them: `1h30m`, `500ms`, `-1.5s`; nanoseconds inside.

use std::fmt::Write;

/// Why a text is no duration; the text is Go's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// It is not written as one, or does not fit.
    #[error("time: invalid duration {}", quote(.0))]
    Invalid(String),
    /// A number stands without a unit.
    #[error("time: missing unit in duration {}", quote(.0))]
    MissingUnit(String),
    /// The unit is none.
    #[error("time: unknown unit {} in duration {}", quote(unit), quote(text))]
    UnknownUnit {
        /// The unit.
        unit: String,
        /// What was given.
        text: String,
    },
}

/// Go's `time` quotes by itself: bytes outside printable ASCII become `\xNN`.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b' '..=b'~' => out.push(char::from(byte)),
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(out, r"\x{byte:02x}");
            }
        }
    }
    out.push('"');
    out
}

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// The most nanoseconds, without sign, that a duration has.
const LIMIT: u64 = 1 << 63;

/// Reads a duration in nanoseconds.
pub fn parse(text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0u64;
    while !rest.is_empty() {
        let (part, after) = parse_part(text, rest)?;
        total = total.checked_add(part).filter(|total| *total <= LIMIT).ok_or_else(invalid)?;
        rest = after;
    }
    match negative {
        true => Ok(0i64.wrapping_sub_unsigned(total)),
        false => i64::try_from(total).map_err(|_| invalid()),
    }
}

/// Reads one number with its unit; gives the rest back.
fn parse_part<'t>(text: &str, rest: &'t str) -> Result<(u64, &'t str), DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let digits = |s: &str| s.bytes().take_while(u8::is_ascii_digit).count();
    let whole = &rest[..digits(rest)];
    let mut after = &rest[whole.len()..];
    let mut fraction = "";
    if let Some(dot) = after.strip_prefix('.') {
        fraction = &dot[..digits(dot)];
        after = &dot[fraction.len()..];
    }
    if whole.is_empty() && fraction.is_empty() {
        return Err(invalid());
    }
    let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
    let (unit, after) = after.split_at(end);
    if unit.is_empty() {
        return Err(DurationError::MissingUnit(text.to_owned()));
    }
    let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(DurationError::UnknownUnit { unit: unit.to_owned(), text: text.to_owned() });
    };
    let whole: u64 = match whole {
        "" => 0,
        digits => digits.parse().map_err(|_| invalid())?,
    };
    let whole = whole.checked_mul(*scale).filter(|n| *n <= LIMIT).ok_or_else(invalid)?;
    let sum = whole + scaled_fraction(fraction, *scale);
    if sum > LIMIT {
        return Err(invalid());
    }
    Ok((sum, after))
}

/// `0.FRACTION * scale`, rounded down; digits beyond eighteen cannot matter.
fn scaled_fraction(fraction: &str, scale: u64) -> u64 {
    let mut value = 0u128;
    let mut over = 1u128;
    for digit in fraction.bytes().take(18) {
        value = value * 10 + u128::from(digit - b'0');
        over *= 10;
    }
    u64::try_from(value * u128::from(scale) / over).unwrap_or(0)
}

/// Writes a duration as Go does: `1h30m0s`, `1.5s`, `500ms`, `0s`.
pub fn format(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let n = nanos.unsigned_abs();
    if n == 0 {
        return "0s".to_owned();
    }
    if n < 1_000_000_000 {
        let (unit, scale) = match n {
            ..1_000 => ("ns", 1),
            1_000..1_000_000 => ("µs", 1_000),
            _ => ("ms", 1_000_000),
        };
        return format!("{sign}{}{unit}", decimal(n, scale));
    }
    let minutes = n / 60_000_000_000;
    let seconds = decimal(n % 60_000_000_000, 1_000_000_000);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, m) => format!("{sign}{m}m{seconds}s"),
        (h, m) => format!("{sign}{h}h{m}m{seconds}s"),
    }
}

fn decimal(n: u64, scale: u64) -> String {
    let (whole, rest) = (n / scale, n % scale);
    if rest == 0 {
        return whole.to_string();
    }
    let width = scale.ilog10() as usize;
    let digits = format!("{rest:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: Result<i64, &str>) {
        let read = parse(text).map_err(|error| error.to_string());
        assert_eq!(read, expected.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        check("10s", Ok(10_000_000_000));
        check("1h30m", Ok(5_400_000_000_000));
        check("0.001s", Ok(1_000_000));
        check("9.5s", Ok(9_500_000_000));
        check(".5s", Ok(500_000_000));
        check("1.s", Ok(1_000_000_000));
        check("-1s", Ok(-1_000_000_000));
        check("+5ms", Ok(5_000_000));
        check("0", Ok(0));
        check("-0", Ok(0));
        check("1µs", Ok(1_000));
        check("3ns2us", Ok(2_003));
        check("-9223372036854775808ns", Ok(i64::MIN));
        check("", Err(r#"time: invalid duration """#));
        check("x", Err(r#"time: invalid duration "x""#));
        check("10", Err(r#"time: missing unit in duration "10""#));
        check(".s", Err(r#"time: invalid duration ".s""#));
        check("1y", Err(r#"time: unknown unit "y" in duration "1y""#));
        check("1s2", Err(r#"time: missing unit in duration "1s2""#));
        check("1 s", Err(r#"time: unknown unit " s" in duration "1 s""#));
        check("9223372036854775808ns", Err(r#"time: invalid duration "9223372036854775808ns""#));
        check("99999999999h", Err(r#"time: invalid duration "99999999999h""#));
        check("é", Err(r#"time: invalid duration "\xc3\xa9""#));
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (500_000_000, "500ms"),
            (3_300_000_000, "3.3s"),
            (10_000_000_000, "10s"),
            (245_000_000_000, "4m5s"),
            (245_001_000_000, "4m5.001s"),
            (1_800_000_000_000, "30m0s"),
            (86_400_000_000_000, "24h0m0s"),
            (-1_000_000_000, "-1s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(format(nanos), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(nanos: i64) {
            prop_assert_eq!(parse(&format(nanos)), Ok(nanos));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,12}") {
            let _ = parse(&text);
        }
    }
}
