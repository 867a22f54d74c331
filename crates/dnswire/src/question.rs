//! A message from the network, read as far as the hot path needs it.
//!
//! The checks stand in the order of RFC 1035's header, cheapest first:
//!
//! | message | verdict |
//! |---|---|
//! | under 12 bytes, or an answer (QR) | ignored: replying could loop |
//! | opcode other than QUERY and NOTIFY | NOTIMP, header only |
//! | not exactly one question, more than one answer or authority, more than two additional | FORMERR, header only |
//! | compressed question, other records, bytes left over | unusual |
//! | broken name, OPT or option | FORMERR, header only |

use crate::{Edns, Name, NameError, opcode, rcode};

/// Length of a message's header.
pub const HEADER: usize = 12;

/// The longest header and question that [`crate::Writer::new`] writes.
pub const MAX_PLAIN_QUESTION: usize = HEADER + crate::MAX_NAME + 4;

/// One plain question.
#[derive(Debug, Clone)]
pub struct Question<'p> {
    /// The message's id.
    pub id: u16,
    /// QUERY or NOTIFY.
    pub opcode: u8,
    /// RD, echoed for queries.
    pub recursion_desired: bool,
    /// The name, lower-cased.
    pub name: Name,
    /// The type asked.
    pub qtype: u16,
    /// The OPT record, when there is one.
    pub edns: Option<Edns>,
    /// Name, type and class as they were typed.
    pub section: &'p [u8],
}

/// Why a message is not a plain question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not answered: too short to have a header, or itself an answer.
    Ignored,
    /// Answered by a header with this code and no question; see [`refusal`].
    Refused(u8),
    /// For the slow path.
    Unusual(Unusual),
}

/// What makes a message unusual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusual {
    /// The question's name uses compression.
    Compressed,
    /// Records beyond one OPT, or bytes after the last record.
    Extras,
}

impl<'p> Question<'p> {
    /// Reads `packet`.
    pub fn parse(packet: &'p [u8]) -> Result<Question<'p>, Verdict> {
        let Some((header, body)) = packet.split_first_chunk::<HEADER>() else {
            return Err(Verdict::Ignored);
        };
        if header[2] & 0x80 != 0 {
            return Err(Verdict::Ignored);
        }
        let opcode = header[2] >> 3 & 0xF;
        if opcode != opcode::QUERY && opcode != opcode::NOTIFY {
            return Err(Verdict::Refused(rcode::NOTIMP));
        }
        let count = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let (answers, authorities, additionals) = (count(6), count(8), count(10));
        if count(4) != 1 || answers > 1 || authorities > 1 || additionals > 2 {
            return Err(Verdict::Refused(rcode::FORMERR));
        }
        let name = Name::parse(body).map_err(|error| match error {
            NameError::Malformed => Verdict::Refused(rcode::FORMERR),
            NameError::Compressed => Verdict::Unusual(Unusual::Compressed),
        })?;
        let end = name.wire_length() + 4;
        let (section, rest) = body.split_at_checked(end).ok_or(Verdict::Refused(rcode::FORMERR))?;
        if answers + authorities != 0 || additionals > 1 {
            return Err(Verdict::Unusual(Unusual::Extras));
        }
        let edns = match additionals {
            0 if rest.is_empty() => None,
            0 => return Err(Verdict::Unusual(Unusual::Extras)),
            _ => Some(only_opt(rest)?),
        };
        Ok(Question {
            id: u16::from_be_bytes([header[0], header[1]]),
            opcode,
            recursion_desired: header[2] & 1 != 0,
            qtype: u16::from_be_bytes([section[end - 4], section[end - 3]]),
            name,
            edns,
            section,
        })
    }

    /// The name's wire bytes from label `index` on, as typed, to the root.
    pub fn typed_from(&self, index: usize) -> &'p [u8] {
        &self.section[self.name.offset(index)..self.name.wire_length()]
    }
}

fn only_opt(rest: &[u8]) -> Result<Edns, Verdict> {
    match Edns::parse(rest) {
        Some((edns, length)) if length == rest.len() => Ok(edns),
        Some(_) => Err(Verdict::Unusual(Unusual::Extras)),
        // Another type than OPT, or an owner that is not the root.
        None if rest.len() >= 11 && rest[..3] != [0, 0, crate::rtype::OPT as u8] => {
            Err(Verdict::Unusual(Unusual::Extras))
        }
        None => Err(Verdict::Refused(rcode::FORMERR)),
    }
}

/// A header that refuses `packet`, without a question, as [`Verdict::Refused`] asks.
///
/// FORMERR is sent with opcode QUERY, NOTIMP with the asked one; RD is echoed (Consul's manner).
/// `None` when `packet` has no header.
pub fn refusal(packet: &[u8], code: u8) -> Option<[u8; HEADER]> {
    let header = packet.first_chunk::<HEADER>()?;
    let kept = if code == rcode::NOTIMP { 0x79 } else { 0x01 };
    let mut answer = [0; HEADER];
    answer[..2].copy_from_slice(&header[..2]);
    answer[2] = 0x80 | header[2] & kept;
    answer[3] = code & 0xF;
    Some(answer)
}
