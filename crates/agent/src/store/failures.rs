//! What the store does when its disk fails: tests.

use super::*;
use crate::local::TtlState;
use crate::time::WallTime;
use model::{Instance, Registration, Status};
use seams::ExistingChecks;
use std::cell::RefCell;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn register(id: &str) -> Operation {
    let instance = Instance { id: id.into(), service: id.into(), ..Instance::default() };
    let registration = Registration { instance, checks: Vec::new() };
    Operation::Register(Box::new(registration), ExistingChecks::Keep)
}

fn failed() -> io::Result<()> {
    Err(io::Error::other("the disk is gone"))
}

fn held(directory: &Path) -> Vec<Operation> {
    Store::open(directory).unwrap().1
}

/// What is answered to one registration, and to the next.
fn answers(store: &Store, done: &mut UnboundedReceiver<Done>) -> Vec<Done> {
    store.append(encode(&register("refused")), 1);
    let first = [done.blocking_recv().unwrap(), done.blocking_recv().unwrap()];
    store.append(encode(&register("later")), 2);
    first.into_iter().chain(done.blocking_recv()).collect()
}

fn not_kept(up_to: u64, loss: Loss) -> Done {
    Done::Appended { up_to, result: Err(loss) }
}

#[test]
fn what_a_failed_sync_refused_is_not_there_at_the_next_start() {
    static SYNCS: AtomicUsize = AtomicUsize::new(0);
    let fails_later = Disk {
        // The first is that of the start.
        sync_data: |_| if SYNCS.fetch_add(1, Ordering::SeqCst) < 1 { Ok(()) } else { failed() },
        ..Disk::REAL
    };
    let directory = tempfile::tempdir().unwrap();
    let (store, _, mut done) = Store::open_on(fails_later, directory.path()).unwrap();
    let why = || "the disk is gone".to_owned();
    assert_eq!(
        answers(&store, &mut done),
        [
            not_kept(1, Loss::Unknown(why())),
            Done::Broken(why()),
            not_kept(2, Loss::NotWritten(why())),
        ]
    );
    drop(store);
    assert_eq!(held(directory.path()), []);
}

#[test]
fn a_rewrite_that_fails_after_the_rename_loses_nothing_and_takes_nothing_more() {
    static SYNCS: AtomicUsize = AtomicUsize::new(0);
    let fails_later = Disk {
        // The first two are those of the start.
        sync_names: |_| if SYNCS.fetch_add(1, Ordering::SeqCst) < 2 { Ok(()) } else { failed() },
        ..Disk::REAL
    };
    let directory = tempfile::tempdir().unwrap();
    let (store, _, mut done) = Store::open_on(fails_later, directory.path()).unwrap();
    store.rewrite(&[register("kept")]);
    assert_eq!(done.blocking_recv(), Some(Done::Rewritten));
    store.append(encode(&register("later")), 1);
    let Some(Done::Broken(why)) = done.blocking_recv() else { panic!("not told") };
    assert_eq!(done.blocking_recv(), Some(not_kept(1, Loss::NotWritten(why))));
    assert!(!store.is_overgrown());
    drop(store);
    assert_eq!(held(directory.path()), [register("kept")]);
}

#[test]
fn a_rewrite_needs_no_name_once_it_is_renamed() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _, mut done) = Store::open(directory.path()).unwrap();
    let before = fs::metadata(directory.path().join(FILE)).unwrap().ino();
    store.rewrite(&[register("a")]);
    store.append(encode(&register("b")), 1);
    assert_eq!(done.blocking_recv(), Some(Done::Rewritten));
    assert_eq!(done.blocking_recv(), Some(Done::Appended { up_to: 1, result: Ok(()) }));
    assert_ne!(fs::metadata(directory.path().join(FILE)).unwrap().ino(), before);
    assert_eq!(held(directory.path()), [register("a"), register("b")]);
}

#[test]
fn a_rewrite_that_cannot_begin_leaves_the_store_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _, mut done) = Store::open(directory.path()).unwrap();
    store.append(encode(&register("a")), 1);
    done.blocking_recv();
    fs::create_dir(directory.path().join(format!("{FILE}.new"))).unwrap();
    store.rewrite(&[register("a")]);
    assert_eq!(done.blocking_recv(), Some(Done::Rewritten));
    store.append(encode(&register("b")), 2);
    assert_eq!(done.blocking_recv(), Some(Done::Appended { up_to: 2, result: Ok(()) }));
    drop(store);
    assert_eq!(held(directory.path()), [register("a"), register("b")]);
}

#[test]
fn names_that_were_there_are_synced_too() {
    thread_local!(static SYNCED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) });
    let noting = Disk {
        sync_names: |directory| {
            let inode = directory.metadata()?.ino();
            SYNCED.with_borrow_mut(|synced| synced.push(inode));
            Ok(())
        },
        ..Disk::REAL
    };
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("agent");
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    for _ in 0..2 {
        drop(Store::open_on(noting, &directory).unwrap());
        let both = vec![inode(&directory), inode(parent.path())];
        assert_eq!(SYNCED.take(), both);
    }
}

#[test]
fn what_is_written_lazily_all_the_time_is_synced_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _, _done) = Store::open(directory.path()).unwrap();
    let report = Operation::TtlState(TtlState {
        id: "c".into(),
        status: Status::Passing,
        output: "fine".into(),
        expires: WallTime(5),
    });
    let limit = Instant::now() + Duration::from_secs(10);
    while store.syncs() < 1 {
        assert!(Instant::now() < limit, "{} syncs", store.syncs());
        store.append_lazily(&report);
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_store_that_cannot_be_written_refuses_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    drop(Store::open(directory.path()).unwrap());
    let handle = File::open(directory.path().join(FILE)).unwrap();
    let whole = handle.metadata().unwrap().len();
    let place = Place { directory: directory.path().into(), file: FILE, disk: Disk::REAL };
    let writer = Writer::new(place, handle, whole, Arc::default()).unwrap();
    let (jobs, waiting) = mpsc::channel();
    let (answers, mut done) = unbounded_channel();
    for ticket in 1..=2 {
        jobs.send(Job::Append { payload: vec![0], ticket: Some(ticket) }).unwrap();
    }
    drop(jobs);
    writer.run(&waiting, &answers);
    let Some(Done::Broken(why)) = done.blocking_recv() else { panic!("not told") };
    assert!(why.contains("Bad file descriptor"), "{why}");
    assert_eq!(done.blocking_recv(), Some(not_kept(2, Loss::NotWritten(why))));
}
