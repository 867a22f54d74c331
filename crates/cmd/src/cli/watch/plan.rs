//! What each type of watch asks, and what of the answer is shown.

use super::Watch;
use crate::cli::client::{Answer, ClientError, Query, path};
use crate::cli::go_bool;
use serde_json::Value;

/// Where keys are asked for.
const KEYS: &str = "/v1/kv/";

/// What is asked.
pub struct Plan {
    /// The path.
    pub door: String,
    /// Its parameters, but where it waits.
    pub query: Query,
    shape: Shape,
}

/// What of the answer is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// All of it.
    Whole,
    /// The only row, or `null`.
    Single,
    /// The events after the last one seen.
    Events,
}

/// Where a watch stands: at an index, at a hash, or at the beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    index: u64,
    hash: String,
}

impl Plan {
    /// Reads the flags, or says which are missing.
    pub fn of(watch: &Watch) -> Result<Plan, String> {
        let query = watch.server.query();
        let filtered = || query.clone().with_some("filter", watch.filter.as_deref());
        let wanted = |given: &Option<String>, why: &str| {
            given.clone().filter(|given| !given.is_empty()).ok_or_else(|| why.to_owned())
        };
        let plain = |door: String, query: Query| Plan { door, query, shape: Shape::Whole };
        Ok(match watch.kind.as_str() {
            "" => return Err("Watch type must be specified".to_owned()),
            "key" => {
                let key = wanted(&watch.key, "Must specify a single key to watch")?;
                let door = path(KEYS, key.trim_start_matches('/'));
                Plan { door, query, shape: Shape::Single }
            }
            "keyprefix" => {
                let prefix = wanted(&watch.prefix, "Must specify a single prefix to watch")?;
                let door = path(KEYS, prefix.trim_start_matches('/'));
                plain(door, query.with("recurse", ""))
            }
            "services" => plain("/v1/catalog/services".to_owned(), filtered()),
            "nodes" => plain("/v1/catalog/nodes".to_owned(), filtered()),
            "service" => {
                let service = wanted(&watch.service, "Must specify a single service to watch")?;
                let mut query = filtered();
                for tag in &watch.tag {
                    query = query.with("tag", tag);
                }
                let passing = watch.passingonly.as_deref().map_or(Ok(false), go_bool);
                let passing =
                    passing.map_err(|why| format!("Failed to parse passingonly flag: {why}"))?;
                let query = if passing { query.with("passing", "1") } else { query };
                plain(path("/v1/health/service/", &service), query)
            }
            "checks" => {
                let service = watch.service.as_deref().filter(|service| !service.is_empty());
                let state = watch.state.as_deref().filter(|state| !state.is_empty());
                let door = match (service, state) {
                    (Some(_), Some(_)) => return Err("Cannot specify service and state".to_owned()),
                    (Some(service), None) => path("/v1/health/checks/", service),
                    (None, state) => path("/v1/health/state/", state.unwrap_or("any")),
                };
                plain(door, filtered())
            }
            "event" => {
                let query = query.with_some("name", watch.name.as_deref());
                Plan { door: "/v1/event/list".to_owned(), query, shape: Shape::Events }
            }
            "agent_service" => {
                let id = wanted(&watch.service_id, "Must specify a single service_id to watch")?;
                plain(path("/v1/agent/service/", &id), query)
            }
            other => return Err(format!("Unsupported watch type: {other}")),
        })
    }

    /// What an answer shows, and where the watch stands after it.
    pub fn read(&self, answer: &Answer, at: &Position) -> Result<(Position, Value), ClientError> {
        let next = Position::of(answer);
        let shown = answer.json()?;
        let shown = match (self.shape, shown) {
            (Shape::Single, Value::Array(rows)) => rows.into_iter().next().unwrap_or_default(),
            (Shape::Events, Value::Array(events)) => Value::Array(after(events, at.index)),
            (_, shown) => shown,
        };
        Ok((next, shown))
    }

    /// Whether a missing row is an answer: keys are watched before they are there.
    pub fn may_be_missing(&self) -> bool {
        self.door.starts_with(KEYS)
    }
}

impl Position {
    /// Where an answer stands.
    pub fn of(answer: &Answer) -> Position {
        let hash = answer.headers.get("x-consul-contenthash").and_then(|hash| hash.to_str().ok());
        Position { index: answer.index(), hash: hash.unwrap_or_default().to_owned() }
    }

    /// The query that waits for what comes after.
    pub fn ask(&self, query: Query) -> Query {
        if !self.hash.is_empty() {
            return query.with("hash", &self.hash);
        }
        if self.index == 0 { query } else { query.with("index", self.index) }
    }

    /// Whether nothing moved since.
    pub fn is_at(&self, next: &Position) -> bool {
        *self != Position::default() && self == next
    }

    /// Moves on; an index that fell, where they rise, means that the agent's state began anew.
    pub fn move_to(&mut self, next: Position, plan: &Plan) {
        let fell = next.index < self.index && plan.shape != Shape::Events;
        *self = if fell && next.hash.is_empty() { Position::default() } else { next };
    }

    /// What a program is told.
    pub fn name(&self) -> String {
        if self.hash.is_empty() { self.index.to_string() } else { self.hash.clone() }
    }
}

/// The events after the one that gave a list its index; all of them if it is not there.
fn after(mut events: Vec<Value>, index: u64) -> Vec<Value> {
    let id = |event: &Value| event["ID"].as_str().map(event_index);
    match events.iter().position(|event| id(event) == Some(index)) {
        Some(seen) => events.split_off(seen + 1),
        None => events,
    }
}

/// The index that a list of events has, which is made from the id of its last one.
///
/// Source: Consul, "Event HTTP API": the two halves of the id, exclusive or.
fn event_index(id: &str) -> u64 {
    let digits: String = id.chars().filter(char::is_ascii_hexdigit).collect();
    let half = |range| digits.get(range).and_then(|text| u64::from_str_radix(text, 16).ok());
    half(0..16).unwrap_or(0) ^ half(16..32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_that_were_seen_are_left_out() {
        let id = |n: u8| format!("00000000-0000-0000-0000-0000000000{n:02x}");
        let events = || vec![json!({ "ID": id(1) }), json!({ "ID": id(2) })];
        assert_eq!(event_index("b54fe110-7af5-cafc-d1fb-afc8ba432b1c"), 0x64b4_4ed8_c0b6_e1e0);
        assert_eq!(after(events(), 1), [json!({ "ID": id(2) })]);
        assert_eq!(after(events(), 2), [] as [Value; 0]);
        assert_eq!(after(events(), 9).len(), 2);
    }

    #[test]
    fn an_index_that_fell_begins_anew_but_for_events() {
        let at = |index| Position { index, hash: String::new() };
        let plan = |shape| Plan { door: String::new(), query: Query::default(), shape };
        assert!(at(7).is_at(&at(7)) && !at(7).is_at(&at(8)));
        for (shape, begins) in [(Shape::Whole, Position::default()), (Shape::Events, at(3))] {
            let mut position = at(7);
            position.move_to(at(3), &plan(shape));
            assert_eq!(position, begins);
        }
    }
}
