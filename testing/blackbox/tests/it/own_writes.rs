//! Who was told that a write is done sees it in the next read, by HTTP and by DNS, also while others write.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Result, ensure};
use blackbox::packet;
use blackbox::server::{Launch, Server};
use blackbox::wait::SOON;
use serde_json::json;

const WRITERS: usize = 16;
const PAIRS: usize = 10_000;

/// One writer: registers its service with a new address, then asks both faces for it at once.
fn pairs(server: &Server, writer: usize, left: &AtomicUsize) -> Result<()> {
    let mut http = server.client();
    let socket = packet::udp(server.dns, SOON)?;
    let question = packet::question(1, &format!("own{writer}.service.consul"), 1);
    let take = |n: usize| n.checked_sub(1);
    while let Ok(n) = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take) {
        let (high, low) = (n / 250, n % 250 + 1);
        let row = json!({
            "Node": format!("node{writer}"), "Address": "10.0.0.1",
            "Service": { "Service": format!("own{writer}"), "Port": 1, "Address": format!("10.7.{high}.{low}") },
        });
        http.put_ok("/v1/catalog/register", row.to_string())?;
        let answer = packet::ask(&socket, &question)?.unwrap_or_default();
        let address = [10, 7, high as u8, low as u8];
        ensure!(
            answer.windows(4).any(|w| w == address),
            "DNS does not show 10.7.{high}.{low}: {answer:?}"
        );
        let rows = http.get_json(&format!("/v1/health/service/own{writer}?stale"))?;
        let shown = rows[0]["Service"]["Address"].as_str().unwrap_or_default().to_owned();
        ensure!(shown == format!("10.7.{high}.{low}"), "HTTP shows {shown}");
    }
    Ok(())
}

#[test]
fn ten_thousand_writes_are_seen_by_their_writers() -> Result<()> {
    let server = Launch::durable().start()?;
    let (left, over) = (AtomicUsize::new(PAIRS), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for noise in 0..2 {
            let (server, over) = (&server, &over);
            scope.spawn(move || {
                let mut http = server.client();
                while !over.load(Ordering::SeqCst) {
                    let _ = http.put(&format!("/v1/kv/noise{noise}"), vec![b'x'; 10_000]);
                }
            });
        }
        let writers: Vec<_> = (0..WRITERS)
            .map(|w| {
                scope.spawn({
                    let (server, left) = (&server, &left);
                    move || pairs(server, w, left)
                })
            })
            .collect();
        let results: Vec<_> =
            writers.into_iter().map(|w| w.join().expect("a writer does not panic")).collect();
        over.store(true, Ordering::SeqCst);
        results.into_iter().collect::<Result<Vec<_>>>()
    })?;
    ensure!(left.load(Ordering::SeqCst) == 0, "pairs left");
    Ok(())
}
