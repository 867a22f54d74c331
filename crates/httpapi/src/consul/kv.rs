//! `/v1/kv/`: keys, lists, writes on conditions, locks.
//!
//! A key is bytes, as decoded from the path. Source: Consul, "KV Store HTTP API"; stories 04 to 10.

use super::blocking::{Body, Found, Scene};
use super::error::{Problem, Stop};
use super::shapes::{KvPair, shown};
use crate::answer::{Answer, json};
use crate::call::Call;
use crate::target::Query;
use bytes::Bytes;
use catalog::{Authorizer, Command, KvCondition, KvRowKey, KvWrite, Watch};
use lang::number;
use model::{Index, KvEntry, KvKey, Row, SessionId};
use net::http::BodyError;
use std::sync::Arc;

/// What Consul puts before the refusals of its state machine here.
const PREFIX: &str = "raft apply failed: ";

/// `GET`: one key, `?recurse` all below it, `?keys` their names.
pub fn get(scene: &Scene) -> Result<Found, Stop> {
    let query = &scene.call.query;
    if query.has("keys") {
        return keys(scene);
    }
    if query.has("recurse") {
        return recurse(scene);
    }
    let key = &scene.call.rest;
    if key.is_empty() {
        return Err(missing_key().into());
    }
    let row = KvRowKey::new(scene.tenant(), key);
    Problem::unless(scene.auth.key_read(&shown(key)), "key:read", &shown(key))?;
    let found = scene.view.kv(&row)?;
    let body = match found.value {
        None => Body::Absent,
        Some(entry) if query.has("raw") => Body::Raw(Bytes::copy_from_slice(&entry.value)),
        Some(entry) => Body::Json(json(&[KvPair(&row.key, entry)])),
    };
    Ok(Found { body, index: found.index, watches: vec![Watch::Kv(row)], filtered: false })
}

fn missing_key() -> Problem {
    Problem::bad("Missing key name")
}

type Rows<'v> = Vec<(&'v KvKey, &'v Arc<Row<KvEntry>>)>;

/// The rows below a prefix that the caller may see, and whether some were left out.
fn visible<'v>(auth: &Authorizer, rows: Rows<'v>) -> (Rows<'v>, bool) {
    let all = rows.len();
    let rows: Rows<'v> =
        rows.into_iter().filter(|(key, _)| auth.key_read(&shown(key.as_bytes()))).collect();
    let filtered = rows.len() < all;
    (rows, filtered)
}

fn recurse(scene: &Scene) -> Result<Found, Stop> {
    let prefix = KvRowKey::new(scene.tenant(), &scene.call.rest);
    let found = scene.view.kv_list(&prefix)?;
    let (rows, filtered) = visible(scene.auth, found.value);
    let body = match rows.is_empty() {
        true => Body::Absent,
        false => {
            let pairs: Vec<_> = rows.iter().map(|(key, row)| KvPair(key, row)).collect();
            Body::Json(json(&pairs))
        }
    };
    Ok(Found { body, index: found.index, watches: vec![Watch::KvPrefix(prefix)], filtered })
}

/// Names up to and with the first separator after the prefix, each once.
fn keys(scene: &Scene) -> Result<Found, Stop> {
    let query = &scene.call.query;
    let prefix = KvRowKey::new(scene.tenant(), &scene.call.rest);
    let separator = query.first("separator").or(query.first("seperator")).unwrap_or_default();
    let found = scene.view.kv_list(&prefix)?;
    let (rows, filtered) = visible(scene.auth, found.value);
    let at = prefix.key.as_bytes().len();
    let mut names: Vec<_> = rows
        .iter()
        .map(|(key, _)| shown(up_to_separator(key.as_bytes(), at, separator.as_bytes())))
        .collect();
    names.dedup();
    let body = match names.is_empty() && at > 0 {
        true => Body::Absent,
        false => Body::Json(json(&names)),
    };
    Ok(Found { body, index: found.index, watches: vec![Watch::KvPrefix(prefix)], filtered })
}

fn up_to_separator<'k>(key: &'k [u8], from: usize, separator: &[u8]) -> &'k [u8] {
    if separator.is_empty() {
        return key;
    }
    let found = key[from..].windows(separator.len()).position(|part| part == separator);
    found.map_or(key, |at| &key[..from + at + separator.len()])
}

