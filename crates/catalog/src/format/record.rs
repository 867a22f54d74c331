//! Rows of all tables to and from records: the same for a snapshot's rows and for history's.
//!
//! The bridge is [`Before`], "a row under its key, or none": what a transaction notes, history keeps
//! and a snapshot restores.

use super::error::Fault;
use super::frame::Table;
use super::wire::{self, uuid, uuid_bytes};
use crate::keys::{CheckKey, InstanceKey, KvRowKey, NodeKey, ServiceKey};
use crate::past::ValuePrint;
use crate::state::{Before, ServiceMark, TableIndexes, Tombstone};
use crate::tables::history::PastRow;
use model::{Folded, Index, Owner, Row, Tenant, Timestamp};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Owners met while reading, so that rows of the same owner share its text.
#[derive(Default)]
pub(super) struct Owners(BTreeSet<Owner>);

impl Owners {
    fn get(&mut self, owner: String) -> Owner {
        let owner = Owner::new(&owner);
        if let Some(known) = self.0.get(&owner) {
            return known.clone();
        }
        self.0.insert(owner.clone());
        owner
    }
}

/// The table a row belongs to, and its record.
pub(super) fn record_of(row: &Before) -> (Table, wire::Record) {
    match row {
        Before::Node(key, row) => (
            Table::Nodes,
            rows(key.tenant, name_key(&key.node), row, |node| wire::Claim::Node(node.into())),
        ),
        Before::NodeMark(key, mark) => (
            Table::NodeMarks,
            marks(key.tenant, name_key(&key.node), mark.map(|at| wire::Claim::NodeMark(at.0))),
        ),
        Before::Instance(key, row) => (
            Table::Instances,
            rows(key.tenant, id_key(&key.node, &key.id), row, |instance| {
                wire::Claim::Instance(Box::new(instance.into()))
            }),
        ),
        Before::Service(key, mark) => {
            (Table::Services, marks(key.tenant, name_key(&key.service), mark.map(service_mark)))
        }
        Before::Check(key, row) => (
            Table::Checks,
            rows(key.tenant, id_key(&key.node, &key.id), row, |check| {
                wire::Claim::Check(Box::new(check.into()))
            }),
        ),
        Before::Kv(key, row) => (
            Table::Kv,
            rows(key.tenant, bytes_key(key), row, |entry| wire::Claim::Kv(entry.into())),
        ),
        Before::Tombstone(key, stone) => {
            (Table::Tombstones, marks(key.tenant, bytes_key(key), stone.map(tombstone)))
        }
        Before::LockDelay(key, until) => (
            Table::LockDelays,
            marks(key.tenant, bytes_key(key), until.map(|at| wire::Claim::LockDelay(at.0))),
        ),
        Before::Session(tenant, id, row) => {
            let key = wire::Key { bytes: uuid_bytes(id), ..Default::default() };
            let claim = |session: &_| wire::Claim::Session(Box::new(wire::Session::from(session)));
            (Table::Sessions, rows(*tenant, key, row, claim))
        }
    }
}

/// The row of a table that a record holds.
pub(super) fn row_of(
    table: Table,
    record: wire::Record,
    owners: &mut Owners,
) -> Result<Before, Fault> {
    let tenant = Tenant(record.tenant);
    let key = record.key.ok_or_else(|| damaged("a row without key"))?;
    let rest = Rest { claim: record.claim, stamp: record.stamp, owners };
    Ok(match table {
        Table::Nodes => Before::Node(node_key(tenant, &key), rest.row(take_node)?),
        Table::NodeMarks => Before::NodeMark(node_key(tenant, &key), rest.mark(take_node_mark)?),
        Table::Instances => Before::Instance(instance_key(tenant, &key), rest.row(take_instance)?),
        Table::Services => Before::Service(service_key(tenant, &key), rest.mark(take_service)?),
        Table::Checks => Before::Check(check_key(tenant, &key), rest.row(take_check)?),
        Table::Kv => Before::Kv(kv_key(tenant, &key), rest.row(take_kv)?),
        Table::Tombstones => Before::Tombstone(kv_key(tenant, &key), rest.mark(take_tombstone)?),
        Table::LockDelays => Before::LockDelay(kv_key(tenant, &key), rest.mark(take_lock_delay)?),
        Table::Sessions => Before::Session(tenant, uuid(&key.bytes)?, rest.row(take_session)?),
        Table::Head | Table::Requests | Table::History | Table::PastRows | Table::End => {
            return Err(damaged("a row in a table without rows"));
        }
    })
}

