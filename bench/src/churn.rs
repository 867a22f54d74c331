//! Changes at a steady pace beside a load: registrations, each removed again a while later.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::http::Connection;

/// What changes, and how often.
pub struct Churn<R, D> {
    /// Where the server takes HTTP.
    pub http_port: u16,
    /// Registrations a second, and as many removals.
    pub each: u32,
    /// The body of registration number n.
    pub register: R,
    /// The body of its removal.
    pub deregister: D,
}

/// So many registrations of a connection stand at a time; then the oldest goes as the newest comes.
const STANDING: u64 = 2;

/// Connections that share the changes: under load one answer may take longer than the next change may
/// wait.
const CONNECTIONS: u32 = 10;

/// So late may the last change be.
const LATE: Duration = Duration::from_millis(500);

impl<R, D> Churn<R, D>
where
    R: Fn(u64) -> String + Sync,
    D: Fn(u64) -> String + Sync,
{
    /// Changes things while `load` runs; gives what that gave and how many changes there were.
    ///
    /// What was registered is removed in the end.
    pub fn during<T>(&self, load: impl FnOnce() -> Result<T>) -> Result<(T, u64)> {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let over = &over;
            let changing: Vec<_> = (0..CONNECTIONS)
                .map(|nth| scope.spawn(move || self.run(u64::from(nth), over)))
                .collect();
            let given = load();
            over.store(true, Ordering::Relaxed);
            let mut changes = 0;
            for thread in changing {
                changes += thread.join().expect("a changing thread panicked")?;
            }
            Ok((given?, changes))
        })
    }

    /// One connection's share, every so many numbers from `nth` on.
    fn run(&self, nth: u64, over: &AtomicBool) -> Result<u64> {
        let mut connection = Connection::open(self.http_port)?;
        let (began, step) = (Instant::now(), Duration::from_secs(1) / self.each);
        let due = |number: u64| -> Result<Duration> {
            Ok(step * u32::try_from(number).context("a short run")?)
        };
        let mut standing = VecDeque::new();
        let (mut number, mut changes, mut late) = (nth, 0, Duration::ZERO);
        loop {
            if let Some(early) = due(number)?.checked_sub(began.elapsed()) {
                std::thread::sleep(early);
            }
            if over.load(Ordering::Relaxed) {
                break;
            }
            late = began.elapsed() - due(number)?;
            connection.put("/v1/catalog/register", (self.register)(number).as_bytes())?;
            standing.push_back(number);
            changes += 1;
            if standing.len() as u64 > STANDING {
                changes += self.remove_oldest(&mut connection, &mut standing)?;
            }
            number += u64::from(CONNECTIONS);
        }
        ensure!(late < LATE, "the changes fell {late:?} behind");
        while !standing.is_empty() {
            changes += self.remove_oldest(&mut connection, &mut standing)?;
        }
        Ok(changes)
    }

    fn remove_oldest(
        &self,
        connection: &mut Connection,
        standing: &mut VecDeque<u64>,
    ) -> Result<u64> {
        let Some(oldest) = standing.pop_front() else { return Ok(0) };
        connection.put("/v1/catalog/deregister", (self.deregister)(oldest).as_bytes())?;
        Ok(1)
    }
}
