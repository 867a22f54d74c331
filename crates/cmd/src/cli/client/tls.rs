//! TLS to an agent: whom to believe, what to show.

use net::tls::{HandshakeError, Trust};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// What is said of TLS.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Authorities, in one file.
    pub ca_file: Option<PathBuf>,
    /// Authorities, in the files of a directory.
    pub ca_path: Option<PathBuf>,
    /// The certificate to show.
    pub client_cert: Option<PathBuf>,
    /// Its key.
    pub client_key: Option<PathBuf>,
    /// The name to expect instead of the host's.
    pub server_name: Option<String>,
    /// Whether the agent's certificate is verified.
    pub verify: bool,
}

/// TLS with its files read.
pub struct Config {
    config: Arc<ClientConfig>,
    server_name: Option<String>,
}

impl Config {
    /// Reads the files, or says which one cannot be used.
    pub fn read(tls: &Tls) -> Result<Config, String> {
        let builder = net::tls::client(match tls.verify {
            true => Trust::Authorities(authorities(tls)?),
            false => Trust::Anybody,
        });
        let config = match (&tls.client_cert, &tls.client_key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => {
                let shown = key.display();
                let chain = certificates(cert)?;
                let key = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| format!("{shown} holds no private key: {error}"))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| error.to_string())?
            }
            _ => return Err("-client-cert and -client-key must be given together".to_owned()),
        };
        Ok(Config { config: Arc::new(config), server_name: tls.server_name.clone() })
    }

    /// Speaks TLS with `host`, or says why not.
    pub async fn open(
        &self,
        stream: TcpStream,
        host: &str,
    ) -> Result<TlsStream<TcpStream>, String> {
        let name = self.server_name.as_deref().unwrap_or(host);
        let opened = net::tls::open(Arc::clone(&self.config), stream, name).await;
        opened.map_err(|error| match error {
            HandshakeError::NotTls => "http: server gave HTTP response to HTTPS client".to_owned(),
            HandshakeError::Refused(why) => why,
        })
    }
}

fn authorities(tls: &Tls) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    let mut add = |file: &Path| -> Result<(), String> {
        store.add_parsable_certificates(certificates(file)?);
        Ok(())
    };
    match (&tls.ca_file, &tls.ca_path) {
        (Some(file), _) => add(file)?,
        (None, Some(directory)) => {
            let failed = |error: io::Error| {
                format!("Error loading CA files from {}: {error}", directory.display())
            };
            for entry in std::fs::read_dir(directory).map_err(failed)? {
                let file = entry.map_err(failed)?.path();
                if file.is_file() {
                    add(&file)?;
                }
            }
        }
        (None, None) => return Ok(net::tls::system_authorities()),
    }
    Ok(store)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = file.display();
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let read: Vec<_> = read.map_err(|error| format!("Error loading {shown}: {error}"))?;
    if read.is_empty() {
        return Err(format!("Error loading {shown}: it holds no certificate"));
    }
    Ok(read)
}

#[cfg(test)]
mod tests;
