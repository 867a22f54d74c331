//! recvmmsg and sendmmsg over memory that never moves.
//!
//! A socket bound to an unspecified address must answer from the address it was asked at, or the
//! asker drops the answer; there the kernel's packet information is received and sent back.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// Enough for one `in6_pktinfo` with its header; aligned as the kernel wants control messages.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; 48]);

/// Whom to answer, and from which of our addresses.
#[derive(Clone, Copy)]
pub struct Peer {
    name: libc::sockaddr_storage,
    name_length: libc::socklen_t,
    control: Control,
    control_length: usize,
}

/// What became of a batch's answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Handed to the kernel.
    pub sent: usize,
    /// Refused by the kernel (no route, a full buffer, a peer that forbids it) and dropped.
    pub dropped: usize,
}

/// One UDP socket; several may share a port.
#[derive(Debug)]
pub struct Socket {
    socket: UdpSocket,
    any_address: bool,
}

/// A thread's packets and answers.
pub struct Batch {
    packets: Vec<u8>,
    answers: Vec<u8>,
    packet_size: usize,
    answer_size: usize,
    slots: Vec<Slot>,
    headers: Vec<libc::mmsghdr>,
    vectors: Vec<libc::iovec>,
    received: usize,
}

struct Slot {
    peer: Peer,
    packet: usize,
    cut: bool,
    answer: usize,
}

// SAFETY: the raw pointers are in `headers` and `vectors`, which point into the same batch's heap
// and are filled anew before each system call; nothing else follows them.
unsafe impl Send for Batch {}

const NO_PEER: Peer = {
    // SAFETY: all zeros is a valid `sockaddr_storage` (family AF_UNSPEC).
    let name = unsafe { zeroed() };
    Peer { name, name_length: 0, control: Control([0; 48]), control_length: 0 }
};

impl Batch {
    /// A batch of `slots` packets of at most `packet_size` bytes and answers of `answer_size`.
    ///
    /// Memory is taken from the system as it is touched: big answers cost what they were.
    pub fn new(slots: usize, packet_size: usize, answer_size: usize) -> Batch {
        let slot = || Slot { peer: NO_PEER, packet: 0, cut: false, answer: 0 };
        // SAFETY: all zeros is a valid `mmsghdr`: null pointers with zero lengths.
        let header = || unsafe { zeroed::<libc::mmsghdr>() };
        let vector = || libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        Batch {
            packets: vec![0; slots * packet_size],
            answers: vec![0; slots * answer_size],
            packet_size,
            answer_size,
            slots: std::iter::repeat_with(slot).take(slots).collect(),
            headers: std::iter::repeat_with(header).take(slots).collect(),
            vectors: std::iter::repeat_with(vector).take(slots).collect(),
            received: 0,
        }
    }

    /// Packets received last.
    pub fn received(&self) -> usize {
        self.received
    }

    /// Packet `slot` and the room for its answer. The packet is `None` when it was cut short.
    pub fn exchange(&mut self, slot: usize) -> (Option<&[u8]>, &mut [u8]) {
        let Slot { packet, cut, .. } = self.slots[slot];
        let packet = &self.packets[slot * self.packet_size..][..packet];
        let answer = &mut self.answers[slot * self.answer_size..][..self.answer_size];
        ((!cut).then_some(packet), answer)
    }

    /// Says that the answer in `slot` has `length` bytes; without it nothing is sent.
    pub fn reply(&mut self, slot: usize, length: usize) {
        assert!(length <= self.answer_size && slot < self.received);
        self.slots[slot].answer = length;
    }

    /// Who asked in `slot`: to answer later by [`Socket::send_to`].
    pub fn peer(&self, slot: usize) -> Peer {
        self.slots[slot].peer
    }

    fn prepare_receive(&mut self, any_address: bool) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            slot.answer = 0;
            let packet = &mut self.packets[index * self.packet_size..][..self.packet_size];
            self.vectors[index].iov_base = packet.as_mut_ptr().cast();
            self.vectors[index].iov_len = packet.len();
            slot.peer.name_length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            slot.peer.control_length = if any_address { size_of::<Control>() } else { 0 };
            let header = &mut self.headers[index];
            header.msg_len = 0;
            header.msg_hdr.msg_flags = 0;
            point(&mut header.msg_hdr, &mut slot.peer, &mut self.vectors[index]);
        }
    }

    fn take_received(&mut self, count: usize) {
        self.received = count;
        for (slot, header) in self.slots.iter_mut().zip(&self.headers).take(count) {
            slot.packet = header.msg_len as usize;
            slot.cut = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
            slot.peer.name_length = header.msg_hdr.msg_namelen;
            slot.peer.control_length = header.msg_hdr.msg_controllen as _;
            forget_interface(&mut slot.peer);
        }
    }

    fn prepare_send(&mut self) -> usize {
        let mut count = 0;
        for (index, slot) in self.slots.iter_mut().enumerate().take(self.received) {
            if slot.answer == 0 {
                continue;
            }
            let answer = &mut self.answers[index * self.answer_size..][..slot.answer];
            self.vectors[count].iov_base = answer.as_mut_ptr().cast();
            self.vectors[count].iov_len = answer.len();
            let header = &mut self.headers[count];
            header.msg_len = 0;
            header.msg_hdr.msg_flags = 0;
            point(&mut header.msg_hdr, &mut slot.peer, &mut self.vectors[count]);
            count += 1;
        }
        count
    }
}

