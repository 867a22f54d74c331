//! Complaints: the texts of Consul, as recorded in story 26 and beyond.

use super::*;

#[track_caller]
fn check(text: &str, complaint: &str) {
    let error = Filter::compile(text, &TOY).expect_err(text);
    assert_eq!(error.to_string(), complaint, "{text}");
}

#[test]
fn what_fits_nowhere_names_the_furthest_place_and_what_was_looked_for() {
    for (text, complaint) in [
        (
            "Name",
            r#"1:5 (4): no match found, expected: "!=", ".", "==", "[", [ \t\r\n] or [a-zA-Z0-9_]"#,
        ),
        (
            "Name ==",
            r#"1:8 (7): no match found, expected: "-", "0", "\"", "`", [ \t\r\n], [1-9] or [a-zA-Z]"#,
        ),
        (
            "== x",
            r#"1:1 (0): no match found, expected: "(", "-", "0", "\"", "`", "not", [ \t\r\n], [1-9] or [a-zA-Z]"#,
        ),
        (
            " ",
            r#"1:2 (1): no match found, expected: "(", "-", "0", "\"", "`", "not", [ \t\r\n], [1-9] or [a-zA-Z]"#,
        ),
        (
            "Name = x",
            r#"1:6 (5): no match found, expected: "!=", "==", "contains", "in", "is", "matches", "not" or [ \t\r\n]"#,
        ),
        (
            "Name === x",
            r#"1:8 (7): no match found, expected: "-", "0", "\"", "`", [ \t\r\n], [1-9] or [a-zA-Z]"#,
        ),
        ("Name == x and", r#"1:14 (13): no match found, expected: [ \t\r\n]"#),
        (
            "Name == x AND Port == 1",
            r#"1:11 (10): no match found, expected: "and", "or", [ \t\r\n] or EOF"#,
        ),
        (
            "Name == x)",
            r#"1:10 (9): no match found, expected: ".", "[", [ \t\r\n], [a-zA-Z0-9_] or EOF"#,
        ),
        ("Port == 80)", r#"1:11 (10): no match found, expected: ".", [ \t\r\n], [0-9] or EOF"#),
        ("(Port == 80)x", r#"1:13 (12): no match found, expected: [ \t\r\n] or EOF"#),
        ("Tags is nil", r#"1:9 (8): no match found, expected: "empty", "not" or [ \t\r\n]"#),
        ("Tags is not nil", r#"1:13 (12): no match found, expected: "empty" or [ \t\r\n]"#),
        ("Tags.0 == x", r#"1:6 (5): no match found, expected: [a-zA-Z]"#),
        ("\"\"", r#"1:3 (2): no match found, expected: [ \t\r\n]"#),
        ("\"/Name\" == x", r#"1:9 (8): no match found, expected: "in", "not" or [ \t\r\n]"#),
        (
            "not",
            r#"1:4 (3): no match found, expected: "!=", ".", "==", "[", [ \t\r\n] or [a-zA-Z0-9_]"#,
        ),
        (
            "any Checks as c { c.Status == x }",
            r#"1:5 (4): no match found, expected: "!=", "==", "contains", "in", "is", "matches", "not" or [ \t\r\n]"#,
        ),
        (
            "Name not like x",
            r#"1:10 (9): no match found, expected: "contains", "in", "matches" or [ \t\r\n]"#,
        ),
    ] {
        check(text, complaint);
    }
}

#[test]
fn a_place_counts_lines_characters_and_bytes() {
    check(
        "Name == \"é\"\n= x",
        r#"2:1 (13): no match found, expected: "and", "or", [ \t\r\n] or EOF"#,
    );
    check("Name ==\n\n\"x", r#"3:3 (11): rule "string": Unterminated string literal"#);
}

#[test]
fn some_rules_complain_themselves() {
    for (text, complaint) in [
        ("Port == 0x50", r#"1:10 (9): rule "number": Invalid number literal"#),
        ("Port == 1.", r#"1:10 (9): rule "number": Invalid number literal"#),
        ("Port == 05", r#"1:10 (9): rule "number": Invalid number literal"#),
        ("Name == \"web", r#"1:13 (12): rule "string": Unterminated string literal"#),
        ("Name == `web", r#"1:13 (12): rule "string": Unterminated string literal"#),
        ("(Name == x", r#"1:11 (10): rule "grouping": Unmatched parentheses"#),
        ("((Name == x)", r#"1:13 (12): rule "grouping": Unmatched parentheses"#),
        ("(Name == x or )", r#"1:12 (11): rule "grouping": Unmatched parentheses"#),
        ("x in 5", r#"1:6 (5): rule "match": Invalid selector"#),
        ("Meta[rack] == 1", r#"1:6 (5): rule "index": Invalid index"#),
        ("Meta[\"rack\" == 1", r#"1:13 (12): rule "index": Unclosed index expression"#),
        (
            "Meta[\"rack == 1",
            "1:16 (15): rule \"string\": Unterminated string literal\n1:6 (5): rule \"index\": Invalid index",
        ),
        ("Name == \"a\\qb\"", r#"1:9 (8): rule "string": invalid syntax"#),
    ] {
        check(text, complaint);
    }
}

#[test]
fn what_the_rows_do_not_have_is_told_before_any_is_looked_at() {
    for (text, complaint) in [
        ("Nope == 1", r#"Selector "Nope" is not valid"#),
        ("Name.Nope == 1", r#"Selector "Name.Nope" is not valid"#),
        ("Self.Nope.More == 1", r#"Selector "Self.Nope" is not valid"#),
        ("Checks.Nope == 1", r#"Selector "Checks.Nope" is not valid"#),
        ("Meta.a.b == 1", r#"Selector "Meta.a.b" is not valid"#),
        ("name == web1", r#"Selector "name" is not valid"#),
        ("Name in web1", r#"Selector "web1" is not valid"#),
        ("Nope is nope", r#"1:9 (8): no match found, expected: "empty", "not" or [ \t\r\n]"#),
        ("Name == web1 or Nope == 1", r#"Selector "Nope" is not valid"#),
    ] {
        check(text, complaint);
    }
}

#[test]
fn each_kind_has_its_operators() {
    use Operator::{Equal, In, IsEmpty, IsNotEmpty, Matches, NotEqual, NotIn, NotMatches};
    let all = [Equal, NotEqual, In, NotIn, IsEmpty, IsNotEmpty, Matches, NotMatches];
    for (selector, allowed) in [
        ("Name", [Equal, NotEqual, In, NotIn, Matches, NotMatches].as_slice()),
        ("Port", &[Equal, NotEqual]),
        ("Small", &[Equal, NotEqual]),
        ("On", &[Equal, NotEqual]),
        ("Tags", &[In, NotIn, IsEmpty, IsNotEmpty]),
        ("Bytes", &[In, NotIn, IsEmpty, IsNotEmpty]),
        ("Meta", &[In, NotIn, IsEmpty, IsNotEmpty]),
        ("Meta.rack", &[Equal, NotEqual, In, NotIn, Matches, NotMatches]),
        ("Self", &[]),
        ("Checks", &[IsEmpty, IsNotEmpty]),
        ("Checks.Status", &[Equal, NotEqual, In, NotIn, Matches, NotMatches]),
        ("Table", &[In, NotIn, IsEmpty, IsNotEmpty]),
        ("Table.x", &[]),
        ("Proxy.Upstreams", &[IsEmpty, IsNotEmpty]),
    ] {
        for operator in all {
            let value = (!matches!(operator, IsEmpty | IsNotEmpty)).then(|| "1".to_owned());
            let path = Selector(selector.split('.').map(str::to_owned).collect());
            let text = Expression::Match(Match { selector: path, operator, value }).to_string();
            match Filter::compile(&text, &TOY) {
                Ok(_) => assert!(allowed.contains(&operator), "{text}"),
                Err(error) => {
                    assert!(!allowed.contains(&operator), "{text}: {error}");
                    let name = operator.name();
                    let wanted =
                        format!("Invalid match operator \"{name}\" for selector \"{selector}\"");
                    assert_eq!(error.to_string(), wanted);
                }
            }
        }
    }
}

#[test]
fn a_value_has_the_type_of_its_field() {
    for (text, complaint) in [
        (
            "Port == abc",
            r#"Failed to coerce value "abc" for selector "Port": strconv.ParseInt: parsing "abc": invalid syntax"#,
        ),
        (
            "Port == 1.5",
            r#"Failed to coerce value "1.5" for selector "Port": strconv.ParseInt: parsing "1.5": invalid syntax"#,
        ),
        (
            "Port == 9223372036854775808",
            r#"Failed to coerce value "9223372036854775808" for selector "Port": strconv.ParseInt: parsing "9223372036854775808": value out of range"#,
        ),
        (
            "Small == 256",
            r#"Failed to coerce value "256" for selector "Small": strconv.ParseUint: parsing "256": value out of range"#,
        ),
        (
            "On == maybe",
            r#"Failed to coerce value "maybe" for selector "On": strconv.ParseBool: parsing "maybe": invalid syntax"#,
        ),
        (
            "Name matches \"[\"",
            "Failed to compile regular expression \"[\": error parsing regexp: missing closing ]: `[`",
        ),
    ] {
        check(text, complaint);
    }
}

#[test]
fn patterns_are_complained_of_in_the_words_of_go() {
    for (pattern, complaint) in [
        ("a[b", "missing closing ]: `[b`"),
        ("(a", "missing closing ): `(a`"),
        ("a)", "unexpected ): `a)`"),
        ("*", "missing argument to repetition operator: `*`"),
        ("a|+", "missing argument to repetition operator: `+`"),
        ("(?:{2})", "missing argument to repetition operator: `{2}`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{2,1}", "invalid repeat count: `{2,1}`"),
        ("[b-a]", "invalid character class range: `b-a`"),
        ("[[:nope:]]", "invalid character class range: `[:nope:]`"),
        (r"\pX", r"invalid character class range: `\pX`"),
        (r"\p{Nope}", r"invalid character class range: `\p{Nope}`"),
        (r"\y", r"invalid escape sequence: `\y`"),
        (r"\1", r"invalid escape sequence: `\1`"),
        ("a\\", "trailing backslash at end of expression: ``"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?P<n", "invalid named capture: `(?P<n`"),
        ("(?P<n-m>a)", "invalid named capture: `(?P<n-m>`"),
        (
            r"(?:(?:[\pL\pN]{1000}){1000}){1000}",
            r"expression too large: `(?:(?:[\pL\pN]{1000}){1000}){1000}`",
        ),
    ] {
        let error = Filter::compile(&format!("Name matches `{pattern}`"), &TOY).expect_err(pattern);
        let FilterError::Pattern { reason, .. } = &error else { panic!("{pattern}: {error}") };
        assert_eq!(reason, &format!("error parsing regexp: {complaint}"), "{pattern}");
    }
}

#[test]
fn what_is_too_much_is_refused_by_name() {
    let long = format!("Name == \"{}\"", "x".repeat(MAX_LENGTH));
    assert_eq!(parse(&long), Err(FilterError::TooLong(long.len())));
    for (open, close) in [("(", ")"), ("not ", ""), ("(not ", ")")] {
        let deep = |n: usize| format!("{}Name == x{}", open.repeat(n), close.repeat(n));
        assert!(parse(&deep(MAX_DEPTH / 2 - 1)).is_ok(), "{open}");
        assert_eq!(parse(&deep(MAX_DEPTH)), Err(FilterError::TooDeep), "{open}");
        assert_eq!(parse(&deep(8000)), Err(FilterError::TooDeep), "{open}");
    }
    let many = |n: usize| vec!["Name matches a"; n].join(" or ");
    assert!(Filter::compile(&many(MAX_PATTERNS), &TOY).is_ok());
    let large = "Name matches `(?:[\\pL\\pN]{12}){3}`";
    assert!(Filter::compile(large, &TOY).is_ok());
    let error = Filter::compile(&[large; MAX_PATTERNS].join(" or "), &TOY).unwrap_err();
    assert!(error.to_string().contains("expression too large"), "{error}");
    let error = Filter::compile(&many(MAX_PATTERNS + 1), &TOY).unwrap_err();
    assert_eq!(error, FilterError::TooManyPatterns);
}
