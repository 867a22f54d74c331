//! Many writes: one sync for many, and bounds on disk and memory.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use bytes::Bytes;
use consensus::{Consensus, Limits};

use crate::machine::{eventually, limits, start};

/// Sets keys from `writers` tasks until `total` writes are acknowledged.
async fn load(server: &Consensus, writers: usize, total: u64) {
    let next = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let (server, next) = (server.clone(), next.clone());
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Relaxed);
                    if number >= total {
                        return;
                    }
                    let command = format!("k{}={number}", number % 1000);
                    server.propose(Bytes::from(command)).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// Files that are purged meanwhile do not count.
fn bytes_in(directory: &Path) -> u64 {
    let mut sum = 0;
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let Ok(held) = entry.metadata() else { continue };
        sum += if held.is_dir() { bytes_in(&entry.path()) } else { held.len() };
    }
    sum
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_64_writers_one_sync_serves_at_least_eight_writes() {
    let directory = tempfile::tempdir().unwrap();
    let (server, view) = start(Some(directory.path()), limits()).await.unwrap();
    let begun = Instant::now();
    load(&server, 64, 10_000).await;
    let (took, syncs) = (begun.elapsed(), server.status().log_syncs);
    println!("{:.0} writes/s, {syncs} syncs for 10,000", 10_000.0 / took.as_secs_f64());
    assert!(syncs * 8 <= 10_000, "{syncs} syncs");
    assert_eq!(view.lock().unwrap().count, 10_000);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overwriting_the_same_keys_leaves_the_disk_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let limits = Limits { snapshot_log_bytes: 1 << 20, chunk_bytes: 64 << 10, ..limits() };
    let (server, view) = start(Some(directory.path()), limits.clone()).await.unwrap();
    load(&server, 64, 60_000).await;
    eventually("the log was purged", || server.status().first_log_index > 30_000).await;
    let status = server.status();
    assert!(status.last_snapshot_index >= status.first_log_index, "{status:?}");
    eventually("the disk holds less than 5 MiB", || bytes_in(directory.path()) < 5 << 20).await;
    let before = view.lock().unwrap().clone();
    server.shutdown().await;

    let (server, view) = start(Some(directory.path()), limits).await.unwrap();
    assert_eq!(*view.lock().unwrap(), before);
    server.shutdown().await;
}

/// The most memory this process has had, in KiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim_end_matches("kB").trim().parse().unwrap()
}

/// How many overwrites, within which limits, and what they may leave behind.
struct Volume {
    total: u64,
    limits: Limits,
    memory_kib: Option<u64>,
    disk_bytes: u64,
}

/// A small one, of which the log alone would be 0.9 MiB were it never purged; its memory is lost in
/// that of the tests beside it and not judged. Or with `RUTTER_VOLUME=1000000`, alone, the limits as shipped and a
/// minute or two.
fn volume() -> Volume {
    let asked = std::env::var("RUTTER_VOLUME").ok();
    match asked.map(|text| text.parse().expect("RUTTER_VOLUME is a number")) {
        Some(total) => {
            Volume { total, limits: limits(), memory_kib: Some(300 << 10), disk_bytes: 220 << 20 }
        }
        None => {
            let limits =
                Limits { snapshot_log_bytes: 512 << 10, chunk_bytes: 32 << 10, ..limits() };
            Volume { total: 20_000, limits, memory_kib: None, disk_bytes: 700 << 10 }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_full_size_memory_is_bounded_too() {
    let Volume { total, limits, memory_kib, disk_bytes } = volume();
    let directory = tempfile::tempdir().unwrap();
    let before = peak_memory();
    let (server, view) = start(Some(directory.path()), limits.clone()).await.unwrap();
    let begun = Instant::now();
    load(&server, 64, total).await;
    let rate = total as f64 / begun.elapsed().as_secs_f64();
    // At full size a snapshot is due every quarter million.
    eventually("the log was purged", || server.status().first_log_index > total / 4).await;
    let small = || bytes_in(directory.path()) < disk_bytes;
    eventually("the disk holds little", small).await;
    let (added, bytes) = (peak_memory() - before, bytes_in(directory.path()));
    println!("{total} overwrites, {rate:.0}/s: {added} KiB more memory, {bytes} bytes on disk");
    println!("{:?}", server.status());
    assert!(memory_kib.is_none_or(|most| added < most), "{added} KiB");
    server.shutdown().await;
    let begun = Instant::now();
    let (server, again) = start(Some(directory.path()), limits).await.unwrap();
    println!("restarted in {:?}", begun.elapsed());
    assert_eq!(*again.lock().unwrap(), *view.lock().unwrap());
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_memory_the_log_is_purged_too() {
    let limits = Limits { snapshot_log_bytes: 1 << 20, ..limits() };
    let (server, _) = start(None, limits).await.unwrap();
    load(&server, 64, 60_000).await;
    eventually("the log was purged", || server.status().first_log_index > 30_000).await;
    server.shutdown().await;
}
