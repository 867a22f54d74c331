//! Damage to a log: every flipped bit, torn tails, missing files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, mpsc};

use bytes::Bytes;

use super::*;
use crate::disk::{Disk, RealDisk};
use crate::error::StartError;
use crate::options::Limits;
use crate::types::{Payload, Proposal, log_id};

const ENTRIES: u64 = 9;

/// An entry of some blocks, for tearing; every byte of it differs from zero.
fn large(index: u64) -> Entry {
    let bytes = Bytes::from(vec![7; 3000]);
    Entry { log_id: log_id(1, index), payload: Payload::Normal(Proposal { bytes, ticket: None }) }
}

fn limits() -> Limits {
    Limits { chunk_bytes: 200, ..Limits::default() }
}

fn entry(index: u64) -> Entry {
    let bytes = Bytes::from(format!("command {index}"));
    let payload = match index {
        0 => Payload::Blank,
        _ => Payload::Normal(Proposal { bytes, ticket: None }),
    };
    Entry { log_id: log_id(1, index), payload }
}

fn synced(write: impl FnOnce(Done) -> io::Result<()>) {
    let (sender, receiver) = mpsc::channel();
    write(Box::new(move |result| sender.send(result).unwrap())).unwrap();
    receiver.recv().unwrap().unwrap();
}

/// A log of some files, synced, marked and closed.
fn written(root: &Path) {
    fs::create_dir(root.join("log")).unwrap();
    let (mut log, mark) = open(root).unwrap();
    synced(|done| log.save_vote(&Vote::new_committed(1, 7), done));
    for index in 0..ENTRIES {
        synced(|done| log.append(vec![entry(index)], done));
        log.commit(&log_id(1, index)).unwrap();
    }
    log.close().unwrap();
    mark.write(true).unwrap();
}

fn open(root: &Path) -> Result<(Chunks, Arc<Mark>), StartError> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(root.to_owned()));
    let mark = Arc::new(Mark::load(disk, Arc::default()).unwrap());
    let directory = root.join("log");
    inspect(&directory, &limits(), mark.position())?;
    let opened = Chunks::open(&directory, &limits(), mark.clone());
    let log = opened.map_err(|source| StartError::Io { doing: "open", path: directory, source })?;
    Ok((log, mark))
}

/// What a log says, entry by entry.
fn contents(log: &Chunks) -> (WalState, Vec<String>) {
    let entries = log.read(0..u64::MAX, usize::MAX).unwrap();
    let texts = entries.into_iter().map(|entry| match entry.payload {
        Payload::Normal(proposal) => String::from_utf8_lossy(&proposal.bytes).into_owned(),
        other => format!("{other:?}"),
    });
    (WalState { committed: None, ..log.state() }, texts.collect())
}

/// A directory in memory where there is one: thousands of copies are made.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.unwrap()
}

fn copy(from: &Path) -> tempfile::TempDir {
    let to = scratch();
    fs::create_dir(to.path().join("log")).unwrap();
    for name in files(from) {
        fs::copy(from.join(&name), to.path().join(&name)).unwrap();
    }
    to
}

/// The log's files in order, then the mark.
fn files(root: &Path) -> Vec<PathBuf> {
    let log = fs::read_dir(root.join("log")).unwrap();
    let names = log.map(|entry| Path::new("log").join(entry.unwrap().file_name()));
    let mut names: Vec<_> = names.filter(|name| name.extension().is_some()).collect();
    names.sort();
    names.push("synced".into());
    names
}

#[track_caller]
fn check_refused(root: &Path, words: &str) {
    let Err(refused) = open(root) else { panic!("opened; expected: {words}") };
    let text = refused.to_string();
    assert!(text.contains(words), "{text}");
    assert!(text.contains("restore the data directory from a backup"), "{text}");
}

#[test]
fn each_flipped_bit_of_a_synced_log_is_refused_or_harmless() {
    let good = tempfile::tempdir().unwrap();
    written(good.path());
    let (log, _) = open(good.path()).unwrap();
    let expected = contents(&log);
    assert_eq!(expected.1.len() as u64, ENTRIES);
    drop(log);
    let names = files(good.path());
    assert!(names.len() > 5, "{names:?}");
    let (mut refused, mut harmless) = (0, 0);
    for name in names {
        let bytes = fs::read(good.path().join(&name)).unwrap();
        for bit in 0..bytes.len() * 8 {
            let bad = copy(good.path());
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(bad.path().join(&name), flipped).unwrap();
            match open(bad.path()) {
                Err(_) => refused += 1,
                Ok((log, _)) => {
                    assert_eq!(contents(&log), expected, "{} bit {bit}", name.display());
                    harmless += 1;
                }
            }
        }
    }
    println!("{refused} refused, {harmless} harmless");
    assert!(refused > harmless);
}

