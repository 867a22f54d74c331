//! Connections, and what Go says where one fails.

use super::tls;
use super::transport::Transport;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, lookup_host};

/// What a connection is.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A connection of either kind.
pub struct Stream(Box<dyn Duplex>);

/// Opens a connection, or says why not.
pub async fn open(transport: &Transport, tls: Option<&tls::Config>) -> Result<Stream, String> {
    if let Transport::Unix(path) = transport {
        let stream = UnixStream::connect(path).await;
        let stream = stream.map_err(|error| failed(transport, &error))?;
        return Ok(Stream(Box::new(stream)));
    }
    let (host, port) = transport.host_and_port();
    let found = lookup_host((host, port)).await;
    let found = found.map_err(|_| format!("dial tcp: lookup {host}: no such host"))?;
    let mut found: Vec<SocketAddr> = found.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    let mut first = None;
    for address in found {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // A request is one write; waiting to join it with another gains nothing.
                let _ = stream.set_nodelay(true);
                return match tls {
                    Some(tls) => Ok(Stream(Box::new(tls.open(stream, host).await?))),
                    None => Ok(Stream(Box::new(stream))),
                };
            }
            Err(error) => {
                let why = format!("dial tcp {address}: {}", call_text("connect", &error));
                first.get_or_insert(why);
            }
        }
    }
    Err(first.unwrap_or_else(|| format!("dial tcp: lookup {host}: no such host")))
}

fn failed(transport: &Transport, error: &io::Error) -> String {
    format!("{}: {}", transport.dialled(), call_text("connect", error))
}

/// What Go says of a failed system call.
pub fn call_text(call: &str, error: &io::Error) -> String {
    use io::ErrorKind as Kind;
    let why = match error.kind() {
        Kind::TimedOut => return "i/o timeout".to_owned(),
        Kind::UnexpectedEof => return "EOF".to_owned(),
        Kind::ConnectionRefused => "connection refused",
        Kind::ConnectionReset => "connection reset by peer",
        Kind::BrokenPipe => "broken pipe",
        Kind::HostUnreachable => "no route to host",
        Kind::NetworkUnreachable => "network is unreachable",
        Kind::PermissionDenied => "permission denied",
        Kind::NotFound => "no such file or directory",
        _ => return error.to_string(),
    };
    format!("{call}: {why}")
}

/// What Go says of a connection that brought no answer.
pub fn explain(error: &hyper::Error) -> String {
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return "EOF".to_owned();
    }
    if error.is_parse() {
        return format!("net/http: HTTP/1.x transport connection broken: {error}");
    }
    let mut cause: &dyn Error = error;
    while let Some(next) = cause.source() {
        if let Some(io) = next.downcast_ref::<io::Error>() {
            return call_text("read", io);
        }
        cause = next;
    }
    cause.to_string()
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
