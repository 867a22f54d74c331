//! Entries and outcomes to and from their bytes.

use super::FORMAT;
use super::error::{Fault, FormatError};
use super::wire::{self, CommandKind, OutcomeKind, RefusalKind, optional_uuid, uuid, uuid_bytes};
use crate::{Claim, Command, Entry, HistoryLimits, KvCondition, KvWrite, Outcome, Refusal, Reply};
use bytes::Bytes;
use model::{
    Author, CheckId, Door, Index, InstanceId, KvKey, NodeName, Owner, RequestKey, Tenant, Timestamp,
};
use prost::Message;

/// The bytes of an entry as the log keeps it.
pub fn encode_entry(entry: &Entry) -> Bytes {
    let message = wire::Entry {
        format: FORMAT,
        time: entry.time.0,
        author: Some((&entry.author).into()),
        owner: entry.owner.as_str().to_owned(),
        claim: match entry.claim {
            Claim::Explicit => 0,
            Claim::Reconcile => 1,
        },
        tenant: entry.tenant.0,
        request: entry.request.as_ref().map(Into::into),
        commands: entry.commands.iter().map(Into::into).collect(),
    };
    message.encode_to_vec().into()
}

/// Reads an entry.
///
/// Refused if a newer format wrote it, or if it holds a command this version does not know: to skip
/// it would let this server's state differ from the others'. An unknown field is skipped.
pub fn decode_entry(bytes: &[u8]) -> Result<Entry, FormatError> {
    const WHAT: &str = "log entry";
    check_format(WHAT, bytes)?;
    let read = || -> Result<Entry, Fault> {
        let message = wire::Entry::decode(bytes)?;
        Ok(Entry {
            time: Timestamp(message.time),
            author: message.author.unwrap_or_default().try_into()?,
            owner: Owner::new(&message.owner),
            claim: match message.claim {
                0 => Claim::Explicit,
                1 => Claim::Reconcile,
                _ => return Err(Fault::Unknown("claim")),
            },
            tenant: Tenant(message.tenant),
            request: message.request.map(RequestKey::try_from).transpose()?,
            commands: message
                .commands
                .into_iter()
                .map(TryInto::try_into)
                .collect::<Result<_, _>>()?,
        })
    };
    read().map_err(|fault| fault.of(WHAT))
}

/// The bytes of an outcome.
pub fn encode_outcome(outcome: &Outcome) -> Bytes {
    wire::Outcome::from(outcome).encode_to_vec().into()
}

/// Reads an outcome; refused like an entry.
pub fn decode_outcome(bytes: &[u8]) -> Result<Outcome, FormatError> {
    const WHAT: &str = "outcome";
    check_format(WHAT, bytes)?;
    let read = || Outcome::try_from(wire::Outcome::decode(bytes)?);
    read().map_err(|fault: Fault| fault.of(WHAT))
}

/// Looks at the format alone first: what a newer one did to the other fields cannot be known.
fn check_format(what: &'static str, bytes: &[u8]) -> Result<(), FormatError> {
    #[derive(Clone, Copy, PartialEq, Message)]
    struct Prefix {
        #[prost(uint32, tag = "1")]
        format: u32,
    }
    match Prefix::decode(bytes).map_err(|error| Fault::from(error).of(what))?.format {
        0 => Err(Fault::Damaged("it names no format".to_owned()).of(what)),
        found if found > FORMAT => Err(FormatError::Newer { what, found }),
        _ => Ok(()),
    }
}

impl From<&Author> for wire::Author {
    fn from(author: &Author) -> Self {
        wire::Author {
            actor: author.actor.as_str().to_owned(),
            door: match author.door {
                Door::Http => 0,
                Door::Agent => 1,
                Door::Leader => 2,
            },
            remote: author.remote.as_str().to_owned(),
            request: author.request.as_str().to_owned(),
        }
    }
}

impl TryFrom<wire::Author> for Author {
    type Error = Fault;

