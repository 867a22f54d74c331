//! A server that finds its files damaged starts with everything it acknowledged, or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use consensus::{Limits, StartError};

use crate::machine::{State, eventually, limits, set, start};

/// Snapshots after every few writes, small files.
fn small() -> Limits {
    Limits { snapshot_log_bytes: 7000, chunk_bytes: 1000, ..limits() }
}

/// Writes until three snapshots were taken; returns the state and the snapshots' paths, newest last.
async fn with_snapshots(directory: &Path) -> (State, Vec<PathBuf>) {
    let (server, view) = start(Some(directory), small()).await.unwrap();
    let (mut number, mut taken, mut newest) = (0, 0, 0);
    while taken < 3 {
        set(&server, &format!("k{}", number % 7), &number.to_string()).await;
        number += 1;
        let now = server.status().last_snapshot_index;
        if now != newest {
            (newest, taken) = (now, taken + 1);
        }
    }
    eventually("the log was purged", || server.status().first_log_index > 0).await;
    server.shutdown().await;
    let files = fs::read_dir(directory.join("snapshots")).unwrap();
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let state = State::clone(&view.lock().unwrap());
    (state, files)
}

fn flip(file: &Path, bit: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[bit / 8] ^= 1 << (bit % 8);
    fs::write(file, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_older_of_two_snapshots_serves_when_the_newest_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let (expected, files) = with_snapshots(directory.path()).await;
    assert_eq!(files.len(), 2, "{files:?}");
    let good = fs::read(&files[1]).unwrap();
    for bit in (0..good.len() * 8).step_by(13) {
        flip(&files[1], bit);
        let (server, view) = start(Some(directory.path()), limits()).await.unwrap();
        assert_eq!(**view.lock().unwrap(), expected, "bit {bit}");
        server.shutdown().await;
        fs::write(&files[1], &good).unwrap();
    }
    fs::write(&files[1], &good[..good.len() - 1]).unwrap();
    let (server, view) = start(Some(directory.path()), limits()).await.unwrap();
    assert_eq!(**view.lock().unwrap(), expected);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_between_snapshot_and_log_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (_, files) = with_snapshots(directory.path()).await;
    for file in &files {
        let middle = fs::metadata(file).unwrap().len() as usize * 4;
        flip(file, middle);
    }
    let Err(refused) = start(Some(directory.path()), small()).await else { panic!("started") };
    assert!(matches!(refused, StartError::Gap { .. }), "{refused}");
    let text = refused.to_string();
    assert!(text.contains("restore the data directory from a backup"), "{text}");

    for file in &files {
        fs::remove_file(file).unwrap();
    }
    let Err(refused) = start(Some(directory.path()), small()).await else { panic!("started") };
    assert!(refused.to_string().contains("there is none before it"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_log_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    with_snapshots(directory.path()).await;
    fs::remove_dir_all(directory.path().join("log")).unwrap();
    let Err(refused) = start(Some(directory.path()), small()).await else { panic!("started") };
    assert!(refused.to_string().contains("synced up to"), "{refused}");
    fs::remove_file(directory.path().join("synced")).unwrap();
    let Err(refused) = start(Some(directory.path()), small()).await else { panic!("started") };
    assert!(refused.to_string().contains("it ends before the snapshot"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_interrupted_snapshot_left_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let (expected, files) = with_snapshots(directory.path()).await;
    let half = files[1].with_extension("snap.tmp");
    fs::write(&half, "half").unwrap();
    let (server, view) = start(Some(directory.path()), small()).await.unwrap();
    assert_eq!(**view.lock().unwrap(), expected);
    assert!(!half.exists());
    server.shutdown().await;
}