/// Why a write on a condition is asked for.
enum Wanted {
    Put(KvCondition),
    /// The session of a release is none, so it cannot be the holder.
    Never,
}

/// `PUT`: a value, on a condition with `?cas`, `?acquire` or `?release`.
pub async fn put(mut call: Call) -> Result<Answer, Problem> {
    if call.rest.is_empty() {
        return Err(missing_key());
    }
    conflicts(&call.query, &["cas", "acquire", "release"])?;
    let doors = call.doors()?;
    let flags = match call.query.first("flags") {
        None => 0,
        Some(text) => unsigned(text)?,
    };
    let wanted = condition(&call.query)?;
    let limit = call.context.settings.kv_max_value_size;
    let value = call.request.body(limit).await.map_err(|error| match error {
        BodyError::TooLarge(size) => {
            Problem::OverLimit { size, limit, setting: "kv_max_value_size" }
        }
        error => error.into(),
    })?;
    let authorizer = doors.reader.view().authorizer(&call.token);
    let name = shown(&call.rest);
    Problem::unless(authorizer.key_write(&name), "key:write", &name)?;
    let Wanted::Put(condition) = wanted else { return Ok(Answer::json(&false)) };
    let write =
        KvWrite { key: KvKey::new(&call.rest), value: Arc::from(&*value), flags, condition };
    let done = call.write(&doors, &authorizer, vec![Command::KvPut(write)], PREFIX).await?;
    Ok(Answer::json(&done))
}

fn condition(query: &Query) -> Result<Wanted, Problem> {
    let missing = || Problem::Invalid(format!("{PREFIX}missing session"));
    if let Some(index) = query.first("cas") {
        return Ok(Wanted::Put(KvCondition::Unchanged(Index(unsigned(index)?))));
    }
    if let Some(session) = query.first("acquire") {
        return match session.parse::<SessionId>() {
            Ok(id) => Ok(Wanted::Put(KvCondition::Acquire(id))),
            Err(_) if session.is_empty() => Err(missing()),
            Err(_) => Err(Problem::Invalid(format!("{PREFIX}invalid session \"{session}\""))),
        };
    }
    match query.first("release") {
        None => Ok(Wanted::Put(KvCondition::Always)),
        Some("") => Err(missing()),
        Some(session) => Ok(match session.parse::<SessionId>() {
            Ok(id) => Wanted::Put(KvCondition::Release(id)),
            Err(_) => Wanted::Never,
        }),
    }
}

fn unsigned(text: &str) -> Result<u64, Problem> {
    number::parse_uint(text).map_err(|error| Problem::Invalid(error.to_string()))
}

/// Refuses more than one of these parameters.
fn conflicts(query: &Query, names: &[&str]) -> Result<(), Problem> {
    match names.iter().filter(|name| query.has(name)).count() {
        0 | 1 => Ok(()),
        _ => Err(Problem::Bad(format!("Conflicting flags: {}\n", query.sorted()))),
    }
}

/// `DELETE`: a key, on a condition with `?cas`, or `?recurse` all below it.
pub async fn delete(call: Call) -> Result<Answer, Problem> {
    let recurse = call.query.has("recurse");
    if call.rest.is_empty() && !recurse {
        return Err(missing_key());
    }
    conflicts(&call.query, &["recurse", "cas"])?;
    let doors = call.doors()?;
    let unchanged = match call.query.first("cas") {
        None => None,
        Some(text) => Some(Index(unsigned(text)?)),
    };
    let authorizer = doors.reader.view().authorizer(&call.token);
    let (key, name) = (KvKey::new(&call.rest), shown(&call.rest));
    let (allowed, command) = match recurse {
        true => (authorizer.key_write_prefix(&name), Command::KvDeleteTree(key)),
        false => (authorizer.key_write(&name), Command::KvDelete(key, unchanged)),
    };
    Problem::unless(allowed, "key:write", &name)?;
    let done = call.write(&doors, &authorizer, vec![command], PREFIX).await?;
    Ok(Answer::json(&done))
}
