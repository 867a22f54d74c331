//! From what a client wrote to what the catalog carries out, and back from its failures to texts.
//!
//! What an operation says wrong by itself, and what its token may not do, is told before anything is
//! tried: if one of them stands in such a way, none is tried.

use super::ops::{Kv, Op, Subject};
use crate::consul::error::{Problem, refusal_text};
use crate::consul::mesh::destination;
use crate::consul::register::node_id;
use crate::consul::services::validation::{complaint, is_any};
use crate::consul::shapes::shown;
use catalog::{
    Authorizer, Cause, Command, Condition, Expectation, KvCondition, KvWrite, MOST_SHOWN, NodeKey,
    Operation, Refusal, RowName, Selection, View,
};
use lang::quote;
use model::{Check, Index, Instance, InstanceId, KvKey, Node, NodeName, SessionId};

/// Refuses an operation that cannot be tried: the text says why. Fills in what may be left out.
pub fn prepare(op: &mut Op, before: &[Op], view: &View, auth: &Authorizer) -> Result<(), String> {
    let verb = op.verb.as_str();
    match &mut op.subject {
        Subject::Kv(kv) => prepare_kv(verb, kv, auth),
        Subject::Node { id, node } => {
            known("node", verb)?;
            prepare_node(verb, id, node, view, auth)
        }
        Subject::Service(instance) => {
            known("service", verb)?;
            prepare_service(verb, instance, view, auth)
        }
        Subject::Check(check) => {
            known("check", verb)?;
            prepare_check(verb, check, before, view, auth)
        }
    }
}

fn allowed(allowed: bool, right: &'static str, name: &str) -> Result<(), String> {
    Problem::unless(allowed, right, name).map_err(|problem| problem.text())
}

fn known(what: &str, verb: &str) -> Result<(), String> {
    match verb {
        "get" | "set" | "cas" | "delete" | "delete-cas" => Ok(()),
        _ => Err(format!("unknown {what} operation: {verb}")),
    }
}

fn prepare_kv(verb: &str, kv: &Kv, auth: &Authorizer) -> Result<(), String> {
    if kv.key.is_empty() && verb != "delete-tree" {
        return Err("Must provide key".to_owned());
    }
    let key = kv.key.as_str();
    match verb {
        // What may not be seen is left out of the results.
        "get" | "get-or-empty" | "get-tree" => Ok(()),
        "check-index" | "check-session" => allowed(auth.key_read(key), "key:read", key),
        "set" | "cas" | "lock" | "unlock" | "delete" | "delete-cas" | "check-not-exists" => {
            allowed(auth.key_write(key), "key:write", key)
        }
        "delete-tree" => allowed(auth.key_write_prefix(key), "key:write", key),
        _ => Err(format!("unknown KV operation: {verb}")),
    }
}

fn prepare_node(
    verb: &str,
    id: &str,
    node: &mut Node,
    view: &View,
    auth: &Authorizer,
) -> Result<(), String> {
    if verb == "get" {
        // One that cannot be read fails with whatever else does.
        node.id = node_id(id).ok();
        return Ok(());
    }
    let name = node.name.as_str();
    if name.is_empty() {
        return Err("Must provide node".to_owned());
    }
    if !id.is_empty() {
        node.id = Some(node_id(id).map_err(|why| format!("Bad node ID: {why}"))?);
    }
    // Whoever renames a node takes it from its old name.
    let held = node.id.and_then(|id| view.node_by_id(auth.tenant(), id).ok().flatten());
    let held = held.map(|key| key.node.as_str()).unwrap_or(name);
    allowed(auth.node_write(held), "node:write", held)?;
    allowed(auth.node_write(name), "node:write", name)
}

const NAMELESS: &str = "Must provide service name (Service.Service) when service ID is provided";

