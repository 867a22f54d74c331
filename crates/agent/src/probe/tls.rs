//! TLS for probes: what a check asks for in place of the name and the trust of its target.
//!
//! Certificates are verified against the system's authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR`
//! say others), read once. The agent presents none of its own.

use super::dial;
use model::CheckDefinition;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use std::io;
use std::sync::{Arc, OnceLock};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
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
    let server = ServerName::try_from(name.to_owned())
        .map_err(|_| format!("tls: {} is no name of a server", lang::quote(name)))?;
    let config = config(!definition.tls_skip_verify, inside);
    handshake(config, stream, server).await.map_err(|error| explain(&error, name))
}

async fn handshake(
    config: Arc<ClientConfig>,
    stream: TcpStream,
    server: ServerName<'static>,
) -> io::Result<TlsStream<TcpStream>> {
    TlsConnector::from(config).connect(server, stream).await
}

/// What Go says of a handshake that failed.
fn explain(error: &io::Error, name: &str) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let Some(inner) = inner else { return dial::call_text("read", error) };
    match inner {
        Error::InvalidCertificate(why) => {
            format!("tls: failed to verify certificate: {}", certificate(why, name))
        }
        Error::InvalidMessage(_) => "tls: first record does not look like a TLS handshake".into(),
        other => format!("tls: {other}"),
    }
}

fn certificate(why: &CertificateError, name: &str) -> String {
    use CertificateError as Why;
    match why {
        Why::UnknownIssuer => "x509: certificate signed by unknown authority".to_owned(),
        Why::Expired
        | Why::ExpiredContext { .. }
        | Why::NotValidYet
        | Why::NotValidYetContext { .. } => {
            "x509: certificate has expired or is not yet valid".to_owned()
        }
        Why::NotValidForName | Why::NotValidForNameContext { .. } => {
            let names = match why {
                Why::NotValidForNameContext { presented, .. } => presented.join(", "),
                _ => String::new(),
            };
            format!("x509: certificate is valid for {names}, not {name}")
        }
        other => format!("x509: {other}"),
    }
}

fn config(verify: bool, inside: Inside) -> Arc<ClientConfig> {
    static CONFIGS: [OnceLock<Arc<ClientConfig>>; 6] = [const { OnceLock::new() }; 6];
    let slot = usize::from(verify) * 3 + inside as usize;
    let make = || make(verify.then(authorities), inside);
    Arc::clone(CONFIGS[slot].get_or_init(|| Arc::new(make())))
}

/// Without authorities any certificate will do.
fn make(authorities: Option<RootCertStore>, inside: Inside) -> ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the provider speaks TLS 1.2 and 1.3");
    let builder = match authorities {
        Some(authorities) => builder.with_root_certificates(authorities),
        None => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate { provider })),
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = match inside {
        Inside::Anything => Vec::new(),
        Inside::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Inside::Http2 => vec![b"h2".to_vec()],
    };
    config
}

fn authorities() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(found.certs);
    if added == 0 {
        warn!(errors = ?found.errors, "no certificate authorities found, checks over TLS will fail");
    }
    store
}

/// `TLSSkipVerify`: whoever holds the key of the certificate shown is believed.
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
pub mod tests;