    fn try_from(author: wire::Author) -> Result<Self, Fault> {
        Ok(Author {
            actor: author.actor.into(),
            door: match author.door {
                0 => Door::Http,
                1 => Door::Agent,
                2 => Door::Leader,
                _ => return Err(Fault::Unknown("door")),
            },
            remote: author.remote.into(),
            request: author.request.into(),
        })
    }
}

impl From<&RequestKey> for wire::RequestKey {
    fn from(key: &RequestKey) -> Self {
        wire::RequestKey { client: uuid_bytes(&key.client), sequence: key.sequence }
    }
}

impl TryFrom<wire::RequestKey> for RequestKey {
    type Error = Fault;

    fn try_from(key: wire::RequestKey) -> Result<Self, Fault> {
        Ok(RequestKey { client: uuid(&key.client)?, sequence: key.sequence })
    }
}

impl From<&HistoryLimits> for wire::HistoryLimits {
    fn from(limits: &HistoryLimits) -> Self {
        wire::HistoryLimits { entries: limits.entries, bytes: limits.bytes, age_ms: limits.age_ms }
    }
}

impl From<wire::HistoryLimits> for HistoryLimits {
    fn from(limits: wire::HistoryLimits) -> Self {
        HistoryLimits { entries: limits.entries, bytes: limits.bytes, age_ms: limits.age_ms }
    }
}

impl From<&Command> for wire::Command {
    fn from(command: &Command) -> Self {
        let on_node = |node: &NodeName, id: &str| wire::OnNode {
            node: node.as_str().to_owned(),
            id: id.to_owned(),
        };
        let kind = match command {
            Command::PutNode(node) => CommandKind::PutNode(node.into()),
            Command::EnsureNode(name) => CommandKind::EnsureNode(name.as_str().to_owned()),
            Command::PutInstance(instance) => {
                CommandKind::PutInstance(Box::new((&**instance).into()))
            }
            Command::PutCheck(check) => CommandKind::PutCheck(Box::new((&**check).into())),
            Command::RemoveNode(name) => CommandKind::RemoveNode(name.as_str().to_owned()),
            Command::RemoveInstance(node, id) => {
                CommandKind::RemoveInstance(on_node(node, id.as_str()))
            }
            Command::RemoveCheck(node, id) => CommandKind::RemoveCheck(on_node(node, id.as_str())),
            Command::KvPut(write) => CommandKind::KvPut(write.into()),
            Command::KvDelete(key, unchanged) => CommandKind::KvDelete(wire::KvDelete {
                key: key.as_bytes().to_vec(),
                unchanged: unchanged.map(|index| index.0),
            }),
            Command::KvDeleteTree(prefix) => CommandKind::KvDeleteTree(prefix.as_bytes().to_vec()),
            Command::CreateSession(session) => {
                CommandKind::CreateSession(Box::new((&**session).into()))
            }
            Command::DestroySession(id) => CommandKind::DestroySession(uuid_bytes(id)),
            Command::ExpireSession(id) => CommandKind::ExpireSession(uuid_bytes(id)),
            Command::ReapTombstones(index) => CommandKind::ReapTombstones(index.0),
            Command::SetHistoryLimits(limits) => CommandKind::SetHistoryLimits(limits.into()),
            Command::Transact(operations) => CommandKind::Transact(operations.as_slice().into()),
        };
        wire::Command { kind: Some(kind) }
    }
}

impl TryFrom<wire::Command> for Command {
    type Error = Fault;