#[test]
fn a_torn_tail_behind_the_mark_is_cut() {
    let good = tempfile::tempdir().unwrap();
    written(good.path());
    let (log, _) = open(good.path()).unwrap();
    let expected = contents(&log);
    drop(log);
    let names = files(good.path());
    let (first, tail) = (&names[0], &names[names.len() - 2]);
    // The vote, after the checkpoint that begins each file.
    let vote = &fs::read(good.path().join(first)).unwrap()[18..40];
    for torn in [&vote[..1], &vote[..20], &[0; 40], &[0; 3]] {
        let bad = copy(good.path());
        let mut bytes = fs::read(bad.path().join(tail)).unwrap();
        bytes.extend_from_slice(torn);
        fs::write(bad.path().join(tail), bytes).unwrap();
        let (mut log, mark) = open(bad.path()).unwrap();
        assert_eq!(contents(&log), expected);
        synced(|done| log.append(vec![entry(ENTRIES)], done));
        mark.write(true).unwrap();
        drop(log);
        assert_eq!(contents(&open(bad.path()).unwrap().0).1.len() as u64, ENTRIES + 1);
    }
}

/// A log that ends in a large entry, marked after it or before; and where that entry begins.
fn ending_large(marked: bool) -> (tempfile::TempDir, PathBuf, usize) {
    let root = scratch();
    written(root.path());
    let before = fs::read(root.path().join("synced")).unwrap();
    let (mut log, mark) = open(root.path()).unwrap();
    // Fills the file, so that the large one begins the next, after its checkpoint.
    synced(|done| log.append(vec![entry(ENTRIES)], done));
    let names = files(root.path());
    let tail = root.path().join(&names[names.len() - 2]);
    let start = fs::metadata(&tail).unwrap().len() as usize;
    synced(|done| log.append(vec![large(ENTRIES + 1)], done));
    drop(log);
    mark.write(true).unwrap();
    if !marked {
        fs::write(root.path().join("synced"), before).unwrap();
    }
    (root, tail, start)
}

/// Gives the log's last file these bytes, and removes what was begun after it.
fn end_with(root: &Path, tail: &Path, bytes: &[u8]) {
    for name in files(root).iter().filter(|name| name.starts_with("log")) {
        let path = root.join(name);
        if path.as_path() > tail {
            fs::remove_file(path).unwrap();
        }
    }
    fs::write(tail, bytes).unwrap();
}

#[test]
fn a_record_that_is_zero_from_a_block_on_is_cut_behind_the_mark_and_refused_before() {
    for marked in [false, true] {
        let (root, tail, start) = ending_large(marked);
        let whole = fs::read(&tail).unwrap();
        assert!(whole.len() > start + 3000, "{} {start}", whole.len());
        for block in (start.next_multiple_of(512)..whole.len()).step_by(512) {
            let mut bytes = whole.clone();
            bytes[block..].fill(0);
            end_with(root.path(), &tail, &bytes);
            if marked {
                check_refused(root.path(), "and was synced up to");
                continue;
            }
            let (log, _) = open(root.path()).unwrap_or_else(|error| panic!("{block}: {error}"));
            assert_eq!(contents(&log).1.len() as u64, ENTRIES + 1, "block {block}");
        }
    }
}

#[test]
fn a_damaged_record_behind_the_mark_is_not_taken_for_a_torn_one() {
    let (root, tail, start) = ending_large(false);
    let whole = fs::read(&tail).unwrap();
    // A byte of its middle; its first bytes gone; zero from where no block begins; and zeros after
    // a record that was all there.
    let mut flipped = whole.clone();
    flipped[start + 1000] ^= 1;
    let mut beheaded = whole.clone();
    beheaded[start + 40..start + 600].fill(0);
    let mut oddly = whole.clone();
    let end = oddly.len();
    oddly[start + 700..end - 9].fill(0);
    let mut followed = flipped.clone();
    followed.resize(end.next_multiple_of(512) + 512, 0);
    for (what, bytes) in
        [("flipped", flipped), ("beheaded", beheaded), ("oddly", oddly), ("followed", followed)]
    {
        end_with(root.path(), &tail, &bytes);
        println!("{what}");
        check_refused(root.path(), "a record cannot be read");
    }
}

