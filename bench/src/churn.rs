//! Changes at a steady pace beside a load: registrations, each removed again a while later.

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

/// So many registrations stand at a time; then the oldest goes as the newest comes.
const STANDING: u64 = 10;

impl<R, D> Churn<R, D>
where
    R: Fn(u64) -> String + Sync,
    D: Fn(u64) -> String + Sync,
{
    /// Changes things while `load` runs; gives what that gave and how many changes there were.
    ///
    /// What was registered is removed in the end.
    pub fn during<T: Send>(&self, load: impl FnOnce() -> Result<T>) -> Result<(T, u64)> {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let changing = scope.spawn(|| self.run(&over));
            let given = load();
            over.store(true, Ordering::Relaxed);
            let changes = changing.join().expect("the changing thread panicked")?;
            Ok((given?, changes))
        })
    }

    fn run(&self, over: &AtomicBool) -> Result<u64> {
        let mut connection = Connection::open(self.http_port)?;
        let (began, step) = (Instant::now(), Duration::from_secs(1) / self.each);
        let (mut number, mut changes) = (0, 0);
        while !over.load(Ordering::Relaxed) {
            let due = step * u32::try_from(number).context("a short run")?;
            if let Some(early) = due.checked_sub(began.elapsed()) {
                std::thread::sleep(early);
            }
            connection.put("/v1/catalog/register", (self.register)(number).as_bytes())?;
            changes += 1;
            if let Some(oldest) = number.checked_sub(STANDING) {
                self.remove(&mut connection, oldest)?;
                changes += 1;
            }
            number += 1;
        }
        let late = began.elapsed().saturating_sub(step * u32::try_from(number)?);
        ensure!(late < Duration::from_millis(500), "the changes fell {late:?} behind");
        for oldest in number.saturating_sub(STANDING)..number {
            self.remove(&mut connection, oldest)?;
        }
        Ok(changes)
    }

    fn remove(&self, connection: &mut Connection, number: u64) -> Result<()> {
        connection.put("/v1/catalog/deregister", (self.deregister)(number).as_bytes())
    }
}
