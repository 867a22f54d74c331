//! The bytes of this crate's own records: positions, memberships, entries' payloads.
//!
//! Fixed widths, big endian. What can grow (a membership) begins with a version; a newer one is
//! refused with a sentence, never skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bytes::Bytes;
use openraft::{BasicNode, EntryPayload};

use crate::types::{LogId, Membership, Payload, Proposal, log_id, term_of};

const MEMBERSHIP_VERSION: u8 = 1;

/// The kinds of payload, as stored.
pub(crate) const BLANK: u8 = 0;
pub(crate) const COMMAND: u8 = 1;
pub(crate) const MEMBERSHIP: u8 = 2;

/// An entry's payload as (kind, bytes).
pub(crate) fn encode_payload(payload: &Payload) -> (u8, Bytes) {
    match payload {
        EntryPayload::Blank => (BLANK, Bytes::new()),
        EntryPayload::Normal(proposal) => (COMMAND, proposal.bytes.clone()),
        EntryPayload::Membership(members) => (MEMBERSHIP, encode_membership(members).into()),
    }
}

/// The payload of (kind, bytes).
pub(crate) fn decode_payload(kind: u8, bytes: Bytes) -> io::Result<Payload> {
    match kind {
        BLANK => Ok(EntryPayload::Blank),
        COMMAND => Ok(EntryPayload::Normal(Proposal { bytes, ticket: None })),
        MEMBERSHIP => Ok(EntryPayload::Membership(decode_membership(&mut Input(&bytes))?)),
        other => Err(invalid(format!("an entry of unknown kind {other}"))),
    }
}

/// Version, then the voter sets (more than one while they change), then every node's address.
pub(crate) fn encode_membership(members: &Membership) -> Vec<u8> {
    let mut out = vec![MEMBERSHIP_VERSION];
    let configs = members.get_joint_config();
    put_count(&mut out, configs.len());
    for config in configs {
        put_count(&mut out, config.len());
        config.iter().for_each(|id| put_u64(&mut out, *id));
    }
    let nodes: Vec<_> = members.nodes().collect();
    put_count(&mut out, nodes.len());
    for (id, node) in nodes {
        put_u64(&mut out, *id);
        put_count(&mut out, node.addr.len());
        out.extend_from_slice(node.addr.as_bytes());
    }
    out
}

/// What [`encode_membership`] wrote.
pub(crate) fn decode_membership(input: &mut Input<'_>) -> io::Result<Membership> {
    let version = input.u8()?;
    if version != MEMBERSHIP_VERSION {
        return Err(invalid(format!(
            "a membership of version {version}, and this program reads {MEMBERSHIP_VERSION}"
        )));
    }
    let mut configs: Vec<BTreeSet<u64>> = Vec::new();
    for _ in 0..input.u32()? {
        let mut config = BTreeSet::new();
        for _ in 0..input.u32()? {
            config.insert(input.u64()?);
        }
        configs.push(config);
    }
    let mut nodes = BTreeMap::new();
    for _ in 0..input.u32()? {
        let id = input.u64()?;
        let length = input.u32()? as usize;
        let address = std::str::from_utf8(input.take(length)?)
            .map_err(|_| invalid("an address that is not text"))?;
        nodes.insert(id, BasicNode::new(address));
    }
    if configs.is_empty() && nodes.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(configs, nodes).map_err(|error| invalid(error.to_string()))
}

/// A position that may be missing: a flag, the term, the index.
pub(crate) fn put_position(out: &mut Vec<u8>, position: Option<&LogId>) {
    out.push(u8::from(position.is_some()));
    put_u64(out, position.map_or(0, term_of));
    put_u64(out, position.map_or(0, |id| id.index));
}

pub(crate) fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_be_bytes());
}

/// A count of things that are held in memory, so it fits.
pub(crate) fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("fewer than four billion of anything");
    out.extend_from_slice(&count.to_be_bytes());
}

/// Bytes being read from the front.
pub(crate) struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn take(&mut self, length: usize) -> io::Result<&'a [u8]> {
        if length > self.0.len() {
            return Err(invalid("a record shorter than it says"));
        }
        let (front, rest) = self.0.split_at(length);
        self.0 = rest;
        Ok(front)
    }

    pub(crate) fn u8(&mut self) -> io::Result<u8> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn u32(&mut self) -> io::Result<u32> {
        Ok(u32::from_be_bytes(self.take(4)?.try_into().expect("four bytes were taken")))
    }

    pub(crate) fn u64(&mut self) -> io::Result<u64> {
        Ok(u64::from_be_bytes(self.take(8)?.try_into().expect("eight bytes were taken")))
    }

    pub(crate) fn position(&mut self) -> io::Result<Option<LogId>> {
        let (present, term, index) = (self.u8()?, self.u64()?, self.u64()?);
        Ok((present == 1).then(|| log_id(term, index)))
    }
}

/// An error about content, as opposed to one from the operating system.
pub(crate) fn invalid(problem: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members() -> Membership {
        let nodes = [(7, BasicNode::new("10.0.0.7:8300")), (9, BasicNode::new(""))];
        Membership::new(vec![BTreeSet::from([7])], BTreeMap::from(nodes)).unwrap()
    }

    #[test]
    fn a_payload_reads_back_as_it_was_written() {
        let command = Proposal { bytes: Bytes::from_static(b"set x"), ticket: None };
        for payload in [Payload::Blank, Payload::Normal(command), Payload::Membership(members())] {
            let (kind, bytes) = encode_payload(&payload);
            let back = decode_payload(kind, bytes).unwrap();
            assert_eq!(format!("{back:?}"), format!("{payload:?}"));
        }
    }

    #[test]
    fn a_newer_or_shortened_membership_is_refused() {
        let good = encode_membership(&members());
        for length in 0..good.len() {
            assert!(decode_membership(&mut Input(&good[..length])).is_err(), "{length}");
        }
        let newer = [&[2][..], &good[1..]].concat();
        let problem = decode_membership(&mut Input(&newer)).unwrap_err().to_string();
        assert_eq!(problem, "a membership of version 2, and this program reads 1");
        assert!(decode_payload(3, Bytes::new()).is_err());
    }
}
