//! A disk that fills up: a small file system of its own, mounted for the test.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use consensus::{Consensus, Limits, ProposeError};

use crate::machine::{limits, set, start};

/// A mounted tmpfs, unmounted when dropped.
struct Small(tempfile::TempDir);

impl Small {
    /// Mounts one of a size; nothing, noted as skipped, where that is not allowed.
    fn mount(size: &str) -> Option<Small> {
        let at = tempfile::tempdir().unwrap();
        let size = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "none"])
            .arg(at.path())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Small(at));
        }
        if let Some(log) = std::env::var_os("RUTTER_SKIP_LOG") {
            let mut log = File::options().append(true).create(true).open(log).unwrap();
            writeln!(log, "SKIPPED: a small file system cannot be mounted").unwrap();
        }
        None
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    /// Takes all the space there is.
    fn fill(&self) {
        let mut filler = File::create(self.0.path().join("filler")).unwrap();
        let block = [1; 4096];
        while filler.write_all(&block).is_ok() {}
    }

    fn make_room(&self) {
        fs::remove_file(self.0.path().join("filler")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _left_behind = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

async fn propose(server: &Consensus, number: u64) -> Result<u64, ProposeError> {
    let command = Bytes::from(format!("k{number}={number}"));
    server.propose(command).await.map(|applied| applied.index)
}

/// Proposes until the answer is as hoped, at most ten seconds.
async fn until_answered(
    server: &Consensus,
    hoped: impl Fn(&Result<u64, ProposeError>) -> bool,
) -> Result<u64, ProposeError> {
    let limit = Instant::now() + Duration::from_secs(10);
    loop {
        let answer = propose(server, 0).await;
        if hoped(&answer) {
            return answer;
        }
        assert!(Instant::now() < limit, "still {answer:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nearly_full_disk_refuses_writes_until_there_is_room() {
    let Some(disk) = Small::mount("8m") else { return };
    let limits = Limits { disk_reserve_bytes: 2 << 20, ..limits() };
    let (server, view) = start(Some(&disk.data()), limits).await.unwrap();
    set(&server, "a", "1").await;
    disk.fill();
    // The figure of free space is a few milliseconds old at most.
    let refused = until_answered(&server, |answer| answer.is_err()).await.unwrap_err();
    assert!(matches!(refused, ProposeError::DiskFull { needed: 0x20_0000, .. }), "{refused}");
    let before = view.lock().unwrap().count;
    server.consistent().await.unwrap();
    disk.make_room();
    until_answered(&server, |answer| answer.is_ok()).await.unwrap();
    assert_eq!(view.lock().unwrap().count, before + 1);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_would_fill_the_disk_is_given_up_and_the_log_goes_on() {
    let Some(disk) = Small::mount("24m") else { return };
    let limits = Limits { disk_reserve_bytes: 8 << 20, snapshot_log_bytes: 4000, ..limits() };
    let (server, view) = start(Some(&disk.data()), limits).await.unwrap();
    set(&server, "picture", "has no end").await;
    let snapshots = disk.data().join("snapshots");
    let mut written = false;
    let begun = Instant::now();
    // Under way, it takes what is above half the reserve, and proposals are refused meanwhile.
    while !written || fs::read_dir(&snapshots).unwrap().next().is_some() {
        let answer = propose(&server, 1).await;
        let fine = match answer {
            Ok(_) => true,
            Err(ProposeError::DiskFull { free, .. }) => free > 3 << 20,
            Err(_) => false,
        };
        assert!(fine, "{answer:?}");
        written |= fs::read_dir(&snapshots).unwrap().next().is_some();
        assert!(begun.elapsed() < Duration::from_secs(20), "written: {written}");
    }
    let before = view.lock().unwrap().count;
    until_answered(&server, |answer| answer.is_ok()).await.unwrap();
    assert!(view.lock().unwrap().count > before);
    server.shutdown().await;
}

/// Fills the disk behind the server's back until its log meets that; returns the last acknowledged.
async fn die_of_a_full_disk(disk: &Small, server: &Consensus) -> u64 {
    let mut number = 0;
    loop {
        number += 1;
        propose(server, number).await.unwrap();
        disk.fill();
        // Within the lifetime of the figure of free space, so that it reaches the log.
        match propose(server, number + 1).await {
            Err(ProposeError::Unknown) => return number,
            // It fit into the last block, or the figure was asked for again.
            Ok(_) | Err(ProposeError::DiskFull { .. }) => {}
            other => panic!("{other:?}"),
        }
        for more in 0..2000 {
            let value = "x".repeat(2000);
            match server.propose(Bytes::from(format!("big{more}={value}"))).await {
                Ok(_) => {}
                Err(ProposeError::Unknown) => return number + 1,
                Err(_) => break,
            }
        }
        disk.make_room();
        until_answered(server, |answer| answer.is_ok()).await.unwrap();
    }
}

#[track_caller]
fn check_holds(view: &crate::machine::View, last: u64) {
    let state = view.lock().unwrap().clone();
    for number in 1..=last {
        assert_eq!(state.keys.get(&format!("k{number}")), Some(&number.to_string()));
    }
}

async fn a_log_that_met_a_full_disk(reserve: u64) {
    let Some(disk) = Small::mount("4m") else { return };
    let limits = Limits { disk_reserve_bytes: reserve, chunk_bytes: 64 << 10, ..limits() };
    let (server, _) = start(Some(&disk.data()), limits.clone()).await.unwrap();
    let held_back = disk.data().join("reserve");
    assert_eq!(held_back.exists(), reserve > 0);
    let last = die_of_a_full_disk(&disk, &server).await;
    let said = tokio::time::timeout(Duration::from_secs(5), server.fatal()).await.unwrap();
    assert!(said.contains("the disk is full; make room and start again"), "{said}");
    assert!(!held_back.exists(), "the reserve file is given up");
    server.shutdown().await;
    drop(server);
    disk.make_room();
    let (server, view) = start(Some(&disk.data()), limits).await.unwrap();
    check_holds(&view, last);
    set(&server, "after", "1").await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_met_a_full_disk_ends_the_process_and_loses_nothing() {
    a_log_that_met_a_full_disk(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reserve_file_is_given_up_when_the_log_met_a_full_disk() {
    a_log_that_met_a_full_disk(160 << 10).await;
}
