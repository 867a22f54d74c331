//! The signals that end the process, and the one that lets it read its configuration again.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Hears INT and TERM from the moment it is made, so that none is missed during a start.
pub struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// Begins to listen; the signals no longer kill.
    pub fn listen() -> io::Result<Stop> {
        Ok(Stop {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one and names it.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "INT",
            _ = self.terminate.recv() => "TERM",
        }
    }
}

/// Hears HUP from the moment it is made; the signal no longer kills.
pub struct Reload(Signal);

impl Reload {
    /// Begins to listen.
    pub fn listen() -> io::Result<Reload> {
        Ok(Reload(signal(SignalKind::hangup())?))
    }

    /// Waits for the next one; several that came meanwhile are one.
    pub async fn next(&mut self) {
        self.0.recv().await;
    }
}
