//! TLS against a real server with a certificate of our own: who is believed, and under which name.
//!
//! The certificates beside this file were made with `openssl` for a hundred years; the key protects
//! nothing. The server's is for `localhost`, `inner.example` and `127.0.0.1`.

use super::*;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

const AUTHORITY: &[u8] = include_bytes!("authority.pem");
const SERVER: &[u8] = include_bytes!("server.pem");
const SERVER_KEY: &[u8] = include_bytes!("server_key.pem");

/// Takes TLS with our certificate, and these protocols inside.
fn acceptor(inside: &[&str]) -> TlsAcceptor {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(SERVER).unwrap()],
            PrivateKeyDer::from_pem_slice(SERVER_KEY).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = inside.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

/// Takes every connection, reads once and answers with these bytes; tells the name asked for.
pub async fn server(answer: &'static str) -> (u16, mpsc::UnboundedReceiver<Option<String>>) {
    let acceptor = acceptor(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, names) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = tell.send(stream.get_ref().1.server_name().map(str::to_owned));
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (port, names)
}

/// Speaks HTTP/2 over TLS and answers with what it was asked.
pub async fn http2_server() -> u16 {
    let acceptor = acceptor(&["h2"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let agent = request.headers()["user-agent"].to_str().unwrap();
                let said = format!("{} {} {agent}", request.method(), request.uri());
                let mut body = respond.send_response(http::Response::new(()), false).unwrap();
                body.send_data(said.into(), true).unwrap();
            }
        }
    });
    port
}

/// A handshake by a client that believes our authority alone.
async fn shake(name: &str) -> Result<(), String> {
    let (port, _names) = server("").await;
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut store = RootCertStore::empty();
    store.add(CertificateDer::from_pem_slice(AUTHORITY).unwrap()).unwrap();
    let config = Arc::new(make(Trust::Authorities(store), Inside::Anything));
    net::tls::open(config, stream, name).await.map(drop).map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_certificate_of_a_known_authority_is_believed_for_its_names_only() {
    for name in ["localhost", "inner.example", "127.0.0.1"] {
        assert_eq!(shake(name).await, Ok(()), "{name}");
    }
    let why = shake("other.example").await.unwrap_err();
    assert!(why.starts_with("tls: failed to verify certificate: x509: certificate is valid for "));
    assert!(why.contains("inner.example") && why.ends_with(", not other.example"), "{why}");
}

#[tokio::test]
async fn a_server_without_tls_is_told_from_one_with_a_bad_certificate() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let stream = TcpStream::connect(address).await.unwrap();
    let opened = open(&CheckDefinition::default(), stream, "localhost", Inside::Anything).await;
    let why = "tls: first record does not look like a TLS handshake";
    assert_eq!(opened.map(drop), Err(why.to_owned()));
}
