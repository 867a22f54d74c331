//! What the log and snapshots carry: any bytes are read or refused, and what was read stays the same.

use crate::world;
use catalog::format::{
    decode_check, decode_entry, decode_instance, decode_outcome, encode_check, encode_entry,
    encode_instance, encode_outcome, read_snapshot, write_snapshot,
};
use catalog::{Acl, Entry, State, View};
use std::sync::LazyLock;

static VIEW: LazyLock<View> = LazyLock::new(world::view);

/// The bytes of an entry, an outcome, or a row of an agent's store, after a byte that says which.
pub fn entry(bytes: &[u8]) {
    let Some((&choice, bytes)) = bytes.split_first() else { return };
    match choice % 4 {
        0 => {
            if let Ok(entry) = decode_entry(bytes) {
                entry_survives(&entry);
                // Applied or refused: nothing that can stand in a log ends a server.
                let applied = world::write(&VIEW, entry);
                view_survives(&applied.view);
                outcomes_survive(&applied.outcomes);
            }
        }
        1 => {
            if let Ok(outcome) = decode_outcome(bytes) {
                outcomes_survive(&[outcome]);
            }
        }
        2 => {
            if let Ok(instance) = decode_instance(bytes) {
                let again = decode_instance(&encode_instance(&instance));
                assert_eq!(again, Ok(instance));
            }
        }
        _ => {
            if let Ok(check) = decode_check(bytes) {
                let again = decode_check(&encode_check(&check));
                assert_eq!(again, Ok(check));
            }
        }
    }
}

fn outcomes_survive(outcomes: &[catalog::Outcome]) {
    for outcome in outcomes {
        assert_eq!(decode_outcome(&encode_outcome(outcome)).as_ref(), Ok(outcome));
    }
}

/// An entry is the same after its bytes.
pub fn entry_survives(entry: &Entry) {
    assert_eq!(decode_entry(&encode_entry(entry)).as_ref(), Ok(entry));
}

/// A view is the same after a snapshot.
pub fn view_survives(view: &View) {
    let saved = save(view);
    let loaded = read_snapshot(&mut saved.as_slice()).expect("what was written is read");
    assert!(loaded == *view.state(), "a snapshot lacks something");
}

fn save(view: &View) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_snapshot(view, &mut bytes).expect("memory takes every byte");
    bytes
}

/// Snapshots: as they are, or as frames (a table's number, a length in two bytes, records) that get
/// their checksums here, since no fuzzer guesses those.
pub fn snapshot(bytes: &[u8]) {
    let Some((&choice, bytes)) = bytes.split_first() else { return };
    let framed = (choice != 0).then(|| frames(bytes));
    let mut given = framed.as_deref().unwrap_or(bytes);
    if let Ok(state) = read_snapshot(&mut given) {
        let _ = state.as_of(state.window().oldest);
        loads_again(state);
    }
}

/// A state from foreign hands may hold what no apply makes; written and read it stays as it is.
fn loads_again(state: State) {
    let saved = save(&View::new(Acl::Off).replaced_by(state));
    let loaded = read_snapshot(&mut saved.as_slice()).expect("what was written is read");
    assert_eq!(save(&View::new(Acl::Off).replaced_by(loaded)), saved, "a snapshot changed");
}

fn frames(mut rest: &[u8]) -> Vec<u8> {
    let mut out = b"RUTTERSN\x01\0\0\0".to_vec();
    while let [table, high, low, payload @ ..] = rest {
        let length = usize::from(*high) << 8 | usize::from(*low);
        let (payload, after) = payload.split_at(length.min(payload.len()));
        let size = (payload.len() as u32).to_le_bytes();
        let mut sum = crc32fast::Hasher::new();
        sum.update(&[*table]);
        sum.update(&size);
        sum.update(payload);
        out.push(*table);
        out.extend_from_slice(&size);
        out.extend_from_slice(&sum.finalize().to_le_bytes());
        out.extend_from_slice(payload);
        rest = after;
    }
    out
}
