//! Definitions in files, made into what the agent's HTTP door takes.
//!
//! Files spell keys `with_underscores` and may write an object as a block; the door's keys have none and
//! are read in any case. Below `meta`, `header` and the like the keys are people's own.

use lang::tree::{Tree, Value as Node};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Objects whose keys are people's own.
const OF_PEOPLE: [&str; 5] = ["meta", "taggedaddresses", "header", "config", "opaqueconfig"];

/// Keys whose value is a list of objects; all other objects are one.
const LISTS: [&str; 4] = ["checks", "services", "upstreams", "paths"];

/// All definitions of services in these files.
pub fn read(files: &[PathBuf]) -> Result<Vec<Map<String, Value>>, String> {
    let mut services = Vec::new();
    for file in files {
        let tree = tree(file)?;
        services.extend(definitions(tree).map_err(|why| format!("{}: {why}", file.display()))?);
    }
    Ok(services)
}

fn tree(file: &Path) -> Result<Tree, String> {
    let shown = file.display();
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let json = file.extension().is_some_and(|ending| ending == "json");
    let read = if json { lang::hcl::parse_json(&text) } else { lang::hcl::parse(&text) };
    read.map_err(|error| {
        format!("{shown}:{}:{}: {}", error.place.line, error.place.column, error.why)
    })
}

fn definitions(tree: Tree) -> Result<Vec<Map<String, Value>>, String> {
    let Node::Object(members) = tree.value else {
        return Err("an object is wanted".to_owned());
    };
    let mut services = Vec::new();
    for member in members.into_iter().filter(|m| matches!(m.key.as_str(), "service" | "services")) {
        let given = match plain(member.tree, Keys::Ours) {
            Value::Array(items) => items,
            Value::Null => continue,
            one => vec![one],
        };
        for one in given {
            match one {
                Value::Object(service) => services.push(service),
                _ => return Err(format!("line {}: a service is wanted", member.place.line)),
            }
        }
    }
    Ok(services)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    /// Spelled with underscores in files and without at the door.
    Ours,
    /// People's own.
    Theirs,
}

fn plain(tree: Tree, keys: Keys) -> Value {
    match tree.value {
        Node::Null => Value::Null,
        Node::Bool(is) => Value::Bool(is),
        Node::Number(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        Node::Text(text) => Value::String(text),
        Node::List(items) => items.into_iter().map(|item| plain(item, keys)).collect(),
        Node::Object(members) => {
            let mut object = Map::new();
            for member in members {
                let (key, inner) = match keys {
                    Keys::Theirs => (member.key, Keys::Theirs),
                    Keys::Ours => {
                        let key = member.key.replace('_', "").to_lowercase();
                        let theirs = OF_PEOPLE.contains(&key.as_str());
                        (key, if theirs { Keys::Theirs } else { Keys::Ours })
                    }
                };
                add(&mut object, key, plain(member.tree, inner), keys);
            }
            Value::Object(object)
        }
    }
}

/// Adds a member; a block written twice is a list, and a list of one block is the block.
fn add(object: &mut Map<String, Value>, key: String, value: Value, keys: Keys) {
    let is_list = LISTS.contains(&key.as_str());
    let value = match value {
        Value::Array(mut items)
            if keys == Keys::Ours && !is_list && items.len() == 1 && items[0].is_object() =>
        {
            items.remove(0)
        }
        one @ Value::Object(_) if is_list => Value::Array(vec![one]),
        other => other,
    };
    // Several checks under the name of one.
    let several = key == "check" && (value.is_array() || object.contains_key("check"));
    let key = if several { "checks".to_owned() } else { key };
    let earlier = match several {
        true => object.remove("check").into_iter().collect(),
        false => Vec::new(),
    };
    match (object.get_mut(&key), value) {
        (Some(Value::Array(known)), Value::Array(more)) => known.extend(more),
        (Some(Value::Array(known)), one) if key == "checks" => known.push(one),
        (_, Value::Array(items)) if several => {
            object.insert(key, earlier.into_iter().chain(items).collect());
        }
        (_, one) if several => {
            object.insert(key, earlier.into_iter().chain([one]).collect());
        }
        (_, value) => {
            object.insert(key, value);
        }
    }
}

/// Fills what a file leaves open with what the flags say.
pub fn complete(mut service: Map<String, Value>, flags: &Map<String, Value>) -> Map<String, Value> {
    for (key, value) in flags {
        match (service.get_mut(key), value) {
            (Some(Value::Array(known)), Value::Array(more)) => known.extend(more.iter().cloned()),
            (Some(Value::Object(known)), Value::Object(more)) => {
                known.extend(more.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
            (Some(_), _) => {}
            (None, _) => {
                service.insert(key.clone(), value.clone());
            }
        }
    }
    service
}

/// The name a definition gives.
pub fn name(service: &Map<String, Value>) -> String {
    text(service, "name")
}

/// The id of a definition; its name where it gives none.
pub fn id(service: &Map<String, Value>) -> String {
    let id = text(service, "id");
    if id.is_empty() { name(service) } else { id }
}

fn text(service: &Map<String, Value>, key: &str) -> String {
    service.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(text: &str, expected: Value) {
        let tree = lang::hcl::parse(text).expect(text);
        let read = definitions(tree).expect(text).into_iter().map(Value::Object).collect::<Value>();
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn keys_lose_their_underscores_and_peoples_own_stay() {
        check(
            "service { name = \"web\" enable_tag_override = true meta { my_key = \"a\" } }",
            json!([{ "name": "web", "enabletagoverride": true, "meta": { "my_key": "a" } }]),
        );
        check(
            r#"{"service": {"name": "web", "tagged_addresses": {"my_lan": {"address": "a", "port": 1}}}}"#,
            json!([{ "name": "web", "taggedaddresses": { "my_lan": { "address": "a", "port": 1 } } }]),
        );
    }

    #[test]
    fn checks_may_be_blocks_or_a_list() {
        let one = json!([{ "name": "a", "check": { "ttl": "1s" } }]);
        check("service { name = \"a\" check { ttl = \"1s\" } }", one);
        let two = json!([{ "name": "a", "checks": [{ "ttl": "1s" }, { "ttl": "2s" }] }]);
        check(
            "service { name = \"a\" check { ttl = \"1s\" } check { ttl = \"2s\" } }",
            two.clone(),
        );
        check("service { name = \"a\" checks = [{ ttl = \"1s\" }, { ttl = \"2s\" }] }", two);
    }

    #[test]
    fn several_services_stand_in_one_file() {
        let two = json!([{ "name": "a" }, { "name": "b" }]);
        check("service { name = \"a\" } service { name = \"b\" }", two.clone());
        check("services = [{ name = \"a\" }, { name = \"b\" }]", two.clone());
        check(r#"{"services": [{"name": "a"}, {"name": "b"}]}"#, two);
        check("datacenter = \"dc1\"", json!([]));
    }
}