fn prepare_service(
    verb: &str,
    instance: &mut Instance,
    view: &View,
    auth: &Authorizer,
) -> Result<(), String> {
    if verb == "get" {
        return Ok(());
    }
    if let Some(complaint) = complaint(instance, None) {
        return Err(complaint);
    }
    let writes = matches!(verb, "set" | "cas");
    if instance.service.is_empty() && (writes || !instance.id.is_empty()) {
        return Err(NAMELESS.to_owned());
    }
    if instance.id.is_empty() {
        instance.id = InstanceId::from(instance.service.as_str());
    }
    if is_any(&instance.address) {
        return Err("Invalid service address".to_owned());
    }
    let key = NodeKey::new(auth.tenant(), &instance.node).instance(&instance.id);
    if let Some(old) = view.instance(&key).ok().flatten() {
        let name = old.service.as_str();
        allowed(auth.service_write(name), "service:write", name)?;
    }
    let name = instance.service.as_str();
    allowed(auth.service_write(name), "service:write", name)?;
    match destination(instance) {
        Some(to) => allowed(auth.service_write(&to), "service:write", &to),
        None => Ok(()),
    }
}

fn prepare_check(
    verb: &str,
    check: &Check,
    before: &[Op],
    view: &View,
    auth: &Authorizer,
) -> Result<(), String> {
    if verb == "get" {
        return Ok(());
    }
    let node = NodeKey::new(auth.tenant(), &check.node);
    let name = check.node.as_str();
    let right = |service: Option<&str>| match service {
        Some(service) => allowed(auth.service_write(service), "service:write", service),
        None => allowed(auth.node_write(name), "node:write", name),
    };
    if let Some(old) = view.check(&node.check(&check.id)).ok().flatten() {
        right(Some(old.service.as_str()).filter(|service| !service.is_empty()))?;
    }
    let held = view.instance(&node.instance(&check.instance)).ok().flatten();
    // The service may be made by an operation before this one.
    let made = before.iter().rev().find_map(|op| match &op.subject {
        Subject::Service(instance) => {
            let same = instance.node.fold() == node.node && instance.id == check.instance;
            same.then_some(instance.service.as_str())
        }
        _ => None,
    });
    right(held.map(|row| row.service.as_str()).or(made))
}

/// Whether the token may not know whether what is to be read is there at all.
pub fn is_hidden(op: &Op, auth: &Authorizer) -> bool {
    match (&op.subject, op.verb.as_str()) {
        (Subject::Kv(kv), "get" | "get-or-empty") => !auth.key_read(&kv.key),
        (Subject::Node { node, .. }, "get") => !auth.node_read(node.name.as_str()),
        (Subject::Service(instance), "get") => !auth.node_read(instance.node.as_str()),
        (Subject::Check(check), "get") => !auth.node_read(check.node.as_str()),
        _ => false,
    }
}

/// What the catalog carries out for an operation that was prepared.
pub fn operation(op: &Op) -> Operation {
    let index = Index(op.index);
    let verb = op.verb.as_str();
    match &op.subject {
        Subject::Kv(kv) => on_key(verb, kv, index),
        Subject::Node { id, node } => {
            let name = match node.id {
                Some(id) if verb == "get" => RowName::NodeId(id),
                // No node is named by it, and none has no name.
                None if verb == "get" && !id.is_empty() => RowName::Node(NodeName::default()),
                _ => RowName::Node(node.name.clone()),
            };
            let put = || Command::PutNode(node.clone());
            on_row(verb, name, index, put, || Command::RemoveNode(node.name.clone()))
        }
        Subject::Service(instance) => {
            let (node, id) = (&instance.node, &instance.id);
            let put = || Command::PutInstance(instance.clone());
            let remove = || Command::RemoveInstance(node.clone(), id.clone());
            on_row(verb, RowName::Instance(node.clone(), id.clone()), index, put, remove)
        }
        Subject::Check(check) => {
            let (node, id) = (&check.node, &check.id);
            let row = RowName::Check(node.clone(), id.clone());
            if is_nameless(check) {
                let expects = Some(Expectation { row, is: Condition::Present });
                return Operation { expects, ..Operation::default() };
            }
            let put = || Command::PutCheck(check.clone());
            let remove = || Command::RemoveCheck(node.clone(), id.clone());
            on_row(verb, row, index, put, remove)
        }
    }
}

