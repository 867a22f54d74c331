//! A tiny web server whose health a test decides: what an HTTP check is pointed at.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::Result;

/// Answers every request with the status last set.
#[derive(Debug)]
pub struct Web {
    /// Where it listens.
    pub addr: SocketAddr,
    status: Arc<AtomicU16>,
}

impl Web {
    /// A server that answers 200.
    pub fn start() -> Result<Web> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let status = Arc::new(AtomicU16::new(200));
        let web = Web { addr: listener.local_addr()?, status: status.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut lines = BufReader::new(&stream).lines();
                while lines.next().is_some_and(|l| l.is_ok_and(|l| !l.is_empty())) {}
                let status = status.load(Ordering::SeqCst);
                let head = format!(
                    "HTTP/1.1 {status} said\r\nContent-Length: 3\r\nConnection: close\r\n\r\nhi\n"
                );
                let _ = (&stream).write_all(head.as_bytes());
            }
        });
        Ok(web)
    }

    /// From now on this status.
    pub fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }
}
