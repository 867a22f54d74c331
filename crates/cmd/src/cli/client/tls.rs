//! TLS to an agent: whom to believe, what to show.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
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
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match tls.verify {
            true => builder.with_root_certificates(authorities(tls)?),
            false => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate { provider })),
        };
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
        let server = ServerName::try_from(name.to_owned())
            .map_err(|_| format!("tls: {} is no name of a server", lang::quote(name)))?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        connector.connect(server, stream).await.map_err(|error| explain(&error, name))
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
        (None, None) => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
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

/// What Go says of a handshake that failed.
fn explain(error: &io::Error, name: &str) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        None => super::connect::call_text("read", error),
        Some(Error::InvalidMessage(_)) => {
            "http: server gave HTTP response to HTTPS client".to_owned()
        }
        Some(Error::InvalidCertificate(why)) => {
            format!("tls: failed to verify certificate: {}", certificate(why, name))
        }
        Some(other) => format!("tls: {other}"),
    }
}

fn certificate(why: &CertificateError, name: &str) -> String {
    use CertificateError as Why;
    match why {
        Why::UnknownIssuer => "x509: certificate signed by unknown authority".to_owned(),
        Why::Expired | Why::ExpiredContext { .. } => {
            "x509: certificate has expired or is not yet valid".to_owned()
        }
        Why::NotValidForNameContext { presented, .. } => {
            format!("x509: certificate is valid for {}, not {name}", presented.join(", "))
        }
        Why::NotValidForName => format!("x509: certificate is not valid for {name}"),
        other => format!("x509: {other}"),
    }
}

/// `CONSUL_HTTP_SSL_VERIFY=false`: whoever holds the key of the certificate shown is believed.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
