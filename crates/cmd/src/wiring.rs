//! Who is started with whom, and ended in which order.
//!
//! TCP ports are taken first, so that a second process on the same ports is refused before it touches
//! anything. Then log and catalog, the agent, and the faces last: who is answered at all is answered
//! from a catalog that is there. The end goes the other way.

use crate::banner::{self, Bound};
use crate::cli::CONSUL_VERSION;
use crate::config::{Config, Loaded, Sources};
use crate::metrics::Numbers;
use crate::process::{Parts, Process};
use crate::{identity, logs, nofile, pages, pid, sample, signals};
use anyhow::{Context, anyhow};
use catalog::Acl;
use cluster::{Cluster, ServerRow};
use httpapi::{Identity, Settings};
use seams::{Datacenters, Doors, Lifecycle, Projection};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};

/// What to run.
pub struct Plan {
    /// The configuration.
    pub loaded: Loaded,
    /// Where it came from, to read it again.
    pub sources: Sources,
    /// Whether to run the sample service and print lines to paste.
    pub sample: bool,
    /// The name the program was called by.
    pub invoked_as: String,
}

/// What an entry of the log has besides a value: key, author, request; far below this.
const ENTRY_OVERHEAD: usize = 64 << 10;

/// Clients parse a date here; the build tells none of its own, so that it can be reproduced.
const BUILD_DATE: &str = "1970-01-01T00:00:00Z";

/// How long to wait for the server's own rows before answering clients anyway.
const READY_LIMIT: Duration = Duration::from_secs(5);

/// How long an orderly end may take before the process ends anyway.
const END_LIMIT: Duration = Duration::from_secs(5);

/// How long a thread stays that served others while one was busy with a large answer. Its memory goes with it, so
/// after a storm of lists this is how long the storm is remembered.
const THREAD_KEEP_ALIVE: Duration = Duration::from_secs(1);

/// Runs an agent until a signal or a fatal error ends it.
pub fn run(plan: Plan) -> anyhow::Result<()> {
    let Plan { loaded, sources, sample, invoked_as } = plan;
    pages::keep_small();
    let level = logs::start(&loaded.config, &invoked_as)?;
    for warning in &loaded.warnings {
        warn!(warning, "configuration");
    }
    let process = Arc::new(Process::new(sources, loaded.typed.clone(), level));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads())
        .thread_keep_alive(THREAD_KEEP_ALIVE)
        .enable_all()
        .build()?;
    let done = runtime.block_on(run_until_stopped(loaded, process, sample, invoked_as));
    runtime.shutdown_background();
    done
}

/// As many as there are processors, and two at least: one may be busy with a large answer.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).max(2)
}

/// The limits that need file descriptors, as far as the system gives them.
fn shares() -> nofile::Shares {
    let http = net::http::Limits::default();
    nofile::divide_all(nofile::Shares {
        http: http.connections,
        refusing: http.refusing,
        dns_tcp: dns::Limits::default().tcp_connections,
        probes: agent::MAX_PROBES,
    })
}

async fn run_until_stopped(
    loaded: Loaded,
    process: Arc<Process>,
    sample: bool,
    invoked_as: String,
) -> anyhow::Result<()> {
    let mut signals = signals::Stop::listen()?;
    let mut hangups = signals::Reload::listen()?;
    let mut config = loaded.config.clone();
    let ports = Ports::take(&config)?;
    config.node_id = identity::node_id(&config)?;
    config.node.id = Some(config.node_id);
    let running = tokio::select! {
        running = start(&config, &loaded, ports, &process) => running?,
        signal = signals.next() => {
            info!(signal, "stopped before it was ready");
            return Ok(());
        }
    };
    let _pid = pid::File::write(config.pid_file.as_deref())?;
    if config.auto_reload {
        let process = Arc::clone(&process);
        tokio::spawn(async move { process.follow_files().await });
    }
    banner::print(&config, &running.bound, &invoked_as);
    info!(http = ?running.bound.http, dns = ?running.bound.dns, "agent running");
    if sample {
        show_sample(&config, &running).await?;
    }
    let ended = loop {
        tokio::select! {
            signal = signals.next() => {
                info!(signal, "stopping");
                break Ok(());
            }
            () = process.leaving() => {
                info!("leaving");
                break Ok(());
            }
            // What came of it stands in the log.
            () = hangups.next() => drop(process.reload().await),
            message = running.cluster.fatal() => break Err(anyhow!("{message}")),
            message = running.agent.fatal() => break Err(anyhow!("{message}")),
        }
    };
    tokio::select! {
        () = running.stop() => {}
        () = tokio::time::sleep(END_LIMIT) => warn!("the end took too long and was cut short"),
        signal = signals.next() => warn!(signal, "the end was cut short"),
    }
    ended
}

