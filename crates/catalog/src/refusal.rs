//! Why an entry changed nothing. The texts for Consul's clients are made by its face.

use crate::{Cause, Failure};
use model::{CheckId, InstanceId, NodeId, NodeName, Owner, SessionId, Text};

/// How many bytes of each of a client's texts a refusal carries; it is remembered with the request.
/// Part of the format: outcomes are replicated.
pub const REFUSAL_TEXT: usize = 256;

/// Why the state machine refused an entry; nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The name belongs to another node that is alive.
    #[error("node name {name} is reserved by node {holder_name} at {address}")]
    NodeNameReserved {
        /// The id that the write carried.
        id: NodeId,
        /// The name asked for.
        name: NodeName,
        /// The address the write carried, if its id is that of a node with another name.
        renames: Option<Text>,
        /// The id that holds the name; `None` for a node without one.
        holder: Option<NodeId>,
        /// The holder's name as it is spelled.
        holder_name: NodeName,
        /// The holder's address.
        address: Text,
    },
    /// An instance or a check names a node that is not there.
    #[error("missing node {0}")]
    MissingNode(NodeName),
    /// A check names an instance that is not there.
    #[error("missing instance {instance} for check {check}")]
    MissingInstance {
        /// The instance named.
        instance: InstanceId,
        /// The check that names it.
        check: CheckId,
    },
    /// A session names a node that is not there.
    #[error("missing node registration")]
    SessionWithoutNode,
    /// A session names a check that is not there.
    #[error("missing check {0} registration")]
    SessionWithoutCheck(CheckId),
    /// A session depends on a check that is critical.
    #[error("check {0} is in critical state")]
    SessionCheckCritical(CheckId),
    /// A lock was asked for with a session that is not there.
    #[error("invalid session {0}")]
    InvalidSession(SessionId),
    /// A reconciler wrote a row that another reconciler owns.
    #[error("{what} is owned by {owner}")]
    OwnedByOther {
        /// The row, for people.
        what: String,
        /// Its owner.
        owner: Owner,
    },
    /// The entry may be a repetition of one whose outcome was forgotten; it was not applied now.
    #[error("whether this request was applied is not known any more; read before repeating it")]
    TooLateToKnow,
    /// These operations of a transaction failed, in order.
    #[error("{} operations of the transaction failed", .0.len())]
    Failed(Vec<Failure>),
}

impl Refusal {
    /// The same with each text cut to [`REFUSAL_TEXT`] bytes, at a character's boundary.
    pub(crate) fn shortened(self) -> Refusal {
        let text = |text: Text| Text::new(short(&text));
        let node = |name: NodeName| NodeName::new(short(name.as_str()));
        let check = |id: CheckId| CheckId::new(short(id.as_str()));
        match self {
            Refusal::NodeNameReserved { id, name, renames, holder, holder_name, address } => {
                Refusal::NodeNameReserved {
                    id,
                    name: node(name),
                    renames: renames.map(text),
                    holder,
                    holder_name: node(holder_name),
                    address: text(address),
                }
            }
            Refusal::MissingNode(name) => Refusal::MissingNode(node(name)),
            Refusal::MissingInstance { instance, check: id } => Refusal::MissingInstance {
                instance: InstanceId::new(short(instance.as_str())),
                check: check(id),
            },
            Refusal::SessionWithoutCheck(id) => Refusal::SessionWithoutCheck(check(id)),
            Refusal::SessionCheckCritical(id) => Refusal::SessionCheckCritical(check(id)),
            Refusal::OwnedByOther { what, owner } => Refusal::OwnedByOther {
                what: short(&what).to_owned(),
                owner: Owner::new(short(owner.as_str())),
            },
            Refusal::Failed(failures) => {
                Refusal::Failed(failures.into_iter().map(Failure::shortened).collect())
            }
            Refusal::SessionWithoutNode | Refusal::InvalidSession(_) | Refusal::TooLateToKnow => {
                self
            }
        }
    }
}

impl Failure {
    fn shortened(self) -> Failure {
        let cause = match self.cause {
            Cause::Refused(refusal) => Cause::Refused(Box::new(refusal.shortened())),
            cause => cause,
        };
        Failure { cause, ..self }
    }
}

fn short(text: &str) -> &str {
    &text[..text.floor_char_boundary(REFUSAL_TEXT)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(refusal: Refusal, expected: Refusal) {
        assert_eq!(refusal.shortened(), expected);
    }

    #[test]
    fn a_refusal_carries_the_beginning_of_each_text() {
        let (long, cut) = ("x".repeat(1 << 20), "x".repeat(REFUSAL_TEXT));
        let (long, cut) = (long.as_str(), cut.as_str());
        let missing = |instance, id| Refusal::MissingInstance {
            instance: InstanceId::new(instance),
            check: CheckId::new(id),
        };
        let reserved = |text: &str| Refusal::NodeNameReserved {
            id: NodeId::nil(),
            name: NodeName::new(text),
            renames: Some(Text::new(text)),
            holder: None,
            holder_name: NodeName::new(text),
            address: Text::new(text),
        };
        check(missing(long, long), missing(cut, cut));
        check(missing(cut, "a"), missing(cut, "a"));
        check(reserved(long), reserved(cut));
        check(Refusal::MissingNode(long.into()), Refusal::MissingNode(cut.into()));
        check(Refusal::SessionWithoutCheck(long.into()), Refusal::SessionWithoutCheck(cut.into()));
        check(
            Refusal::SessionCheckCritical(long.into()),
            Refusal::SessionCheckCritical(cut.into()),
        );
        let owned = |what: &str, owner| Refusal::OwnedByOther {
            what: what.to_owned(),
            owner: Owner::new(owner),
        };
        check(owned(long, long), owned(cut, cut));
        let umlauts = format!("x{}", "ü".repeat(REFUSAL_TEXT));
        let whole = format!("x{}", "ü".repeat((REFUSAL_TEXT - 1) / 2));
        check(
            Refusal::MissingNode(umlauts.as_str().into()),
            Refusal::MissingNode(whole.as_str().into()),
        );
        for refusal in [
            Refusal::SessionWithoutNode,
            Refusal::InvalidSession(SessionId::nil()),
            Refusal::TooLateToKnow,
        ] {
            check(refusal.clone(), refusal);
        }
    }
}