/// Makes `header` name `peer` and the one buffer of `vector`.
fn point(header: &mut libc::msghdr, peer: &mut Peer, vector: &mut libc::iovec) {
    header.msg_name = (&raw mut peer.name).cast();
    header.msg_namelen = peer.name_length;
    header.msg_iov = vector;
    header.msg_iovlen = 1;
    header.msg_control = match peer.control_length {
        0 => std::ptr::null_mut(),
        _ => (&raw mut peer.control).cast(),
    };
    header.msg_controllen = peer.control_length as _;
}

/// Keeps the address we were asked at and lets routing choose the interface (IPv4).
///
/// `in_pktinfo` stands after a 16-byte header: interface, our address, the packet's destination.
fn forget_interface(peer: &mut Peer) {
    if peer.control_length >= 16 + size_of::<libc::in_pktinfo>()
        && i32::from(peer.name.ss_family) == libc::AF_INET
    {
        peer.control.0[16..20].fill(0);
    }
}

impl Socket {
    /// Takes a bound socket. It blocks, and wakes now and then so that its thread can be ended.
    pub(super) fn new(socket: UdpSocket, address: SocketAddr) -> io::Result<Socket> {
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        let socket = Socket { socket, any_address: address.ip().is_unspecified() };
        if socket.any_address {
            let (level, option) = match address {
                SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_PKTINFO),
                SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
            };
            set_option(socket.descriptor(), level, option)?;
        }
        Ok(socket)
    }

    fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// A second handle on the same socket.
    pub fn try_clone(&self) -> io::Result<Socket> {
        Ok(Socket { socket: self.socket.try_clone()?, any_address: self.any_address })
    }

    /// Blocks until a packet is there, then takes all that are, up to the batch's slots.
    ///
    /// 0 after half a second without any, after [`Socket::stop`], or when a signal came in.
    pub fn receive(&self, batch: &mut Batch) -> io::Result<usize> {
        batch.received = 0;
        batch.prepare_receive(self.any_address);
        // SAFETY: `headers` has `slots` elements that point to buffers, names and control rooms of
        // the same batch with their true lengths; all stay where they are during the call, and
        // `batch` is borrowed alone.
        let count = unsafe {
            libc::recvmmsg(
                self.descriptor(),
                batch.headers.as_mut_ptr(),
                batch.headers.len() as libc::c_uint,
                libc::MSG_WAITFORONE as _,
                std::ptr::null_mut(),
            )
        };
        if count < 0 {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(0),
                // An ICMP error for an earlier answer; nothing is wrong with this socket.
                io::ErrorKind::ConnectionRefused => Ok(0),
                _ => Err(error),
            };
        }
        // After `stop` the kernel gives empty packets from nobody.
        let real = batch.headers[..count as usize].iter();
        let real = real.take_while(|header| header.msg_hdr.msg_namelen > 0).count();
        batch.take_received(real);
        Ok(real)
    }

    /// Sends the batch's answers, without waiting for room: a socket whose buffer is full would
    /// hold its thread, and with it the end of the process. A packet that the kernel refuses is
    /// dropped, the rest go on.
    pub fn send(&self, batch: &mut Batch) -> Sent {
        let count = batch.prepare_send();
        let mut done = 0;
        let mut result = Sent::default();
        while done < count {
            // SAFETY: as in `receive`; elements `done..count` were filled by `prepare_send`.
            let sent = unsafe {
                libc::sendmmsg(
                    self.descriptor(),
                    batch.headers.as_mut_ptr().add(done),
                    (count - done) as libc::c_uint,
                    libc::MSG_DONTWAIT as _,
                )
            };
            if sent > 0 {
                result.sent += sent as usize;
                done += sent as usize;
            } else if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                result.dropped += 1;
                done += 1;
            }
        }
        result
    }

    /// Sends one answer, without waiting for room.
    pub fn send_to(&self, bytes: &[u8], peer: &Peer) -> io::Result<()> {
        let mut peer = *peer;
        let mut vector =
            libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        // SAFETY: all zeros is a valid `msghdr`.
        let mut header: libc::msghdr = unsafe { zeroed() };
        point(&mut header, &mut peer, &mut vector);
        // SAFETY: `header` points to `peer`, `vector` and `bytes`, which outlive the call; sendmsg
        // only reads them.
        let sent = unsafe { libc::sendmsg(self.descriptor(), &header, libc::MSG_DONTWAIT) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Wakes the thread in [`Socket::receive`], at once and for good.
    pub fn stop(&self) {
        // SAFETY: shutdown on an open descriptor touches no memory. On a socket that is not
        // connected it says ENOTCONN and wakes the readers all the same, which is the point.
        unsafe { libc::shutdown(self.descriptor(), libc::SHUT_RD) };
    }
}

fn set_option(descriptor: RawFd, level: libc::c_int, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the value is an int that lives through the call, and its size is given.
    let result = unsafe {
        libc::setsockopt(
            descriptor,
            level,
            option,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("family", &self.name.ss_family).finish_non_exhaustive()
    }
}
