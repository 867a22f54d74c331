//! TCP: pipelined questions, answered in order; silent and slow connections are closed.

use crate::answer::Channel;
use crate::meters::{Count, Tally};
use crate::slow::Slow;
use net::connections::Connections;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A question over TCP is no longer than one over UDP.
const LONGEST_QUESTION: usize = 4096;

/// Answers on TCP.
pub(crate) struct Acceptor {
    pub slow: Arc<Slow>,
    pub connections: Connections,
    pub idle: Duration,
    /// Of answers from the table, and of all else that happens.
    pub tally: Arc<Tally>,
    /// Of answers by the slow path.
    pub slow_tally: Arc<Tally>,
    pub stop: watch::Receiver<bool>,
}

impl Acceptor {
    /// Accepts until it is stopped.
    pub async fn run(self: Arc<Self>, listener: TcpListener) {
        let mut stop = self.stop.clone();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            match accepted {
                Ok((stream, client)) => self.take(stream, client.ip()),
                Err(error) => {
                    // Out of descriptors, most likely: others must end before one can begin.
                    tracing::warn!(%error, "dns connection cannot be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn take(self: &Arc<Self>, stream: TcpStream, client: IpAddr) {
        let Ok(place) = self.connections.enter(client) else {
            self.tally.count(Count::ConnectionsRefused);
            return;
        };
        let (acceptor, opened) = (Arc::clone(self), self.tally.open());
        let mut stop = self.stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                ended = acceptor.converse(stream) => {
                    if ended.is_err() {
                        acceptor.tally.count(Count::ConnectionsDropped);
                    }
                }
                _ = stop.wait_for(|stop| *stop) => {}
            }
            drop((place, opened));
        });
    }

    /// Answers one connection's questions until the other side closes it.
    async fn converse(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let mut reader = BufReader::with_capacity(2048, reader);
        let mut writer = BufWriter::with_capacity(4096, writer);
        let mut packet = Vec::new();
        loop {
            // Who sent several questions at once gets several answers at once; nobody waits for an
            // answer until the next question is whole.
            if !holds_message(reader.buffer()) {
                self.in_time(writer.flush()).await?;
            }
            if !self.in_time(receive(&mut reader, &mut packet)).await? {
                return Ok(());
            }
            let (answered, tally) = match self.slow.try_answer(Channel::Tcp, &packet) {
                Ok(answered) => (answered, &self.tally),
                Err(reason) => {
                    self.tally.detoured(reason);
                    self.in_time(writer.flush()).await?;
                    (self.slow.answer(Channel::Tcp, &packet).await, &self.slow_tally)
                }
            };
            let Some((reply, answer)) = answered else {
                self.tally.count(Count::Ignored);
                continue;
            };
            tally.answered(&reply);
            let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
            self.in_time(async {
                writer.write_all(&length.to_be_bytes()).await?;
                writer.write_all(&answer).await
            })
            .await?;
        }
    }

    async fn in_time<T>(&self, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        match tokio::time::timeout(self.idle, work).await {
            Ok(done) => done,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// Whether a whole message is there to be taken.
fn holds_message(buffer: &[u8]) -> bool {
    buffer
        .split_first_chunk::<2>()
        .is_some_and(|(length, message)| message.len() >= usize::from(u16::from_be_bytes(*length)))
}

/// Reads one message; false at the end of the stream.
async fn receive(
    reader: &mut (impl AsyncReadExt + Unpin),
    packet: &mut Vec<u8>,
) -> io::Result<bool> {
    let mut length = [0; 2];
    match reader.read_exact(&mut length).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        done => done?,
    };
    let length = usize::from(u16::from_be_bytes(length));
    if length > LONGEST_QUESTION {
        return Err(io::ErrorKind::InvalidData.into());
    }
    packet.resize(length, 0);
    reader.read_exact(packet).await?;
    Ok(true)
}
