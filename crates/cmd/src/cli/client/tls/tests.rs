//! TLS against a real server, with the certificates that the agent's probes are tested with.

use super::*;
use crate::cli::client::{Client, Query, Settings, Transport};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent/src/probe/tls").join(name)
}

/// Answers one request after another with `true`; asks for a certificate if told so.
async fn server(asks: bool) -> u16 {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = if asks {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates(&file("authority.pem")).unwrap());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::from_pem_file(file("server_key.pem")).unwrap();
    let config = builder.with_single_cert(certificates(&file("server.pem")).unwrap(), key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await;
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue";
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
        }
    });
    port
}

async fn ask(address: &str, tls: Tls) -> Result<bool, String> {
    let transport = Transport::parse(address, true)?;
    let client = Client::new(Settings {
        transport,
        token: None,
        auth: None,
        namespace: None,
        partition: None,
        tls,
    })?;
    let answer = client.get("/x", &Query::new()).await.map_err(|why| why.to_string())?;
    Ok(answer.is_true())
}

fn believing() -> Tls {
    Tls { ca_file: Some(file("authority.pem")), verify: true, ..Tls::default() }
}

#[tokio::test]
async fn an_agent_over_tls_is_asked_and_believed_only_with_its_authority() {
    let at = format!("127.0.0.1:{}", server(false).await);
    assert_eq!(ask(&at, believing()).await, Ok(true));
    let named = Tls { server_name: Some("inner.example".to_owned()), ..believing() };
    assert_eq!(ask(&at, named).await, Ok(true));
    let misnamed = Tls { server_name: Some("other.example".to_owned()), ..believing() };
    let why = ask(&at, misnamed).await.unwrap_err();
    assert!(
        why.contains("x509: certificate is valid for ") && why.ends_with(", not other.example"),
        "{why}"
    );
    let unknown = Tls { ca_file: None, ..believing() };
    let expected = format!(
        "Get \"https://{at}/x\": tls: failed to verify certificate: x509: certificate signed by \
         unknown authority"
    );
    assert_eq!(ask(&at, unknown).await, Err(expected));
    let trusting = Tls { ca_file: None, verify: false, ..believing() };
    assert_eq!(ask(&at, trusting).await, Ok(true));
}

#[tokio::test]
async fn authorities_are_read_from_the_files_of_a_directory() {
    let at = format!("127.0.0.1:{}", server(false).await);
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(file("authority.pem"), dir.path().join("one.pem")).unwrap();
    let ca_path = Some(dir.path().to_owned());
    let tls = Tls { ca_file: None, ca_path, ..believing() };
    assert_eq!(ask(&at, tls).await, Ok(true));
}

#[tokio::test]
async fn a_certificate_is_shown_to_an_agent_that_asks() {
    let at = format!("127.0.0.1:{}", server(true).await);
    let showing = Tls {
        client_cert: Some(file("server.pem")),
        client_key: Some(file("server_key.pem")),
        ..believing()
    };
    assert_eq!(ask(&at, showing).await, Ok(true));
    assert!(ask(&at, believing()).await.is_err());
}
