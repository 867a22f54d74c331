//! A service: chunks of instances in the order of their nodes.

use super::chunk::{Chunk, Draft, ROWS, Row};
use crate::pick::Want;
use model::Folded;
use std::cmp::Ordering;
use std::sync::Arc;

/// A service's instances, those too that are not told; perhaps none.
#[derive(Debug)]
pub(crate) struct ServiceRow {
    pub ttl: u32,
    /// How many rows are not told.
    pub withheld: u32,
    pub chunks: Box<[Arc<Chunk>]>,
    /// Rows up to and with each chunk, so that an answer looks only at those chunks that it takes rows
    /// from; nothing where there is one chunk, which says it all itself.
    sums: Box<[Sums]>,
}

/// So many rows that make the wanted records, in the order of [`Want`]; all that are told where
/// nothing is wanted.
type Sums = [u32; Want::ALL.len()];

/// The same of one chunk, as a mask.
fn mask(chunk: &Chunk, want: Want) -> u64 {
    match want {
        Want::Nothing => chunk.shown,
        _ => chunk.wanted(want),
    }
}

impl ServiceRow {
    fn new(ttl: u32, chunks: Vec<Arc<Chunk>>) -> ServiceRow {
        let mut so_far = [0; Want::ALL.len()];
        let sums = chunks.iter().filter(|_| chunks.len() > 1).map(|chunk| {
            for want in Want::ALL {
                so_far[want as usize] += mask(chunk, want).count_ones();
            }
            so_far
        });
        let sums = sums.collect();
        let withheld = chunks.iter().map(|chunk| chunk.withheld(None).count_ones()).sum();
        ServiceRow { ttl, withheld, chunks: chunks.into(), sums }
    }

    /// How many rows make the wanted records.
    pub fn wanted(&self, want: Want) -> u32 {
        if want == Want::Nothing { 0 } else { self.count(want) }
    }

    /// How many rows are told.
    pub fn offered(&self) -> u32 {
        self.count(Want::Nothing)
    }

    /// Whether those that are told, with a tag or all, have more than one host name for their address.
    pub fn has_several_hosts(&self, tag: Option<u64>) -> bool {
        let mut hosts = self.chunks.iter().flat_map(|chunk| chunk.hosts(tag));
        let first = hosts.next();
        hosts.any(|host| first.is_some_and(|first| !first.eq_ignore_ascii_case(host)))
    }

    fn count(&self, want: Want) -> u32 {
        match (self.sums.last(), self.chunks.first()) {
            (Some(sums), _) => sums[want as usize],
            (None, Some(chunk)) => mask(chunk, want).count_ones(),
            (None, None) => 0,
        }
    }

    /// The chunk with the `nth` row that makes the wanted records, and its place among those of the
    /// chunk.
    ///
    /// # Panics
    /// Where there are not so many.
    pub fn nth(&self, want: Want, nth: u32) -> (usize, u32) {
        let chunk = self.sums.partition_point(|sums| sums[want as usize] <= nth);
        let before = if chunk == 0 { 0 } else { self.sums[chunk - 1][want as usize] };
        (chunk, nth - before)
    }
}

/// Below so few rows a chunk is joined with a neighbour.
const FEW: usize = 16;

/// Some rows of a node: the one with this id, or all.
type Place<'p> = (&'p Folded, Option<&'p Folded>);

/// Where a row stands to a place. Rows stand by node, then by id, so that the first of those that are
/// withheld is the same in every process.
fn beside(row: &Row, (node, id): Place<'_>) -> Ordering {
    row.node.key.cmp(node).then(id.map_or(Ordering::Equal, |id| row.id.cmp(id)))
}

/// A service being changed, row by row.
#[derive(Debug)]
pub(crate) struct ServiceDraft {
    chunks: Vec<Arc<Chunk>>,
}

impl ServiceDraft {
    /// Begins with what is there.
    pub fn of(row: Option<&ServiceRow>) -> ServiceDraft {
        let chunks = row.map(|row| row.chunks.to_vec()).unwrap_or_default();
        ServiceDraft { chunks }
    }

