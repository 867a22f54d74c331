//! Up to sixty-four instances of a service, encoded together.
//!
//! Those that are not to be told are rows too, with the reason in the place of their records: so that
//! an empty answer can say why it is empty (RFC 8914) as fast as it is made.

use super::NodeFacts;
use crate::pick::Want;
use model::Folded;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// The most rows of a chunk: bits of a mask.
pub(crate) const ROWS: usize = 64;

/// One instance.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub node: Arc<NodeFacts>,
    pub v4: Option<Ipv4Addr>,
    pub v6: Option<Ipv6Addr>,
    /// Which of the two answers who takes any.
    pub any: Option<Family>,
    pub target: Target,
    /// Equal for instances that make one SRV record: same node, address and port.
    pub identity: u64,
    /// The instance's folded id: rows of a node stand in its order.
    pub id: Folded,
    srv: (u16, u16),
}

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// What the target of a row's SRV record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// There is no address at all, so no record.
    Nothing,
    /// `NAME.node.DC`, to be continued by the domain.
    Node,
    /// `HEX.addr.DC`, to be continued by the domain.
    Address,
    /// A host name, whole; see [`Chunk::host_name`].
    Host,
}

impl Row {
    /// The address for who takes any.
    pub fn any(&self) -> Option<IpAddr> {
        match self.any? {
            Family::V4 => self.v4.map(IpAddr::V4),
            Family::V6 => self.v6.map(IpAddr::V6),
        }
    }

    /// Whether it makes the wanted records, or an alias where that may stand for them; whether it is
    /// told or not.
    fn makes(&self, want: Want) -> bool {
        let is_host = self.target == Target::Host;
        match want {
            Want::V4 => self.v4.is_some() || is_host,
            Want::V6 => self.v6.is_some() || is_host,
            Want::Ip => self.any.is_some() || is_host,
            Want::Srv => self.target != Target::Nothing,
            Want::Host => is_host,
            Want::Nothing => false,
        }
    }
}

/// A row on its way into a chunk.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub row: Row,
    /// SRV data: priority, weight, port and the target's labels (the root too for a host).
    pub srv: Vec<u8>,
    /// Hashes of the lower-cased tags.
    pub tags: Vec<u64>,
    /// Whether it is told; else `srv` is the reason why not.
    pub is_shown: bool,
}

impl Draft {
    /// A draft; `row.srv` is filled in when the chunk is made.
    pub fn new(
        node: &Arc<NodeFacts>,
        addresses: &super::Addresses,
        target: Target,
        srv: Vec<u8>,
    ) -> Draft {
        let any = addresses.any.map(|ip| if ip.is_ipv4() { Family::V4 } else { Family::V6 });
        let row = Row {
            node: Arc::clone(node),
            v4: addresses.v4,
            v6: addresses.v6,
            any,
            target,
            identity: 0,
            id: Folded::default(),
            srv: (0, 0),
        };
        Draft { row, srv, tags: Vec::new(), is_shown: true }
    }
}

/// Rows together, with a mask for each thing that is asked of them.
#[derive(Debug)]
pub(crate) struct Chunk {
    rows: Box<[Row]>,
    bytes: Box<[u8]>,
    /// Hash of a tag and the rows that have it, by hash.
    tags: Box<[(u64, u64)]>,
    /// Rows that are told; no other mask but a tag's has others.
    pub shown: u64,
    pub v4: u64,
    pub v6: u64,
    /// Rows with an address of any family.
    pub ip: u64,
    /// Rows whose address is a host name.
    pub host: u64,
    /// Rows that make an SRV record.
    pub srv: u64,
    /// Whether all rows whose address is a host name have the same one.
    has_one_host: bool,
    /// Rows that are not told, by what they would make; nothing where all are told.
    withheld: Option<Box<[u64; Want::ALL.len()]>>,
    /// Where rows make the same records: for each of [`REPEATABLE`] the first row of each record.
    different: Option<Box<[u64; REPEATABLE.len()]>>,
}

/// What several rows may have in common.
const REPEATABLE: [Want; 4] = [Want::V4, Want::V6, Want::Ip, Want::Srv];

impl Chunk {
    /// Makes a chunk of at most [`ROWS`] drafts.
    pub fn new(drafts: Vec<Draft>) -> Chunk {
        assert!((1..=ROWS).contains(&drafts.len()));
        let mut chunk = Chunk {
            rows: Box::default(),
            bytes: Box::default(),
            tags: Box::default(),
            shown: 0,
            v4: 0,
            v6: 0,
            ip: 0,
            host: 0,
            srv: 0,
            has_one_host: false,
            withheld: None,
            different: None,
        };
        let mut bytes = Vec::with_capacity(drafts.iter().map(|draft| draft.srv.len()).sum());
        let mut tags: Vec<(u64, u64)> = Vec::new();
        let mut rows = Vec::with_capacity(drafts.len());
        for (at, draft) in drafts.into_iter().enumerate() {
            let Draft { mut row, srv, tags: hashes, is_shown } = draft;
            let bit = 1 << at;
            chunk.put(&row, bit, is_shown);
            // 64 rows of at most 6 + 255 bytes: far below 65,536.
            row.srv = (bytes.len() as u16, srv.len() as u16);
            bytes.extend_from_slice(&srv);
            rows.push(row);
            tags.extend(hashes.into_iter().map(|hash| (hash, bit)));
        }
        (chunk.rows, chunk.bytes) = (rows.into(), bytes.into());
        chunk.settle(tags);
        chunk
    }