/// The TCP ports, bound without SO_REUSEPORT.
struct Ports {
    http: Vec<TcpListener>,
    dns: dns::Sockets,
    server: TcpListener,
}

impl Ports {
    fn take(config: &Config) -> anyhow::Result<Ports> {
        let http: Result<Vec<_>, _> =
            addresses(&config.http, config.ports.http).into_iter().map(net::listen).collect();
        let http = http.context("HTTP (-http-port, -client)")?;
        let dns = dns::bind(&addresses(&config.dns_addresses, config.ports.dns), &config.dns)
            .context("DNS (-dns-port, -client)")?;
        let server = net::listen(SocketAddr::new(config.bind, config.ports.server))
            .context("servers (-server-port)")?;
        Ok(Ports { http, dns, server })
    }
}

/// The addresses at a port; none where the port is off.
fn addresses(ips: &[IpAddr], port: Option<u16>) -> Vec<SocketAddr> {
    ips.iter().filter_map(|ip| Some(SocketAddr::new(*ip, port?))).collect()
}

/// All that runs.
struct Running {
    cluster: Cluster,
    agent: agent::Agent,
    dns: dns::Server,
    http: httpapi::Server,
    bound: Bound,
}

async fn start(
    config: &Config,
    loaded: &Loaded,
    ports: Ports,
    process: &Arc<Process>,
) -> anyhow::Result<Running> {
    let server = ports.server.local_addr()?;
    let shares = shares();
    let table = dns::table(&config.dns);
    let projection = Arc::clone(&table) as Arc<dyn Projection>;
    let cluster = start_cluster(config, server.port(), projection).await?;
    let doors = cluster.doors().clone();
    let agent = start_agent(config, shares.probes, doors.clone()).await?;
    wait_until_ready(&cluster).await?;
    let registered = agent.registrar().instances();
    let definitions = loaded.definitions(registered.clone())?;
    let followed = agent.files().follow(definitions).await;
    followed.map_err(|error| loaded.refused(error, &registered))?;
    let readers = dns::Readers { own: Arc::clone(&doors.reader), others: BTreeMap::new() };
    let mut numbers = Numbers::default();
    cluster.register(&mut numbers.registry);
    agent.register(&mut numbers.registry);
    numbers.dns.register(&mut numbers.registry);
    numbers.http.register(&mut numbers.registry);
    let mut settings = config.dns.clone();
    settings.limits.tcp_connections = shares.dns_tcp;
    let dns = dns::start(ports.dns, &settings, &table, readers, &numbers.dns)?;
    process.runs(Parts {
        files: agent.files(),
        registrar: agent.registrar(),
        dns: dns.live(),
        dns_started_with: config.dns.clone(),
    });
    let mut http = Vec::new();
    for listener in &ports.http {
        http.push(listener.local_addr()?);
    }
    let bound = Bound { http, dns: dns.addresses().to_vec(), server };
    let lifecycle = Arc::<Process>::clone(process);
    let names = Arc::new(dns.live());
    let mut context = context(config, &bound, &agent, doors, names, numbers, lifecycle);
    context.limits.connections = shares.http;
    context.limits.refusing = shares.refusing;
    let http = httpapi::start(ports.http, context).context("cannot serve HTTP")?;
    tokio::spawn(turn_away(ports.server));
    Ok(Running { cluster, agent, dns, http, bound })
}

impl Running {
    async fn stop(self) {
        self.http.shutdown().await;
        self.dns.shutdown();
        self.agent.shutdown().await;
        self.cluster.shutdown().await;
    }
}

/// The largest entry of the log: a value and a transaction of the largest size must fit.
fn largest_entry(config: &Config) -> usize {
    let usual = consensus::Limits::default().max_entry_bytes;
    usual.max(config.kv_max_value_size.max(config.txn_max_req_len) + ENTRY_OVERHEAD)
}

async fn start_cluster(
    config: &Config,
    port: u16,
    projection: Arc<dyn Projection>,
) -> anyhow::Result<Cluster> {
    let server = ServerRow { node: config.node.clone(), port, version: CONSUL_VERSION.into() };
    let limits = consensus::Limits {
        disk_reserve_bytes: config.disk_reserve_bytes,
        max_entry_bytes: largest_entry(config),
        ..consensus::Limits::default()
    };
    let options = cluster::Options {
        data: config.data.clone(),
        server,
        acl: Acl::Off,
        limits,
        projections: vec![projection],
    };
    Ok(cluster::start(options).await?)
}

