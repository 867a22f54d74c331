//! Whether all that goes with SRV records is told beside them: two records may go with the same.

use super::{records, targets};
use serde_json::Value;
use std::collections::BTreeSet;

/// Whether something that leads to an address of a target is not told beside it. A target that is told
/// twice may have all by chance, though each time only so many of an owner's and so many of all.
pub(super) fn lacks_addresses(answer: &Value, all: &Value, (most, of_all): (usize, usize)) -> bool {
    let (beside, there) = (records(answer, "additional"), records(all, "additional"));
    targets(answer, "answer").into_iter().any(|target| {
        let mut seen = BTreeSet::new();
        let (mut ends, mut needed) = (vec![target], Vec::new());
        while let Some(end) = ends.pop() {
            let of_it: Vec<_> = there.iter().filter(|(owner, ..)| *owner == end).collect();
            if of_it.iter().filter(|(_, rtype, _)| rtype != "txt").count() > most {
                return true;
            }
            if seen.insert(end) {
                ends.extend(of_it.iter().map(|(_, _, data)| data.clone()));
                needed.extend(of_it);
            }
        }
        needed.len() > of_all || needed.into_iter().any(|record| !beside.contains(record))
    })
}

/// Whether a text is not told of a node whose instance's own address is a target. Of whose, only the order
/// of an answer says: each such address, and the texts of its node, stand in the order of the targets.
pub(super) fn lacks_texts(answer: &Value, all: &Value) -> bool {
    let text = |record: &Value, key: &str| record[key].as_str().expect("text").to_lowercase();
    let (beside, told) = (records(answer, "additional"), records(answer, "answer"));
    let targets = all["answer"].as_array().expect("records").iter();
    let mut targets = targets.map(|it| text(it, "rdata")).filter(|it| it.contains(".addr."));
    let mut of = None;
    all["additional"].as_array().expect("records").iter().any(|record| {
        let (owner, rtype, data) =
            (text(record, "name"), text(record, "type"), text(record, "rdata"));
        if rtype != "txt" {
            of = owner.contains(".addr.").then(|| targets.next().expect("a target"));
            return false;
        }
        let is_told = of.as_ref().is_some_and(|of| told.iter().any(|(.., target)| target == of));
        is_told && !beside.contains(&(owner, rtype, data))
    })
}

/// Whether two targets lead to the same addresses: what does not fit beside one stands there for the
/// other, and is told of all the same.
pub(super) fn share_addresses(all: &Value) -> bool {
    let told = records(all, "answer").into_iter().chain(records(all, "additional"));
    let leading = told.filter(|(_, rtype, _)| ["srv", "cname"].contains(&rtype.as_str()));
    let ends = leading.map(|(owner, rtype, data)| {
        let end = data.rsplit(' ').next().expect("a target").to_owned();
        (end, if rtype == "srv" { String::new() } else { owner })
    });
    let ends: BTreeSet<(String, String)> = ends.collect();
    let names: BTreeSet<&String> = ends.iter().map(|(end, _)| end).collect();
    names.len() < ends.len()
}
