//! Configuration resolved: no options, nothing left as text, cross-checks done. Pure but for the
//! names and addresses of this host, which are asked for where none was given.

use super::addresses::{Addresses, addresses, client_addresses};
use super::log::{LogTo, log_to};
use super::ports::{Ports, check_ports, ports};
use super::raw::{Raw, RawDns};
use anyhow::{Context, bail, ensure};
use http::header::{HeaderName, HeaderValue};
use model::{Nanos, Node, NodeName, Text, TextMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use uuid::Uuid;

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// What its operator should know before it starts.
    pub warnings: Vec<String>,
    /// Where to write the number of this process.
    pub pid_file: Option<PathBuf>,
    /// Whether files that are written anew are read again.
    pub auto_reload: bool,
    /// This node's row: name, address, tagged addresses, meta.
    pub node: Node,
    /// This node's id; random in memory, else kept in the data directory unless configured.
    pub node_id: Uuid,
    /// Whether the id was configured, so that what the data directory says does not count.
    pub node_id_given: bool,
    /// The datacenter, lower-cased.
    pub datacenter: String,
    /// The primary datacenter, echoed.
    pub primary_datacenter: String,
    /// Where to bind what other servers reach.
    pub bind: IpAddr,
    /// The address given to others.
    pub advertise: IpAddr,
    /// Where to answer HTTP.
    pub http: Vec<IpAddr>,
    /// Where to answer DNS.
    pub dns_addresses: Vec<IpAddr>,
    /// Where everything is kept; `None` in memory.
    pub data: Option<PathBuf>,
    /// Whether this is `-dev`: answers over HTTP are indented.
    pub dev: bool,
    /// What to log.
    pub log_level: tracing::Level,
    /// Where lines go.
    pub log: LogTo,
    /// Whether it was told to be the only server by `bootstrap`, which Consul warns of.
    pub bootstrap: bool,
    /// The shortest TTL of a session.
    pub session_ttl_min: Nanos,
    /// How long reads wait and how far behind they may be.
    pub queries: Queries,
    /// The largest value of a key, in bytes.
    pub kv_max_value_size: usize,
    /// The largest transaction, in bytes; the largest value where that is more.
    pub txn_max_req_len: usize,
    /// The most HTTP connections of one client address.
    pub http_max_conns_per_client: usize,
    /// What the HTTP face does to every request and answer.
    pub http_face: HttpFace,
    /// Whether distances between nodes are spoken of.
    pub coordinates: bool,
    /// Free disk below which writes are refused, in bytes.
    pub disk_reserve_bytes: u64,
    /// How checks are run.
    pub checks: Checks,
    /// Ports.
    pub ports: Ports,
    /// The DNS face.
    pub dns: dns::Config,
}

/// How checks are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checks {
    /// The most bytes kept of what one says.
    pub output_max_size: usize,
    /// After how long the catalog hears that only the output changed.
    pub update_interval: Duration,
    /// Whether output is thrown away.
    pub discard_output: bool,
    /// Which scripts are run.
    pub scripts: agent::Scripts,
}

/// How long reads wait, and how far behind they may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queries {
    /// How long a blocking query waits that does not say.
    pub default_time: Duration,
    /// How long a blocking query waits at most.
    pub max_time: Duration,
    /// How far behind the leader discovery may be; zero asks the leader.
    pub discovery_max_stale: Duration,
}

/// The block `http_config`, and what else is about every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpFace {
    /// Who may use methods that can write; everybody where there are none.
    pub allow_write_from: Vec<net::Network>,
    /// Paths that begin like one of these are refused.
    pub block_endpoints: Vec<String>,
    /// The most bytes of a request's head; `None` for the usual.
    pub max_header_bytes: Option<usize>,
    /// Headers of every answer.
    pub response_headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether `?cached` is listened to.
    pub use_cache: bool,
    /// Whether paths that cannot be printed are refused.
    pub printable_paths: bool,
}

/// Consul's smallest session TTL.
const SESSION_TTL_MIN: Nanos = Nanos::seconds(10);
/// Consul's largest value, and its largest transaction.
const KV_MAX_VALUE_SIZE: i64 = 512 * 1024;
const TXN_MAX_REQ_LEN: i64 = KV_MAX_VALUE_SIZE;
/// The largest of both: what fits into one entry of the log.
const LARGEST_KV_VALUE: usize = 15 << 20;
/// Consul's limit of connections.
const HTTP_MAX_CONNS_PER_CLIENT: i64 = 200;
/// What stays free on the disk of the data directory.
const DISK_RESERVE_BYTES: u64 = 64 << 20;

