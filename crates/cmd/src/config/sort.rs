//! From what a file says to what is applied, with everything that is wrong told at once.
//!
//! Consul's own decoder is lenient in ways that real files depend on: a block may be a list of one
//! block, may stand twice, and its keys may be written in any case.

use super::definitions::{self, Definition};
use super::keys::{APPLIED, BLOCKS, DEFINITIONS, DEPRECATED, INNER, LATER, LISTS, PROTECTION};
use super::protection::asks_for_nothing;
use super::raw::Raw;
use lang::tree::{Member, Place, Tree, Value};
use serde_json::{Map, Value as Json};

/// Something that is wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// Where.
    pub place: Place,
    /// What, and what to do about it.
    pub what: String,
}

/// What a file comes to.
#[derive(Debug, Default)]
pub struct Sorted {
    /// What is applied.
    pub known: Map<String, Json>,
    /// One for each key that has no effect.
    pub warnings: Vec<String>,
    /// Services and checks.
    pub definitions: Vec<Definition>,
    /// Where each key that is applied stands, such as `ports.http`.
    pub places: Vec<(String, Place)>,
    /// What may ask for protection, each by its path such as `acl.tokens.agent`: judged once all is read.
    pub guards: Vec<(String, Place, Tree)>,
    /// Everything that is wrong; if there is any, nothing is applied.
    pub complaints: Vec<Complaint>,
}

/// Sorts the keys of a file.
pub fn sort_out(file: Tree) -> Sorted {
    let mut sorted = Sorted::default();
    let place = file.place;
    let Some(members) = members(file) else {
        sorted.complain(place, "the configuration must be one object".to_owned());
        return sorted;
    };
    for member in members {
        if member.tree.value != Value::Null {
            sorted.take(member);
        }
    }
    sorted
}

impl Sorted {
    fn complain(&mut self, place: Place, what: String) {
        self.complaints.push(Complaint { place, what });
    }

