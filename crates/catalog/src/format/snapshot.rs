//! A snapshot: everything replicated, table by table; what can be derived is not in it.
//!
//! Rows are streamed one by one into frames and out of them, so that neither way costs a second
//! state in memory. The same state is the same bytes on every server.

use super::error::{Fault, SnapshotError};
use super::frame::{FrameReader, FrameWriter, Table, WHAT, damaged, next_record};
use super::record::{Owners, past_record_of, past_row_of, record_of, row_of};
use super::wire;
use crate::keys::{CheckKey, NodeKey};
use crate::state::{Before, State};
use crate::tables::history::HistoryEntry;
use crate::{Outcome, View};
use model::{Check, Folded, Index, Instance, NodeName, RequestKey, Tenant, Text, Timestamp};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// Writes everything replicated in a view; an error leaves half a snapshot behind.
pub fn write_snapshot(view: &View, out: &mut dyn io::Write) -> io::Result<()> {
    let state = view.state();
    let mut frames = FrameWriter::begin(out)?;
    let head = wire::Head {
        index: state.index.0,
        time: state.time.0,
        tables: Some((&state.tables).into()),
        history_limits: Some((&state.history.limits).into()),
        history_dropped: state.history.dropped.0,
        requests_forgotten: state.requests.forgotten.map(|time| time.0),
    };
    frames.record(Table::Head, &head)?;
    for row in all_rows(state) {
        let (table, record) = record_of(&row);
        frames.record(table, &record)?;
    }
    for (key, time, outcome) in state.requests.iter() {
        let request =
            wire::Request { key: Some(key.into()), time: time.0, outcome: Some(outcome.into()) };
        frames.record(Table::Requests, &request)?;
    }
    write_history(state, &mut frames)?;
    let end = wire::End { records: frames.records() };
    frames.record(Table::End, &end)?;
    frames.finish()
}

/// Every row that is not derived, in the order of the tables.
fn all_rows(state: &State) -> impl Iterator<Item = Before> + '_ {
    let nodes = state.nodes.iter().map(|(k, row)| Before::Node(k.clone(), Some(row.clone())));
    let node_marks =
        state.node_marks.iter().map(|(k, mark)| Before::NodeMark(k.clone(), Some(*mark)));
    let instances = state.instances.iter().map(|(tenant, row)| {
        let key = NodeKey::new(tenant, &row.node).instance(&row.id);
        Before::Instance(key, Some(row.clone()))
    });
    let services = state.services.iter().map(|(k, mark)| Before::Service(k.clone(), Some(*mark)));
    let checks = state.checks.iter().map(|(tenant, row)| {
        let key = NodeKey::new(tenant, &row.node).check(&row.id);
        Before::Check(key, Some(row.clone()))
    });
    let kv = state.kv.iter().map(|(k, row)| Before::Kv(k.clone(), Some(row.clone())));
    let stones = state.tombstones.iter().map(|(k, s)| Before::Tombstone(k.clone(), Some(*s)));
    let delays = state.lock_delays.iter().map(|(k, t)| Before::LockDelay(k.clone(), Some(*t)));
    let sessions = state
        .sessions
        .iter()
        .map(|((tenant, id), row)| Before::Session(*tenant, *id, Some(row.clone())));
    nodes
        .chain(node_marks)
        .chain(instances)
        .chain(services)
        .chain(checks)
        .chain(kv)
        .chain(stones)
        .chain(delays)
        .chain(sessions)
}

fn write_history(state: &State, frames: &mut FrameWriter<'_>) -> io::Result<()> {
    for (index, entry) in &state.history.entries {
        let head = wire::HistoryEntry {
            index: index.0,
            time: entry.time.0,
            author: Some((&entry.author).into()),
            tables: Some((&entry.tables).into()),
            bytes: entry.bytes,
            rows: entry.rows.len() as u64,
        };
        frames.record(Table::History, &head)?;
        for row in &entry.rows {
            frames.record(Table::PastRows, &past_record_of(row))?;
        }
    }
    Ok(())
}

/// Reads a snapshot; a damaged, shortened or newer one is refused as a whole.
///
/// Reads to the end of `source`, in many small pieces: buffer it.
pub fn read_snapshot(source: &mut dyn io::Read) -> Result<State, SnapshotError> {
    let mut frames = FrameReader::begin(source)?;
    let mut loader = Loader::default();
    loop {
        let (table, mut records) = frames.frame()?;
        if table < loader.table && !(loader.table == Table::PastRows && table == Table::History) {
            return Err(damaged("its tables are out of order"));
        }
        loader.table = table;
        while !records.is_empty() {
            loader.load(table, &mut records).map_err(|fault| fault.of(WHAT))?;
            loader.records += 1;
        }
        loader.restore_frame();
        if table == Table::End {
            frames.end()?;
            return Ok(loader.state);
        }
    }
}

/// A state being built.
#[derive(Default)]
struct Loader {
    state: State,
    owners: Owners,
    /// The services met, with the tags of an instance of each.
    services: BTreeMap<Text, Arc<[Text]>>,
    /// The table of the frame at hand.
    table: Table,
    records: u64,
    headed: bool,
    /// The rows of the frame at hand.
    frame: Vec<Before>,
    /// The entry of history whose rows are being read, and how many it should have.
    past: Option<(Index, HistoryEntry, u64)>,
}

