//! Connections, and what Go says where one fails.

use super::tls;
use super::transport::Transport;
use net::dial;
use std::error::Error;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

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
    let found = dial::lookup("tcp", host, port).await?;
    let stream = dial::first_of(&found, None).await?;
    // A request is one write; waiting to join it with another gains nothing.
    let _ = stream.set_nodelay(true);
    Ok(match tls {
        Some(tls) => Stream(Box::new(tls.open(stream, host).await?)),
        None => Stream(Box::new(stream)),
    })
}

fn failed(transport: &Transport, error: &io::Error) -> String {
    format!("{}: {}", transport.dialled(), dial::call_text("connect", error))
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
            return dial::call_text("read", io);
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
