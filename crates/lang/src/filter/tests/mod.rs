//! What is written, what is meant, and what is complained of.

mod complaints;
mod meaning;
mod random;

use super::*;
use crate::json::{self, Json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A row with a field of every kind.
#[derive(Debug, Default)]
pub(super) struct Toy {
    pub(super) name: String,
    pub(super) port: i64,
    pub(super) on: bool,
    pub(super) tags: Arc<[String]>,
    pub(super) meta: Option<BTreeMap<String, String>>,
    pub(super) bytes: Vec<u8>,
    pub(super) checks: Checks,
    pub(super) proxy: Option<Json>,
}

pub(super) static TOY: Schema = Schema(&[
    ("Name", Kind::Text),
    ("Port", Kind::Int),
    ("Small", Kind::Uint(8)),
    ("On", Kind::Bool),
    ("Tags", Kind::Texts),
    ("Meta", Kind::Map(&Kind::Text)),
    ("Bytes", Kind::Bytes),
    ("Self", Kind::One(&INNER)),
    ("Checks", Kind::List(&INNER)),
    ("Proxy", Kind::One(&PROXY)),
    ("Table", Kind::Map(&Kind::One(&INNER))),
]);

static INNER: Schema = Schema(&[("Status", Kind::Text), ("Tags", Kind::Texts)]);

static PROXY: Schema = Schema(&[
    ("Mode", Kind::Text),
    ("Port", Kind::Int),
    ("Native", Kind::Bool),
    ("Upstreams", Kind::List(&UPSTREAM)),
    ("Expose", Kind::One(&Schema(&[("Paths", Kind::List(&UPSTREAM))]))),
]);

static UPSTREAM: Schema = Schema(&[("Name", Kind::Text), ("Port", Kind::Int)]);

/// A row within a row.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) status: String,
    pub(super) tags: Arc<[String]>,
}

#[derive(Debug, Default)]
pub(super) struct Checks(pub(super) Vec<Inner>);

impl Fields for Inner {
    fn field(&self, name: &str) -> Value<'_> {
        match name {
            "Status" => Value::from(self.status.as_str()),
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

impl Fields for Toy {
    fn field(&self, name: &str) -> Value<'_> {
        match name {
            "Name" => Value::from(self.name.as_str()),
            "Port" => Value::Int(self.port),
            "Small" => Value::Int(self.port & 0xff),
            "On" => Value::Bool(self.on),
            "Tags" => Value::Texts(&self.tags),
            "Meta" => Value::Map(&self.meta),
            "Bytes" => Value::Bytes(self.bytes.as_slice().into()),
            "Self" => Value::One(&self.checks.0[0]),
            "Checks" => Value::List(&self.checks),
            "Proxy" => Value::Json(self.proxy.as_ref()),
            "Table" => Value::Map(&self.checks),
            other => panic!("no such field: {other}"),
        }
    }
}

pub(super) fn texts(texts: &[&str]) -> Arc<[String]> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// The row most tests ask about.
pub(super) fn toy() -> Toy {
    let check =
        |status: &str, tags: &[&str]| Inner { status: status.to_owned(), tags: texts(tags) };
    let meta = [("rack", "1"), ("a.b", "x y"), ("empty", "")];
    let proxy = r#"{"Mode":"direct","Port":7,"Native":true,
        "Upstreams":[{"Name":"db","Port":1},{"Name":"cache"}]}"#;
    Toy {
        name: "web1".to_owned(),
        port: 80,
        on: true,
        tags: texts(&["v1", "prod"]),
        meta: Some(meta.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
        bytes: vec![10, 0, 0, 1],
        checks: Checks(vec![check("passing", &["x"]), check("warning", &[])]),
        proxy: Some(json::parse(proxy.as_bytes()).expect("the toy's JSON is JSON")),
    }
}
