//! A thread's part of the hot path: what it has for itself, and two pointers a round.

use crate::answer::{self, Channel, Context, Fate};
use crate::config::Config;
use crate::encoded::Picture;
use crate::live::Settings;
use crate::pick::Scratch;
use crate::table::Table;
use crate::zone::{BadDomain, Zone};
use arc_swap::Guard;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Answers packets, one thread's.
///
/// After a service has been asked for once, answering allocates nothing.
#[derive(Debug)]
pub struct Responder {
    settings: Arc<Settings>,
    table: Arc<Table>,
    scratch: Scratch,
}

/// The packets of one batch: all are answered from one picture.
#[derive(Debug)]
pub struct Round<'r> {
    zone: Guard<Arc<Zone>>,
    picture: Guard<Arc<Picture>>,
    scratch: &'r mut Scratch,
    now: u32,
}

impl Responder {
    /// A responder for this node's own datacenter alone.
    pub fn new(config: &Config, table: &Arc<Table>) -> Result<Responder, BadDomain> {
        let zone = Zone::new(config, std::iter::empty())?;
        Ok(Responder::with(Arc::new(Settings::new(zone)), Arc::clone(table)))
    }

    pub(crate) fn with(settings: Arc<Settings>, table: Arc<Table>) -> Responder {
        Responder { settings, table, scratch: Scratch::new() }
    }

    /// Forgets what an answer may have left half done.
    pub(crate) fn start_over(&mut self) {
        self.scratch = Scratch::new();
    }

    /// Begins a round on the newest picture.
    pub fn round(&mut self) -> Round<'_> {
        let picture = self.table.load();
        Round { zone: self.settings.load(), picture, scratch: &mut self.scratch, now: now() }
    }
}

impl Round<'_> {
    /// Answers `packet` into `out`, which has room for [`dnswire::MAX_PLAIN_QUESTION`] at least.
    pub fn answer(&mut self, channel: Channel, packet: &[u8], out: &mut [u8]) -> Fate {
        let context = Context { zone: &self.zone, picture: &self.picture, channel, now: self.now };
        answer::packet(context, packet, out, self.scratch)
    }
}

/// Seconds since 1970, as far as a serial goes.
pub(crate) fn now() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as u32)
}
