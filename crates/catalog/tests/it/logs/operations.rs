//! Random transactions: every condition, command, selection and failure.

use super::{HELD, Writer, command_name, refusal_name};
use catalog::{
    AnyRow, Cause, Command, Condition, Expectation, Failure, Operation, RowName, Selection, Shown,
    View,
};
use model::{Index, Tenant};
use uuid::Uuid;

impl Writer {
    pub(super) fn operations(&mut self) -> Vec<Operation> {
        let count = if self.dice.one_in(2) { 1 } else { 2 + self.dice.below(4) };
        (0..count).map(|_| self.operation()).collect()
    }

    fn operation(&mut self) -> Operation {
        if self.dice.one_in(3) {
            let row = self.row_name();
            let expects = (!self.dice.one_in(4)).then(|| self.expectation(row.clone()));
            return Operation { expects, does: None, shows: self.selection(Some(row)) };
        }
        let command = self.single_command();
        let row = row_of(&command);
        let expects = match &row {
            Some(row) if self.dice.one_in(3) => Some(self.expectation(row.clone())),
            _ => None,
        };
        Operation { expects, shows: self.selection(row), does: Some(Box::new(command)) }
    }

    fn row_name(&mut self) -> RowName {
        match self.dice.below(8) {
            0 => RowName::Node(self.node_name()),
            1 => RowName::NodeId(self.dice.uuid(2, 4)),
            2 => RowName::Instance(self.node_name(), self.instance_id()),
            3 => RowName::Check(self.node_name(), self.check_id()),
            _ => RowName::Kv(self.key()),
        }
    }

    /// Mostly one that holds.
    fn expectation(&mut self, row: RowName) -> Expectation {
        let now = found(&self.view, &row);
        let index = match &now {
            Some(row) if !self.dice.one_in(4) => row.modified(),
            _ => Index(self.dice.below(2) as u64),
        };
        let is = match self.dice.below(5) {
            0 if now.is_some() || self.dice.one_in(3) => Condition::Present,
            1 if now.is_none() || self.dice.one_in(3) => Condition::Absent,
            2 | 3 => match &now {
                Some(AnyRow::Kv(_, entry)) if !self.dice.one_in(4) => {
                    Condition::HeldBy(entry.session)
                }
                _ if self.dice.one_in(3) => Condition::HeldBy(Some(Uuid::from_u128(5))),
                _ => Condition::Unchanged(index),
            },
            _ => Condition::ChangedAt(index),
        };
        Expectation { row, is }
    }

    fn selection(&mut self, row: Option<RowName>) -> Option<Selection> {
        match (row, self.dice.below(5)) {
            (Some(row), 0 | 1) => Some(Selection::Row(row)),
            (Some(row), 2) => Some(Selection::Head(row)),
            (_, 3) => Some(Selection::KvTree(self.key())),
            _ => None,
        }
    }

    pub(super) fn count_shown(&mut self, operations: &[Operation], shown: &[Shown]) {
        for operation in operations {
            if let Some(expected) = &operation.expects {
                self.add(&format!("expected {}", condition_name(expected.is)));
            }
            if let Some(command) = &operation.does {
                self.add(&format!("{} within", command_name(command)));
            }
            if let Some(selection) = &operation.shows {
                self.add(match selection {
                    Selection::Row(_) => "selected row",
                    Selection::Head(_) => "selected head",
                    Selection::KvTree(_) => "selected tree",
                });
            }
        }
        for shown in shown {
            self.add(match &shown.row {
                AnyRow::Node(_) => "shown node",
                AnyRow::Instance(_) => "shown instance",
                AnyRow::Check(_) => "shown check",
                AnyRow::Kv(..) => "shown key",
            });
        }
        assert!(shown.is_sorted_by_key(|shown| shown.operation));
        if operations.iter().filter(|operation| operation.does.is_some()).count() > 1 {
            self.add("several done");
        }
    }

