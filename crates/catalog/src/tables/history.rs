//! History: for each recent entry its author and every touched row as it was before (law 7).
//!
//! Kept within replicated limits, so that all servers know the same past. Values of keys are kept as
//! hash and size only.

use crate::entry::HistoryLimits;
use crate::keys::KvRowKey;
use crate::past::ValuePrint;
use crate::state::{Before, TableIndexes};
use imbl::OrdMap;
use model::{Author, Check, Index, Instance, KvEntry, Node, Row, Timestamp};
use std::sync::Arc;

/// One entry of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// When the leader appended it.
    pub time: Timestamp,
    /// Who wrote it.
    pub author: Author,
    pub(crate) tables: TableIndexes,
    pub(crate) rows: Vec<PastRow>,
    pub(crate) bytes: u64,
}

/// A row as it was before an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PastRow {
    /// Anything but a value.
    Row(Before),
    /// A value: all but its bytes. Boxed, since most rows of the past are none.
    Kv(KvRowKey, Option<Box<(Row<KvEntry>, ValuePrint)>>),
}

/// The recent past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct History {
    pub entries: OrdMap<Index, Arc<HistoryEntry>>,
    pub limits: HistoryLimits,
    pub bytes: u64,
    /// The last entry that was dropped; the state as of any later index can be shown.
    pub dropped: Index,
}

impl History {
    pub fn new(limits: HistoryLimits) -> History {
        History { entries: OrdMap::new(), limits, bytes: 0, dropped: Index(0) }
    }

    /// Adds what an entry changed; `tables` as it was before.
    pub fn add(&mut self, index: Index, entry: HistoryEntry) {
        self.bytes = self.bytes.saturating_add(entry.bytes);
        self.entries.insert(index, Arc::new(entry));
    }

    /// Drops the oldest until all limits hold.
    pub fn trim(&mut self, now: Timestamp) {
        while let Some((index, entry)) = self.entries.get_min() {
            let old = entry.time.0.saturating_add(self.limits.age_ms) <= now.0;
            let many = self.entries.len() as u64 > self.limits.entries;
            if !old && !many && self.bytes <= self.limits.bytes {
                break;
            }
            let index = *index;
            self.bytes = self.bytes.saturating_sub(entry.bytes);
            self.dropped = index;
            self.entries.remove(&index);
        }
    }
}

/// Makes the rows of the past out of what a transaction noted, and estimates their size.
pub(crate) fn past_rows(before: Vec<Before>) -> (Vec<PastRow>, u64) {
    let rows: Vec<PastRow> = before.into_iter().map(past_row).collect();
    let bytes = rows.iter().map(estimate).sum::<u64>() + ENTRY_BYTES;
    (rows, bytes)
}

fn past_row(before: Before) -> PastRow {
    let Before::Kv(key, row) = before else { return PastRow::Row(before) };
    let past = row.map(|row| {
        let print = ValuePrint::of(&row.value);
        let value = KvEntry { value: super::kv::no_value(), ..row.claim.clone() };
        Box::new((Row { claim: value, owner: row.owner.clone(), ..*row }, print))
    });
    PastRow::Kv(key, past)
}

/// What an entry or a row costs besides its texts; an estimate, the same on every server of one
/// version. It decides how far history reaches, never what is applied.
const ENTRY_BYTES: u64 = 160;
const ROW_BYTES: u64 = 96;

fn estimate(row: &PastRow) -> u64 {
    let texts = match row {
        PastRow::Kv(key, _) => key.key.as_bytes().len(),
        PastRow::Row(before) => match before {
            Before::Node(_, Some(row)) => return ROW_BYTES + node_bytes(row),
            Before::Instance(_, Some(row)) => return ROW_BYTES + instance_bytes(row),
            Before::Check(_, Some(row)) => return ROW_BYTES + check_bytes(row),
            Before::Session(_, _, Some(_)) => 256,
            Before::Tombstone(key, _) | Before::LockDelay(key, _) => key.key.as_bytes().len(),
            _ => 0,
        },
    };
    ROW_BYTES + texts as u64
}

/// What a node's row takes, about.
fn node_bytes(node: &Node) -> u64 {
    let meta = node.meta.iter().flatten().map(|(k, v)| k.len() + v.len());
    256 + meta.sum::<usize>() as u64
}

/// What an instance's row takes, about.
fn instance_bytes(instance: &Instance) -> u64 {
    let meta = instance.meta.iter().flatten().map(|(k, v)| k.len() + v.len());
    let opaque = instance.proxy.iter().chain(&instance.connect).map(|o| o.0.len());
    448 + meta.chain(opaque).chain(instance.tags.iter().map(|t| t.len())).sum::<usize>() as u64
}

/// What a check's row takes, about.
fn check_bytes(check: &Check) -> u64 {
    let body = check.definition.as_ref().map_or(0, |d| d.http.len() + d.body.len() + 512);
    448 + (check.output.len() + check.notes.len() + body) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Command, KvCondition};
    use crate::tables::rig::{Rig, delete_kv, kv_key, put_kv};

    fn limits(entries: u64, bytes: u64, age_ms: u64) -> Command {
        Command::SetHistoryLimits(HistoryLimits { entries, bytes, age_ms })
    }

    /// How many of ten entries, a second apart, are kept within these limits.
    #[track_caller]
    fn check_kept(limits: Command, expected: usize) {
        let mut rig = Rig::new();
        rig.does(limits);
        for number in 0..10 {
            rig.now += 1_000;
            rig.does(put_kv("k", &number.to_string(), KvCondition::Always));
        }
        let history = &rig.view.state().history;
        assert_eq!(history.entries.len(), expected);
        assert_eq!(history.bytes, history.entries.values().map(|entry| entry.bytes).sum::<u64>());
        assert_eq!(
            rig.view.state().window().oldest.0,
            if expected < 10 { 11 - expected as u64 } else { 0 }
        );
    }

    #[test]
    fn history_keeps_within_each_of_its_limits() {
        check_kept(limits(10_000, 8 << 20, 3_600_000), 10);
        check_kept(limits(4, 8 << 20, 3_600_000), 4);
        check_kept(limits(10_000, 600, 3_600_000), 2);
        check_kept(limits(10_000, 8 << 20, 5_000), 5);
        check_kept(limits(0, 8 << 20, 3_600_000), 0);
    }

    #[test]
    fn an_entry_that_changed_nothing_is_no_history() {
        let mut rig = Rig::new();
        rig.does(delete_kv("absent", None));
        rig.does(put_kv("k", "v", KvCondition::Always));
        rig.does(put_kv("k", "v", KvCondition::Always));
        assert_eq!(rig.view.state().history.entries.len(), 1);
    }

    #[test]
    fn the_past_knows_values_by_hash_and_size_only() {
        let mut rig = Rig::new();
        let then = rig.does(put_kv("k", "secret", KvCondition::Always));
        rig.does(put_kv("k", "public", KvCondition::Always));
        let past = rig.view.state().as_of(then).expect("within the window");
        let key = kv_key("k");
        assert_eq!(past.prints[&key], ValuePrint::of(b"secret"));
        assert_eq!(past.prints[&key].size, 6);
        assert!(past.state.kv[&key].value.is_empty());
        let kept = format!("{:?}", rig.view.state().history);
        assert!(!kept.contains(&format!("{:?}", b"secret")), "no value is kept: {kept}");
        let error = rig.view.state().as_of(Index(9)).expect_err("it is yet to come").to_string();
        assert_eq!(error, "history reaches from index 0 to 2");
    }
}