/// No check can be found, so every operation on it fails.
fn is_nameless(check: &Check) -> bool {
    check.node.is_empty() || check.id.is_empty()
}

fn on_row(
    verb: &str,
    row: RowName,
    index: Index,
    put: impl FnOnce() -> Command,
    remove: impl FnOnce() -> Command,
) -> Operation {
    let expects = |is| Some(Expectation { row: row.clone(), is });
    let shows = || Some(Selection::Row(row.clone()));
    match verb {
        "get" => Operation { expects: expects(Condition::Present), does: None, shows: shows() },
        "set" => Operation { expects: None, does: Some(Box::new(put())), shows: shows() },
        "cas" => Operation {
            expects: expects(Condition::Unchanged(index)),
            does: Some(Box::new(put())),
            shows: shows(),
        },
        "delete" => Operation { does: Some(Box::new(remove())), ..Operation::default() },
        _ => Operation {
            expects: expects(Condition::ChangedAt(index)),
            does: Some(Box::new(remove())),
            shows: None,
        },
    }
}

fn on_key(verb: &str, kv: &Kv, index: Index) -> Operation {
    let key = KvKey::new(kv.key.as_bytes());
    let row = || RowName::Kv(key.clone());
    let expects =
        |is| Operation { expects: Some(Expectation { row: row(), is }), ..Operation::default() };
    let does = |command| Operation { does: Some(Box::new(command)), ..Operation::default() };
    let puts = |condition| {
        let (key, value) = (key.clone(), kv.value.as_slice().into());
        let write = KvWrite { key, value, flags: kv.flags, condition };
        Operation { shows: Some(Selection::Head(row())), ..does(Command::KvPut(write)) }
    };
    let head = |operation| Operation { shows: Some(Selection::Head(row())), ..operation };
    let whole = |operation| Operation { shows: Some(Selection::Row(row())), ..operation };
    match verb {
        "set" => puts(KvCondition::Always),
        "cas" => puts(KvCondition::Unchanged(index)),
        "lock" => puts(KvCondition::Acquire(session(kv).unwrap_or_default())),
        "unlock" => puts(KvCondition::Release(session(kv).unwrap_or_default())),
        "get" => whole(expects(Condition::Present)),
        "get-or-empty" => whole(Operation::default()),
        "get-tree" => Operation { shows: Some(Selection::KvTree(key)), ..Operation::default() },
        "check-index" => head(expects(Condition::ChangedAt(index))),
        "check-session" => head(expects(Condition::HeldBy(session(kv)))),
        "check-not-exists" => expects(Condition::Absent),
        "delete" => does(Command::KvDelete(key, None)),
        "delete-cas" => does(Command::KvDelete(key, Some(index))),
        _ => does(Command::KvDeleteTree(key)),
    }
}

/// The session given. A text that is no id becomes the nil id, which no session has and which no key
/// is held by, so that it fails where it would.
fn session(kv: &Kv) -> Option<SessionId> {
    let given = Some(kv.session.as_str()).filter(|session| !session.is_empty())?;
    Some(given.parse().unwrap_or_default())
}

/// What Consul says of an operation that failed.
pub fn what(op: &Op, cause: &Cause) -> String {
    let verb = op.verb.as_str();
    match &op.subject {
        Subject::Kv(kv) => what_of_key(verb, kv, op.index, cause),
        Subject::Node { id, .. } if verb == "get" && unreadable(id).is_some() => {
            let why = unreadable(id).unwrap_or_default();
            format!("node lookup by ID failed: index error: {why}")
        }
        Subject::Node { node, .. } => {
            what_of_row(verb, &format!("node {}", quote(node.name.as_str())), cause)
        }
        Subject::Service(instance) => {
            let (id, node) = (quote(instance.id.as_str()), quote(instance.node.as_str()));
            what_of_row(verb, &format!("service {id} on node {node}"), cause)
        }
        Subject::Check(check) if is_nameless(check) => {
            let looking = match verb {
                "get" => "failed check lookup",
                "set" => "failed health check lookup",
                "cas" => "failed health check lookup: failed check lookup",
                "delete" => "check lookup failed",
                _ => "check lookup failed: failed check lookup",
            };
            format!("{looking}: index error: object is missing a value for this index")
        }
        Subject::Check(check) => {
            let (id, node) = (quote(check.id.as_str()), quote(check.node.as_str()));
            what_of_row(verb, &format!("check {id} on node {node}"), cause)
        }
    }
}

