//! The hot path's DNS codec: parse a question, write an answer into a fixed buffer.
//!
//! Knows wire bytes and nothing else: no zone, no catalog, no allocation. What it reads is either
//! a plain question, a refusal that twelve bytes answer, or *unusual*: well-formed perhaps, but
//! rare enough that the slow path may spend time on it (see [`Verdict`]).
//!
//! Sources: RFC 1035 §4, RFC 6891, RFC 7871. Decision 0003.

mod edns;
mod name;
mod question;
mod writer;

pub use edns::{Edns, ExtendedError, Subnet};
pub use name::{Name, NameError, to_wire};
pub use question::{HEADER, MAX_PLAIN_QUESTION, Question, Unusual, Verdict, refusal};
pub use writer::{Full, Head, Mark, Owner, Section, Writer};

/// The longest name on the wire, with its root label.
pub const MAX_NAME: usize = 255;

/// Numbers of the resource record types that we write or tell apart.
pub mod rtype {
    /// IPv4 address.
    pub const A: u16 = 1;
    /// Name server.
    pub const NS: u16 = 2;
    /// Canonical name.
    pub const CNAME: u16 = 5;
    /// Start of authority.
    pub const SOA: u16 = 6;
    /// Pointer, the answer of a reverse look-up.
    pub const PTR: u16 = 12;
    /// Text.
    pub const TXT: u16 = 16;
    /// IPv6 address.
    pub const AAAA: u16 = 28;
    /// Service location.
    pub const SRV: u16 = 33;
    /// EDNS0's pseudo record.
    pub const OPT: u16 = 41;
    /// Zone transfer.
    pub const AXFR: u16 = 252;
    /// Every type.
    pub const ANY: u16 = 255;
}

/// Response codes.
pub mod rcode {
    /// No error; also NODATA.
    pub const NOERROR: u8 = 0;
    /// The question cannot be read.
    pub const FORMERR: u8 = 1;
    /// We failed.
    pub const SERVFAIL: u8 = 2;
    /// No such name.
    pub const NXDOMAIN: u8 = 3;
    /// An opcode or type that we do not serve.
    pub const NOTIMP: u8 = 4;
    /// Not our zone.
    pub const REFUSED: u8 = 5;
    /// An EDNS version that we do not know; only its low four bits fit the header.
    pub const BADVERS: u8 = 16;
}

/// Operation codes that are answered.
pub mod opcode {
    /// A standard query.
    pub const QUERY: u8 = 0;
    /// Zone change notification; answered like a query, as Consul does.
    pub const NOTIFY: u8 = 4;
}