    fn try_from(command: wire::Command) -> Result<Self, Fault> {
        Ok(match command.kind.ok_or(Fault::Unknown("command"))? {
            CommandKind::PutNode(node) => Command::PutNode(node.try_into()?),
            CommandKind::EnsureNode(name) => Command::EnsureNode(NodeName::new(name)),
            CommandKind::PutInstance(instance) => {
                Command::PutInstance(Box::new((*instance).try_into()?))
            }
            CommandKind::PutCheck(check) => Command::PutCheck(Box::new((*check).into())),
            CommandKind::RemoveNode(name) => Command::RemoveNode(NodeName::new(name)),
            CommandKind::RemoveInstance(of) => {
                Command::RemoveInstance(NodeName::new(of.node), InstanceId::new(of.id))
            }
            CommandKind::RemoveCheck(of) => {
                Command::RemoveCheck(NodeName::new(of.node), CheckId::new(of.id))
            }
            CommandKind::KvPut(write) => Command::KvPut(write.try_into()?),
            CommandKind::KvDelete(delete) => {
                Command::KvDelete(KvKey::new(&delete.key), delete.unchanged.map(Index))
            }
            CommandKind::KvDeleteTree(prefix) => Command::KvDeleteTree(KvKey::new(&prefix)),
            CommandKind::CreateSession(session) => {
                Command::CreateSession(Box::new((*session).try_into()?))
            }
            CommandKind::DestroySession(id) => Command::DestroySession(uuid(&id)?),
            CommandKind::ExpireSession(id) => Command::ExpireSession(uuid(&id)?),
            CommandKind::ReapTombstones(index) => Command::ReapTombstones(Index(index)),
            CommandKind::SetHistoryLimits(limits) => Command::SetHistoryLimits(limits.into()),
            CommandKind::Transact(transaction) => Command::Transact(transaction.try_into()?),
        })
    }
}

impl From<&KvWrite> for wire::KvPut {
    fn from(write: &KvWrite) -> Self {
        wire::KvPut {
            key: write.key.as_bytes().to_vec(),
            value: write.value.to_vec(),
            flags: write.flags,
            condition: Some(match &write.condition {
                KvCondition::Always => wire::KvCondition::Always(true),
                KvCondition::Unchanged(index) => wire::KvCondition::Unchanged(index.0),
                KvCondition::Acquire(id) => wire::KvCondition::Acquire(uuid_bytes(id)),
                KvCondition::Release(id) => wire::KvCondition::Release(uuid_bytes(id)),
            }),
        }
    }
}

impl TryFrom<wire::KvPut> for KvWrite {
    type Error = Fault;

    fn try_from(put: wire::KvPut) -> Result<Self, Fault> {
        Ok(KvWrite {
            key: KvKey::new(&put.key),
            value: put.value.into(),
            flags: put.flags,
            condition: match put.condition.ok_or(Fault::Unknown("condition"))? {
                wire::KvCondition::Always(_) => KvCondition::Always,
                wire::KvCondition::Unchanged(index) => KvCondition::Unchanged(Index(index)),
                wire::KvCondition::Acquire(id) => KvCondition::Acquire(uuid(&id)?),
                wire::KvCondition::Release(id) => KvCondition::Release(uuid(&id)?),
            },
        })
    }
}

impl From<&Outcome> for wire::Outcome {
    fn from(outcome: &Outcome) -> Self {
        let number = |reply: &Reply| match reply {
            Reply::Done => 0,
            Reply::ConditionFailed => 1,
            Reply::Shown(_) => 2,
        };
        let shown = |reply: &Reply| match reply {
            Reply::Shown(shown) => Some(shown.as_slice().into()),
            Reply::Done | Reply::ConditionFailed => None,
        };
        let kind = match outcome {
            Outcome::Done(replies) => OutcomeKind::Done(wire::Replies {
                replies: replies.iter().map(number).collect(),
                results: replies.iter().filter_map(shown).collect(),
            }),
            Outcome::Refused(refusal) => OutcomeKind::Refused(refusal.into()),
        };
        wire::Outcome { format: FORMAT, kind: Some(kind) }
    }
}

impl TryFrom<wire::Outcome> for Outcome {
    type Error = Fault;