async fn start_agent(
    config: &Config,
    most_probes: usize,
    doors: Doors,
) -> anyhow::Result<agent::Agent> {
    let checks = config.checks;
    let settings = agent::Config {
        data: config.data.clone(),
        check_update_interval: checks.update_interval,
        output_max_size: checks.output_max_size,
        scripts: checks.scripts,
        discard_output: checks.discard_output,
        most_probes,
        ..agent::Config::new(config.node.name.clone())
    };
    agent::start(settings, doors).await.context("the agent's own registrations")
}

/// Waits until the server stands in its own catalog; where that cannot be written, as on a full disk,
/// it serves what it has.
async fn wait_until_ready(cluster: &Cluster) -> anyhow::Result<()> {
    tokio::select! {
        () = cluster.ready() => Ok(()),
        message = cluster.fatal() => Err(anyhow!("{message}")),
        () = tokio::time::sleep(READY_LIMIT) => {
            warn!("this server's own rows could not be written yet; serving what is there");
            Ok(())
        }
    }
}

fn context(
    config: &Config,
    bound: &Bound,
    agent: &agent::Agent,
    doors: Doors,
    names: Arc<dns::Live>,
    numbers: Numbers,
    lifecycle: Arc<dyn Lifecycle>,
) -> httpapi::Context {
    let port = |addresses: &[SocketAddr]| addresses.first().map_or(0, SocketAddr::port);
    let identity = Identity {
        node_name: config.node.name.clone(),
        node_id: config.node_id,
        node_meta: config.node.meta.clone().unwrap_or_default(),
        datacenter: config.datacenter.clone(),
        primary_datacenter: config.primary_datacenter.clone(),
        version: CONSUL_VERSION.to_owned(),
        revision: String::new(),
        build_date: BUILD_DATE.to_owned(),
        address: config.advertise,
        server_address: SocketAddr::new(config.advertise, bound.server.port()),
        serf_lan_port: config.ports.serf_lan,
        serf_wan_port: config.ports.serf_wan,
        http_port: port(&bound.http),
        dns_port: port(&bound.dns),
        server: true,
        bootstrap: true,
        dev_mode: config.dev,
        data_dir: config.data.as_ref().map_or(String::new(), |dir| dir.display().to_string()),
    };
    let settings = Settings {
        session_ttl_min: config.session_ttl_min,
        default_query_time: config.queries.default_time,
        max_query_time: config.queries.max_time,
        discovery_max_stale: config.queries.discovery_max_stale,
        kv_max_value_size: config.kv_max_value_size,
        txn_max_req_len: config.txn_max_req_len,
        coordinates: config.coordinates,
        xds: config.ports.xds,
        printable_paths: config.http_face.printable_paths,
        use_cache: config.http_face.use_cache,
        response_headers: config.http_face.response_headers.clone(),
        block_endpoints: config.http_face.block_endpoints.clone(),
        allow_write_from: config.http_face.allow_write_from.clone(),
        ..Settings::default()
    };
    let usual = net::http::Limits::default();
    let entry = largest_entry(config);
    let limits = net::http::Limits {
        connections_per_client: config.http_max_conns_per_client,
        head: config.http_face.max_header_bytes.unwrap_or(usual.head),
        // JSON says what an entry holds with some more signs.
        body: entry + entry / 4,
        ..usual
    };
    httpapi::Context {
        identity,
        settings,
        limits,
        datacenters: Datacenters::only(&config.datacenter, doors),
        names: Some(names),
        registrar: agent.registrar(),
        lifecycle,
        meters: numbers.http,
        metrics: httpapi::Metrics::new(numbers.registry),
    }
}

async fn show_sample(config: &Config, running: &Running) -> anyhow::Result<()> {
    sample::start(&*running.agent.registrar(), &config.node.name).await?;
    let (http, dns) = (running.bound.http.first().copied(), running.bound.dns.first().copied());
    tokio::spawn(sample::show(http, dns));
    Ok(())
}

/// The port for other servers is taken and announced, and there are none to talk to yet: whoever
/// connects is told so by a closed connection rather than left waiting.
async fn turn_away(listener: TcpListener) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return warn!(%error, "server port"),
    };
    loop {
        if listener.accept().await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