impl Loader {
    fn load(&mut self, table: Table, records: &mut &[u8]) -> Result<(), Fault> {
        if self.headed == (table == Table::Head) {
            return Err(Fault::Damaged("its head is not where it belongs".to_owned()));
        }
        match table {
            Table::Head => self.head(next_record(records)?),
            Table::Requests => self.request(next_record(records)?),
            Table::History => self.history(next_record(records)?),
            Table::PastRows => self.past_row(next_record(records)?),
            Table::End => self.end(next_record(records)?),
            _ => {
                let mut row = row_of(table, next_record(records)?, &mut self.owners)?;
                self.share(&mut row);
                self.frame.push(row);
                Ok(())
            }
        }
    }

    /// Puts the rows of a frame: every other one, then those in between.
    ///
    /// A B-tree that grows in order splits each full leaf and leaves two halves for ever; this way
    /// the second round fills them up, which saves a quarter of a state's memory.
    fn restore_frame(&mut self) {
        let mut between = Vec::with_capacity(self.frame.len() / 2);
        for (number, row) in self.frame.drain(..).enumerate() {
            if number % 2 == 0 {
                self.state.restore(row);
            } else {
                between.push(row);
            }
        }
        for row in between {
            self.state.restore(row);
        }
    }

    fn head(&mut self, head: wire::Head) -> Result<(), Fault> {
        self.headed = true;
        self.state.index = Index(head.index);
        self.state.time = Timestamp(head.time);
        self.state.tables = head.tables.unwrap_or_default().into();
        self.state.history.limits = head.history_limits.ok_or_else(|| missing("limits"))?.into();
        self.state.history.dropped = Index(head.history_dropped);
        self.state.requests.forgotten = head.requests_forgotten.map(Timestamp);
        Ok(())
    }

    fn request(&mut self, request: wire::Request) -> Result<(), Fault> {
        let key = RequestKey::try_from(request.key.ok_or_else(|| missing("request"))?)?;
        let outcome = Outcome::try_from(request.outcome.ok_or_else(|| missing("outcome"))?)?;
        self.state.requests.remember(key, Timestamp(request.time), &outcome);
        Ok(())
    }

    fn history(&mut self, entry: wire::HistoryEntry) -> Result<(), Fault> {
        self.close_past()?;
        let past = HistoryEntry {
            time: Timestamp(entry.time),
            author: entry.author.unwrap_or_default().try_into()?,
            tables: entry.tables.unwrap_or_default().into(),
            rows: Vec::new(),
            bytes: entry.bytes,
        };
        self.past = Some((Index(entry.index), past, entry.rows));
        Ok(())
    }

    fn past_row(&mut self, row: wire::PastRow) -> Result<(), Fault> {
        let row = past_row_of(row, &mut self.owners)?;
        let (_, entry, _) = self.past.as_mut().ok_or_else(|| missing("entry of history"))?;
        entry.rows.push(row);
        Ok(())
    }

    fn close_past(&mut self) -> Result<(), Fault> {
        let Some((index, mut entry, rows)) = self.past.take() else { return Ok(()) };
        if entry.rows.len() as u64 != rows {
            return Err(missing("row of history"));
        }
        entry.rows.shrink_to_fit();
        self.state.history.add(index, entry);
        Ok(())
    }

    fn end(&mut self, end: wire::End) -> Result<(), Fault> {
        self.close_past()?;
        if end.records == self.records { Ok(()) } else { Err(missing("record")) }
    }

    /// Lets a row that was just read share texts and tags with others, as those that were applied do.
    fn share(&mut self, row: &mut Before) {
        match row {
            Before::Node(key, Some(row)) => key.node.share(row.name.text()),
            Before::Instance(key, Some(row)) => {
                let Some(instance) = Arc::get_mut(row).map(|row| &mut row.claim) else { return };
                self.share_node(key.tenant, &mut key.node, &mut instance.node);
                key.id.share(instance.id.text());
                self.share_service(instance);
            }
            Before::Check(key, Some(row)) => {
                let Some(check) = Arc::get_mut(row).map(|row| &mut row.claim) else { return };
                self.share_node(key.tenant, &mut key.node, &mut check.node);
                key.id.share(check.id.text());
                self.share_instance(key, check);
            }
            _ => {}
        }
    }

    fn share_node(&self, tenant: Tenant, key: &mut Folded, name: &mut NodeName) {
        // A short name is not shared but copied.
        if key.as_str().len() > Text::INLINE {
            let held = NodeKey { tenant, node: key.clone() };
            if let Some((held, node)) = self.state.nodes.get_key_value(&held) {
                name.share(node.name.text());
                key.share(held.node.text());
            }
        }
    }

    fn share_service(&mut self, instance: &mut Instance) {
        match self.services.get_key_value(instance.service.text()) {
            Some((name, tags)) => {
                instance.service.share(name);
                if instance.tags == *tags {
                    instance.tags = Arc::clone(tags);
                }
            }
            None => {
                let (name, tags) = (instance.service.text().clone(), Arc::clone(&instance.tags));
                self.services.insert(name, tags);
            }
        }
    }

    fn share_instance(&self, key: &CheckKey, check: &mut Check) {
        let instance = key.node_key().instance(&check.instance);
        let Some(instance) = self.state.instance(&instance) else { return };
        check.instance.share(instance.id.text());
        check.service.share(instance.service.text());
        if instance.tags == check.service_tags {
            check.service_tags = Arc::clone(&instance.tags);
        }
    }
}

fn missing(what: &str) -> Fault {
    Fault::Damaged(format!("a {what} is missing"))
}
