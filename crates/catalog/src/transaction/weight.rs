//! What a transaction shows, weighed: part of the format.
//!
//! Whether an entry is applied and what of its outcome is remembered depend on these numbers, and every
//! server must judge every entry of the log alike, whatever version it runs. So **changing anything here
//! is a change of the format**: a new estimate is a new function beside the old one, chosen by what the
//! entry says. What history weighs ([`crate::tables::history`]) decides neither and is apart.

use crate::Refusal;
use crate::entry::{Outcome, Reply};
use crate::transaction::{AnyRow, Cause, Failure};
use model::{Check, Instance, Node};

/// How many bytes one transaction shows at most; an estimate. Several operations may each show a
/// whole tree, and all of it stands in memory at once.
///
/// Part of the format: it decides whether an entry is applied.
pub const MOST_SHOWN: u64 = 64 << 20;

/// What a row or a failure costs besides its texts.
pub(super) const PIECE_BYTES_V1: u64 = 96;

/// What the texts of a refusal take at most.
const REFUSED_BYTES_V1: u64 = 1_024;

impl AnyRow {
    /// What the row takes, about.
    pub(super) fn weight_v1(&self) -> u64 {
        match self {
            AnyRow::Node(row) => node_bytes_v1(row),
            AnyRow::Instance(row) => instance_bytes_v1(row),
            AnyRow::Check(row) => check_bytes_v1(row),
            AnyRow::Kv(key, row) => (key.as_bytes().len() + row.value.len()) as u64,
        }
    }
}

fn node_bytes_v1(node: &Node) -> u64 {
    let meta = node.meta.iter().flatten().map(|(key, value)| key.len() + value.len());
    256 + meta.sum::<usize>() as u64
}

fn instance_bytes_v1(instance: &Instance) -> u64 {
    let meta = instance.meta.iter().flatten().map(|(key, value)| key.len() + value.len());
    let blocks = instance.proxy.iter().chain(&instance.connect).map(|block| block.0.len());
    let tags = instance.tags.iter().map(|tag| tag.len());
    448 + meta.chain(blocks).chain(tags).sum::<usize>() as u64
}

fn check_bytes_v1(check: &Check) -> u64 {
    let run = check.definition.as_ref().map_or(0, |run| run.http.len() + run.body.len() + 512);
    448 + (check.output.len() + check.notes.len() + run) as u64
}

impl Outcome {
    /// How much a transaction's outcome takes in memory; 0 for any other, all of which are small.
    pub(crate) fn weight_v1(&self) -> u64 {
        match self {
            Outcome::Done(replies) => replies.iter().map(Reply::weight_v1).sum(),
            Outcome::Refused(refusal) => refusal.weight_v1(),
        }
    }
}

impl Reply {
    fn weight_v1(&self) -> u64 {
        match self {
            Reply::Shown(shown) => {
                shown.iter().map(|shown| PIECE_BYTES_V1 + shown.row.weight_v1()).sum()
            }
            Reply::Done | Reply::ConditionFailed => 0,
        }
    }
}

impl Refusal {
    fn weight_v1(&self) -> u64 {
        let Refusal::Failed(failures) = self else { return 0 };
        let weight = |failure: &Failure| match &failure.cause {
            Cause::Refused(refusal) => REFUSED_BYTES_V1 + refusal.weight_v1(),
            _ => 0,
        };
        failures.iter().map(|failure| PIECE_BYTES_V1 + weight(failure)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::Shown;
    use crate::{REFUSAL_TEXT, REQUEST_WINDOW, REQUESTS_KEPT, RESULTS_KEPT};
    use model::{
        CheckDefinition, CheckDetails, Index, InstanceDetails, KvEntry, KvKey, Opaque, Owner, Row,
        Text, TextMap,
    };
    use std::sync::Arc;

    fn row<T>(claim: T) -> Arc<Row<T>> {
        let (created, modified) = (Index(1), Index(1));
        Arc::new(Row { claim, owner: Owner::nobody(), created, modified })
    }

    fn meta() -> Option<TextMap> {
        Some([(Text::new("rack"), Text::new("r1"))].into())
    }

    fn block(text: &str) -> Option<Opaque> {
        Some(Opaque(text.into()))
    }

    fn rows() -> [(AnyRow, u64); 5] {
        let node = Node { meta: meta(), ..Node::default() };
        let instance = Instance {
            tags: [Text::new("v1"), Text::new("v22")].into(),
            details: InstanceDetails {
                meta: meta(),
                proxy: block("{\"a\":1}"),
                connect: block("{}"),
                ..InstanceDetails::default()
            }
            .into(),
            ..Instance::default()
        };
        let run = CheckDefinition {
            http: Text::new("http://x"),
            body: Text::new("ping"),
            tcp: Text::new("is not weighed"),
            ..CheckDefinition::default()
        };
        let (output, notes) = (Text::new("four"), Text::new("two"));
        let bare = Check {
            output,
            details: CheckDetails { notes, ..CheckDetails::default() }.into(),
            ..Check::default()
        };
        let check = Check { definition: Some(Box::new(run)), ..bare.clone() };
        let value = KvEntry { value: b"value".as_slice().into(), ..KvEntry::default() };
        [
            (AnyRow::Node(row(node)), 262),
            (AnyRow::Instance(row(instance)), 468),
            (AnyRow::Check(row(bare)), 455),
            (AnyRow::Check(row(check)), 979),
            (AnyRow::Kv(KvKey::new(b"key"), row(value)), 8),
        ]
    }

    /// Where this fails a number was tuned that the format fixes: servers of two versions would judge
    /// the same entry differently.
    #[test]
    fn weights_and_limits_are_those_of_the_format() {
        assert_eq!(MOST_SHOWN, 67_108_864);
        assert_eq!((RESULTS_KEPT, REQUESTS_KEPT, REQUEST_WINDOW), (8_388_608, 16_384, 60_000));
        assert!(4 * REFUSAL_TEXT as u64 <= REFUSED_BYTES_V1, "no more than four texts");
        for (row, bytes) in rows() {
            assert_eq!(row.weight_v1(), bytes, "{row:?}");
            let shown = Outcome::Done(vec![Reply::Shown(vec![Shown { operation: 0, row }])]);
            assert_eq!(shown.weight_v1(), 96 + bytes, "{shown:?}");
        }
        let refused = Cause::Refused(Box::new(Refusal::MissingNode("n".into())));
        let failed = [(0, Cause::Absent), (1, refused)]
            .map(|(operation, cause)| Failure { operation, cause })
            .to_vec();
        assert_eq!(Outcome::Refused(Refusal::Failed(failed)).weight_v1(), 96 + 96 + 1_024);
        assert_eq!(Outcome::Done(vec![Reply::Done]).weight_v1(), 0);
    }
}