    pub(super) fn count_failures(&mut self, operations: &[Operation], failures: &[Failure]) {
        assert!(!failures.is_empty() && failures.is_sorted_by_key(|failure| failure.operation));
        if failures.len() > 1 {
            self.add("several failed");
        }
        for failure in failures {
            let operation = &operations[failure.operation as usize];
            let expected = operation.expects.as_ref().map(|expected| expected.is);
            self.add(&match (&failure.cause, &operation.does, expected) {
                (Cause::ConditionFailed | Cause::LockDelayed, Some(command), _) => {
                    format!("{} failed within: {:?}", command_name(command), failure.cause)
                }
                (Cause::Refused(refusal), _, _) => format!("{} within", refusal_name(refusal)),
                (Cause::Absent, _, Some(is)) => format!("not {}: absent", condition_name(is)),
                (Cause::Present, _, Some(is)) => format!("not {}: present", condition_name(is)),
                (Cause::Changed(_), _, Some(is)) => format!("not {}: changed", condition_name(is)),
                (Cause::HeldBy(_), _, Some(is)) => format!("not {}: held", condition_name(is)),
                other => panic!("an operation that failed for no reason: {other:?}"),
            });
        }
    }
}

fn found(view: &View, row: &RowName) -> Option<AnyRow> {
    let shows = Some(Selection::Row(row.clone()));
    let look = [Operation { shows, ..Operation::default() }];
    let shown = view.look(Tenant::DEFAULT, &look).expect(HELD).expect("nothing is expected");
    shown.into_iter().next().map(|shown| shown.row)
}

fn row_of(command: &Command) -> Option<RowName> {
    Some(match command {
        Command::PutNode(node) => RowName::Node(node.name.clone()),
        Command::EnsureNode(name) | Command::RemoveNode(name) => RowName::Node(name.clone()),
        Command::PutInstance(of) => RowName::Instance(of.node.clone(), of.id.clone()),
        Command::RemoveInstance(node, id) => RowName::Instance(node.clone(), id.clone()),
        Command::PutCheck(of) => RowName::Check(of.node.clone(), of.id.clone()),
        Command::RemoveCheck(node, id) => RowName::Check(node.clone(), id.clone()),
        Command::KvPut(write) => RowName::Kv(write.key.clone()),
        Command::KvDelete(key, _) => RowName::Kv(key.clone()),
        _ => return None,
    })
}

fn condition_name(condition: Condition) -> &'static str {
    match condition {
        Condition::Present => "present",
        Condition::Absent => "absent",
        Condition::Unchanged(Index(0)) => "unchanged at 0",
        Condition::Unchanged(_) => "unchanged",
        Condition::ChangedAt(_) => "changed at",
        Condition::HeldBy(None) => "held by nobody",
        Condition::HeldBy(Some(_)) => "held",
    }
}

/// Everything that must come up in transactions.
pub(super) const IN_TRANSACTIONS: &[&str] = &[
    "Transact Shown",
    "transaction failed",
    "several done",
    "several failed",
    "expected present",
    "expected absent",
    "expected unchanged at 0",
    "expected unchanged",
    "expected changed at",
    "expected held by nobody",
    "expected held",
    "not present: absent",
    "not absent: present",
    "not unchanged at 0: changed",
    "not unchanged: changed",
    "not changed at: absent",
    "not changed at: changed",
    "not held: held",
    "not held: absent",
    "selected row",
    "selected head",
    "selected tree",
    "shown node",
    "shown instance",
    "shown check",
    "shown key",
    "PutNode within",
    "PutInstance within",
    "PutCheck within",
    "RemoveNode within",
    "RemoveInstance within",
    "RemoveCheck within",
    "KvPut always within",
    "KvPut unchanged within",
    "KvPut acquire within",
    "KvPut release within",
    "KvDelete within",
    "KvDelete unchanged within",
    "KvDeleteTree within",
    "KvPut unchanged failed within: ConditionFailed",
    "KvPut acquire failed within: ConditionFailed",
    "KvPut acquire failed within: LockDelayed",
    "KvPut release failed within: ConditionFailed",
    "KvDelete unchanged failed within: ConditionFailed",
    "name reserved within",
    "missing node within",
    "missing instance within",
    "invalid session within",
    "owned by other within",
];
