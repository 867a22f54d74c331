//! What happens at each limit, and when the machine or the disk fails.

use std::time::Duration;

use bytes::Bytes;
use consensus::{Limits, ProposeError, ReadError};

use crate::machine::{eventually, limits, set, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_too_large_is_refused_and_the_largest_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let limits = Limits { max_entry_bytes: 1000, ..limits() };
    let (server, view) = start(Some(directory.path()), limits.clone()).await.unwrap();
    set(&server, "a", &"x".repeat(998)).await;
    let refused = server.propose(Bytes::from(format!("a={}", "x".repeat(999)))).await.unwrap_err();
    assert_eq!(refused, ProposeError::TooLarge { bytes: 1001, limit: 1000 });
    assert_eq!(view.lock().unwrap().count, 1);
    server.shutdown().await;
    let (server, view) = start(Some(directory.path()), limits).await.unwrap();
    assert_eq!(view.lock().unwrap().keys["a"].len(), 998);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_and_changes_nothing() {
    let limits = Limits { queue_entries: 4, ..limits() };
    let (server, view) = start(None, limits).await.unwrap();
    let tasks: Vec<_> = (0..200)
        .map(|number| {
            let server = server.clone();
            tokio::spawn(async move { server.propose(Bytes::from(format!("k{number}=1"))).await })
        })
        .collect();
    let (mut taken, mut refused) = (0, 0);
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => taken += 1,
            Err(ProposeError::QueueFull) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    let status = server.status();
    assert_eq!((taken + refused, status.refused), (200, refused));
    assert_eq!(view.lock().unwrap().count, taken as u64);
    eventually("the queue is empty again", || server.status().queued == 0).await;
    set(&server, "after", "1").await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn below_the_reserve_writes_are_refused_and_reads_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let limits = Limits { disk_reserve_bytes: u64::MAX / 4, ..limits() };
    let (server, _) = start(Some(directory.path()), limits).await.unwrap();
    let refused = server.propose(Bytes::from_static(b"a=1")).await.unwrap_err();
    assert!(matches!(refused, ProposeError::DiskFull { free, needed } if free < needed));
    assert!(refused.to_string().contains("bytes free, and writes need"), "{refused}");
    assert!(server.consistent().await.is_ok());
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_voter_needs_no_turn_for_a_read_while_it_leads() {
    let directory = tempfile::tempdir().unwrap();
    let (server, _) = start(Some(directory.path()), limits()).await.unwrap();
    assert!(!server.has_lease(), "no read found it leading yet");
    server.consistent().await.unwrap();
    assert!(server.has_lease());
    set(&server, "a", "1").await;
    assert!(server.has_lease());
    server.shutdown().await;
    assert!(!server.has_lease(), "whoever stops leads nobody");
}

/// Runs a server until `command` has killed its machine, which says `message`.
async fn killed_by(command: &'static str, message: &str) {
    let directory = tempfile::tempdir().unwrap();
    let (server, view) = start(Some(directory.path()), limits()).await.unwrap();
    set(&server, "a", "1").await;
    let fatal = server.fatal();
    let answer = server.propose(Bytes::from_static(command.as_bytes())).await;
    assert_eq!(answer.unwrap_err(), ProposeError::Unknown);
    let said = tokio::time::timeout(Duration::from_secs(5), fatal).await.unwrap();
    assert!(said.starts_with(message), "{said}");
    let after = server.propose(Bytes::from_static(b"a=2")).await;
    assert_eq!(after.unwrap_err(), ProposeError::Stopped);
    assert_eq!(server.consistent().await.unwrap_err(), ReadError::Stopped);
    assert!(!server.has_lease());
    assert_eq!(view.lock().unwrap().count, 1, "nothing later is applied");
    eventually("nobody leads", || !server.leadership().borrow().is_leader).await;
    server.shutdown().await;
    // The poison is committed, so the next start meets it again and says so.
    let Err(refused) = start(Some(directory.path()), limits()).await else { panic!("started") };
    assert!(refused.to_string().contains(message), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_machine_ends_the_process_with_its_own_message() {
    killed_by("fail=1", "told to fail; see the test").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panicking_machine_ends_the_process_with_a_message() {
    killed_by("panic=1", "the state machine panicked applying from index").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orderly_stop_is_not_fatal() {
    let (server, _) = start(None, limits()).await.unwrap();
    let fatal = server.fatal();
    server.shutdown().await;
    let waited = tokio::time::timeout(Duration::from_millis(100), fatal).await;
    assert!(waited.is_err(), "{waited:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_fails_is_no_reason_to_stop() {
    let directory = tempfile::tempdir().unwrap();
    let limits = Limits { snapshot_log_bytes: 2000, ..limits() };
    let (server, view) = start(Some(directory.path()), limits).await.unwrap();
    set(&server, "picture", "fails").await;
    let half = directory.path().join("snapshots");
    for number in 0..200 {
        set(&server, "a", &number.to_string()).await;
    }
    assert_eq!(server.status().last_snapshot_index, 0);
    server.shutdown().await;
    assert_eq!(std::fs::read_dir(half).unwrap().count(), 0, "nothing half is left");
    let (server, again) = start(Some(directory.path()), crate::machine::limits()).await.unwrap();
    assert_eq!(*again.lock().unwrap(), *view.lock().unwrap());
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_panics_ends_the_process_with_a_message() {
    let directory = tempfile::tempdir().unwrap();
    let limits = Limits { snapshot_log_bytes: 2000, ..limits() };
    let (server, _) = start(Some(directory.path()), limits).await.unwrap();
    let fatal = server.fatal();
    set(&server, "picture", "panics").await;
    for number in 0..20 {
        let command = Bytes::from(format!("a={number}"));
        // Refused as soon as the panic is known.
        let _answer = server.propose(command).await;
    }
    let said = tokio::time::timeout(Duration::from_secs(5), fatal).await.unwrap();
    assert!(said.starts_with("marking or taking a snapshot went wrong"), "{said}");
    server.shutdown().await;
}
