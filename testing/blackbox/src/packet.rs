//! DNS packets by hand, for questions that `dig` would not send.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// A name as labels on the wire.
pub fn name(text: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in text.split('.').filter(|l| !l.is_empty()) {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire
}

/// A question with an id, recursion desired, class IN.
pub fn question(id: u16, text: &str, kind: u16) -> Vec<u8> {
    let mut message = header(id, 0x0100, [1, 0, 0, 0]);
    message.extend(name(text));
    message.extend(kind.to_be_bytes());
    message.extend(1u16.to_be_bytes());
    message
}

/// Twelve bytes of header.
pub fn header(id: u16, flags: u16, counts: [u16; 4]) -> Vec<u8> {
    let words = [id, flags, counts[0], counts[1], counts[2], counts[3]];
    words.iter().flat_map(|w| w.to_be_bytes()).collect()
}

/// The response code of an answer.
pub fn rcode(answer: &[u8]) -> u8 {
    answer.get(3).map_or(255, |b| b & 15)
}

/// The number of records in the answer section.
pub fn answers(answer: &[u8]) -> u16 {
    answer.get(6..8).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]))
}

/// A UDP socket towards a server.
pub fn udp(server: SocketAddr, patience: Duration) -> Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(patience))?;
    Ok(socket)
}

/// One exchange over UDP; `None` when no answer came in time.
pub fn ask(socket: &UdpSocket, message: &[u8]) -> Result<Option<Vec<u8>>> {
    socket.send(message)?;
    let mut buffer = vec![0; 65535];
    loop {
        match socket.recv(&mut buffer) {
            Ok(length) if message.len() < 2 || buffer[..2] == message[..2] => {
                buffer.truncate(length);
                return Ok(Some(buffer));
            }
            Ok(_) => {} // the late answer to an earlier question
            Err(e)
                if matches!(
                    e.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) =>
            {
                return Ok(None);
            }
            Err(e) => return Err(e.into()),
        }
    }
}

/// One message with its length before it, over TCP, and its answer.
pub fn ask_tcp(stream: &mut TcpStream, message: &[u8]) -> Result<Vec<u8>> {
    stream.write_all(&[&(message.len() as u16).to_be_bytes(), message].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).context("no length came")?;
    let mut answer = vec![0; u16::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer)?;
    ensure!(answer[..2] == message[..2], "the answer has another id");
    Ok(answer)
}
