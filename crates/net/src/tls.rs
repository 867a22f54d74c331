//! TLS as a client speaks it: whom it believes, and Go's words where a handshake fails.

use crate::dial::call_text;
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
};
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Whom a client believes.
pub enum Trust {
    /// Who shows a certificate of one of these authorities, for the name asked for.
    Authorities(RootCertStore),
    /// Whoever holds the key of the certificate shown (`TLSSkipVerify`, `CONSUL_HTTP_SSL_VERIFY=false`).
    Anybody,
}

/// Why no TLS is spoken; what was sent before is lost with the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The other side speaks something else.
    #[error("tls: first record does not look like a TLS handshake")]
    NotTls,
    /// What Go says of it.
    #[error("{0}")]
    Refused(String),
}

/// The authorities that this machine believes (`SSL_CERT_FILE` and `SSL_CERT_DIR` say others); what could not be
/// read is left out.
pub fn system_authorities() -> RootCertStore {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    store
}

/// The beginning of a client's configuration.
pub fn client(trust: Trust) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the provider speaks TLS 1.2 and 1.3");
    match trust {
        Trust::Authorities(authorities) => builder.with_root_certificates(authorities),
        Trust::Anybody => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate { provider })),
    }
}

/// Speaks TLS on a connection with a server of this name.
pub async fn open(
    config: Arc<ClientConfig>,
    stream: TcpStream,
    name: &str,
) -> Result<TlsStream<TcpStream>, HandshakeError> {
    let server = ServerName::try_from(name.to_owned())
        .map_err(|_| HandshakeError::Refused(format!("tls: {name:?} is no name of a server")))?;
    let spoken = TlsConnector::from(config).connect(server, stream).await;
    spoken.map_err(|error| explain(&error, name))
}

/// What Go says of a handshake that failed.
fn explain(error: &io::Error, name: &str) -> HandshakeError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    HandshakeError::Refused(match inner {
        None => call_text("read", error),
        Some(Error::InvalidMessage(_)) => return HandshakeError::NotTls,
        Some(Error::InvalidCertificate(why)) => {
            format!("tls: failed to verify certificate: {}", certificate(why, name))
        }
        Some(other) => format!("tls: {other}"),
    })
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
        Why::NotValidForNameContext { presented, .. } => {
            format!("x509: certificate is valid for {}, not {name}", presented.join(", "))
        }
        Why::NotValidForName => format!("x509: certificate is not valid for {name}"),
        other => format!("x509: {other}"),
    }
}

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
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_certificate_is_said_in_gos_words() {
        let unknown = certificate(&CertificateError::UnknownIssuer, "x");
        assert_eq!(unknown, "x509: certificate signed by unknown authority");
        let expired = certificate(&CertificateError::Expired, "x");
        assert_eq!(expired, "x509: certificate has expired or is not yet valid");
    }
}