    fn try_from(outcome: wire::Outcome) -> Result<Self, Fault> {
        Ok(match outcome.kind.ok_or(Fault::Unknown("outcome"))? {
            OutcomeKind::Done(done) => {
                let mut results = done.results.into_iter();
                let reply = |number: u32| match number {
                    0 => Ok(Reply::Done),
                    1 => Ok(Reply::ConditionFailed),
                    2 => Ok(Reply::Shown(results.next().unwrap_or_default().try_into()?)),
                    _ => Err(Fault::Unknown("reply")),
                };
                Outcome::Done(done.replies.into_iter().map(reply).collect::<Result<_, _>>()?)
            }
            OutcomeKind::Refused(refusal) => Outcome::Refused(refusal.try_into()?),
        })
    }
}

impl From<&Refusal> for wire::Refusal {
    fn from(refusal: &Refusal) -> Self {
        let kind = match refusal {
            Refusal::NodeNameReserved { id, name, renames, holder, holder_name, address } => {
                RefusalKind::NodeNameReserved(wire::NodeNameReserved {
                    id: uuid_bytes(id),
                    name: name.to_string(),
                    renames: renames.as_ref().map(|address| address.to_string()),
                    holder: holder.as_ref().map(uuid_bytes),
                    holder_name: holder_name.to_string(),
                    address: address.to_string(),
                })
            }
            Refusal::MissingNode(name) => RefusalKind::MissingNode(name.to_string()),
            Refusal::MissingInstance { instance, check } => {
                RefusalKind::MissingInstance(wire::MissingInstance {
                    instance: instance.to_string(),
                    check: check.to_string(),
                })
            }
            Refusal::SessionWithoutNode => RefusalKind::SessionWithoutNode(true),
            Refusal::SessionWithoutCheck(id) => RefusalKind::SessionWithoutCheck(id.to_string()),
            Refusal::SessionCheckCritical(id) => RefusalKind::SessionCheckCritical(id.to_string()),
            Refusal::InvalidSession(id) => RefusalKind::InvalidSession(uuid_bytes(id)),
            Refusal::OwnedByOther { what, owner } => {
                RefusalKind::OwnedByOther(wire::OwnedByOther {
                    what: what.clone(),
                    owner: owner.to_string(),
                })
            }
            Refusal::TooLateToKnow => RefusalKind::TooLateToKnow(true),
            Refusal::Failed(failures) => RefusalKind::Failed(failures.as_slice().into()),
        };
        wire::Refusal { kind: Some(kind) }
    }
}

impl TryFrom<wire::Refusal> for Refusal {
    type Error = Fault;

    fn try_from(refusal: wire::Refusal) -> Result<Self, Fault> {
        Ok(match refusal.kind.ok_or(Fault::Unknown("refusal"))? {
            RefusalKind::NodeNameReserved(reserved) => Refusal::NodeNameReserved {
                id: uuid(&reserved.id)?,
                name: NodeName::new(reserved.name),
                renames: reserved.renames.map(Into::into),
                holder: optional_uuid(reserved.holder.as_ref())?,
                holder_name: NodeName::new(reserved.holder_name),
                address: reserved.address.into(),
            },
            RefusalKind::MissingNode(name) => Refusal::MissingNode(NodeName::new(name)),
            RefusalKind::MissingInstance(missing) => Refusal::MissingInstance {
                instance: InstanceId::new(missing.instance),
                check: CheckId::new(missing.check),
            },
            RefusalKind::SessionWithoutNode(_) => Refusal::SessionWithoutNode,
            RefusalKind::SessionWithoutCheck(id) => Refusal::SessionWithoutCheck(CheckId::new(id)),
            RefusalKind::SessionCheckCritical(id) => {
                Refusal::SessionCheckCritical(CheckId::new(id))
            }
            RefusalKind::InvalidSession(id) => Refusal::InvalidSession(uuid(&id)?),
            RefusalKind::OwnedByOther(owned) => {
                Refusal::OwnedByOther { what: owned.what, owner: Owner::new(&owned.owner) }
            }
            RefusalKind::TooLateToKnow(_) => Refusal::TooLateToKnow,
            RefusalKind::Failed(failures) => Refusal::Failed(failures.try_into()?),
        })
    }
}
