//! Tables of what is read and how, of what is refused and where, and what no text may do.

use super::*;
use proptest::prelude::*;

#[track_caller]
fn check(text: &str, json: &str) {
    let read = parse(text).map(|tree| tree.json().canonical());
    assert_eq!(read.as_deref(), Ok(json), "{text}");
}

#[track_caller]
fn refused(text: &str, why: &str) {
    let read = parse(text).map(|tree| tree.json().canonical()).map_err(|error| error.to_string());
    assert_eq!(read, Err(why.to_owned()), "{text}");
}

#[test]
fn attributes_of_every_kind() {
    check("", "{}");
    check("a = 1", r#"{"a":1}"#);
    check("a=1 b = true\nc\n=\nfalse", r#"{"a":1,"b":true,"c":false}"#);
    check(r#"a = "x" b = """#, r#"{"a":"x","b":""}"#);
    check(
        "a = -2.5e3 b = 0x1F c = 017 d = .5 e = +4",
        r#"{"a":-2.5e3,"b":31,"c":15,"d":0.5,"e":4}"#,
    );
    check("a = [1, \"x\", [true], {b = 2},]", r#"{"a":[1,"x",[true],{"b":2}]}"#);
    check("a = []", r#"{"a":[]}"#);
    check(r#""a b" = 1, c-d.e_f = 2"#, r#"{"a b":1,"c-d.e_f":2}"#);
    check("größe = 1", r#"{"größe":1}"#);
}

#[test]
fn blocks_and_labels() {
    check("ports { dns = 53 http = -1 }", r#"{"ports":{"dns":53,"http":-1}}"#);
    check("ports = { dns = 53, http = 1 }", r#"{"ports":{"dns":53,"http":1}}"#);
    check(r#""ports" = {}"#, r#"{"ports":{}}"#);
    check(r#""service" { id = "a" }"#, r#"{"service":{"id":"a"}}"#);
    check("acl = { tokens { agent = \"x\" } }", r#"{"acl":{"tokens":{"agent":"x"}}}"#);
    check(
        r#"source "marathon" "main" { urls = ["u"] }"#,
        r#"{"source":{"marathon":{"main":{"urls":["u"]}}}}"#,
    );
    check(r#"key_prefix "a/" { policy = "read" }"#, r#"{"key_prefix":{"a/":{"policy":"read"}}}"#);
}

#[test]
fn what_stands_twice_is_kept_twice_and_in_order() {
    let tree = parse("check { id = 1 }\nserver = true\ncheck { id = 2 }").expect("it is HCL");
    let Value::Object(members) = tree.value else { panic!("a file is an object") };
    let keys: Vec<(&str, u32)> = members.iter().map(|m| (m.key.as_str(), m.place.line)).collect();
    assert_eq!(keys, [("check", 1), ("server", 2), ("check", 3)]);
}

#[test]
fn comments_and_heredocs() {
    check("# a\n// b\na = 1 /* c\n d */ b = 2 # e", r#"{"a":1,"b":2}"#);
    check("a = <<EOF\n one\n  two\nEOF\nb = 1", r#"{"a":" one\n  two\n","b":1}"#);
    check("a = <<-EOF\n    one\n\n      two\n    EOF\n", r#"{"a":"one\n\n  two\n"}"#);
    check("a = [<<X\nx\nX\n, 1]", r#"{"a":["x\n",1]}"#);
}

#[test]
fn texts_and_their_escapes() {
    check(
        r#"a = "q\" b\\ n\n t\t u\u00e4 x\x41 o\101 U\U0001F600""#,
        "{\"a\":\"q\\\" b\\\\ n\\n t\\t uä xA oA U😀\"}",
    );
    check(
        r#"a = "${join(",", ["b"])} {{ GetPrivateIP }}""#,
        r#"{"a":"${join(\",\", [\"b\"])} {{ GetPrivateIP }}"}"#,
    );
    check(r#"a = "\ud83d\ude00 \ud83d""#, "{\"a\":\"😀 \u{fffd}\"}");
}

#[test]
fn json_is_read_as_json_with_places() {
    check(r#" {"a": null, "b": [1, {"c": "d"}], "a": 2.50}"#, r#"{"a":2.50,"b":[1,{"c":"d"}]}"#);
    let tree = parse_json("{\n  \"a\": {\n    \"b\": 1}}").expect("it is JSON");
    let Value::Object(members) = tree.value else { panic!("an object") };
    let Value::Object(inner) = &members[0].tree.value else { panic!("an object") };
    assert_eq!(inner[0].place, Place { line: 3, column: 5 });
    refused(r#"{"a": 1,}"#, "line 1, column 9: expected a key in double quotes, found `}`");
    refused(r#"{"a": [1,]}"#, "line 1, column 10: expected a value, found `]`");
    refused(r#"{a: 1}"#, "line 1, column 2: expected a key in double quotes, found `a`");
    refused(r#"{"a": 01}"#, "line 1, column 7: \"01\" is no number");
    refused(r#"{"a": 1} x"#, "line 1, column 10: expected the end of the file, found `x`");
    refused("{\"a\": 1", "line 1, column 8: expected `,` or `}`, found the end of the file");
    let empty = parse_json("").map_err(|error| error.to_string());
    assert_eq!(empty, Err("line 1, column 1: expected a value, found the end of the file".into()));
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    refused(
        "a = b",
        "line 1, column 5: expected a value (a text stands in double quotes), found `b`",
    );
    refused("a", "line 1, column 2: expected `=` or `{` after \"a\", found the end of the file");
    refused(
        "a = null",
        "line 1, column 5: expected a value (a text stands in double quotes), found `null`",
    );
    refused("\n\n  = 1", "line 3, column 3: expected a key, found `=`");
    refused("a {\n b = 1", "line 2, column 7: expected a key or `}`, found the end of the file");
    refused("a = [1 2]", "line 1, column 8: expected `,` or `]`, found 2");
    refused("a = \"x\ny\"", "line 1, column 7: a text does not end in its line");
    refused("a = \"x", "line 1, column 5: a text that does not end");
    refused("a = \"\\q\"", "line 1, column 7: an escape that is none");
    refused("a = 1.2.3", "line 1, column 5: \"1.2.3\" is no number");
    refused("a = <<EOF\nx", "line 1, column 5: a heredoc that does not end");
    refused("a = 1 /* x", "line 1, column 7: a comment that does not end");
    refused("a = 1;", "line 1, column 6: unexpected ';'");
    refused("a } b", "line 1, column 3: expected `=` or `{` after \"a\", found `}`");
}

#[test]
fn nesting_has_an_end() {
    let deep = |n: usize| format!("a = {}{}", "[".repeat(n), "]".repeat(n));
    assert!(parse(&deep(DEPTH)).is_ok());
    let error = parse(&deep(100_000)).expect_err("too deep");
    assert!(error.why.contains("nested deeper"), "{error}");
    let labels = "a ".repeat(100_000);
    assert!(parse(&labels).expect_err("too deep").why.contains("nested deeper"));
    let many = format!("a = [{}]", "1,".repeat(VALUES + 1));
    assert!(parse(&many).expect_err("too many").why.contains("more than"));
}

/// A value and one way to write it in HCL.
fn written() -> impl Strategy<Value = (String, Json)> {
    let text = "[a-z\"\\\\\n\t äß#/]{0,8}".prop_map(|text: String| {
        let quoted = Json::String(text.clone()).canonical();
        (quoted, Json::String(text))
    });
    let number = any::<i64>().prop_map(|n| (n.to_string(), Json::Number(n.to_string())));
    let truth = any::<bool>().prop_map(|is| (is.to_string(), Json::Bool(is)));
    let leaf = prop_oneof![text, number, truth];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4).prop_map(|items| {
            let (texts, values): (Vec<_>, Vec<_>) = items.into_iter().unzip();
            (format!("[ {} ]", texts.join(" , ")), Json::Array(values))
        });
        let member = ("[a-z_][a-z0-9_.-]{0,6}", inner, any::<bool>(), any::<bool>());
        let object = prop::collection::vec(member, 0..4).prop_map(|members| {
            let mut text = "{".to_owned();
            let mut values = Vec::new();
            for (key, (written, value), comma, quoted) in members {
                let name = if quoted { format!("{key:?}") } else { key.clone() };
                let equals = if written.starts_with('{') && comma { " " } else { " = " };
                text +=
                    &format!("\n# note\n{name}{equals}{written}{}", if comma { "," } else { "\n" });
                values.push((key, value));
            }
            (text + "}", Json::Object(values))
        });
        prop_oneof![list, object]
    })
}

use crate::json::Json;

proptest! {
    #[test]
    fn what_is_written_is_read((text, value) in written()) {
        let tree = parse(&format!("top = {text}")).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(tree.json(), Json::Object(vec![("top".to_owned(), value)]));
    }

    #[test]
    fn no_text_makes_it_fall(text in "\\PC{0,64}", seed in "[a-z \\[\\]{}=\",:\n#/*<\\-0-9.\\\\$]{0,64}") {
        for text in [text.as_str(), seed.as_str()] {
            let _ = parse(text);
            let _ = parse_json(text);
        }
    }

    #[test]
    fn json_is_read_as_the_other_reader_reads_it((_, value) in written()) {
        let text = value.canonical();
        let read = parse_json(&text).map(Tree::json);
        prop_assert_eq!(read.ok(), crate::json::parse(text.as_bytes()).ok());
    }
}
