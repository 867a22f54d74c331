//! Transactions: operations carried out in order, each seeing what those before it did; if one of them
//! fails, nothing is done and every failure is told.
//!
//! An operation is made of three optional parts: what must hold, what is then done, and what is shown
//! of it afterwards. A condition alone and a look alone are operations too, so a read needs no words
//! of its own: [`View::look`](crate::View::look) evaluates the same operations without an entry.
//!
//! Source: Consul, "Transaction HTTP API"; story 13.

mod weight;

use crate::entry::{Command, KvCondition, Reply};
use crate::keys::{KvRowKey, NodeKey};
use crate::state::{State, TableIndexes, Tx};
use crate::tables::kv::no_value;
use crate::{Interest, Refusal};
use model::{
    Check, CheckId, Index, Instance, InstanceId, KvEntry, KvKey, Node, NodeId, NodeName, Row,
    SessionId, Tenant,
};
use std::sync::Arc;
pub use weight::MOST_SHOWN;
use weight::PIECE_BYTES_V1;

/// One operation of a transaction. What is not there is not asked, done or shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Operation {
    /// What must hold.
    pub expects: Option<Expectation>,
    /// What is done; its own condition must hold. Not a transaction itself.
    pub does: Option<Box<Command>>,
    /// What is shown of the state after that.
    pub shows: Option<Selection>,
}

/// The name of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowName {
    /// A node.
    Node(NodeName),
    /// The node that has this id.
    NodeId(NodeId),
    /// An instance on a node.
    Instance(NodeName, InstanceId),
    /// A check on a node.
    Check(NodeName, CheckId),
    /// A key.
    Kv(KvKey),
}

/// What must hold of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// The row.
    pub row: RowName,
    /// What must hold of it.
    pub is: Condition,
}

/// A condition on a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It is there.
    Present,
    /// It is not there.
    Absent,
    /// It was last changed at this index; 0 means that it is not there.
    Unchanged(Index),
    /// It is there and was last changed at this index.
    ChangedAt(Index),
    /// It is a key that this session holds; `None` means a key that is there and that nobody holds.
    HeldBy(Option<SessionId>),
}

/// What is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// A row, if it is there.
    Row(RowName),
    /// A row, if it is there; of a key without its value.
    Head(RowName),
    /// All keys that begin with these bytes, in byte order.
    KvTree(KvKey),
}

/// A row that an operation showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The operation's place in the transaction, from 0.
    pub operation: u32,
    /// The row as it stood then.
    pub row: AnyRow,
}

/// A row of any table that operations name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnyRow {
    /// A node.
    Node(Arc<Row<Node>>),
    /// An instance.
    Instance(Arc<Row<Instance>>),
    /// A check.
    Check(Arc<Row<Check>>),
    /// A key and its value.
    Kv(KvKey, Arc<Row<KvEntry>>),
}

/// An operation that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The operation's place in the transaction, from 0.
    pub operation: u32,
    /// Why it failed.
    pub cause: Cause,
}

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The row is not there.
    Absent,
    /// The row is there.
    Present,
    /// The row was last changed at this index.
    Changed(Index),
    /// The key is held by this session, or by nobody.
    HeldBy(Option<SessionId>),
    /// The condition of what was to be done did not hold.
    ConditionFailed,
    /// The key was to be locked during its lock-delay.
    LockDelayed,
    /// It would show so much that the transaction shows more than [`MOST_SHOWN`] bytes.
    TooMuch,
    /// What was to be done was refused.
    Refused(Box<Refusal>),
}

impl AnyRow {
    /// The index of the row's last change.
    pub fn modified(&self) -> Index {
        match self {
            AnyRow::Node(row) => row.modified,
            AnyRow::Instance(row) => row.modified,
            AnyRow::Check(row) => row.modified,
            AnyRow::Kv(_, row) => row.modified,
        }
    }

    /// The same without a key's value.
    fn head(self) -> AnyRow {
        match self {
            AnyRow::Kv(key, row) if !row.value.is_empty() => {
                let entry = KvEntry { value: no_value(), ..row.claim.clone() };
                AnyRow::Kv(key, Arc::new(Row { claim: entry, owner: row.owner.clone(), ..*row }))
            }
            row => row,
        }
    }
}

