//! Telling clients that there are too many connections, without reading what they ask.
//!
//! Telling costs a file descriptor and a task for a moment, so only so many are told at a time; what is
//! beyond them is closed without a word, since a flood does not listen.

use crate::connections::Full;
use std::io::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Who is told just now.
pub(super) struct Refusals(Arc<Semaphore>);

/// How long one is told.
const PATIENCE: Duration = Duration::from_millis(500);

/// So much of what a client sends is read while it is told.
const MOST_UNREAD: usize = 64 << 10;

/// Consul's words.
pub(super) const TOO_MANY_OF_CLIENT: &str =
    "Your IP is issuing too many concurrent connections, please rate limit your calls\n";
pub(super) const TOO_MANY: &str = "too many connections, try again later\n";

impl Refusals {
    /// At most so many are told at a time.
    pub fn new(most: usize) -> Refusals {
        Refusals(Arc::new(Semaphore::new(most)))
    }

    /// What tells a client why it is not served, if it is to be told.
    pub fn tell(&self, stream: TcpStream, why: Full) -> Option<impl Future<Output = ()> + use<>> {
        let turn = Arc::clone(&self.0).try_acquire_owned().ok()?;
        Some(tell(turn, stream, why))
    }
}

/// The connection is closed before the turn is given back.
async fn tell(_turn: OwnedSemaphorePermit, mut stream: TcpStream, why: Full) {
    let (status, text) = match why {
        Full::Client => ("429 Too Many Requests", TOO_MANY_OF_CLIENT),
        Full::All => ("503 Service Unavailable", TOO_MANY),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Retry-After: 1\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    let telling = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // Closing with unread bytes would reset the connection before the answer is read.
        let mut sink = [0; 4096];
        let mut left = MOST_UNREAD;
        while left > 0 {
            match stream.read(&mut sink).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        Ok::<(), Error>(())
    };
    let _ = tokio::time::timeout(PATIENCE, telling).await;
}