#[test]
fn a_log_that_lost_something_is_refused_with_what_to_do() {
    let good = tempfile::tempdir().unwrap();
    written(good.path());
    let names = files(good.path());
    let (middle, tail) = (&names[2], &names[names.len() - 2]);

    let bad = copy(good.path());
    let bytes = fs::read(bad.path().join(tail)).unwrap();
    fs::write(bad.path().join(tail), &bytes[..bytes.len() - 1]).unwrap();
    check_refused(bad.path(), "and was synced up to");

    let bad = copy(good.path());
    let mut longer = bytes.clone();
    longer.extend_from_slice(&[
        0, 0, 0, 0, 1, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    ]);
    fs::write(bad.path().join(tail), longer).unwrap();
    check_refused(bad.path(), "a record cannot be read");

    let bad = copy(good.path());
    fs::remove_file(bad.path().join(tail)).unwrap();
    check_refused(bad.path(), "a file is missing after it: the log can be read up to");

    let bad = copy(good.path());
    fs::remove_file(bad.path().join(middle)).unwrap();
    check_refused(bad.path(), "and the next file begins at");

    let bad = copy(good.path());
    fs::remove_file(bad.path().join(&names[0])).unwrap();
    check_refused(bad.path(), "entries 0 to");

    let bad = copy(good.path());
    let bytes = fs::read(bad.path().join(middle)).unwrap();
    fs::write(bad.path().join(middle), &bytes[..bytes.len() - 1]).unwrap();
    check_refused(bad.path(), "a record cannot be read");
}

#[test]
fn a_purged_log_reads_from_where_it_was_purged() {
    let root = tempfile::tempdir().unwrap();
    written(root.path());
    let before = files(root.path()).len();
    let (mut log, mark) = open(root.path()).unwrap();
    synced(|done| log.purge(&log_id(1, 5), done));
    synced(|done| log.truncate(Some(&log_id(1, ENTRIES - 1)), done));
    log.close().unwrap();
    mark.write(true).unwrap();
    assert!(files(root.path()).len() < before);
    let (log, _) = open(root.path()).unwrap();
    let (state, texts) = contents(&log);
    assert_eq!((state.purged, state.last), (Some(log_id(1, 5)), Some(log_id(1, ENTRIES - 1))));
    assert_eq!((texts.len() as u64, &texts[0][..]), (ENTRIES - 6, "command 6"));
}

/// Copies a log that is being written, the newest file first, so that no file is newer than the
/// one after it; again when a file was purged meanwhile. Returns nothing when it was.
fn copy_live(from: &Path) -> Option<tempfile::TempDir> {
    let to = tempfile::tempdir().unwrap();
    fs::create_dir(to.path().join("log")).unwrap();
    for name in files(from).iter().rev() {
        match fs::copy(from.join(name), to.path().join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && name.starts_with("log") => {
                return None;
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        }
    }
    Some(to)
}

/// What is copied is the page cache and not what a power failure leaves: that `done` comes after a
/// real sync is for the black-box test on a forgetting disk to notice.
#[test]
fn a_live_copy_with_a_torn_piece_at_its_end_holds_what_was_acknowledged() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("log")).unwrap();
    let (mut log, mark) = open(root.path()).unwrap();
    synced(|done| log.save_vote(&Vote::new_committed(1, 7), done));
    let acknowledged = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let (count, stopped) = (acknowledged.clone(), stop.clone());
    let marks = mark.clone();
    let writer = std::thread::spawn(move || {
        let mut index = 0;
        while !stopped.load(SeqCst) {
            let batch = 1 + index % 5;
            let count = count.clone();
            let last = index + batch - 1;
            let done: Done = Box::new(move |result| {
                result.unwrap();
                count.fetch_max(last + 1, SeqCst);
            });
            log.append((index..=last).map(entry).collect(), done).unwrap();
            log.commit(&log_id(1, last)).unwrap();
            index += batch;
            if index % 50 < batch && index > 60 {
                synced(|done| log.purge(&log_id(1, index - 60), done));
                marks.write(false).unwrap();
            }
        }
    });
    let mut seed = 1_u64;
    let mut checked = 0;
    while checked < 60 {
        let promised = acknowledged.load(SeqCst);
        let Some(copied) = copy_live(root.path()) else { continue };
        // What was torn off while it was being written: a piece of a record at the very end.
        let names = files(copied.path());
        let tail = copied.path().join(&names[names.len() - 2]);
        let mut bytes = fs::read(&tail).unwrap();
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        bytes.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0][..(seed >> 61) as usize]);
        fs::write(&tail, bytes).unwrap();
        let (log, _) = open(copied.path()).unwrap_or_else(|error| panic!("{error}"));
        let (state, texts) = contents(&log);
        let last = state.last.map_or(0, |id| id.index + 1);
        assert!(last >= promised, "{promised} were synced, {last} are there");
        let first = state.purged.map_or(0, |id| id.index + 1);
        assert_eq!(texts.len() as u64, last - first);
        checked += 1;
    }
    stop.store(true, SeqCst);
    writer.join().unwrap();
    assert!(acknowledged.load(SeqCst) > 100);
}