    /// The same rows but for the one at a place, which becomes what the draft says.
    ///
    /// Nearly every change of a service is one: nothing of the other rows is taken apart for it.
    pub fn with_row(&self, at: usize, draft: Draft) -> Chunk {
        let Draft { mut row, srv, tags: hashes, is_shown } = draft;
        let (bit, (start, length)) = (1 << at, self.rows[at].srv);
        let (before, rest) = self.bytes.split_at(usize::from(start));
        let bytes = [before, &srv, &rest[usize::from(length)..]].concat();
        row.srv = (start, srv.len() as u16);
        let mut rows = self.rows.clone();
        for later in &mut rows[at + 1..] {
            later.srv.0 = later.srv.0 - length + row.srv.1;
        }
        let (bytes, withheld) = (bytes.into(), self.withheld.clone());
        let mut chunk =
            Chunk { rows, bytes, withheld, tags: Box::default(), different: None, ..*self };
        chunk.clear(bit);
        chunk.put(&row, bit, is_shown);
        if chunk.withheld(None) == 0 {
            chunk.withheld = None;
        }
        chunk.rows[at] = row;
        let kept = self.tags.iter().map(|(hash, mask)| (*hash, mask & !bit));
        let kept = kept.filter(|(_, mask)| *mask != 0);
        chunk.settle(kept.chain(hashes.into_iter().map(|hash| (hash, bit))).collect());
        chunk
    }