impl RowName {
    /// What must be held to look at the row.
    pub(crate) fn interest(&self, tenant: Tenant) -> Interest {
        match self {
            RowName::Node(node) | RowName::Instance(node, _) | RowName::Check(node, _) => {
                Interest::Node(NodeKey::new(tenant, node))
            }
            RowName::NodeId(_) => Interest::Nodes(tenant),
            RowName::Kv(key) => Interest::Kv(KvRowKey { tenant, key: key.clone() }),
        }
    }
}

impl Operation {
    /// What must be held to look at everything that the operation names.
    pub(crate) fn interests(&self, tenant: Tenant) -> impl Iterator<Item = Interest> {
        let expected = self.expects.as_ref().map(|expected| expected.row.interest(tenant));
        let shown = self.shows.as_ref().map(|selection| match selection {
            Selection::Row(name) | Selection::Head(name) => name.interest(tenant),
            Selection::KvTree(prefix) => Interest::Kv(KvRowKey { tenant, key: prefix.clone() }),
        });
        expected.into_iter().chain(shown)
    }
}

impl State {
    /// The row of this name.
    fn row_named(&self, tenant: Tenant, name: &RowName) -> Option<AnyRow> {
        match name {
            RowName::Node(name) => {
                self.nodes.get(&NodeKey::new(tenant, name)).cloned().map(AnyRow::Node)
            }
            RowName::NodeId(id) => {
                let key = self.node_ids.get(&(tenant, *id))?;
                self.nodes.get(key).cloned().map(AnyRow::Node)
            }
            RowName::Instance(node, id) => {
                let key = NodeKey::new(tenant, node).instance(id);
                self.instance(&key).cloned().map(AnyRow::Instance)
            }
            RowName::Check(node, id) => {
                let key = NodeKey::new(tenant, node).check(id);
                self.check(&key).cloned().map(AnyRow::Check)
            }
            RowName::Kv(key) => {
                let row = self.kv.get(&KvRowKey { tenant, key: key.clone() }).cloned();
                row.map(|row| AnyRow::Kv(key.clone(), row))
            }
        }
    }

    fn expect(&self, tenant: Tenant, expected: &Expectation) -> Result<(), Cause> {
        let row = self.row_named(tenant, &expected.row);
        match (expected.is, row) {
            (Condition::Present, Some(_))
            | (Condition::Absent | Condition::Unchanged(Index(0)), None) => Ok(()),
            (_, None) => Err(Cause::Absent),
            (Condition::Absent, Some(_)) => Err(Cause::Present),
            (Condition::Unchanged(index) | Condition::ChangedAt(index), Some(row)) => {
                match row.modified() {
                    now if now == index => Ok(()),
                    now => Err(Cause::Changed(now)),
                }
            }
            (Condition::HeldBy(session), Some(AnyRow::Kv(_, row))) if row.session == session => {
                Ok(())
            }
            (Condition::HeldBy(_), Some(AnyRow::Kv(_, row))) => Err(Cause::HeldBy(row.session)),
            // Only keys are held.
            (Condition::HeldBy(_), Some(_)) => Err(Cause::HeldBy(None)),
        }
    }

    /// What is shown, of which no more than `left` bytes may be left to show.
    fn selected(
        &self,
        tenant: Tenant,
        selection: &Selection,
        left: &mut u64,
    ) -> Result<Vec<AnyRow>, Cause> {
        let mut take = |row: AnyRow| match left.checked_sub(PIECE_BYTES_V1 + row.weight_v1()) {
            Some(rest) => {
                *left = rest;
                Ok(row)
            }
            None => Err(Cause::TooMuch),
        };
        match selection {
            Selection::Row(name) => self.row_named(tenant, name).into_iter().map(take).collect(),
            Selection::Head(name) => {
                self.row_named(tenant, name).map(AnyRow::head).into_iter().map(take).collect()
            }
            Selection::KvTree(prefix) => {
                let first = KvRowKey { tenant, key: prefix.clone() };
                self.kv
                    .range(first..)
                    .take_while(|(key, _)| {
                        key.tenant == tenant && key.key.starts_with(prefix.as_bytes())
                    })
                    .map(|(key, row)| take(AnyRow::Kv(key.key.clone(), Arc::clone(row))))
                    .collect()
            }
        }
    }