    /// Begins with these rows, by node, then by id.
    pub fn from_rows(drafts: Vec<Draft>) -> ServiceDraft {
        ServiceDraft { chunks: cut(drafts) }
    }

    /// Puts these rows, by id, in the place of all rows of `node`.
    pub fn replace_node(&mut self, node: &Folded, new: Vec<Draft>) {
        self.replace((node, None), new);
    }

    /// Puts this row, or nothing, in the place of one row of `node`.
    pub fn replace_row(&mut self, node: &Folded, id: &Folded, new: Option<Draft>) {
        let place = (node, Some(id));
        match (self.find(place), new) {
            (Some((chunk, at)), Some(new)) => {
                self.chunks[chunk] = Arc::new(self.chunks[chunk].with_row(at, new));
            }
            (_, new) => self.replace(place, new.into_iter().collect()),
        }
    }

    /// The chunk with the only row of a place, and where in it that row is.
    fn find(&self, place: Place<'_>) -> Option<(usize, usize)> {
        let (low, high) = self.chunks_at(place);
        if high != low + 1 {
            return None;
        }
        let rows = self.chunks[low].rows();
        let at = rows.partition_point(|row| beside(row, place).is_lt());
        let is_there = |row: &Row| beside(row, place).is_eq();
        let is_only = rows.get(at).is_some_and(is_there) && !rows.get(at + 1).is_some_and(is_there);
        is_only.then_some((low, at))
    }

    fn replace(&mut self, place: Place<'_>, new: Vec<Draft>) {
        let (mut low, mut high) = self.chunks_at(place);
        if low == high {
            if new.is_empty() {
                return;
            }
            // It is new here: it joins the chunk before its place, or the first one.
            low = low.saturating_sub(1);
            high = (low + 1).min(self.chunks.len());
        }
        let old = self.chunks[low..high].iter().flat_map(|chunk| chunk.drafts());
        let old = old.filter(|draft| beside(&draft.row, place).is_ne());
        let mut drafts: Vec<Draft> = old.collect();
        let at = drafts.partition_point(|draft| beside(&draft.row, place).is_lt());
        drafts.splice(at..at, new);
        if drafts.len() < FEW && high < self.chunks.len() {
            drafts.extend(self.chunks[high].drafts());
            high += 1;
        } else if drafts.len() < FEW && low > 0 {
            low -= 1;
            drafts.splice(..0, self.chunks[low].drafts());
        }
        self.chunks.splice(low..high, cut(drafts));
    }

    /// The chunks that hold rows of a place, or the empty range where they would be.
    fn chunks_at(&self, place: Place<'_>) -> (usize, usize) {
        let ends_before =
            |chunk: &Arc<Chunk>| chunk.rows().last().is_some_and(|row| beside(row, place).is_lt());
        let begins_until =
            |chunk: &Arc<Chunk>| chunk.rows().first().is_some_and(|row| beside(row, place).is_le());
        let low = self.chunks.partition_point(ends_before);
        (low, self.chunks.partition_point(begins_until).max(low))
    }

    /// Whether no row is left.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub fn finish(self, ttl: u32) -> ServiceRow {
        ServiceRow::new(ttl, self.chunks)
    }
}

/// Cuts rows into chunks of about equal size, none of them full, so that there is room to grow.
fn cut(drafts: Vec<Draft>) -> Vec<Arc<Chunk>> {
    let count = match drafts.len() {
        0 => return Vec::new(),
        1..=ROWS => 1,
        many => many.div_ceil(ROWS * 3 / 4),
    };
    let (each, mut more) = (drafts.len() / count, drafts.len() % count);
    let mut drafts = drafts.into_iter();
    let mut chunks = Vec::with_capacity(count);
    for _ in 0..count {
        let size = each + usize::from(more > 0);
        more = more.saturating_sub(1);
        chunks.push(Arc::new(Chunk::new(drafts.by_ref().take(size).collect())));
    }
    chunks
}