    /// Fills in what is made of all rows: the tags, of which one may be given for several rows, and
    /// what repeats.
    fn settle(&mut self, mut tags: Vec<(u64, u64)>) {
        tags.sort_unstable();
        tags.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 |= next.1;
            }
            same
        });
        self.tags = tags.into();
        // Else only the first would be looked at.
        self.has_one_host = false;
        self.has_one_host = {
            let mut hosts = self.hosts(None);
            let first = hosts.next();
            hosts.all(|host| first.is_some_and(|first| first.eq_ignore_ascii_case(host)))
        };
        let different = REPEATABLE.map(|want| self.first_of_each(want));
        let wanted = REPEATABLE.map(|want| self.wanted(want));
        self.different = (different != wanted).then(|| Box::new(different));
    }

    /// Notes what a row makes, told or not.
    fn put(&mut self, row: &Row, bit: u64, is_shown: bool) {
        if is_shown {
            self.shown |= bit;
            self.note(row, bit);
        } else {
            let withheld = self.withheld.get_or_insert_default();
            let makes = Want::ALL.into_iter().filter(|want| row.makes(*want));
            makes.for_each(|want| withheld[want as usize] |= bit);
        }
    }

    /// Takes a row out of all masks but those of tags.
    fn clear(&mut self, bit: u64) {
        let Chunk { shown, v4, v6, ip, host, srv, withheld, .. } = self;
        let withheld = withheld.iter_mut().flat_map(|masks| masks.iter_mut());
        [shown, v4, v6, ip, host, srv].into_iter().chain(withheld).for_each(|mask| *mask &= !bit);
    }

    fn note(&mut self, row: &Row, bit: u64) {
        let set = |mask: &mut u64, has: bool| *mask |= if has { bit } else { 0 };
        set(&mut self.v4, row.v4.is_some());
        set(&mut self.v6, row.v6.is_some());
        set(&mut self.ip, row.any.is_some());
        set(&mut self.host, row.target == Target::Host);
        set(&mut self.srv, row.target != Target::Nothing);
    }

    /// The wanted rows without those that only repeat what an earlier one gives.
    fn first_of_each(&self, want: Want) -> u64 {
        let wanted = self.wanted(want);
        let same = |one: &Row, other: &Row| match want {
            Want::V4 => one.v4 == other.v4,
            Want::V6 => one.v6 == other.v6,
            Want::Ip => one.any() == other.any(),
            _ => one.identity == other.identity,
        };
        let mut first = wanted;
        for (at, row) in self.rows.iter().enumerate().filter(|(at, _)| wanted >> at & 1 == 1) {
            let before = self.rows[..at].iter().enumerate();
            let mut before = before.filter(|(at, _)| first >> at & 1 == 1);
            if before.any(|(_, other)| same(row, other)) {
                first &= !(1 << at);
            }
        }
        first
    }

    /// The rows that make the wanted records, one for each different one in this chunk.
    pub fn different(&self, want: Want) -> u64 {
        let at = REPEATABLE.iter().position(|kind| *kind == want);
        match (&self.different, at) {
            (Some(different), Some(at)) => different[at],
            _ => self.wanted(want),
        }
    }

    /// Its rows, by node.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The SRV data of a row of this chunk.
    pub fn srv_data(&self, row: &Row) -> &[u8] {
        &self.bytes[usize::from(row.srv.0)..][..usize::from(row.srv.1)]
    }

    /// The host name that a row of this chunk, one that is told, has for an address, whole in wire form.
    pub fn host_name(&self, row: &Row) -> Option<&[u8]> {
        (row.target == Target::Host).then(|| &self.srv_data(row)[6..])
    }

    /// The host names that its rows have for an address, of those that are told, with a tag or all;
    /// one of them where they are the same.
    pub fn hosts(&self, tag: Option<u64>) -> impl Iterator<Item = &[u8]> {
        let mut mask = self.offered(tag) & self.host;
        std::iter::from_fn(move || {
            let row = self.rows.get(mask.trailing_zeros() as usize)?;
            mask = if self.has_one_host { 0 } else { mask & (mask - 1) };
            self.host_name(row)
        })
    }

    /// The rows that are told of those with a tag, or of all.
    pub fn offered(&self, tag: Option<u64>) -> u64 {
        self.shown & tag.map_or(u64::MAX, |tag| self.tagged(tag))
    }

    /// The rows that are not told, of those with a tag or of all.
    pub fn withheld(&self, tag: Option<u64>) -> u64 {
        let all = u64::MAX >> (ROWS - self.rows.len());
        all & !self.shown & tag.map_or(u64::MAX, |tag| self.tagged(tag))
    }

    /// Those of them that would make the wanted records, or an alias in their place.
    pub fn withheld_making(&self, want: Want, tag: Option<u64>) -> u64 {
        let making = self.withheld.as_ref().map_or(0, |withheld| withheld[want as usize]);
        making & tag.map_or(u64::MAX, |tag| self.tagged(tag))
    }

    /// Why a row of this chunk is not told.
    pub fn reason(&self, row: &Row) -> &[u8] {
        self.srv_data(row)
    }

    /// The rows that are told and make the wanted records.
    pub fn wanted(&self, want: Want) -> u64 {
        match want {
            Want::V4 => self.v4,
            Want::V6 => self.v6,
            Want::Ip => self.ip,
            Want::Srv => self.srv,
            Want::Host => self.host,
            Want::Nothing => 0,
        }
    }

    /// The rows that have a tag, by its hash; those that are not told, too.
    fn tagged(&self, tag: u64) -> u64 {
        match self.tags.binary_search_by_key(&tag, |(hash, _)| *hash) {
            Ok(at) => self.tags[at].1,
            Err(_) => 0,
        }
    }

    /// The rows again as drafts, to make another chunk of.
    pub fn drafts(&self) -> impl Iterator<Item = Draft> {
        self.rows.iter().enumerate().map(|(at, row)| {
            let tags = self.tags.iter().filter(|(_, mask)| mask >> at & 1 == 1);
            Draft {
                row: row.clone(),
                srv: self.srv_data(row).to_vec(),
                tags: tags.map(|(hash, _)| *hash).collect(),
                is_shown: self.shown >> at & 1 == 1,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Addresses;
    use super::*;
    use catalog::NodeKey;
    use model::{Node, Tenant};

    fn node(name: &str) -> Arc<NodeFacts> {
        let node = Node { name: name.into(), address: "10.0.0.1".into(), ..Node::default() };
        Arc::new(NodeFacts::new(&NodeKey::new(Tenant::DEFAULT, &node.name), &node, "dc1", 8))
    }

    /// A row of one of several kinds, told by a number.
    fn draft(node: &Arc<NodeFacts>, at: usize, kind: u64) -> Draft {
        let (address, target, length) = match kind {
            0 | 1 => ("10.0.0.9", Target::Address, 20),
            2 => ("::7", Target::Node, 12),
            _ => ("x.test", Target::Host, 14),
        };
        let srv = vec![kind as u8; length];
        let mut draft = Draft::new(node, &Addresses::new(address, None, None), target, srv);
        draft.is_shown = kind > 0;
        draft.tags = (0..kind).collect();
        draft.row.identity = kind;
        draft.row.id = Folded::new(&format!("i{at}"));
        draft
    }

    #[test]
    fn a_chunk_with_one_row_changed_is_that_of_all_rows() {
        let node = node("n1");
        for count in [1, 2, 9, ROWS] {
            let kinds: Vec<u64> = (0..count as u64).map(|row| row * 7 % 4).collect();
            let all = |kinds: &[u64]| {
                let drafts = kinds.iter().enumerate().map(|(at, kind)| draft(&node, at, *kind));
                Chunk::new(drafts.collect())
            };
            let before = all(&kinds);
            for at in [0, count / 2, count - 1] {
                for kind in 0..5 {
                    let mut kinds = kinds.clone();
                    kinds[at] = kind;
                    let after = before.with_row(at, draft(&node, at, kind));
                    assert_eq!(
                        format!("{after:?}"),
                        format!("{:?}", all(&kinds)),
                        "{at} of {count}"
                    );
                }
            }
        }
    }
}
