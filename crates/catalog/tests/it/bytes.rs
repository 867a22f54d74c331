//! Snapshots as bytes, and what damaged ones do.

use crate::logs::{Dice, log};
use crate::samples;
use catalog::format::{
    FormatError, SnapshotError, decode_entry, decode_outcome, encode_entry, encode_outcome,
    read_snapshot, write_snapshot,
};
use catalog::{Command, Operation, State, View, apply};
use model::KvKey;

pub fn save(view: &View) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_snapshot(view, &mut bytes).expect("memory takes every byte");
    bytes
}

pub fn load(mut bytes: &[u8]) -> Result<State, SnapshotError> {
    read_snapshot(&mut bytes)
}

/// The payload of all frames of one table.
pub fn table(snapshot: &[u8], number: u8) -> Vec<u8> {
    let (mut rest, mut payload) = (&snapshot[12..], Vec::new());
    while let [table, a, b, c, d, _, _, _, _, ..] = *rest {
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if table == number {
            payload.extend_from_slice(&rest[9..9 + length]);
        }
        rest = &rest[9 + length..];
    }
    payload
}

fn small_view() -> View {
    apply(&View::default(), log(3, 60).0).view
}

#[test]
fn entries_and_outcomes_survive_their_bytes() {
    for seed in 0..crate::laws::SEEDS {
        let (log, _) = log(seed, 200);
        for (_, entry) in &log {
            assert_eq!(decode_entry(&encode_entry(entry)).as_ref(), Ok(entry));
        }
        for outcome in apply(&View::default(), log).outcomes {
            assert_eq!(decode_outcome(&encode_outcome(&outcome)), Ok(outcome));
        }
    }
}

#[test]
fn a_snapshot_with_any_bit_flipped_is_refused() {
    let good = save(&small_view());
    for at in 0..good.len() {
        let bit = at % 8;
        let mut bad = good.clone();
        bad[at] ^= 1 << bit;
        assert!(load(&bad).is_err(), "bit {bit} of byte {at} of {}", good.len());
    }
}

#[test]
fn a_snapshot_cut_short_or_continued_is_refused() {
    let good = save(&small_view());
    for length in 0..good.len() {
        assert!(load(&good[..length]).is_err(), "cut to {length} of {}", good.len());
    }
    let mut more = good;
    more.push(0);
    let error = load(&more).expect_err("something follows the end").to_string();
    assert_eq!(
        error,
        "snapshot is damaged (something follows its end): \
         restore it from a backup or from another server"
    );
}

#[test]
fn a_snapshot_without_one_of_its_frames_is_refused() {
    let good = save(&apply(&View::default(), log(5, 300).0).view);
    let mut at = 12;
    while at < good.len() {
        let length = u32::from_le_bytes(good[at + 1..at + 5].try_into().expect("four bytes"));
        let end = at + 9 + length as usize;
        let without = [&good[..at], &good[end..]].concat();
        assert!(load(&without).is_err(), "without the frame of table {}", good[at]);
        at = end;
    }
}

#[test]
fn a_source_that_fails_is_told_from_a_damaged_one() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is on fire"))
        }
    }
    assert!(matches!(read_snapshot(&mut Broken), Err(SnapshotError::Read(_))));
}

#[test]
fn no_bytes_make_a_decoder_panic() {
    let mut dice = Dice::new(1);
    let (log, _) = log(4, 120);
    let outcomes = apply(&View::default(), log.clone()).outcomes;
    let mut samples: Vec<Vec<u8>> = log.iter().map(|(_, e)| encode_entry(e).to_vec()).collect();
    samples.extend(outcomes.iter().map(|outcome| encode_outcome(outcome).to_vec()));
    for sample in &samples {
        for _ in 0..40 {
            let mut bytes = sample.clone();
            for _ in 0..1 + dice.below(3) {
                let at = dice.below(bytes.len());
                match dice.below(3) {
                    0 => bytes[at] = dice.below(256) as u8,
                    1 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, dice.below(256) as u8),
                }
            }
            let _ = decode_entry(&bytes);
            let _ = decode_outcome(&bytes);
        }
    }
    for length in 0..200 {
        let bytes: Vec<u8> = (0..length).map(|_| dice.below(256) as u8).collect();
        let _ = decode_entry(&bytes);
        let _ = decode_outcome(&bytes);
        let _ = load(&bytes);
    }
}

