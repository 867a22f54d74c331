//! Filter expressions on rows that have a field of every kind.

use lang::filter::{Fields, Filter, Kind, List, Map, Schema, Value, parse};
use lang::json::{self, Json};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

static ROW: Schema = Schema(&[
    ("Name", Kind::Text),
    ("Port", Kind::Int),
    ("Small", Kind::Uint(8)),
    ("On", Kind::Bool),
    ("Tags", Kind::Texts),
    ("Meta", Kind::Map(&Kind::Text)),
    ("Bytes", Kind::Bytes),
    ("Check", Kind::One(&CHECK)),
    ("Checks", Kind::List(&CHECK)),
    ("Table", Kind::Map(&Kind::One(&CHECK))),
    ("Proxy", Kind::One(&PROXY)),
]);

static CHECK: Schema = Schema(&[("Status", Kind::Text), ("Tags", Kind::Texts)]);

static PROXY: Schema = Schema(&[
    ("Mode", Kind::Text),
    ("Port", Kind::Int),
    ("Native", Kind::Bool),
    ("Upstreams", Kind::List(&Schema(&[("Name", Kind::Text), ("Port", Kind::Int)]))),
]);

struct Check {
    status: &'static str,
    tags: Arc<[String]>,
}

struct Checks(Vec<Check>);

struct Row {
    name: &'static str,
    port: i64,
    tags: Arc<[String]>,
    meta: Option<BTreeMap<String, String>>,
    checks: Checks,
    check: Check,
    proxy: Option<Json>,
}

impl Fields for Check {
    fn field(&self, name: &str) -> Value<'_> {
        match name {
            "Status" => Value::from(self.status),
            "Tags" => Value::Texts(&self.tags),
            other => panic!("no such field: {other}"),
        }
    }
}

impl List for Checks {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn any(&self, holds: &mut dyn FnMut(&dyn Fields) -> bool) -> bool {
        self.0.iter().any(|check| holds(check))
    }
}

impl Map for Checks {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn value(&self, key: &str) -> Option<Value<'_>> {
        let found = self.0.iter().find(|check| check.status == key);
        found.map(|check| Value::One(check))
    }
}

impl Fields for Row {
    fn field(&self, name: &str) -> Value<'_> {
        match name {
            "Name" => Value::from(self.name),
            "Port" => Value::Int(self.port),
            "Small" => Value::Int(self.port & 0xff),
            "On" => Value::Bool(self.port != 0),
            "Tags" => Value::Texts(&self.tags),
            "Meta" => Value::Map(&self.meta),
            "Bytes" => Value::Bytes(self.name.as_bytes().into()),
            "Check" => Value::One(&self.check),
            "Checks" => Value::List(&self.checks),
            "Table" => Value::Map(&self.checks),
            "Proxy" => Value::Json(self.proxy.as_ref()),
            other => panic!("no such field: {other}"),
        }
    }
}

fn texts(texts: &[&str]) -> Arc<[String]> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn check(status: &'static str, tags: &[&str]) -> Check {
    Check { status, tags: texts(tags) }
}

/// A row with something in every field, and one with as little as a row can have.
static ROWS: LazyLock<[Row; 2]> = LazyLock::new(|| {
    let proxy = r#"{"Mode":"direct","Port":7,"Native":true,
        "Upstreams":[{"Name":"db","Port":1},{"Name":"cache"}]}"#;
    let meta = [("rack", "1"), ("a.b", "x y"), ("empty", "")];
    let full = Row {
        name: "web1é",
        port: 80,
        tags: texts(&["v1", "prod"]),
        meta: Some(meta.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
        checks: Checks(vec![check("passing", &["x"]), check("warning", &[])]),
        check: check("critical", &["y"]),
        proxy: Some(json::parse(proxy.as_bytes()).expect("it is JSON")),
    };
    let bare = Row {
        name: "",
        port: 0,
        tags: texts(&[]),
        meta: None,
        checks: Checks(Vec::new()),
        check: check("", &[]),
        proxy: None,
    };
    [full, bare]
});

/// Text that is asked as `?filter=`.
pub fn filter(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match parse(text) {
        Ok(expression) => {
            let written = expression.to_string();
            if written.len() <= lang::filter::MAX_LENGTH {
                assert_eq!(parse(&written), Ok(expression), "{text} is written as {written}");
            }
        }
        Err(error) => assert!(!error.to_string().is_empty(), "{text}"),
    }
    let Ok(filter) = Filter::compile(text, &ROW) else { return };
    // Too long or too deep with the `not`, perhaps.
    let Ok(not) = Filter::compile(&format!("not ({text})"), &ROW) else { return };
    for row in &*ROWS {
        assert_ne!(filter.matches(row), not.matches(row), "{text}");
    }
}
