//! Starting and stopping: addresses, threads, tasks.

use crate::config::Config;
use crate::encoded::Encoder;
use crate::live::{Live, Settings};
use crate::meters::{Meters, Path, Snapshot, Transport};
use crate::responder::Responder;
use crate::serve::Worker;
use crate::slow::{Desks, Job, Slow};
use crate::table::Table;
use crate::tcp::Acceptor;
use crate::zone::{BadDomain, Zone};
use net::connections::Connections;
use net::udp::{BindError, Bound, Socket};
use seams::Reader;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

/// Why DNS does not run. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The domain or its other name is none.
    #[error("cannot serve DNS")]
    Domain(#[from] BadDomain),
    /// An address cannot be taken.
    #[error("cannot serve DNS")]
    Bind(#[from] BindError),
    /// The system gives no thread, or tokio no listener.
    #[error("cannot start DNS")]
    System(#[from] io::Error),
}

/// Who is asked for what the table does not hold.
#[derive(Clone)]
pub struct Readers {
    /// This datacenter's.
    pub own: Arc<dyn Reader>,
    /// Other datacenters', by name. Of one that is not here, every name is NXDOMAIN.
    pub others: BTreeMap<String, Arc<dyn Reader>>,
}

/// A running DNS face. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    sockets: Vec<Arc<Socket>>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    stop_tasks: watch::Sender<bool>,
    meters: Meters,
    live: Live,
}

/// Threads when the settings leave it open: more would take CPUs from everything else.
const MOST_THREADS: usize = 4;

/// Addresses that are taken and not served yet.
#[derive(Debug)]
pub struct Sockets(Vec<Bound>);

/// Takes these addresses, UDP and TCP; port 0 is any free one, the same for both.
///
/// Apart from [`start`], so that a process can find a port in use before it touches anything else.
pub fn bind(listen: &[SocketAddr], config: &Config) -> Result<Sockets, StartError> {
    let threads = threads(config);
    let bound: Result<Vec<Bound>, BindError> =
        listen.iter().map(|address| net::udp::bind(*address, threads)).collect();
    Ok(Sockets(bound?))
}

fn threads(config: &Config) -> usize {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    if config.threads == 0 { cpus.min(MOST_THREADS) } else { config.threads }
}

/// Serves DNS on the addresses taken.
///
/// Must be called within a tokio runtime, which carries TCP and the slow path.
///
/// # Panics
/// Outside a tokio runtime.
pub fn start(
    sockets: Sockets,
    config: &Config,
    table: &Arc<Table>,
    readers: Readers,
    meters: &Meters,
) -> Result<Server, StartError> {
    let zone = Zone::new(config, readers.others.keys().map(String::as_str))?;
    let live = Live {
        settings: Arc::new(Settings::new(zone)),
        table: Arc::clone(table),
        others: readers.others.keys().cloned().collect(),
    };
    let Sockets(bound) = sockets;
    let (stop_tasks, stopped) = watch::channel(false);
    let mut server = Server {
        addresses: bound.iter().map(|bound| bound.address).collect(),
        sockets: Vec::new(),
        threads: Vec::new(),
        stop: Arc::new(AtomicBool::new(false)),
        stop_tasks,
        meters: meters.clone(),
        live: live.clone(),
    };
    let slow = Arc::new(slow(config, &live, readers));
    let limits = config.limits;
    let (jobs, taken) = mpsc::channel(limits.slow_questions);
    let tally = meters.tally(Transport::Udp, Path::Slow);
    let run = Arc::clone(&slow).run(taken, limits.slow_questions, tally);
    spawn_until(stopped.clone(), run);
    let acceptor = Arc::new(Acceptor {
        slow,
        connections: Connections::new(limits.tcp_connections_per_client, limits.tcp_connections),
        idle: limits.tcp_idle,
        tally: meters.tally(Transport::Tcp, Path::Hot),
        slow_tally: meters.tally(Transport::Tcp, Path::Slow),
        stop: stopped,
    });
    for Bound { address, tcp, udp } in bound {
        let listener = TcpListener::from_std(tcp)?;
        Handle::current().spawn(Arc::clone(&acceptor).run(listener));
        let threads = udp.len();
        for (nth, socket) in udp.into_iter().enumerate() {
            let responder = Responder::with(Arc::clone(&live.settings), Arc::clone(table));
            server.spawn(nth, socket, responder, &jobs)?;
        }
        tracing::info!(%address, threads, "dns listens");
    }
    Ok(server)
}

fn slow(config: &Config, live: &Live, readers: Readers) -> Slow {
    let others = readers.others.into_iter();
    Slow {
        settings: Arc::clone(&live.settings),
        table: Arc::clone(&live.table),
        own: readers.own,
        others: others.map(|(name, reader)| (Encoder::new(config, &name), reader)).collect(),
        hold: config.limits.hold,
        desks: Desks::default(),
    }
}

fn spawn_until(mut stop: watch::Receiver<bool>, work: impl Future<Output = ()> + Send + 'static) {
    Handle::current().spawn(async move {
        tokio::select! {
            () = work => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    });
}

impl Server {
    fn spawn(
        &mut self,
        nth: usize,
        socket: Socket,
        responder: Responder,
        slow: &mpsc::Sender<Job>,
    ) -> Result<(), StartError> {
        let socket = Arc::new(socket);
        let worker = Worker {
            responder,
            socket: Arc::clone(&socket),
            nth,
            slow: slow.clone(),
            tally: self.meters.tally(Transport::Udp, Path::Hot),
            stop: Arc::clone(&self.stop),
        };
        let name = format!("dns-{nth}");
        self.threads.push(std::thread::Builder::new().name(name).spawn(|| worker.run())?);
        self.sockets.push(socket);
        Ok(())
    }

    /// The addresses, with their ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The way to change its settings.
    pub fn live(&self) -> Live {
        self.live.clone()
    }

    /// What was counted so far.
    pub fn counters(&self) -> Snapshot {
        self.meters.snapshot()
    }

    /// Stops: threads are gone when this returns, connections at their tasks' next turn.
    pub fn shutdown(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Whoever listens has ended by themselves when nobody hears this.
        let _ = self.stop_tasks.send(true);
        for socket in self.sockets.drain(..) {
            socket.stop();
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a dns thread panicked");
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}