/// How long Consul's blocking queries wait, and how long at most.
const DEFAULT_QUERY_TIME: Duration = Duration::from_secs(300);
const MAX_QUERY_TIME: Duration = Duration::from_secs(600);

/// Consul's limit on what a check says, and after how long it tells the catalog of new output.
const CHECK_OUTPUT_MAX_SIZE: i64 = 4096;
const CHECK_UPDATE_INTERVAL: Nanos = Nanos::seconds(300);

/// Everything that is wrong with a configuration, a line each; most begin with their key.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Faults(pub Vec<String>);

/// What a configuration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// A server in memory.
    Dev,
    /// A server.
    Serve,
    /// Nothing is started: what other versions could run is well.
    Check,
}

/// Checks what was typed and fills in what was not.
pub fn resolve(raw: Raw, wanted: Use) -> Result<Config, Faults> {
    let dev = wanted == Use::Dev;
    let told = |error: anyhow::Error| format!("{error:#}");
    let faults = faults(&raw, wanted).into_iter().filter_map(Result::err);
    let faults: Vec<String> = faults.map(told).collect();
    if !faults.is_empty() {
        return Err(Faults(faults));
    }
    fill_in(raw, dev).map_err(|error| Faults(vec![told(error)]))
}

/// What each part of the configuration says to being looked at by itself.
fn faults(raw: &Raw, wanted: Use) -> Vec<anyhow::Result<()>> {
    let datacenter = raw.datacenter.as_deref().unwrap_or("dc1").to_ascii_lowercase();
    vec![
        check_role(raw, wanted),
        check_datacenter(&datacenter),
        addresses(raw).map(drop),
        client_addresses(raw).map(drop),
        ports(raw).map(drop),
        check_ports(raw),
        node_id(raw).map(drop),
        node_name(raw).map(drop),
        check_node_meta(raw),
        log_level(raw.log_level.as_deref().unwrap_or("info")).map(drop),
        dns_config(raw, &datacenter).map(drop),
        checks(raw).map(drop),
        queries(raw).map(drop),
        http_face(raw).map(drop),
        limits(raw).map(drop),
        session_ttl_min(raw).map(drop),
        log_to(raw).map(drop),
    ]
}

fn fill_in(raw: Raw, dev: bool) -> anyhow::Result<Config> {
    let addresses = addresses(&raw)?;
    let (http, dns_addresses) = client_addresses(&raw)?;
    let datacenter = raw.datacenter.as_deref().unwrap_or("dc1").to_ascii_lowercase();
    let node_id = node_id(&raw)?;
    let name = node_name(&raw)?;
    let limits = limits(&raw)?;
    Ok(Config {
        warnings: warnings(&raw, &name, dev),
        node: node_row(&name, &addresses, &raw),
        node_id: node_id.unwrap_or_else(Uuid::new_v4),
        node_id_given: node_id.is_some(),
        bind: addresses.bind,
        advertise: addresses.advertise,
        http,
        dns_addresses,
        dev,
        log_level: log_level(raw.log_level.as_deref().unwrap_or("info"))?,
        log: log_to(&raw)?,
        bootstrap: raw.bootstrap == Some(true) && !dev,
        auto_reload: raw.auto_reload_config.unwrap_or(false),
        queries: queries(&raw)?,
        session_ttl_min: session_ttl_min(&raw)?,
        kv_max_value_size: limits.kv_max_value_size,
        txn_max_req_len: limits.txn_max_req_len,
        http_max_conns_per_client: limits.http_max_conns_per_client,
        http_face: http_face(&raw)?,
        coordinates: !raw.disable_coordinates.unwrap_or(false),
        disk_reserve_bytes: raw.disk_reserve_bytes.unwrap_or(DISK_RESERVE_BYTES),
        checks: checks(&raw)?,
        ports: ports(&raw)?,
        dns: dns_config(&raw, &datacenter)?,
        data: raw.data_dir.filter(|_| !dev),
        pid_file: raw.pid_file.filter(|file| !file.as_os_str().is_empty()),
        primary_datacenter: raw.primary_datacenter.unwrap_or_else(|| datacenter.clone()),
        datacenter,
    })
}

fn node_id(raw: &Raw) -> anyhow::Result<Option<Uuid>> {
    let given = raw.node_id.as_deref().filter(|id| !id.is_empty());
    given.map(Uuid::parse_str).transpose().context("node_id must be a UUID")
}

