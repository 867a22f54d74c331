//! Putting a server together and taking it down.

use crate::clock::Clock;
use crate::duties::Duties;
use crate::duties::members::ServerRow;
use crate::duties::sessions::SessionTimers;
use crate::log::Log;
use crate::machine::{Machine, Published};
use crate::meters::{Meters, Sizes};
use crate::reader::{Reader, Turns};
use crate::under_way::UnderWay;
use crate::writer::Writer;
use catalog::{Acl, format};
use consensus::{Consensus, Limits};
use prometheus_client::registry::Registry;
use seams::{BoxFuture, Doors, Projection, Sessions, Waiters};
use std::path::PathBuf;
use std::sync::Arc;

/// What a server of the catalog is started with.
pub struct Options {
    /// The data directory; `None` keeps everything in memory.
    pub data: Option<PathBuf>,
    /// This server's own rows, kept up by the leader.
    pub server: ServerRow,
    /// The rules of access.
    pub acl: Acl,
    /// The log's limits.
    pub limits: Limits,
    /// What follows each view before anybody is told of it.
    pub projections: Vec<Arc<dyn Projection>>,
}

/// Why a server did not start; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log refused; the message says what to do.
    #[error(transparent)]
    Log(#[from] consensus::StartError),
}

/// A running server of the catalog. Cloning shares it.
#[derive(Clone)]
pub struct Cluster {
    consensus: Consensus,
    doors: Doors,
    duties: Arc<Duties>,
    waiters: Waiters,
    published: Arc<Published>,
    meters: Meters,
}

/// Starts a server: loads the snapshot, replays the log, takes up the leader's duties.
pub fn start(options: Options) -> BoxFuture<'static, Result<Cluster, StartError>> {
    Box::pin(assemble(options))
}

async fn assemble(options: Options) -> Result<Cluster, StartError> {
    let waiters = Waiters::default();
    let published = Arc::new(Published::new(options.acl, options.projections, waiters.clone()));
    let settings = consensus::Options {
        data: options.data,
        format: format::FORMAT,
        address: options.server.address(),
        limits: below_dedup(options.limits),
    };
    let meters = Meters::default();
    let under_way = Arc::<UnderWay>::default();
    let machine = Machine {
        published: Arc::clone(&published),
        under_way: Arc::clone(&under_way),
        meters: meters.clone(),
    };
    let consensus = consensus::start(settings, Box::new(machine)).await?;
    published.end_replay();
    let clock = Arc::new(Clock::new(published.view.load().time()));
    let log: Arc<dyn Log> = Arc::new(consensus.clone());
    let reader = Reader {
        published: Arc::clone(&published),
        log: Arc::clone(&log),
        consensus: consensus.clone(),
        leadership: consensus.leadership(),
        turns: Turns::default(),
    };
    let reader: Arc<dyn seams::Reader> = Arc::new(reader);
    let sessions = Arc::new(SessionTimers::new(Arc::clone(&reader)));
    let writer = Arc::new(Writer::new(log, Arc::clone(&clock), under_way, meters.clone()));
    let doors = Doors { reader, writer, sessions: Arc::clone(&sessions) as Arc<dyn Sessions> };
    let leadership = consensus.leadership();
    let duties = Duties::start(doors.clone(), leadership, sessions, options.server, clock);
    Ok(Cluster { consensus, doors, duties: Arc::new(duties), waiters, published, meters })
}

/// The limits, with fewer proposals under way than outcomes are remembered (law 6).
///
/// So no outcome is forgotten by count while its entry, or one stamped before it, is under way.
fn below_dedup(limits: Limits) -> Limits {
    let most = catalog::REQUESTS_KEPT / 2;
    Limits { queue_entries: limits.queue_entries.min(most), ..limits }
}

impl Cluster {
    /// The ways into this server's catalog.
    pub fn doors(&self) -> &Doors {
        &self.doors
    }

    /// Where the log stands.
    pub fn status(&self) -> consensus::Status {
        self.consensus.status()
    }

    /// Who waits for what.
    pub fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    /// Adds what it counts to a registry; `docs/manual/metrics.md` lists it.
    pub fn register(&self, registry: &mut Registry) {
        let published = Arc::clone(&self.published);
        let sizes = Sizes { published, consensus: self.consensus.clone() };
        self.meters.register(registry, sizes);
    }

    /// Waits until this server's own rows are in the catalog: it is then ready to be asked.
    pub fn ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.duties.ready())
    }

    /// Waits until the server cannot go on; the process must then end with this message.
    pub fn fatal(&self) -> BoxFuture<'static, String> {
        let (engine, duties) = (self.consensus.fatal(), self.duties.death());
        Box::pin(async move {
            tokio::select! {
                message = engine => message,
                message = duties => message,
            }
        })
    }

    /// Ends the duties, then the log.
    pub fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.duties.stop().await;
            self.consensus.shutdown().await;
        })
    }
}
