//! What an expression means.

use super::*;

#[track_caller]
fn check(text: &str, holds: bool) {
    let filter = Filter::compile(text, &TOY).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(filter.matches(&toy()), holds, "{text}");
}

#[track_caller]
fn check_all(rows: &[(&str, bool)]) {
    rows.iter().for_each(|(text, holds)| check(text, *holds));
}

#[test]
fn a_text_is_compared_looked_into_and_matched() {
    check_all(&[
        ("Name == web1", true),
        ("Name==web1", true),
        ("  Name\t==\r\n web1 ", true),
        ("Name == \"web1\"", true),
        ("Name == `web1`", true),
        ("Name == \"web\\x31\"", true),
        ("Name == WEB1", false),
        ("Name != web1", false),
        ("Name != \"\"", true),
        ("eb in Name", true),
        ("\"\" in Name", true),
        ("Name contains \"eb1\"", true),
        ("Name not contains eb1", false),
        ("eb2 not in Name", true),
        ("Name matches \"web[12]\"", true),
        ("Name matches eb", true),
        ("Name matches \"^eb\"", false),
        ("Name not matches \"^eb\"", true),
        ("Name == Meta.rack", false),
    ]);
}

#[test]
fn numbers_and_truths_are_compared() {
    check_all(&[
        ("Port == 80", true),
        ("Port == \"80\"", true),
        ("Port == \"0x50\"", true),
        ("Port == \"+80\"", true),
        ("Port == -80", false),
        ("Port != 80", false),
        ("Small == 80", true),
        ("On == true", true),
        ("On == T", true),
        ("On == 1", true),
        ("On == f", false),
        ("On != false", true),
    ]);
}

#[test]
fn lists_and_maps_are_asked_for_what_they_hold() {
    check_all(&[
        ("prod in Tags", true),
        ("\"pro\" in Tags", false),
        ("Tags contains prod", true),
        ("Tags not contains prod", false),
        ("Tags is empty", false),
        ("Tags is not empty", true),
        ("10 in Bytes", true),
        ("11 in Bytes", false),
        ("Bytes is empty", false),
        ("rack in Meta", true),
        ("none in Meta", false),
        ("Meta contains rack", true),
        ("none not in Meta", true),
        ("Meta is empty", false),
        ("Meta.rack == 1", true),
        ("Meta[\"rack\"] == \"1\"", true),
        ("Meta[ `a.b` ] == \"x y\"", true),
        ("Meta.empty == \"\"", true),
        ("passing in Table", true),
        ("Table.warning.Status == warning", true),
        ("Table.critical.Status == warning", false),
    ]);
}

#[test]
fn a_key_that_lacks_is_equal_to_nothing_and_matches_everything() {
    check_all(&[
        ("Meta.none == \"\"", false),
        ("Meta.none != x", true),
        ("x in Meta.none", false),
        ("x not in Meta.none", true),
        ("Meta.none matches x", true),
        ("Meta.none not matches x", true),
        ("not Meta.none matches x", false),
        ("Table.none.Tags is empty", true),
        ("Table.none.Tags is not empty", false),
    ]);
    let bare = Toy::default();
    for (text, holds) in [
        ("Meta is empty", true),
        ("Meta.x == y", false),
        ("Tags is empty", true),
        ("Checks is empty", true),
        ("Checks.Status != passing", false),
        ("Proxy.Mode == \"\"", true),
        ("Proxy.Port == 0", true),
        ("Proxy.Native == false", true),
        ("Proxy.Upstreams is empty", true),
        ("Proxy.Expose.Paths is empty", true),
    ] {
        let filter = Filter::compile(text, &TOY).expect(text);
        assert_eq!(filter.matches(&bare), holds, "{text}");
    }
}

#[test]
fn any_of_the_rows_of_a_list_will_do() {
    check_all(&[
        ("Checks.Status == passing", true),
        ("Checks.Status == critical", false),
        ("Checks.Status != passing", true),
        ("not Checks.Status == passing", false),
        ("warn in Checks.Status", true),
        ("x in Checks.Tags", true),
        ("Checks.Tags is empty", true),
        ("Checks.Tags is not empty", true),
        ("Checks is empty", false),
        ("Self.Status == passing", true),
    ]);
}

#[test]
fn what_is_kept_as_json_is_read_by_its_kind() {
    check_all(&[
        ("Proxy.Mode == direct", true),
        ("rec in Proxy.Mode", true),
        ("Proxy.Mode matches \"^d\"", true),
        ("Proxy.Port == 7", true),
        ("Proxy.Native == true", true),
        ("Proxy.Upstreams is not empty", true),
        ("Proxy.Upstreams.Name == cache", true),
        ("Proxy.Upstreams.Name == web", false),
        ("Proxy.Upstreams.Port == 0", true),
        ("Proxy.Expose.Paths is empty", true),
    ]);
}

#[test]
fn and_binds_tighter_than_or_and_not_tighter_than_both() {
    check_all(&[
        ("Port == 80 or Port == 81 and Name == x", true),
        ("(Port == 80 or Port == 81) and Name == x", false),
        ("not Port == 80 or Name == web1", true),
        ("not (Port == 80 or Name == web1)", false),
        ("not not Port == 80", true),
        ("not (not (Port == 80))", true),
        ("( ( Port == 80 ) )", true),
        ("Port == 80 and Name == web1 and On == true", true),
        ("not not in Tags", true),
        ("not in Tags", false),
        ("or in Name or and in Name or in not in Name", true),
    ]);
}

#[test]
fn patterns_know_what_go_knows() {
    for (pattern, text, matches) in [
        (r"^\d+$", "123", true),
        (r"^\d+$", "١٢٣", false),
        (r"^\w+$", "é", false),
        (r"\bb\b", "a b c", true),
        (r"a\B", "ab", true),
        ("a{", "a{", true),
        ("a{,2}", "a{,2}", true),
        ("a{2}", "aa", true),
        ("^a{1,}?$", "aaa", true),
        ("[[a]", "[", true),
        ("[a&&b]", "&", true),
        ("[]a]", "]", true),
        ("[^]a]", "]", false),
        ("[a-]", "-", true),
        ("[[:alpha:]]", "x", true),
        ("[[:^alpha:]]", "x", false),
        (r"[\d\-x]", "-", true),
        (r"\pL", "é", true),
        (r"\PL", "é", false),
        (r"\p{Greek}", "α", true),
        (r"\p{^Greek}", "α", false),
        (r"(?i)WEB", "web", true),
        (r"(?i:W)eb", "web", true),
        (r"(?i:W)EB", "web", false),
        (r"(?P<n>a)(?<m>b)", "ab", true),
        (r"\Qa.b\E", "a.b", true),
        (r"\Qa.b", "axb", false),
        (r"\x41\x{e9}\101", "AéA", true),
        (r"a.c", "a\nc", false),
        (r"(?s)a.c", "a\nc", true),
        (r"(?m)^b$", "a\nb\nc", true),
        (r"^b$", "a\nb\nc", false),
        ("a b#c", "a b#c", true),
        ("", "", true),
        ("a||b", "", true),
        (r"\A\.\/\z", "./", true),
    ] {
        let filter = Filter::compile(&format!("Name matches `{pattern}`"), &TOY);
        let filter = filter.unwrap_or_else(|error| panic!("{pattern}: {error}"));
        let row = Toy { name: text.to_owned(), ..Toy::default() };
        assert_eq!(filter.matches(&row), matches, "{pattern} on {text}");
    }
}