/// Records with right checksums and wrong contents: what a bug or a foreign hand could leave.
#[test]
fn no_records_make_the_loader_panic() {
    let good = save(&apply(&View::default(), log(6, 200).0).view);
    let mut dice = Dice::new(2);
    for _ in 0..2_000 {
        let mut bad = good.clone();
        let mut at = 12;
        while at < bad.len() {
            let length = u32::from_le_bytes(bad[at + 1..at + 5].try_into().expect("four bytes"));
            let end = at + 9 + length as usize;
            if dice.one_in(4) {
                let byte = at + 9 + dice.below(length as usize);
                bad[byte] = dice.below(256) as u8;
            }
            let mut crc = crc32fast::Hasher::new();
            crc.update(&bad[at..at + 5]);
            crc.update(&bad[at + 9..end]);
            bad[at + 5..at + 9].copy_from_slice(&crc.finalize().to_le_bytes());
            at = end;
        }
        if let Ok(state) = load(&bad) {
            let _ = state.as_of(state.window().oldest);
        }
    }
}

#[test]
fn an_unknown_field_is_skipped() {
    let (log, _) = log(2, 50);
    for (_, entry) in log {
        let mut bytes = encode_entry(&entry).to_vec();
        // Field 100, a text: what a later version may add.
        bytes.extend([0xa2, 0x06, 3, b'n', b'e', b'w']);
        assert_eq!(decode_entry(&bytes), Ok(entry));
    }
}

#[test]
fn a_transaction_in_a_transaction_is_refused() {
    let within = |command| {
        let operation = Operation { does: Some(Box::new(command)), ..Operation::default() };
        Command::Transact(vec![operation])
    };
    let delete = Command::KvDeleteTree(KvKey::new(b"a"));
    let bytes = |command| encode_entry(&samples::entry(vec![command]));
    assert!(decode_entry(&bytes(within(delete.clone()))).is_ok());
    let error = decode_entry(&bytes(within(within(delete)))).expect_err("refused").to_string();
    assert!(error.starts_with("log entry is damaged (a transaction in a transaction)"), "{error}");
}

#[test]
fn an_unknown_command_and_a_newer_format_are_refused_with_what_to_do() {
    // Format 1, owner "http", a command whose only field is number 99.
    let unknown = [8, 1, 34, 4, b'h', b't', b't', b'p', 66, 3, 0x98, 0x06, 1];
    let newer = [8, 2, 34, 4, b'h', b't', b't', b'p'];
    let none = [34, 4, b'h', b't', b't', b'p'];
    let text = |bytes: &[u8]| decode_entry(bytes).expect_err("refused").to_string();
    assert_eq!(
        text(&unknown),
        "log entry holds an unknown command: run the version that wrote it, or a newer one"
    );
    assert_eq!(
        text(&newer),
        "log entry is in format 2 and this version reads up to 1: \
         run the version that wrote it, or a newer one"
    );
    assert!(matches!(decode_entry(&none), Err(FormatError::Damaged { .. })));
    assert!(matches!(decode_outcome(&[8, 1]), Err(FormatError::Unknown { .. })));
    assert!(matches!(decode_outcome(&newer), Err(FormatError::Newer { found: 2, .. })));
    let mut snapshot = save(&View::default());
    snapshot[8] = 9;
    assert!(matches!(
        load(&snapshot),
        Err(SnapshotError::Format(FormatError::Newer { found: 9, .. }))
    ));
}
