//! What the log's history knows of a row: who wrote it, when, by which door, and who removed it.

use crate::state::Before;
use crate::tables::history::PastRow;
use crate::{HistoryEntry, InstanceKey, ServiceKey, View, Window};
use model::{Index, Instance, Row};
use std::collections::BTreeSet;
use std::sync::Arc;

/// An entry of the log, as far as it is still known.
#[derive(Debug, Clone)]
pub enum Trace {
    /// Who wrote it, and when.
    Known(Index, Arc<HistoryEntry>),
    /// It lies outside what is kept.
    Beyond(Index, Window),
}

/// An instance that is no more.
#[derive(Debug, Clone)]
pub struct Gone {
    /// As it was at its end.
    pub row: Arc<Row<Instance>>,
    /// The entry that ended it.
    pub index: Index,
    /// Who wrote that, and when.
    pub entry: Arc<HistoryEntry>,
}

impl View {
    /// The entry at an index: who wrote it, or how far back is known.
    pub fn trace(&self, index: Index) -> Trace {
        let history = &self.state().history;
        match history.entries.get(&index) {
            Some(entry) => Trace::Known(index, Arc::clone(entry)),
            None => Trace::Beyond(index, self.state().window()),
        }
    }

    /// The instances of a service that are gone and that `counts`, the last one first, each once,
    /// `most` at most.
    ///
    /// What changed its service is gone from the old one. Looks through all of history.
    pub fn gone(
        &self,
        service: &ServiceKey,
        most: usize,
        counts: impl Fn(&Instance) -> bool,
    ) -> Vec<Gone> {
        let state = self.state();
        let mut known: BTreeSet<&InstanceKey> = BTreeSet::new();
        let mut gone = Vec::new();
        for (index, entry) in state.history.entries.iter().rev() {
            for row in entry.rows.iter().rev() {
                let PastRow::Row(Before::Instance(key, Some(row))) = row else { continue };
                let was_there = ServiceKey::new(key.tenant, &row.service) == *service;
                if !was_there || !counts(row) || !known.insert(key) {
                    continue;
                }
                let now = state.instance(key);
                if now.is_some_and(|now| ServiceKey::new(key.tenant, &now.service) == *service) {
                    continue;
                }
                gone.push(Gone { row: Arc::clone(row), index: *index, entry: Arc::clone(entry) });
                if gone.len() == most {
                    return gone;
                }
            }
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HistoryLimits;
    use crate::entry::Command;
    use crate::tables::rig::{Rig, put_instance, put_node, service_key};

    #[test]
    fn who_removed_an_instance_is_known_as_long_as_history_reaches() {
        let mut rig = Rig::new();
        rig.does(put_node("n1", 0, "10.0.0.1"));
        for id in ["a", "b", "c"] {
            rig.does(put_instance("n1", id, "web"));
        }
        rig.does(Command::RemoveInstance("n1".into(), "a".into()));
        rig.does(put_instance("n1", "a", "web"));
        rig.now += 60_000;
        let removed = rig.does(Command::RemoveInstance("n1".into(), "b".into()));
        let moved = rig.does(put_instance("n1", "c", "cache"));
        let gone = rig.view.gone(&service_key("WEB"), 10, |_| true);
        let found: Vec<_> = gone.iter().map(|gone| (gone.row.id.as_str(), gone.index)).collect();
        assert_eq!(found, [("c", moved), ("b", removed)], "a is there again");
        assert_eq!(gone[1].entry.time.0, rig.now);
        assert_eq!(rig.view.gone(&service_key("web"), 1, |_| true).len(), 1);
        let b = rig.view.gone(&service_key("web"), 1, |row| row.id.as_str() == "b");
        assert_eq!(b.len(), 1, "what does not count takes nobody's place");
        rig.does(Command::SetHistoryLimits(HistoryLimits {
            entries: 0,
            ..HistoryLimits::default()
        }));
        assert!(rig.view.gone(&service_key("web"), 10, |_| true).is_empty());
        assert!(matches!(rig.view.trace(removed), Trace::Beyond(at, _) if at == removed));
    }
}
