//! How many connections a server has and had, and what it refused. Whoever reads adds nothing to what
//! is served.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a server counts; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Traffic(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    open: AtomicU64,
    accepted: AtomicU64,
    refused: [AtomicU64; Limit::ALL.len()],
    #[cfg(test)]
    engines: AtomicU64,
}

/// A limit at which something is refused or broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Connections of one client.
    ConnectionsOfClient,
    /// Connections of all.
    Connections,
    /// A connection could not be accepted, most likely for want of a file descriptor.
    Descriptors,
    /// Bytes of a head.
    Head,
    /// Time for a head to come, or of silence between two.
    HeadTime,
    /// Bytes of one body.
    Body,
    /// Time for a body to come.
    BodyTime,
    /// Bytes of all bodies.
    Bodies,
    /// Bytes of all answers.
    Answers,
    /// Time for a client to take its answer.
    WriteTime,
}

impl Limit {
    /// All of them.
    pub const ALL: [Limit; 10] = [
        Limit::ConnectionsOfClient,
        Limit::Connections,
        Limit::Descriptors,
        Limit::Head,
        Limit::HeadTime,
        Limit::Body,
        Limit::BodyTime,
        Limit::Bodies,
        Limit::Answers,
        Limit::WriteTime,
    ];

    /// Its name, as metrics and the manual have it.
    pub fn name(self) -> &'static str {
        match self {
            Limit::ConnectionsOfClient => "connections_of_client",
            Limit::Connections => "connections",
            Limit::Descriptors => "descriptors",
            Limit::Head => "head",
            Limit::HeadTime => "head_time",
            Limit::Body => "body",
            Limit::BodyTime => "body_time",
            Limit::Bodies => "bodies",
            Limit::Answers => "answers",
            Limit::WriteTime => "write_time",
        }
    }
}

impl Traffic {
    /// Connections that are open.
    pub fn open(&self) -> u64 {
        self.0.open.load(Ordering::Relaxed)
    }

    /// Connections served since the start.
    pub fn accepted(&self) -> u64 {
        self.0.accepted.load(Ordering::Relaxed)
    }

    /// What was refused or broken off at a limit since the start.
    pub fn refused(&self, limit: Limit) -> u64 {
        self.0.refused[limit as usize].load(Ordering::Relaxed)
    }

    pub(super) fn refuse(&self, limit: Limit) {
        self.0.refused[limit as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Engines that were started on connections.
    #[cfg(test)]
    pub(super) fn engines(&self) -> u64 {
        self.0.engines.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn start_engine(&self) {
        self.0.engines.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn begin(&self) -> Begun {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        self.0.accepted.fetch_add(1, Ordering::Relaxed);
        Begun(Arc::clone(&self.0))
    }
}

/// A connection that is counted as open.
pub(super) struct Begun(Arc<Counts>);

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_a_counter_of_its_own() {
        let traffic = Traffic::default();
        for (n, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, n, "{}", limit.name());
            traffic.refuse(limit);
            assert_eq!(
                Limit::ALL.iter().map(|limit| traffic.refused(*limit)).sum::<u64>(),
                1 + n as u64
            );
        }
    }
}
