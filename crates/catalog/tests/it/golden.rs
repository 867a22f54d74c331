//! Bytes that were written once must be read, and written again, for ever.
//!
//! `UPDATE_GOLDEN=1` rewrites the files: only for a new command, or a format that was raised.

use crate::bytes::{load, save};
use crate::samples::{self, commands, entry, outcomes};
use catalog::format::{decode_entry, decode_outcome, encode_entry, encode_outcome};
use catalog::{Claim, Command, Entry, KvCondition, KvWrite, REQUEST_WINDOW, View, apply};
use model::{Check, CheckId, Index, InstanceId, KvKey, Node, NodeName, Session, Status, Timestamp};
use std::fs;
use std::path::PathBuf;

/// The golden bytes of that name; rewritten first if that is asked for.
#[track_caller]
#[allow(clippy::disallowed_methods, reason = "a test reads what is committed beside it")]
fn golden(name: &str, now: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().expect("it has a directory")).expect("made");
        fs::write(&path, now).expect("golden bytes are written");
    }
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn entries_of_every_command_keep_their_bytes() {
    for (name, command) in commands() {
        let entry = entry(vec![command]);
        let bytes = encode_entry(&entry);
        let golden = golden(&format!("entry-{name}.bin"), &bytes);
        assert!(golden == bytes, "{name}: its bytes are no longer those that were committed");
        assert_eq!(decode_entry(&golden), Ok(entry), "{name}");
    }
}

#[test]
fn outcomes_keep_their_bytes() {
    for (number, outcome) in outcomes().into_iter().enumerate() {
        let bytes = encode_outcome(&outcome);
        let golden = golden(&format!("outcome-{number:02}.bin"), &bytes);
        assert!(golden == bytes, "{outcome:?}: its bytes are no longer those that were committed");
        assert_eq!(decode_outcome(&golden), Ok(outcome));
    }
}

/// A view with rows in every table, and its past.
fn full_view() -> View {
    let explicit = |commands| Entry { claim: Claim::Explicit, ..entry(commands) };
    let passing = Check {
        node: NodeName::from("Node-1"),
        id: CheckId::from("serfHealth"),
        status: Status::Passing,
        ..Check::default()
    };
    let on_service = Check { status: Status::Warning, ..samples::check() };
    let short = Session {
        id: uuid::Uuid::from_u128(1),
        node: NodeName::from("Node-1"),
        ..samples::session()
    };
    let kv = |key: &[u8], condition| {
        Command::KvPut(KvWrite {
            key: KvKey::new(key),
            value: b"1"[..].into(),
            flags: 1,
            condition,
        })
    };
    let log = [
        explicit(vec![
            Command::PutNode(samples::node()),
            Command::PutInstance(Box::new(samples::instance())),
            Command::PutCheck(Box::new(passing)),
            Command::PutCheck(Box::new(on_service)),
        ]),
        explicit(vec![Command::PutNode(Node { name: NodeName::from("gone"), ..Node::default() })]),
        explicit(vec![Command::RemoveNode(NodeName::from("gone"))]),
        explicit(vec![
            Command::CreateSession(Box::new(samples::session())),
            Command::CreateSession(Box::new(short.clone())),
        ]),
        explicit(vec![
            kv(b"locked", KvCondition::Acquire(samples::SESSION)),
            kv(b"lost", KvCondition::Acquire(short.id)),
            kv(b"plain", KvCondition::Always),
        ]),
        explicit(vec![Command::DestroySession(short.id)]),
        explicit(vec![kv(b"plain", KvCondition::Unchanged(Index(1)))]),
        explicit(vec![Command::RemoveInstance(NodeName::from("gone"), InstanceId::from("x"))]),
    ];
    let numbered = log.into_iter().enumerate().map(|(number, mut entry)| {
        entry.time = Timestamp(entry.time.0 + number as u64);
        entry.request = entry.request.map(|mut request| {
            request.sequence += number as u64;
            request
        });
        (Index(10 + number as u64), entry)
    });
    apply(&View::default(), numbered).view
}

#[test]
fn a_snapshot_keeps_its_bytes() {
    let view = full_view();
    let bytes = save(&view);
    let golden = golden("snapshot.bin", &bytes);
    assert!(golden == bytes, "its bytes are no longer those that were committed");
    let state = load(&golden).expect("read");
    assert_eq!(&state, view.state());
    for table in 1..=13 {
        let rows = crate::bytes::table(&golden, table);
        assert!(!rows.is_empty(), "the golden snapshot has nothing in table {table}");
    }
}

#[test]
fn a_snapshot_that_forgot_requests_keeps_its_bytes() {
    let view = full_view();
    let mut later = entry(vec![Command::KvDelete(KvKey::new(b"plain"), None)]);
    later.time = Timestamp(view.time().0 + REQUEST_WINDOW);
    later.request = None;
    let view = apply(&view, [(Index(100), later)]).view;
    let bytes = save(&view);
    let golden = golden("snapshot-forgotten.bin", &bytes);
    assert!(golden == bytes, "its bytes are no longer those that were committed");
    assert_eq!(&load(&golden).expect("read"), view.state());
    assert!(crate::bytes::table(&golden, 11).is_empty(), "every request was forgotten");
}
