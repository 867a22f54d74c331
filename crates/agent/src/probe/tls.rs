//! TLS for probes: what a check asks for in place of the name and the trust of its target.
//!
//! Certificates are verified against the system's authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR`
//! say others), read once. The agent presents none of its own.

use model::CheckDefinition;
use net::tls::Trust;
use rustls::{ClientConfig, RootCertStore};
use std::sync::{Arc, OnceLock};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tracing::warn;

/// What is spoken inside; offered to the other side in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inside {
    /// Nothing is said of it.
    Anything,
    /// HTTP/2 or HTTP/1.1.
    Http,
    /// HTTP/2 alone.
    Http2,
}

/// Opens TLS on a connection to `host`, or says why not.
pub async fn open(
    definition: &CheckDefinition,
    stream: TcpStream,
    host: &str,
    inside: Inside,
) -> Result<TlsStream<TcpStream>, String> {
    let given = definition.tls_server_name.as_str();
    let name = if given.is_empty() { host } else { given };
    let config = config(!definition.tls_skip_verify, inside);
    net::tls::open(config, stream, name).await.map_err(|error| error.to_string())
}

fn config(verify: bool, inside: Inside) -> Arc<ClientConfig> {
    static CONFIGS: [OnceLock<Arc<ClientConfig>>; 6] = [const { OnceLock::new() }; 6];
    let slot = usize::from(verify) * 3 + inside as usize;
    let trust = || if verify { Trust::Authorities(authorities()) } else { Trust::Anybody };
    Arc::clone(CONFIGS[slot].get_or_init(|| Arc::new(make(trust(), inside))))
}

fn make(trust: Trust, inside: Inside) -> ClientConfig {
    let mut config = net::tls::client(trust).with_no_client_auth();
    config.alpn_protocols = match inside {
        Inside::Anything => Vec::new(),
        Inside::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Inside::Http2 => vec![b"h2".to_vec()],
    };
    config
}

fn authorities() -> RootCertStore {
    let store = net::tls::system_authorities();
    if store.is_empty() {
        warn!("no certificate authorities found, checks over TLS will fail");
    }
    store
}

#[cfg(test)]
pub mod tests;