/// A row of the past and its record; of a value only the print is kept.
pub(super) fn past_record_of(row: &PastRow) -> wire::PastRow {
    let (table, record, print) = match row {
        PastRow::Row(before) => {
            let (table, record) = record_of(before);
            (table, record, None)
        }
        PastRow::Kv(key, None) => {
            let (table, record) = record_of(&Before::Kv(key.clone(), None));
            (table, record, None)
        }
        PastRow::Kv(key, Some(past)) => {
            let (row, print) = &**past;
            let row = Before::Kv(key.clone(), Some(Arc::new(row.clone())));
            let (table, record) = record_of(&row);
            (table, record, Some(print))
        }
    };
    wire::PastRow {
        table: u32::from(table.number()),
        record: Some(record),
        hash: print.map(|print| print.hash.to_vec()).unwrap_or_default(),
        size: print.map_or(0, |print| print.size),
    }
}

/// The row of the past that a record holds.
pub(super) fn past_row_of(past: wire::PastRow, owners: &mut Owners) -> Result<PastRow, Fault> {
    let number = u8::try_from(past.table).map_err(|_| Fault::Unknown("table"))?;
    let table = Table::from_number(number).ok_or(Fault::Unknown("table"))?;
    let record = past.record.ok_or_else(|| damaged("a row of the past without record"))?;
    Ok(match row_of(table, record, owners)? {
        Before::Kv(key, None) => PastRow::Kv(key, None),
        Before::Kv(key, Some(row)) => {
            let hash = past.hash.try_into().map_err(|_| damaged("a print of the wrong length"))?;
            let print = ValuePrint { hash, size: past.size };
            PastRow::Kv(key, Some(Box::new((Row::clone(&row), print))))
        }
        other => PastRow::Row(other),
    })
}

fn damaged(why: &str) -> Fault {
    Fault::Damaged(why.to_owned())
}

/// What is left of a record once its key is read.
struct Rest<'o> {
    claim: Option<wire::Claim>,
    stamp: Option<wire::Stamp>,
    owners: &'o mut Owners,
}

impl Rest<'_> {
    fn row<T>(
        self,
        take: impl FnOnce(wire::Claim) -> Option<Result<T, Fault>>,
    ) -> Result<Option<Arc<Row<T>>>, Fault> {
        let Some(claim) = self.claim else { return Ok(None) };
        let claim = take(claim).ok_or_else(|| damaged("a row in the wrong table"))??;
        let stamp = self.stamp.ok_or_else(|| damaged("a row without owner"))?;
        Ok(Some(Arc::new(Row {
            claim,
            owner: self.owners.get(stamp.owner),
            created: Index(stamp.created),
            modified: Index(stamp.modified),
        })))
    }

    fn mark<T>(self, take: impl FnOnce(wire::Claim) -> Option<T>) -> Result<Option<T>, Fault> {
        let Some(claim) = self.claim else { return Ok(None) };
        take(claim).ok_or_else(|| damaged("a mark in the wrong table")).map(Some)
    }
}

macro_rules! take {
    ($($name:ident: $claim:ident($value:ident) -> $type:ty = $made:expr;)*) => {$(
        fn $name(claim: wire::Claim) -> Option<$type> {
            match claim {
                wire::Claim::$claim($value) => Some($made),
                _ => None,
            }
        }
    )*};
}

