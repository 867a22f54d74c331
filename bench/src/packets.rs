//! UDP in bulk from the asking side: one system call for a batch of questions, one for their answers.
//!
//! The generator shares the machine with what it measures, so what it saves is worth having.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::{Context, Result};

/// Packets a system call, and packets outstanding on a socket.
///
/// All sockets' batches together fit into one receive buffer of the server at the kernel's default
/// size (208 KiB, about 768 bytes a small packet), so nothing is lost on loopback.
pub const BATCH: usize = 16;

/// The longest answer; beyond it the kernel cuts.
const ANSWER_BYTES: usize = 4096;

/// After so long without an answer the outstanding ones are given up.
const ANSWER_LIMIT: Duration = Duration::from_millis(250);

/// One connected socket with room for a batch each way.
pub struct Asker {
    socket: UdpSocket,
    buffers: Vec<[u8; ANSWER_BYTES]>,
    lengths: [usize; BATCH],
}

impl Asker {
    /// To a port of this machine.
    pub fn open(port: u16) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").context("bind")?;
        socket.connect(("127.0.0.1", port)).context("connect")?;
        socket.set_read_timeout(Some(ANSWER_LIMIT))?;
        Ok(Self { socket, buffers: vec![[0; ANSWER_BYTES]; BATCH], lengths: [0; BATCH] })
    }

    /// Sends up to a batch of packets; how many the kernel took.
    pub fn send(&self, packets: &[&[u8]]) -> Result<usize> {
        let mut pieces: Vec<libc::iovec> = packets
            .iter()
            .map(|packet| libc::iovec {
                iov_base: packet.as_ptr().cast_mut().cast(),
                iov_len: packet.len(),
            })
            .collect();
        let mut headers = headers_over(&mut pieces);
        let count = u32::try_from(headers.len()).expect("a batch is small");
        // SAFETY: each header points to one piece and each piece to a packet, all alive until the
        // call returns; the kernel only reads the packets.
        let sent =
            unsafe { libc::sendmmsg(self.socket.as_raw_fd(), headers.as_mut_ptr(), count, 0) };
        usize::try_from(sent).map_err(|_| std::io::Error::last_os_error()).context("sendmmsg")
    }

    /// Waits for one answer and takes all that are there, up to `most`; none after the limit.
    pub fn receive(&mut self, most: usize) -> Result<usize> {
        let most = most.min(BATCH);
        let mut pieces: Vec<libc::iovec> = self.buffers[..most]
            .iter_mut()
            .map(|buffer| libc::iovec {
                iov_base: buffer.as_mut_ptr().cast(),
                iov_len: ANSWER_BYTES,
            })
            .collect();
        let mut headers = headers_over(&mut pieces);
        let count = u32::try_from(most).expect("a batch is small");
        // SAFETY: each header points to one piece and each piece to a buffer of its own, all alive
        // and not otherwise used until the call returns; without a timeout none is read.
        let received = unsafe {
            libc::recvmmsg(
                self.socket.as_raw_fd(),
                headers.as_mut_ptr(),
                count,
                libc::MSG_WAITFORONE,
                std::ptr::null_mut(),
            )
        };
        let Ok(received) = usize::try_from(received) else {
            let error = std::io::Error::last_os_error();
            return match error.kind() {
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted => Ok(0),
                _ => Err(error).context("recvmmsg"),
            };
        };
        for (length, header) in self.lengths.iter_mut().zip(&headers).take(received) {
            *length = header.msg_len as usize;
        }
        Ok(received)
    }

    /// The answers of the last call of `receive`.
    pub fn answers(&self, received: usize) -> impl Iterator<Item = &[u8]> {
        self.buffers
            .iter()
            .zip(self.lengths)
            .take(received)
            .map(|(buffer, length)| &buffer[..length])
    }
}

fn headers_over(pieces: &mut [libc::iovec]) -> Vec<libc::mmsghdr> {
    pieces
        .iter_mut()
        .map(|piece| {
            // SAFETY: a header of zeros is a header without address, pieces or control data.
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            header.msg_hdr.msg_iov = piece;
            header.msg_hdr.msg_iovlen = 1;
            header
        })
        .collect()
}
