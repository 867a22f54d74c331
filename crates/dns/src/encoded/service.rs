//! A service: chunks of instances in the order of their nodes.

use super::chunk::{Chunk, Draft, ROWS};
use model::Folded;
use std::sync::Arc;

/// A service's instances, those too that are not told; perhaps none.
#[derive(Debug)]
pub(crate) struct ServiceRow {
    pub ttl: u32,
    pub chunks: Box<[Arc<Chunk>]>,
}

/// Below so few rows a chunk is joined with a neighbour.
const FEW: usize = 16;

/// A service being changed, node by node.
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

    /// Begins with these rows, in the order of their nodes.
    pub fn from_rows(drafts: Vec<Draft>) -> ServiceDraft {
        ServiceDraft { chunks: cut(drafts) }
    }

    /// Puts these rows in the place of all rows of `node`.
    pub fn replace(&mut self, node: &Folded, new: Vec<Draft>) {
        let (mut low, mut high) = self.chunks_with(node);
        if low == high {
            if new.is_empty() {
                return;
            }
            // The node is new here: it joins the chunk before its place, or the first one.
            low = low.saturating_sub(1);
            high = (low + 1).min(self.chunks.len());
        }
        let old = self.chunks[low..high].iter().flat_map(|chunk| chunk.drafts());
        let mut drafts: Vec<Draft> = old.filter(|draft| draft.row.node.key != *node).collect();
        let place = drafts.partition_point(|draft| draft.row.node.key < *node);
        drafts.splice(place..place, new);
        if drafts.len() < FEW && high < self.chunks.len() {
            drafts.extend(self.chunks[high].drafts());
            high += 1;
        } else if drafts.len() < FEW && low > 0 {
            low -= 1;
            drafts.splice(..0, self.chunks[low].drafts());
        }
        self.chunks.splice(low..high, cut(drafts));
    }

    /// The chunks that hold rows of `node`, or the empty range where they would be.
    fn chunks_with(&self, node: &Folded) -> (usize, usize) {
        let last = |chunk: &Arc<Chunk>| chunk.rows().last().map(|row| &row.node.key) < Some(node);
        let first =
            |chunk: &Arc<Chunk>| chunk.rows().first().map(|row| &row.node.key) <= Some(node);
        let low = self.chunks.partition_point(last);
        (low, self.chunks.partition_point(first).max(low))
    }

    /// Whether no row is left.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub fn finish(self, ttl: u32) -> ServiceRow {
        ServiceRow { ttl, chunks: self.chunks.into() }
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