take! {
    take_node: Node(node) -> Result<model::Node, Fault> = node.try_into();
    take_node_mark: NodeMark(index) -> Index = Index(index);
    take_instance: Instance(instance) -> Result<model::Instance, Fault> = (*instance).try_into();
    take_service: ServiceMark(mark) -> ServiceMark = ServiceMark {
        instances: Index(mark.instances),
        health: Index(mark.health),
        count: mark.count,
    };
    take_check: Check(check) -> Result<model::Check, Fault> = Ok((*check).into());
    take_kv: Kv(entry) -> Result<model::KvEntry, Fault> = entry.try_into();
    take_tombstone: Tombstone(stone) -> Tombstone = Tombstone {
        index: Index(stone.index),
        time: Timestamp(stone.time),
    };
    take_lock_delay: LockDelay(until) -> Timestamp = Timestamp(until);
    take_session: Session(session) -> Result<model::Session, Fault> = (*session).try_into();
}

fn rows<T>(
    tenant: Tenant,
    key: wire::Key,
    row: &Option<Arc<Row<T>>>,
    claim: impl FnOnce(&T) -> wire::Claim,
) -> wire::Record {
    let stamp = row.as_ref().map(|row| wire::Stamp {
        owner: row.owner.to_string(),
        created: row.created.0,
        modified: row.modified.0,
    });
    let claim = row.as_ref().map(|row| claim(&row.claim));
    wire::Record { tenant: tenant.0, key: Some(key), stamp, claim }
}

fn marks(tenant: Tenant, key: wire::Key, claim: Option<wire::Claim>) -> wire::Record {
    wire::Record { tenant: tenant.0, key: Some(key), stamp: None, claim }
}

fn service_mark(mark: ServiceMark) -> wire::Claim {
    wire::Claim::ServiceMark(wire::ServiceMark {
        instances: mark.instances.0,
        health: mark.health.0,
        count: mark.count,
    })
}

fn tombstone(stone: Tombstone) -> wire::Claim {
    wire::Claim::Tombstone(wire::Tombstone { index: stone.index.0, time: stone.time.0 })
}

fn name_key(name: &Folded) -> wire::Key {
    wire::Key { name: name.to_string(), ..wire::Key::default() }
}

fn id_key(node: &Folded, id: &Folded) -> wire::Key {
    wire::Key { name: node.to_string(), id: id.to_string(), ..wire::Key::default() }
}

fn bytes_key(key: &KvRowKey) -> wire::Key {
    wire::Key { bytes: key.key.as_bytes().to_vec(), ..wire::Key::default() }
}

fn node_key(tenant: Tenant, key: &wire::Key) -> NodeKey {
    NodeKey { tenant, node: Folded::new(&key.name) }
}

fn instance_key(tenant: Tenant, key: &wire::Key) -> InstanceKey {
    InstanceKey { tenant, node: Folded::new(&key.name), id: Folded::new(&key.id) }
}

fn check_key(tenant: Tenant, key: &wire::Key) -> CheckKey {
    CheckKey { tenant, node: Folded::new(&key.name), id: Folded::new(&key.id) }
}

fn service_key(tenant: Tenant, key: &wire::Key) -> ServiceKey {
    ServiceKey { tenant, service: Folded::new(&key.name) }
}

fn kv_key(tenant: Tenant, key: &wire::Key) -> KvRowKey {
    KvRowKey::new(tenant, &key.bytes)
}

impl From<&TableIndexes> for wire::TableIndexes {
    fn from(tables: &TableIndexes) -> Self {
        wire::TableIndexes {
            nodes: tables.nodes.0,
            node_removed: tables.node_removed.0,
            services: tables.services.0,
            service_extinct: tables.service_extinct.0,
            checks: tables.checks.0,
            kv: tables.kv.0,
            kv_reaped: tables.kv_reaped.0,
            sessions: tables.sessions.0,
        }
    }
}

impl From<wire::TableIndexes> for TableIndexes {
    fn from(tables: wire::TableIndexes) -> Self {
        TableIndexes {
            nodes: Index(tables.nodes),
            node_removed: Index(tables.node_removed),
            services: Index(tables.services),
            service_extinct: Index(tables.service_extinct),
            checks: Index(tables.checks),
            kv: Index(tables.kv),
            kv_reaped: Index(tables.kv_reaped),
            sessions: Index(tables.sessions),
        }
    }
}
