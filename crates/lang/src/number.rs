//! Numbers and booleans as `strconv` reads them.

use crate::quote;

/// Why a text is no number or boolean; the text is Go's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// It is not written as one.
    #[error("strconv.{function}: parsing {}: invalid syntax", quote(text))]
    Syntax {
        /// Go's function.
        function: &'static str,
        /// What was given.
        text: String,
    },
    /// It does not fit.
    #[error("strconv.{function}: parsing {}: value out of range", quote(text))]
    Range {
        /// Go's function.
        function: &'static str,
        /// What was given.
        text: String,
    },
}

/// Reads an unsigned decimal number: digits only, no sign, no blanks.
pub fn parse_uint(text: &str) -> Result<u64, NumberError> {
    let function = "ParseUint";
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NumberError::Syntax { function, text: text.to_owned() });
    }
    text.parse().map_err(|_| NumberError::Range { function, text: text.to_owned() })
}

/// Reads a decimal number with or without a sign, as `Atoi` does.
pub fn parse_int(text: &str) -> Result<i64, NumberError> {
    let function = "Atoi";
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NumberError::Syntax { function, text: text.to_owned() });
    }
    text.parse().map_err(|_| NumberError::Range { function, text: text.to_owned() })
}

/// Reads a boolean: `1 t T true TRUE True`, `0 f F false FALSE False`.
pub fn parse_bool(text: &str) -> Result<bool, NumberError> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(NumberError::Syntax { function: "ParseBool", text: text.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<u64, &str>) {
        let read = parse_uint(text).map_err(|error| error.to_string());
        assert_eq!(read, expected.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn a_number_is_digits_only() {
        check("0", Ok(0));
        check("007", Ok(7));
        check("18446744073709551615", Ok(u64::MAX));
        check("", Err(r#"strconv.ParseUint: parsing "": invalid syntax"#));
        check("x", Err(r#"strconv.ParseUint: parsing "x": invalid syntax"#));
        check("-1", Err(r#"strconv.ParseUint: parsing "-1": invalid syntax"#));
        check("+1", Err(r#"strconv.ParseUint: parsing "+1": invalid syntax"#));
        check("1.5", Err(r#"strconv.ParseUint: parsing "1.5": invalid syntax"#));
        check(
            "18446744073709551616",
            Err(r#"strconv.ParseUint: parsing "18446744073709551616": value out of range"#),
        );
    }

    #[test]
    fn a_whole_number_may_have_a_sign() {
        for (text, value) in [("7", 7), ("-7", -7), ("+7", 7), ("00", 0)] {
            assert_eq!(parse_int(text), Ok(value), "{text}");
        }
        for (text, why) in [
            ("x", "invalid syntax"),
            ("", "invalid syntax"),
            ("-", "invalid syntax"),
            ("9223372036854775808", "value out of range"),
        ] {
            let error = parse_int(text).unwrap_err().to_string();
            assert_eq!(error, format!("strconv.Atoi: parsing {text:?}: {why}"));
        }
    }

    #[test]
    fn a_boolean_has_six_spellings_each() {
        for (text, value) in [("1", true), ("T", true), ("True", true), ("f", false), ("0", false)]
        {
            assert_eq!(parse_bool(text), Ok(value), "{text}");
        }
        for text in ["", "yes", "tRUE", "2"] {
            let error = parse_bool(text).unwrap_err().to_string();
            assert_eq!(error, format!("strconv.ParseBool: parsing {text:?}: invalid syntax"));
        }
    }
}
