//! What asks for protection that this version does not give (law 11).
//!
//! Judged over everything that was read: blocks may stand twice and in several files, and what was
//! said last is what Consul would run with.

use lang::tree::{Tree, Value};

/// A setting of those that may ask for protection.
#[derive(Debug)]
pub(super) struct Guard {
    /// Its path as the tables spell it, such as `acl.tokens.agent`.
    pub key: String,
    /// Where it stands, as `FILE:LINE`.
    pub place: String,
    /// What it says.
    pub tree: Tree,
}

/// A complaint for each setting that asks, in the order they were read.
pub(super) fn refusals(guards: &[Guard]) -> Vec<String> {
    let mut told = Vec::new();
    for (n, guard) in guards.iter().enumerate() {
        let said_again = guards[n + 1..].iter().any(|later| later.key == guard.key);
        // Lists are joined, so that an empty one takes nothing back.
        let counts = !said_again || matches!(guard.tree.value, Value::List(_));
        if counts && asks(&guard.key, &guard.tree) && !is_off(&guard.key, guards) {
            told.push(format!(
                "{}: {} asks for protection that this version does not give; it refuses to start \
                 rather than run without it. Remove the key to run unprotected",
                guard.place, guard.key
            ));
        }
    }
    told
}

/// Whether a setting by itself asks. Of those that only shape a protection none does; what nobody
/// foresaw does unless it is empty or off.
fn asks(key: &str, tree: &Tree) -> bool {
    match key {
        "acl.default_policy" | "acl_default_policy" => {
            !asks_for_nothing(tree) && tree.value != Value::Text("allow".to_owned())
        }
        "acl.enabled" | "auto_config.enabled" | "auto_config.authorization.enabled" => {
            !asks_for_nothing(tree)
        }
        "auto_encrypt.tls" | "auto_encrypt.allow_tls" => !asks_for_nothing(tree),
        _ if key.starts_with("acl.tokens") => !asks_for_nothing(tree),
        _ if ["acl.", "auto_config.", "auto_encrypt."].iter().any(|of| key.starts_with(of)) => {
            false
        }
        _ if key.starts_with("tls.") && shapes_only(key) => false,
        _ => !asks_for_nothing(tree),
    }
}

/// Whether a key of a block of `tls` says how it would be spoken, and not that it is wanted.
fn shapes_only(key: &str) -> bool {
    let last = key.rsplit('.').next();
    last.is_some_and(|last| ["server_name", "tls_cipher_suites", "tls_min_version"].contains(&last))
}

/// Whether the block is switched off: `acl { enabled = false default_policy = "deny" }` is, whatever
/// else it says.
fn is_off(key: &str, guards: &[Guard]) -> bool {
    let block = key.split('.').next().filter(|block| *block != key);
    let switch = block.filter(|block| ["acl", "auto_config"].contains(block));
    let switch = switch.map(|block| format!("{block}.enabled"));
    let last = switch.and_then(|switch| guards.iter().rev().find(|guard| guard.key == switch));
    last.is_some_and(|last| last.tree.value == Value::Bool(false))
}

/// Whether a value is empty or switched off, however deep; what is merely set counts.
pub(super) fn asks_for_nothing(tree: &Tree) -> bool {
    match &tree.value {
        Value::Null | Value::Bool(false) => true,
        Value::Text(text) => text.is_empty(),
        Value::List(list) => list.iter().all(asks_for_nothing),
        Value::Object(members) => {
            let switch = |key: &str| key.eq_ignore_ascii_case("enabled");
            let last = members.iter().rev().find(|member| switch(&member.key));
            last.is_some_and(|enabled| enabled.tree.value == Value::Bool(false))
                || members.iter().all(|member| asks_for_nothing(&member.tree))
        }
        Value::Bool(true) | Value::Number(_) => false,
    }
}