/// Why Consul cannot read an id of a node that is looked for.
fn unreadable(id: &str) -> Option<String> {
    let digits = id.replace('-', "");
    let (length, hyphens) = (id.len(), id.len() - digits.len());
    if length > 36 {
        Some(format!("Invalid UUID length. UUID have 36 characters; got {length}"))
    } else if hyphens > 4 {
        Some(format!("UUID should have maximum of 4 \"-\"; got {hyphens}"))
    } else if !digits.len().is_multiple_of(2) {
        Some("UUID (without hyphens) must be even length".to_owned())
    } else {
        let odd = digits.chars().find(|digit| !digit.is_ascii_hexdigit())?;
        let point = u32::from(odd);
        Some(format!("invalid UUID: encoding/hex: invalid byte: U+{point:04X} '{odd}'"))
    }
}

fn what_of_row(verb: &str, row: &str, cause: &Cause) -> String {
    match (cause, verb) {
        (Cause::TooMuch, _) => too_much(),
        (Cause::Refused(refusal), _) => refused(refusal),
        (_, "get") => format!("{row} doesn't exist"),
        (_, "cas") => format!("failed to set {row}, index is stale"),
        _ => format!("failed to delete {row}, index is stale"),
    }
}

fn what_of_key(verb: &str, kv: &Kv, index: u64, cause: &Cause) -> String {
    let key = quote(&shown(kv.key.as_bytes()));
    match (cause, verb) {
        (Cause::TooMuch, _) => too_much(),
        (Cause::LockDelayed, _) => format!("failed to lock key {key} due to lock delay"),
        (_, "lock" | "unlock") if kv.session.is_empty() => "missing session".to_owned(),
        (Cause::Refused(refusal), _) => match **refusal {
            Refusal::InvalidSession(_) => format!("invalid session {}", quote(&kv.session)),
            ref other => refused(other),
        },
        (Cause::Absent, "check-index") => format!("failed to check index, key {key} doesn't exist"),
        (Cause::Absent, "check-session") => {
            format!("failed to check session, key {key} doesn't exist")
        }
        (Cause::Absent, _) => format!("key {key} doesn't exist"),
        (Cause::Present, _) => format!("key {key} exists"),
        (Cause::Changed(now), _) => {
            format!("failed index check for key {key}, current modify index {now} != {index}")
        }
        (Cause::HeldBy(now), _) => {
            let now = now.map(|id| id.to_string()).unwrap_or_default();
            let (now, given) = (quote(&now), quote(&kv.session));
            format!("failed session check for key {key}, current session {now} != {given}")
        }
        (Cause::ConditionFailed, "cas") => format!("failed to set key {key}, index is stale"),
        (Cause::ConditionFailed, "delete-cas") => {
            format!("failed to delete key {key}, index is stale")
        }
        (Cause::ConditionFailed, "lock") => {
            format!("failed to lock key {key}, lock is already held")
        }
        (Cause::ConditionFailed, _) => {
            format!("failed to unlock key {key}, lock isn't held, or is held by another session")
        }
    }
}

fn too_much() -> String {
    format!("the transaction would show more than {MOST_SHOWN} bytes")
}

/// As where the same is refused alone, but for what Consul puts before it there.
fn refused(refusal: &Refusal) -> String {
    match refusal {
        Refusal::MissingNode(_) => "Missing node registration".to_owned(),
        Refusal::MissingInstance { .. } => "Missing service registration".to_owned(),
        other => {
            let text = refusal_text(other);
            text.strip_prefix("failed inserting node: ").map(str::to_owned).unwrap_or(text)
        }
    }
}