fn node_name(raw: &Raw) -> anyhow::Result<String> {
    let name = raw.node_name.clone().map_or_else(net::host::name, Ok)?;
    ensure!(!name.is_empty(), "node_name cannot be empty");
    Ok(name)
}

fn session_ttl_min(raw: &Raw) -> anyhow::Result<Nanos> {
    let given = raw.session_ttl_min.as_deref().map(duration).transpose();
    Ok(given.context("session_ttl_min")?.unwrap_or(SESSION_TTL_MIN))
}

/// The block `limits`.
struct Limits {
    kv_max_value_size: usize,
    txn_max_req_len: usize,
    http_max_conns_per_client: usize,
}

fn limits(raw: &Raw) -> anyhow::Result<Limits> {
    let bytes = |key: &str, given: Option<i64>, usual| {
        let bytes = positive(key, given.unwrap_or(usual))?;
        ensure!(
            bytes <= LARGEST_KV_VALUE,
            "{key}={bytes} is more than the {LARGEST_KV_VALUE} bytes that the log takes"
        );
        Ok(bytes)
    };
    let typed = &raw.limits;
    let connections = typed.http_max_conns_per_client.unwrap_or(HTTP_MAX_CONNS_PER_CLIENT);
    Ok(Limits {
        kv_max_value_size: bytes(
            "limits.kv_max_value_size",
            typed.kv_max_value_size,
            KV_MAX_VALUE_SIZE,
        )?,
        txn_max_req_len: bytes("limits.txn_max_req_len", typed.txn_max_req_len, TXN_MAX_REQ_LEN)?,
        http_max_conns_per_client: positive("limits.http_max_conns_per_client", connections)?,
    })
}

/// What Consul warns of when it starts.
fn warnings(raw: &Raw, node_name: &str, dev: bool) -> Vec<String> {
    let mut warnings: Vec<String> =
        agent::undiscoverable("Node name", node_name).into_iter().collect();
    if !dev && raw.bootstrap == Some(true) {
        warnings.push("bootstrap = true: do not enable unless necessary".to_owned());
    }
    if raw.bootstrap_expect == Some(1) {
        let same = "BootstrapExpect is set to 1; this is the same as Bootstrap mode.";
        warnings.push(same.to_owned());
    }
    if raw.bootstrap_expect == Some(2) {
        let two =
            "bootstrap_expect = 2: A cluster with 2 servers will provide no failure tolerance.";
        warnings.push(two.to_owned());
    } else if raw.bootstrap_expect.is_some_and(|expected| expected > 2 && expected % 2 == 0) {
        let even = "bootstrap_expect is even number: A cluster with an even number of servers does \
                    not achieve optimum fault tolerance.";
        warnings.push(even.to_owned());
    }
    warnings
}

/// Source: Consul, "check_output_max_size" and the keys beside it.
fn checks(raw: &Raw) -> anyhow::Result<Checks> {
    let output = raw.check_output_max_size.unwrap_or(CHECK_OUTPUT_MAX_SIZE);
    let output = usize::try_from(output).ok().filter(|output| *output > 0);
    let output = output.context(
        "check_output_max_size must be positive, to discard check output use the \
         discard_check_output flag",
    )?;
    let interval = raw.check_update_interval.as_deref().map(duration).transpose();
    let interval = interval.context("check_update_interval")?.unwrap_or(CHECK_UPDATE_INTERVAL);
    Ok(Checks {
        output_max_size: output,
        update_interval: interval.positive().unwrap_or_default(),
        discard_output: raw.discard_check_output == Some(true),
        scripts: scripts(raw),
    })
}

/// Which scripts are run.
pub(super) fn scripts(raw: &Raw) -> agent::Scripts {
    if raw.enable_script_checks == Some(true) {
        agent::Scripts::On
    } else if raw.enable_local_script_checks == Some(true) {
        agent::Scripts::Local
    } else {
        agent::Scripts::Off
    }
}