    fn warn(&mut self, key: &str) {
        let warning = match DEPRECATED.iter().find(|(name, _)| *name == key) {
            Some((_, instead)) => format!(
                "The '{key}' field is deprecated. Use the '{instead}' field instead; {key} is \
                 accepted but has no effect in this version"
            ),
            None => format!("{key} is accepted but has no effect in this version"),
        };
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    fn take(&mut self, member: Member) {
        let Member { key, place, tree } = member;
        let blocks = || BLOCKS.iter().map(|(name, ..)| name);
        let all = APPLIED.iter().chain(LATER).chain(PROTECTION).chain(DEFINITIONS).chain(blocks());
        let Some(key) = spelled(&key, all.clone()) else {
            return self.complain(place, unknown(&key, all));
        };
        if let Some((name, applied, later)) = BLOCKS.iter().find(|(name, ..)| *name == key) {
            self.take_block(name, place, tree, applied, later);
        } else if APPLIED.contains(&key) {
            self.apply(None, key, place, tree);
        } else if DEFINITIONS.contains(&key) {
            self.definitions.extend(definitions::read(key, tree, &mut self.complaints));
        } else {
            self.look_into(key, place, &tree, PROTECTION.contains(&key));
            if !is_nothing(&tree) {
                self.warn(key);
            }
        }
    }

    /// Finds misspelt keys in a block that has no effect, and keeps what may ask for protection.
    fn look_into(&mut self, path: &str, place: Place, tree: &Tree, guards: bool) {
        let known = INNER.iter().find(|(name, _)| *name == path);
        let known = known.and_then(|(_, known)| Some((known, members(tree.clone())?)));
        let Some((known, members)) = known else {
            if guards && tree.value != Value::Null {
                self.guards.push((path.to_owned(), place, tree.clone()));
            }
            return;
        };
        for Member { key, place, tree } in members {
            match spelled(&key, known.iter()) {
                Some(key) => self.look_into(&format!("{path}.{key}"), place, &tree, guards),
                None => self.complain(place, unknown(&format!("{path}.{key}"), known.iter())),
            }
        }
    }

    fn take_block(
        &mut self,
        name: &'static str,
        place: Place,
        tree: Tree,
        applied: &[&'static str],
        later: &[&'static str],
    ) {
        let Some(members) = members(tree) else {
            return self.complain(place, format!("{name} must be an object"));
        };
        for Member { key, place, tree } in members {
            if tree.value == Value::Null {
                continue;
            }
            let all = applied.iter().chain(later);
            let Some(key) = spelled(&key, all.clone()) else {
                self.complain(place, unknown(&format!("{name}.{key}"), all));
                continue;
            };
            let shown = format!("{name}.{key}");
            // A feature that does not exist is off already; `-1`, `false` change nothing.
            if later.contains(&key) && !is_off(&tree) {
                self.warn(&shown);
            }
            if applied.contains(&key) {
                self.apply(Some(name), key, place, tree);
            }
        }
    }

    /// Puts a value where it belongs, once it is of the type that its key has.
    fn apply(&mut self, block: Option<&'static str>, key: &'static str, place: Place, tree: Tree) {
        let value = plain(key, tree);
        let alone = Map::from_iter([(key.to_owned(), value.clone())]);
        let alone = match block {
            Some(block) => Map::from_iter([(block.to_owned(), Json::Object(alone))]),
            None => alone,
        };
        if let Err(error) = serde_json::from_value::<Raw>(Json::Object(alone)) {
            let shown = block.map_or(key.to_owned(), |block| format!("{block}.{key}"));
            return self.complain(place, format!("{shown}: {error}"));
        }
        let shown = block.map_or(key.to_owned(), |block| format!("{block}.{key}"));
        self.places.push((shown, place));
        let into = match block {
            None => &mut self.known,
            Some(block) => {
                let into = self.known.entry(block).or_insert_with(|| Json::Object(Map::new()));
                into.as_object_mut().expect("blocks are objects, as put here")
            }
        };
        match (into.get_mut(key), value) {
            (Some(Json::Array(list)), Json::Array(more)) if LISTS.contains(&key) => {
                list.extend(more)
            }
            (Some(Json::Object(object)), Json::Object(more)) => object.extend(more),
            (_, value) => drop(into.insert(key.to_owned(), value)),
        }
    }
}

/// The members of a block, or as Consul takes it too, of a list of blocks.
pub(super) fn members(tree: Tree) -> Option<Vec<Member>> {
    match tree.value {
        Value::Object(members) => Some(members),
        Value::List(blocks) => {
            blocks.into_iter().map(members).collect::<Option<Vec<_>>>().map(|all| all.concat())
        }
        _ => None,
    }
}

/// The key as it is spelled in the table, whatever its case in the file.
fn spelled<'k>(
    key: &str,
    mut known: impl Iterator<Item = &'k &'static str>,
) -> Option<&'static str> {
    known.find(|name| name.eq_ignore_ascii_case(key)).copied()
}

/// A value without its places. Where an object is wanted, a list of one is that one.
fn plain(key: &str, tree: Tree) -> Json {
    match tree.value {
        Value::Null => Json::Null,
        Value::Bool(is) => Json::Bool(is),
        Value::Number(text) => serde_json::from_str(&text).unwrap_or(Json::String(text)),
        Value::Text(text) => Json::String(text),
        Value::List(mut items) => {
            let blocks = items.iter().all(|item| matches!(item.value, Value::Object(_)));
            if items.len() == 1 && blocks && !LISTS.contains(&key) {
                return plain(key, items.remove(0));
            }
            Json::Array(items.into_iter().map(|item| plain("", item)).collect())
        }
        Value::Object(members) => {
            let mut object = Map::new();
            for Member { key, tree, .. } in members {
                let value = plain(&key, tree);
                object.insert(key, value);
            }
            Json::Object(object)
        }
    }
}

/// Whether nothing at all is said: `{}`, `[]`.
fn is_nothing(tree: &Tree) -> bool {
    match &tree.value {
        Value::Null => true,
        Value::List(list) => list.iter().all(is_nothing),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

fn is_off(tree: &Tree) -> bool {
    match &tree.value {
        Value::Bool(on) => !on,
        Value::Number(number) => number.parse::<f64>().is_ok_and(|n| n <= 0.0),
        _ => asks_for_nothing(tree),
    }
}

pub(super) fn unknown<'k>(key: &str, known: impl Iterator<Item = &'k &'static str>) -> String {
    let typed = key.rsplit('.').next().unwrap_or(key);
    let nearest = known.min_by_key(|name| distance(typed, name));
    match nearest {
        Some(name) if distance(typed, name) <= typed.len() / 3 + 1 => {
            format!("invalid config key {key}; did you mean {name}?")
        }
        _ => format!("invalid config key {key}"),
    }
}

/// How many letters must change to make one word of the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let change = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = change.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
