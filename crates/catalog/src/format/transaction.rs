//! Transactions to and from their messages.

use super::error::Fault;
use super::wire::{self, uuid, uuid_bytes};
use crate::{
    AnyRow, Cause, Command, Condition, Expectation, Failure, Operation, Refusal, RowName,
    Selection, Shown,
};
use model::{CheckId, Index, InstanceId, KvKey, NodeName, Owner, Row};
use std::sync::Arc;

impl From<&[Operation]> for wire::Transaction {
    fn from(operations: &[Operation]) -> Self {
        wire::Transaction { operations: operations.iter().map(Into::into).collect() }
    }
}

impl TryFrom<wire::Transaction> for Vec<Operation> {
    type Error = Fault;

    fn try_from(transaction: wire::Transaction) -> Result<Self, Fault> {
        transaction.operations.into_iter().map(TryInto::try_into).collect()
    }
}

impl From<&Operation> for wire::Operation {
    fn from(operation: &Operation) -> Self {
        wire::Operation {
            expects: operation.expects.as_ref().map(Into::into),
            does: operation.does.as_deref().map(|command| Box::new(command.into())),
            shows: operation.shows.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<wire::Operation> for Operation {
    type Error = Fault;

    fn try_from(operation: wire::Operation) -> Result<Self, Fault> {
        let does = match operation.does.map(|command| Command::try_from(*command)).transpose()? {
            Some(Command::Transact(_)) => {
                return Err(Fault::Damaged("a transaction in a transaction".to_owned()));
            }
            does => does.map(Box::new),
        };
        Ok(Operation {
            expects: operation.expects.map(TryInto::try_into).transpose()?,
            does,
            shows: operation.shows.map(TryInto::try_into).transpose()?,
        })
    }
}

impl From<&RowName> for wire::RowName {
    fn from(name: &RowName) -> Self {
        let on_node =
            |node: &NodeName, id: &str| wire::OnNode { node: node.to_string(), id: id.to_owned() };
        wire::RowName {
            kind: Some(match name {
                RowName::Node(name) => wire::RowNameKind::Node(name.to_string()),
                RowName::NodeId(id) => wire::RowNameKind::NodeId(uuid_bytes(id)),
                RowName::Instance(node, id) => {
                    wire::RowNameKind::Instance(on_node(node, id.as_str()))
                }
                RowName::Check(node, id) => wire::RowNameKind::Check(on_node(node, id.as_str())),
                RowName::Kv(key) => wire::RowNameKind::Kv(key.as_bytes().to_vec()),
            }),
        }
    }
}

impl TryFrom<wire::RowName> for RowName {
    type Error = Fault;

    fn try_from(name: wire::RowName) -> Result<Self, Fault> {
        Ok(match name.kind.ok_or(Fault::Unknown("row"))? {
            wire::RowNameKind::Node(name) => RowName::Node(NodeName::new(name)),
            wire::RowNameKind::NodeId(id) => RowName::NodeId(uuid(&id)?),
            wire::RowNameKind::Instance(of) => {
                RowName::Instance(NodeName::new(of.node), InstanceId::new(of.id))
            }
            wire::RowNameKind::Check(of) => {
                RowName::Check(NodeName::new(of.node), CheckId::new(of.id))
            }
            wire::RowNameKind::Kv(key) => RowName::Kv(KvKey::new(&key)),
        })
    }
}

impl From<&Expectation> for wire::Expectation {
    fn from(expected: &Expectation) -> Self {
        let is = match expected.is {
            Condition::Present => wire::Condition::Present(true),
            Condition::Absent => wire::Condition::Absent(true),
            Condition::Unchanged(index) => wire::Condition::Unchanged(index.0),
            Condition::ChangedAt(index) => wire::Condition::ChangedAt(index.0),
            Condition::HeldBy(Some(id)) => wire::Condition::HeldBy(uuid_bytes(&id)),
            Condition::HeldBy(None) => wire::Condition::HeldByNobody(true),
        };
        wire::Expectation { row: Some((&expected.row).into()), is: Some(is) }
    }
}

impl TryFrom<wire::Expectation> for Expectation {
    type Error = Fault;

    fn try_from(expected: wire::Expectation) -> Result<Self, Fault> {
        let is = match expected.is.ok_or(Fault::Unknown("condition"))? {
            wire::Condition::Present(_) => Condition::Present,
            wire::Condition::Absent(_) => Condition::Absent,
            wire::Condition::Unchanged(index) => Condition::Unchanged(Index(index)),
            wire::Condition::ChangedAt(index) => Condition::ChangedAt(Index(index)),
            wire::Condition::HeldBy(id) => Condition::HeldBy(Some(uuid(&id)?)),
            wire::Condition::HeldByNobody(_) => Condition::HeldBy(None),
        };
        let row = expected.row.ok_or(Fault::Unknown("row"))?.try_into()?;
        Ok(Expectation { row, is })
    }
}

impl From<&Selection> for wire::Selection {
    fn from(selection: &Selection) -> Self {
        wire::Selection {
            kind: Some(match selection {
                Selection::Row(name) => wire::SelectionKind::Row(name.into()),
                Selection::Head(name) => wire::SelectionKind::Head(name.into()),
                Selection::KvTree(prefix) => {
                    wire::SelectionKind::KvTree(prefix.as_bytes().to_vec())
                }
            }),
        }
    }
}

impl TryFrom<wire::Selection> for Selection {
    type Error = Fault;

    fn try_from(selection: wire::Selection) -> Result<Self, Fault> {
        Ok(match selection.kind.ok_or(Fault::Unknown("selection"))? {
            wire::SelectionKind::Row(name) => Selection::Row(name.try_into()?),
            wire::SelectionKind::Head(name) => Selection::Head(name.try_into()?),
            wire::SelectionKind::KvTree(prefix) => Selection::KvTree(KvKey::new(&prefix)),
        })
    }
}

impl From<&[Shown]> for wire::Results {
    fn from(shown: &[Shown]) -> Self {
        wire::Results { shown: shown.iter().map(Into::into).collect() }
    }
}

impl TryFrom<wire::Results> for Vec<Shown> {
    type Error = Fault;

    fn try_from(results: wire::Results) -> Result<Self, Fault> {
        results.shown.into_iter().map(TryInto::try_into).collect()
    }
}

impl From<&Shown> for wire::Shown {
    fn from(shown: &Shown) -> Self {
        let (key, stamp, claim) = match &shown.row {
            AnyRow::Node(row) => (Vec::new(), stamp(row), wire::Claim::Node((&row.claim).into())),
            AnyRow::Instance(row) => {
                (Vec::new(), stamp(row), wire::Claim::Instance(Box::new((&row.claim).into())))
            }
            AnyRow::Check(row) => {
                (Vec::new(), stamp(row), wire::Claim::Check(Box::new((&row.claim).into())))
            }
            AnyRow::Kv(key, row) => {
                (key.as_bytes().to_vec(), stamp(row), wire::Claim::Kv((&row.claim).into()))
            }
        };
        wire::Shown { operation: shown.operation, key, stamp: Some(stamp), claim: Some(claim) }
    }
}

impl TryFrom<wire::Shown> for Shown {
    type Error = Fault;

    fn try_from(shown: wire::Shown) -> Result<Self, Fault> {
        let stamp = shown.stamp.ok_or_else(|| damaged("a row without owner"))?;
        let row = match shown.claim.ok_or(Fault::Unknown("row"))? {
            wire::Claim::Node(node) => AnyRow::Node(row(node.try_into()?, stamp)),
            wire::Claim::Instance(instance) => {
                AnyRow::Instance(row((*instance).try_into()?, stamp))
            }
            wire::Claim::Check(check) => AnyRow::Check(row((*check).into(), stamp)),
            wire::Claim::Kv(entry) => {
                AnyRow::Kv(KvKey::new(&shown.key), row(entry.try_into()?, stamp))
            }
            _ => return Err(damaged("a row that no operation shows")),
        };
        Ok(Shown { operation: shown.operation, row })
    }
}

fn stamp<T>(row: &Row<T>) -> wire::Stamp {
    let (created, modified) = (row.created.0, row.modified.0);
    wire::Stamp { owner: row.owner.to_string(), created, modified }
}

fn row<T>(claim: T, stamp: wire::Stamp) -> Arc<Row<T>> {
    let (created, modified) = (Index(stamp.created), Index(stamp.modified));
    Arc::new(Row { claim, owner: Owner::new(&stamp.owner), created, modified })
}

fn damaged(why: &str) -> Fault {
    Fault::Damaged(why.to_owned())
}

impl From<&[Failure]> for wire::Failures {
    fn from(failures: &[Failure]) -> Self {
        wire::Failures { failures: failures.iter().map(Into::into).collect() }
    }
}

impl TryFrom<wire::Failures> for Vec<Failure> {
    type Error = Fault;

    fn try_from(failures: wire::Failures) -> Result<Self, Fault> {
        failures.failures.into_iter().map(TryInto::try_into).collect()
    }
}

impl From<&Failure> for wire::Failure {
    fn from(failure: &Failure) -> Self {
        let cause = match &failure.cause {
            Cause::Absent => wire::Cause::Absent(true),
            Cause::Present => wire::Cause::Present(true),
            Cause::Changed(index) => wire::Cause::Changed(index.0),
            Cause::HeldBy(Some(id)) => wire::Cause::HeldBy(uuid_bytes(id)),
            Cause::HeldBy(None) => wire::Cause::HeldByNobody(true),
            Cause::ConditionFailed => wire::Cause::ConditionFailed(true),
            Cause::LockDelayed => wire::Cause::LockDelayed(true),
            Cause::TooMuch => wire::Cause::TooMuch(true),
            Cause::Refused(refusal) => wire::Cause::Refused(Box::new((&**refusal).into())),
        };
        wire::Failure { operation: failure.operation, cause: Some(cause) }
    }
}

impl TryFrom<wire::Failure> for Failure {
    type Error = Fault;

    fn try_from(failure: wire::Failure) -> Result<Self, Fault> {
        let cause = match failure.cause.ok_or(Fault::Unknown("cause"))? {
            wire::Cause::Absent(_) => Cause::Absent,
            wire::Cause::Present(_) => Cause::Present,
            wire::Cause::Changed(index) => Cause::Changed(Index(index)),
            wire::Cause::HeldBy(id) => Cause::HeldBy(Some(uuid(&id)?)),
            wire::Cause::HeldByNobody(_) => Cause::HeldBy(None),
            wire::Cause::ConditionFailed(_) => Cause::ConditionFailed,
            wire::Cause::LockDelayed(_) => Cause::LockDelayed,
            wire::Cause::TooMuch(_) => Cause::TooMuch,
            wire::Cause::Refused(refusal) => Cause::Refused(Box::new(Refusal::try_from(*refusal)?)),
        };
        Ok(Failure { operation: failure.operation, cause })
    }
}