/// Consul's rules, in its words; then one server in memory or on disk is all there is here, and
/// everything else is refused by name.
fn check_role(raw: &Raw, wanted: Use) -> anyhow::Result<()> {
    let dev = wanted == Use::Dev;
    let server = raw.server.unwrap_or(false) || dev;
    let expected = raw.bootstrap_expect.unwrap_or(0);
    let bootstrap = raw.bootstrap == Some(true);
    let data = raw.data_dir.as_ref().filter(|dir| !dir.as_os_str().is_empty());
    ensure!(server || !bootstrap, "'bootstrap = true' requires 'server = true'");
    ensure!(
        expected >= 0,
        "bootstrap_expect cannot be {expected}. Must be greater than or equal to zero"
    );
    ensure!(server || expected == 0, "'bootstrap_expect > 0' requires 'server = true'");
    ensure!(
        dev || !bootstrap || expected == 0,
        "'bootstrap_expect > 0' and 'bootstrap = true' are mutually exclusive"
    );
    if wanted == Use::Check {
        ensure!(data.is_some(), "data_dir cannot be empty");
        return Ok(());
    }
    ensure!(
        server,
        "without -server or -dev this would be a client agent, which this version does not have; \
         add -server -bootstrap-expect=1, or -dev"
    );
    ensure!(
        expected <= 1,
        "bootstrap_expect={expected}: this version runs one server only; use -bootstrap-expect=1"
    );
    ensure!(
        dev || expected == 1 || bootstrap,
        "a server must know that it is the only one: add -bootstrap-expect=1"
    );
    ensure!(dev || data.is_some(), "data_dir cannot be empty");
    Ok(())
}

/// Source: Consul, "-datacenter": letters, digits, hyphens and underscores.
fn check_datacenter(name: &str) -> anyhow::Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    ensure!(
        !name.is_empty() && name.chars().all(fits),
        "datacenter can only contain lowercase alphanumeric, - or _ characters."
    );
    Ok(())
}

fn log_level(text: &str) -> anyhow::Result<tracing::Level> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "trace" => tracing::Level::TRACE,
        "debug" => tracing::Level::DEBUG,
        "info" => tracing::Level::INFO,
        "warn" | "warning" => tracing::Level::WARN,
        "err" | "error" => tracing::Level::ERROR,
        _ => bail!("log_level {text:?} is none of trace, debug, info, warn, err"),
    })
}

fn positive(name: &str, value: i64) -> anyhow::Result<usize> {
    match usize::try_from(value) {
        Ok(value) if value > 0 => Ok(value),
        _ => bail!("{name}={value} must be more than 0"),
    }
}

fn http_face(raw: &Raw) -> anyhow::Result<HttpFace> {
    let typed = &raw.http_config;
    let networks = typed.allow_write_http_from.iter().flatten();
    let allow_write_from: Result<_, _> = networks.map(|text| text.parse()).collect();
    let mut response_headers = Vec::new();
    for (name, value) in typed.response_headers.iter().flatten() {
        let header = HeaderName::try_from(name.as_str());
        let header = header.with_context(|| format!("http_config.response_headers.{name}"))?;
        let value = HeaderValue::try_from(value.as_str());
        let value = value.with_context(|| format!("http_config.response_headers.{name}"))?;
        response_headers.push((header, value));
    }
    // Consul reads 0 and less as its usual limit.
    let given = typed.max_header_bytes.and_then(|bytes| usize::try_from(bytes).ok());
    Ok(HttpFace {
        allow_write_from: allow_write_from.context("http_config.allow_write_http_from")?,
        block_endpoints: typed.block_endpoints.clone().unwrap_or_default(),
        max_header_bytes: given.filter(|bytes| *bytes > 0),
        response_headers,
        use_cache: typed.use_cache.unwrap_or(true),
        printable_paths: !raw.disable_http_unprintable_char_filter.unwrap_or(false),
    })
}

/// Reads one of Go's durations.
pub(super) fn duration(text: &str) -> anyhow::Result<Nanos> {
    Ok(Nanos(lang::duration::parse(text)?))
}

/// What is not positive is the usual.
fn queries(raw: &Raw) -> anyhow::Result<Queries> {
    let read = |name: &'static str, text: &Option<String>, usual: Duration| {
        let given = text.as_deref().map(duration).transpose().context(name)?;
        anyhow::Ok(given.and_then(Nanos::positive).unwrap_or(usual))
    };
    Ok(Queries {
        default_time: read("default_query_time", &raw.default_query_time, DEFAULT_QUERY_TIME)?,
        max_time: read("max_query_time", &raw.max_query_time, MAX_QUERY_TIME)?,
        discovery_max_stale: read("discovery_max_stale", &raw.discovery_max_stale, Duration::ZERO)?,
    })
}

