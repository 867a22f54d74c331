//! Starting, stopping, and starting again.

use std::time::{Duration, Instant};

use bytes::Bytes;
use consensus::{Limits, ProposeError, StartError};

use crate::machine::{eventually, limits, options, set, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_alone_leads_at_once_and_again_after_each_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut fastest = Duration::MAX;
    for round in 1..=5 {
        let begun = Instant::now();
        let (server, view) = start(Some(directory.path()), limits()).await.unwrap();
        fastest = fastest.min(begun.elapsed());
        let now = server.leadership().borrow().clone();
        assert!(now.is_leader, "round {round}: {now:?}");
        assert_eq!(view.lock().unwrap().count, (round - 1) * 10);
        for number in 0..10 {
            set(&server, &format!("k{number}"), &round.to_string()).await;
        }
        assert_eq!(view.lock().unwrap().keys["k9"], round.to_string());
        server.shutdown().await;
    }
    // A busy machine may be slow once, not five times.
    assert!(fastest < Duration::from_secs(2), "{fastest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_and_files_behave_alike() {
    let directory = tempfile::tempdir().unwrap();
    for data in [None, Some(directory.path())] {
        let (server, view) = start(data, limits()).await.unwrap();
        let first = set(&server, "a", "1").await;
        let applied = server.propose(Bytes::from_static(b"a=2")).await.unwrap();
        assert_eq!((applied.index, &applied.response[..]), (first + 1, &b"2"[..]));
        assert_eq!(view.lock().unwrap().keys["a"], "2");
        assert!(server.consistent().await.unwrap() >= applied.index);
        let status = server.status();
        assert_eq!(status.applied_index, applied.index);
        assert_eq!(status.voters[0].id, status.node_id);
        assert!(status.is_leader && status.term > 0 && status.last_log_term == status.term);
        server.shutdown().await;
        let refused = server.propose(Bytes::from_static(b"a=3")).await;
        assert_eq!(refused.unwrap_err(), ProposeError::Stopped);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_is_refused_until_the_first_has_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let (server, _) = start(Some(directory.path()), limits()).await.unwrap();
    let Err(refused) = start(Some(directory.path()), limits()).await else { panic!("two servers") };
    assert!(matches!(refused, StartError::InUse { .. }), "{refused}");
    server.shutdown().await;
    start(Some(directory.path()), limits()).await.unwrap().0.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identity_is_kept_and_the_address_may_change() {
    let directory = tempfile::tempdir().unwrap();
    let (server, _) = start(Some(directory.path()), limits()).await.unwrap();
    let before = server.status();
    server.shutdown().await;

    let mut moved = options(Some(directory.path()), limits());
    moved.address = "127.0.0.1:9999".into();
    let machine = Box::new(crate::machine::Counter::default());
    let server = consensus::start(moved, machine).await.unwrap();
    let after = server.status();
    assert_eq!((after.node_id, after.cluster_id), (before.node_id, before.cluster_id));
    assert_eq!(after.voters[0].address, "127.0.0.1:9999");
    assert_eq!(server.leadership().borrow().leader.as_ref().unwrap().address, "127.0.0.1:9999");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_program_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut newer = options(Some(directory.path()), limits());
    newer.format = 2;
    let machine = Box::new(crate::machine::Counter::default());
    consensus::start(newer, machine).await.unwrap().shutdown().await;
    let Err(refused) = start(Some(directory.path()), limits()).await else { panic!("started") };
    assert!(refused.to_string().contains("start the newer program again"), "{refused}");
}

/// The names in the directory of snapshots.
fn snapshots(root: &std::path::Path) -> Vec<String> {
    let names = std::fs::read_dir(root.join("snapshots")).unwrap();
    names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_snapshot_is_written_the_mark_moves_on_and_a_stop_ends_it() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let limits = Limits { snapshot_log_bytes: 2000, ..limits() };
    let (server, view) = start(Some(root), limits.clone()).await.unwrap();
    set(&server, "picture", "has no end").await;
    for number in 0..10 {
        set(&server, "a", &number.to_string()).await;
    }
    eventually("a snapshot is being written", || {
        snapshots(root).iter().any(|name| name.ends_with(".tmp"))
    })
    .await;
    let marked = || std::fs::metadata(root.join("synced")).map_or(0, |file| file.len());
    for number in 0..3 {
        let before = marked();
        set(&server, "b", &number.to_string()).await;
        eventually("the mark moved on", || marked() > before).await;
    }
    assert!(snapshots(root).iter().any(|name| name.ends_with(".tmp")), "it is still written");

    let stopped = tokio::time::timeout(Duration::from_secs(5), server.shutdown()).await;
    stopped.expect("a stop does not wait for a snapshot");
    assert_eq!(snapshots(root), Vec::<String>::new());
    let before = view.lock().unwrap().clone();
    let (server, view) = start(Some(root), limits).await.unwrap();
    assert_eq!(*view.lock().unwrap(), before);
    server.shutdown().await;
}
