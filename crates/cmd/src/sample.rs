//! The sample service of `rutter dev`: a real HTTP server with a real check.

use crate::banner;
use anyhow::Context;
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use model::{
    Author, Check, CheckDefinition, CheckDetails, CheckId, Instance, InstanceId, Nanos,
    Registration, ServiceName,
};
use seams::{ExistingChecks, Registrar};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::{sleep, timeout};

/// The name of the sample.
pub const NAME: &str = "hello";

/// How long one try of a line may take, and how long to wait between two.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(500);
const PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// Starts the sample and registers it on this node.
pub async fn start(registrar: &dyn Registrar, node: &model::NodeName) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("sample service")?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(listener));
    let registration = registration(node, address);
    registrar.register(registration, ExistingChecks::Replace, Author::default()).await?;
    Ok(())
}

async fn serve(listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let answer = service_fn(|_| async {
            Ok::<_, Infallible>(hyper::Response::new(Full::new(Bytes::from("Hello from rutter\n"))))
        });
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new();
            // A client that goes away is no business of the sample's.
            let _ = connection.serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

fn registration(node: &model::NodeName, address: SocketAddr) -> Registration {
    let definition = CheckDefinition {
        http: format!("http://{address}/").into(),
        interval: Nanos::seconds(1),
        timeout: Nanos::seconds(1),
        ..CheckDefinition::default()
    };
    let check = Check {
        node: node.clone(),
        id: CheckId::new(format!("service:{NAME}")),
        name: format!("Service '{NAME}' check").into(),
        instance: InstanceId::from(NAME),
        definition: Some(Box::new(definition)),
        details: CheckDetails {
            kind: "http".into(),
            interval: "1s".into(),
            timeout: "1s".into(),
            ..CheckDetails::default()
        }
        .into(),
        ..Check::default()
    };
    let instance = Instance {
        node: node.clone(),
        id: InstanceId::from(NAME),
        service: ServiceName::from(NAME),
        tags: std::sync::Arc::from(["sample".into()]),
        address: address.ip().to_string().into(),
        port: i64::from(address.port()),
        ..Instance::default()
    };
    Registration { instance, checks: vec![check] }
}

/// Waits until the sample is found by both doors, then prints the lines that find it.
pub async fn show(http: Option<SocketAddr>, dns: Option<SocketAddr>) {
    let mut lines = Vec::new();
    if let Some(http) = http {
        while !timeout(PATIENCE, found_by_http(http)).await.is_ok_and(|found| found == Some(true)) {
            sleep(PAUSE).await;
        }
        lines.push(format!("curl 'http://{http}/v1/health/service/{NAME}?passing'"));
        let there = match http.port() {
            8500 => String::new(),
            _ => format!(" -http-addr={http}"),
        };
        lines.push(format!("{} why {NAME}{there}", program()));
        lines.push(format!("curl -X PUT -d 'is easy' http://{http}/v1/kv/rutter"));
        lines.push(format!("curl 'http://{http}/v1/kv/rutter?raw'"));
    }
    if let Some(dns) = dns {
        while !timeout(PATIENCE, found_by_dns(dns)).await.is_ok_and(|found| found == Some(true)) {
            sleep(PAUSE).await;
        }
        let at = format!("dig @{} -p {}", dns.ip(), dns.port());
        lines.push(format!("{at} {NAME}.service.consul"));
        lines.push(format!("{at} {NAME}.service.consul SRV"));
    }
    let lines: String = lines.iter().map(|line| format!("  {line}\n")).collect();
    banner::say(&format!("\nThe sample service '{NAME}' is up. Try:\n\n{lines}\n"));
}

/// The program as it was called, so that the line works where it is printed.
fn program() -> String {
    let called = std::env::args_os().next().unwrap_or_default();
    let called = called.to_string_lossy();
    // Pasted into a shell, only such a word is one word.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    match !called.is_empty() && called.chars().all(is_plain) {
        true => called.into_owned(),
        false => "rutter".to_owned(),
    }
}

async fn found_by_http(http: SocketAddr) -> Option<bool> {
    let mut stream = TcpStream::connect(http).await.ok()?;
    let request = format!(
        "GET /v1/health/service/{NAME}?passing HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer.contains(&format!("\"{NAME}\"")))
}

async fn found_by_dns(dns: SocketAddr) -> Option<bool> {
    let local: SocketAddr =
        if dns.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { "[::]:0".parse().ok()? };
    let socket = UdpSocket::bind(local).await.ok()?;
    let mut question = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in [NAME, "service", "consul"] {
        question.push(label.len() as u8);
        question.extend_from_slice(label.as_bytes());
    }
    question.extend_from_slice(&[0, 0, 1, 0, 1]);
    socket.send_to(&question, dns).await.ok()?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).await.ok()?;
    Some(length > 12 && answer[6..8] != [0, 0])
}