fn dns_config(raw: &Raw, datacenter: &str) -> anyhow::Result<dns::Config> {
    let typed: &RawDns = &raw.dns_config;
    let usual = dns::Config::default();
    let ttl = |text: &String| -> anyhow::Result<Duration> {
        Ok(duration(text)?.positive().unwrap_or_default())
    };
    let mut service_ttl = usual.service_ttl;
    for (service, text) in typed.service_ttl.iter().flatten() {
        let value = ttl(text).with_context(|| format!("dns_config.service_ttl.{service}"))?;
        service_ttl.insert(service.clone(), value);
    }
    let soa = typed.soa.as_ref().map_or(usual.soa, |soa| dns::Soa {
        refresh: soa.refresh.unwrap_or(usual.soa.refresh),
        retry: soa.retry.unwrap_or(usual.soa.retry),
        expire: soa.expire.unwrap_or(usual.soa.expire),
        min_ttl: soa.min_ttl.unwrap_or(usual.soa.min_ttl),
    });
    for (key, given) in [("max_stale", &typed.max_stale), ("cache_max_age", &typed.cache_max_age)] {
        let read = given.as_deref().map(duration).transpose();
        read.with_context(|| format!("dns_config.{key}"))?;
    }
    let alt_domain = raw.alt_domain.clone().filter(|domain| !domain.is_empty());
    check_alt_domain(alt_domain.as_deref().unwrap_or_default(), datacenter)?;
    Ok(dns::Config {
        domain: raw.domain.clone().filter(|domain| !domain.is_empty()).unwrap_or(usual.domain),
        alt_domain,
        datacenter: datacenter.to_owned(),
        node_ttl: typed
            .node_ttl
            .as_ref()
            .map(ttl)
            .transpose()
            .context("dns_config.node_ttl")?
            .unwrap_or(usual.node_ttl),
        service_ttl,
        only_passing: typed.only_passing.unwrap_or(usual.only_passing),
        a_record_limit: dns_limit("a_record_limit", typed.a_record_limit, usual.a_record_limit)?,
        udp_answer_limit: dns_limit(
            "udp_answer_limit",
            typed.udp_answer_limit,
            usual.udp_answer_limit,
        )?,
        disable_compression: typed.disable_compression.unwrap_or(usual.disable_compression),
        enable_truncate: typed.enable_truncate.unwrap_or(usual.enable_truncate),
        enable_additional_node_meta_txt: typed
            .enable_additional_node_meta_txt
            .unwrap_or(usual.enable_additional_node_meta_txt),
        soa,
        ..usual
    })
}

fn dns_limit(key: &str, given: Option<i64>, usual: usize) -> anyhow::Result<usize> {
    let Some(given) = given else { return Ok(usual) };
    usize::try_from(given).ok().with_context(|| {
        format!("dns_config.{key} cannot be {given}. Must be greater than or equal to zero")
    })
}

/// The zone's second name may not begin with a word that has a meaning inside the zone.
fn check_alt_domain(domain: &str, datacenter: &str) -> anyhow::Result<()> {
    let first = domain.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let reserved = ["service", "connect", "node", "query", "addr", datacenter];
    ensure!(
        !reserved.contains(&&*first),
        "alt_domain cannot start with {{service,connect,node,query,addr,{datacenter}}}"
    );
    Ok(())
}

/// Source: Consul, "-node-meta".
fn check_node_meta(raw: &Raw) -> anyhow::Result<()> {
    let meta = raw.node_meta.iter().flatten();
    ensure!(
        meta.clone().count() <= 64,
        "node_meta: Node metadata cannot contain more than 64 key/value pairs"
    );
    for (key, value) in meta {
        let known = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let complaint = if key.is_empty() {
            "Key cannot be blank"
        } else if !key.chars().all(known) {
            "Key contains invalid characters"
        } else if key.len() > 128 {
            "Key is too long (limit: 128 characters)"
        } else if key.starts_with("consul-") {
            "Key prefix 'consul-' is reserved for internal use"
        } else if value.len() > 512 {
            "Value is too long (limit: 512 characters)"
        } else {
            continue;
        };
        bail!("node_meta: Couldn't load metadata pair ('{key}', '{value}'): {complaint}");
    }
    Ok(())
}

/// The row a server has of itself.
///
/// Source: observed on Consul 1.21: every server's node carries these addresses and this meta.
fn node_row(name: &str, addresses: &Addresses, raw: &Raw) -> Node {
    let mut meta = TextMap::from([
        ("consul-network-segment".into(), Text::default()),
        ("consul-version".into(), crate::cli::CONSUL_VERSION.into()),
    ]);
    for (key, value) in raw.node_meta.iter().flatten() {
        meta.insert(Text::from(key.as_str()), Text::from(value.as_str()));
    }
    Node {
        name: NodeName::new(name),
        id: None,
        address: Text::from(addresses.advertise.to_string()),
        tagged_addresses: Some(addresses.tagged.clone()),
        meta: Some(meta),
        locality: None,
    }
}
