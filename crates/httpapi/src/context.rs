//! What the face needs to know of the process it runs in.

use crate::consul::metrics::Metrics;
use crate::meters::Meters;
use http::header::{HeaderName, HeaderValue};
use model::{Nanos, NodeName, TextMap};
use seams::{Datacenters, Lifecycle, Names, Registrar};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Everything behind the face.
#[derive(Clone)]
pub struct Context {
    /// Who this process is.
    pub identity: Identity,
    /// What is allowed.
    pub settings: Settings,
    /// What a client may hold on to.
    pub limits: net::http::Limits,
    /// The catalogs that can be reached.
    pub datacenters: Datacenters,
    /// What explains DNS; `None` where there is no DNS.
    pub names: Option<Arc<dyn Names>>,
    /// This node's own registrations.
    pub registrar: Arc<dyn Registrar>,
    /// What this face counts.
    pub meters: Meters,
    /// What all parts of this process count.
    pub metrics: Metrics,
    /// The process itself, to end it or to let it read its configuration again.
    pub lifecycle: Arc<dyn Lifecycle>,
}

/// Who this process is, as `agent/self` and `agent/members` tell.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The node's name.
    pub node_name: NodeName,
    /// The node's id.
    pub node_id: Uuid,
    /// Key and value pairs of the node.
    pub node_meta: TextMap,
    /// The datacenter it stands in.
    pub datacenter: String,
    /// The datacenter that leads in what is common to all.
    pub primary_datacenter: String,
    /// The version of Consul that clients may take it for, such as `1.22.0`.
    pub version: String,
    /// The revision of the source; empty where not known.
    pub revision: String,
    /// When it was built, RFC 3339.
    pub build_date: String,
    /// The address it gives to others.
    pub address: IpAddr,
    /// Where servers reach each other.
    pub server_address: SocketAddr,
    /// The port for gossip within the datacenter.
    pub serf_lan_port: u16,
    /// The port for gossip between datacenters.
    pub serf_wan_port: u16,
    /// The ports of the faces, for information.
    pub http_port: u16,
    /// The port of DNS, for information.
    pub dns_port: u16,
    /// Whether it is a server.
    pub server: bool,
    /// Whether it began a cluster by itself.
    pub bootstrap: bool,
    /// Whether it keeps everything in memory; all answers are then indented.
    pub dev_mode: bool,
    /// Where it keeps its data; empty in memory.
    pub data_dir: String,
}

/// What clients may ask for.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The shortest time to live of a session, 10 s in Consul.
    pub session_ttl_min: Nanos,
    /// The most bytes of a value.
    pub kv_max_value_size: usize,
    /// The most bytes of a transaction; [`Settings::kv_max_value_size`] where that is more.
    pub txn_max_req_len: usize,
    /// How long a blocking query waits that does not say.
    pub default_query_time: Duration,
    /// How long a blocking query waits at most; a sixteenth more comes on top.
    pub max_query_time: Duration,
    /// How long to wait for what is not held here.
    pub hold_limit: Duration,
    /// The most bytes of rendered answers and rows that are kept to be sent again.
    pub kept_bytes: usize,
    /// Whether distances between nodes are spoken of.
    pub coordinates: bool,
    /// Whether `agent/self` has `xDS`, as where Consul's proxies may come; none are supported.
    pub xds: bool,
    /// Whether a path with characters that cannot be printed is refused.
    pub printable_paths: bool,
    /// Whether `?cached` is listened to.
    pub use_cache: bool,
    /// Headers of every answer, unless it has them itself.
    pub response_headers: Vec<(HeaderName, HeaderValue)>,
    /// Paths that begin like one of these are refused.
    pub block_endpoints: Vec<String>,
    /// Who may use methods that can write; everybody where there are none.
    pub allow_write_from: Vec<net::Network>,
    /// How far behind the leader a read of the catalog or of health may be that does not say; zero asks
    /// the leader.
    pub discovery_max_stale: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            session_ttl_min: Nanos::seconds(10),
            kv_max_value_size: 512 << 10,
            txn_max_req_len: 512 << 10,
            default_query_time: Duration::from_secs(300),
            max_query_time: Duration::from_secs(600),
            hold_limit: Duration::from_secs(5),
            kept_bytes: 16 << 20,
            coordinates: true,
            xds: true,
            printable_paths: true,
            use_cache: true,
            response_headers: Vec::new(),
            block_endpoints: Vec::new(),
            allow_write_from: Vec::new(),
            discovery_max_stale: Duration::ZERO,
        }
    }
}