    /// Evaluates operations as they stand; what they would do is not done.
    pub(crate) fn look(
        &self,
        tenant: Tenant,
        operations: &[Operation],
    ) -> Result<Vec<Shown>, Vec<Failure>> {
        let mut report = Report::default();
        for operation in operations {
            let expects = operation.expects.as_ref();
            let held = expects.map_or(Ok(()), |expected| self.expect(tenant, expected));
            let outcome = held.and_then(|()| match &operation.shows {
                Some(selection) => self.selected(tenant, selection, &mut report.left),
                None => Ok(Vec::new()),
            });
            report.add(outcome);
        }
        report.finish()
    }
}

/// What operations showed and which failed.
struct Report {
    operations: u32,
    /// How many bytes may still be shown.
    left: u64,
    shown: Vec<Shown>,
    failures: Vec<Failure>,
}

impl Default for Report {
    fn default() -> Report {
        Report { operations: 0, left: MOST_SHOWN, shown: Vec::new(), failures: Vec::new() }
    }
}

impl Report {
    fn add(&mut self, outcome: Result<Vec<AnyRow>, Cause>) {
        let operation = self.operations;
        self.operations += 1;
        match outcome {
            Ok(rows) => self.shown.extend(rows.into_iter().map(|row| Shown { operation, row })),
            Err(cause) => self.failures.push(Failure { operation, cause }),
        }
    }

    fn finish(self) -> Result<Vec<Shown>, Vec<Failure>> {
        if self.failures.is_empty() { Ok(self.shown) } else { Err(self.failures) }
    }
}

impl Tx<'_> {
    /// Carries out operations in order; if one fails, all are refused with every failure.
    ///
    /// A failed one is taken back at once, so that those after it are judged as if it were not there.
    pub fn transact(&mut self, operations: Vec<Operation>) -> Result<Reply, Refusal> {
        let mut report = Report::default();
        for operation in operations {
            let (noted, tables) = (self.before.len(), self.state.tables);
            let outcome = self.operate(operation, &mut report.left);
            if outcome.is_err() {
                self.take_back(noted, tables);
            }
            report.add(outcome);
        }
        report.finish().map(Reply::Shown).map_err(Refusal::Failed)
    }

    fn operate(&mut self, operation: Operation, left: &mut u64) -> Result<Vec<AnyRow>, Cause> {
        if let Some(expected) = &operation.expects {
            self.state.expect(self.tenant, expected)?;
        }
        if let Some(command) = operation.does {
            self.do_within(*command)?;
        }
        match &operation.shows {
            Some(selection) => self.state.selected(self.tenant, selection, left),
            None => Ok(Vec::new()),
        }
    }

    fn do_within(&mut self, command: Command) -> Result<(), Cause> {
        let locks = match &command {
            Command::KvPut(write) => {
                matches!(write.condition, KvCondition::Acquire(_)).then(|| write.key.clone())
            }
            _ => None,
        };
        match self.carry_out(command) {
            Ok(Reply::ConditionFailed) if locks.is_some_and(|key| self.is_delayed(key)) => {
                Err(Cause::LockDelayed)
            }
            Ok(Reply::ConditionFailed) => Err(Cause::ConditionFailed),
            Ok(Reply::Done | Reply::Shown(_)) => Ok(()),
            Err(refusal) => Err(Cause::Refused(Box::new(refusal))),
        }
    }

    fn is_delayed(&self, key: KvKey) -> bool {
        let key = KvRowKey { tenant: self.tenant, key };
        self.state.lock_delays.get(&key).is_some_and(|until| self.time < *until)
    }

    /// Takes back what was changed after so many rows had been noted.
    pub(crate) fn take_back(&mut self, noted: usize, tables: TableIndexes) {
        for row in self.before.drain(noted..).rev() {
            self.state.restore(row);
        }
        self.state.tables = tables;
    }
}

#[cfg(test)]
mod tests;
