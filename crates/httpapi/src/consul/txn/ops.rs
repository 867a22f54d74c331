//! The body of a transaction: a list of operations, each on a key, a node, a service or a check.
//!
//! What is read here is only shaped, not judged: a verb that nobody knows is an operation that fails.

use super::check;
use crate::consul::error::Problem;
use crate::consul::json::{Place, each_member, members};
use crate::consul::services::{locality, node_service};
use lang::json::Json;
use model::{Check, CheckId, Instance, Node, NodeName, Text};

/// One operation as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// What to do.
    pub verb: Text,
    /// On what.
    pub subject: Subject,
    /// The index that a condition is about.
    pub index: u64,
}

/// What an operation is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A key.
    Kv(Kv),
    /// A node.
    Node {
        /// Its id as it was given.
        id: Text,
        /// The node, without its id.
        node: Node,
    },
    /// An instance of a service.
    Service(Box<Instance>),
    /// A check.
    Check(Box<Check>),
}

/// An operation on a key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kv {
    /// The key.
    pub key: Text,
    /// The value to write.
    pub value: Vec<u8>,
    /// The client's number.
    pub flags: u64,
    /// The session that locks or holds, as it was given.
    pub session: Text,
}

const WRITES: [&str; 7] = ["set", "cas", "lock", "unlock", "delete", "delete-tree", "delete-cas"];

impl Op {
    /// Whether it makes its transaction one that writes; an unknown verb on a key does not.
    pub fn writes(&self) -> bool {
        match &self.subject {
            Subject::Kv(_) => WRITES.contains(&self.verb.as_str()),
            _ => self.verb != "get",
        }
    }
}

/// Reads the list. An operation that names nothing is left out, and is not counted as one either.
///
/// Says how many there were with those.
pub fn read(body: &[u8]) -> Result<(Vec<Op>, usize), Problem> {
    parse(body).map_err(|problem| match problem {
        Problem::Decode(why) => Problem::Bad(format!("Failed to parse body: {why}")),
        other => other,
    })
}

fn parse(body: &[u8]) -> Result<(Vec<Op>, usize), Problem> {
    let json = lang::json::parse(body).map_err(|error| Problem::Decode(error.to_string()))?;
    let items = match &json {
        Json::Array(items) => items.as_slice(),
        Json::Null => &[],
        other => {
            let kind = other.kind();
            let text = format!("json: cannot unmarshal {kind} into Go value of type api.TxnOps");
            return Err(Problem::Decode(text));
        }
    };
    let ops = items.iter().map(op).collect::<Result<Vec<_>, _>>()?;
    Ok((ops.into_iter().flatten().collect(), items.len()))
}

/// One operation; of several subjects the first in this order counts.
fn op(json: &Json) -> Result<Option<Op>, Problem> {
    let place = Place::root("TxnOp");
    let (mut on_key, mut on_node, mut on_service, mut on_check) = (None, None, None, None);
    members(json, "api.TxnOp", true, &mut |key, value| {
        match key {
            "kv" => on_key = kv(&place, value)?,
            "node" => on_node = node(&place, value)?,
            "service" => on_service = service(&place, value)?,
            "check" => on_check = check_op(&place, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(on_key.or(on_node).or(on_service).or(on_check))
}

fn kv(place: &Place, json: &Json) -> Result<Option<Op>, Problem> {
    let Some(given) = place.object("KV", json, "api.KVTxnOp")? else { return Ok(None) };
    let place = place.inside("KV", "KVTxnOp");
    let (mut verb, mut index, mut kv) = (Text::default(), 0, Kv::default());
    each_member(given, true, &mut |key, value| {
        match key {
            "verb" => place.word("Verb", value, "api.KVOp", &mut verb)?,
            "key" => place.text("Key", value, &mut kv.key)?,
            "value" => place.bytes("Value", value, &mut kv.value)?,
            "flags" => place.unsigned("Flags", value, &mut kv.flags)?,
            "index" => place.unsigned("Index", value, &mut index)?,
            "session" => place.text("Session", value, &mut kv.session)?,
            "namespace" => place.text("Namespace", value, &mut Text::default())?,
            "partition" => place.text("Partition", value, &mut Text::default())?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(Some(Op { verb, subject: Subject::Kv(kv), index }))
}

fn node(place: &Place, json: &Json) -> Result<Option<Op>, Problem> {
    let Some(given) = place.object("Node", json, "api.NodeTxnOp")? else { return Ok(None) };
    let place = place.inside("Node", "NodeTxnOp");
    let (mut verb, mut id, mut index) = (Text::default(), Text::default(), 0);
    let mut node = Node::default();
    each_member(given, true, &mut |key, value| {
        match key {
            "verb" => place.word("Verb", value, "api.NodeOp", &mut verb)?,
            "node" => {
                let given = place.object("Node", value, "api.Node")?.unwrap_or_default();
                node_row(&place.inside("Node", "Node"), given, &mut node, &mut id, &mut index)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(Some(Op { verb, subject: Subject::Node { id, node }, index }))
}

fn node_row(
    place: &Place,
    given: &[(String, Json)],
    node: &mut Node,
    id: &mut Text,
    index: &mut u64,
) -> Result<(), Problem> {
    each_member(given, true, &mut |key, value| {
        match key {
            "id" => place.text("ID", value, id)?,
            "node" => {
                let mut name = Text::default();
                place.text("Node", value, &mut name)?;
                node.name = NodeName::new(name);
            }
            "address" => place.text("Address", value, &mut node.address)?,
            "taggedaddresses" => {
                place.map("TaggedAddresses", value, &mut node.tagged_addresses)?;
            }
            "meta" => place.map("Meta", value, &mut node.meta)?,
            "locality" => node.locality = locality(place, value)?,
            "modifyindex" => place.unsigned("ModifyIndex", value, index)?,
            "datacenter" | "partition" | "peername" | "createindex" => {}
            _ => return Ok(false),
        }
        Ok(true)
    })
}

/// What an agent tells of a service besides, and means nothing here.
const AGENT_ONLY: [&str; 4] = ["contenthash", "datacenter", "namespace", "partition"];

fn service(place: &Place, json: &Json) -> Result<Option<Op>, Problem> {
    let Some(given) = place.object("Service", json, "api.ServiceTxnOp")? else { return Ok(None) };
    let place = place.inside("Service", "ServiceTxnOp");
    let (mut verb, mut node, mut index) = (Text::default(), Text::default(), 0);
    let mut instance = Instance::default();
    each_member(given, true, &mut |key, value| {
        match key {
            "verb" => place.word("Verb", value, "api.ServiceOp", &mut verb)?,
            "node" => place.text("Node", value, &mut node)?,
            "service" => {
                let given = place.object("Service", value, "api.AgentService")?;
                let inside = place.inside("Service", "AgentService");
                (instance, index) = node_service(&inside, given.unwrap_or_default(), &AGENT_ONLY)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    instance.node = NodeName::new(node);
    Ok(Some(Op { verb, subject: Subject::Service(Box::new(instance)), index }))
}

fn check_op(place: &Place, json: &Json) -> Result<Option<Op>, Problem> {
    let Some(given) = place.object("Check", json, "api.CheckTxnOp")? else { return Ok(None) };
    let place = place.inside("Check", "CheckTxnOp");
    let mut verb = Text::default();
    let (mut check, mut index) = check::read(&place, &[])?;
    each_member(given, true, &mut |key, value| {
        match key {
            "verb" => place.word("Verb", value, "api.CheckOp", &mut verb)?,
            "check" => {
                let given = place.object("Check", value, "api.HealthCheck")?.unwrap_or_default();
                (check, index) = check::read(&place.inside("Check", "HealthCheck"), given)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    if verb != "get" && check.id.is_empty() {
        // Only what is written is named by its name where it has no id.
        check.id = CheckId::new(check.name.clone());
    }
    Ok(Some(Op { verb, subject: Subject::Check(Box::new(check)), index }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_refused(body: &str, text: &str) {
        let refused = read(body.as_bytes()).expect_err("refused");
        assert_eq!(refused, Problem::Bad(format!("Failed to parse body: {text}")), "{body}");
    }

    #[test]
    fn what_cannot_be_read_is_told_in_gos_words() {
        check_refused("", "EOF");
        check_refused("{}", "json: cannot unmarshal object into Go value of type api.TxnOps");
        check_refused("[1]", "json: cannot unmarshal number into Go value of type api.TxnOp");
        check_refused("[{\"Session\":{}}]", "json: unknown field \"Session\"");
        check_refused(
            r#"[{"KV":{"Verb":1}}]"#,
            "json: cannot unmarshal number into Go struct field KVTxnOp.KV.Verb of type api.KVOp",
        );
        check_refused(
            r#"[{"KV":{"Index":-1}}]"#,
            "json: cannot unmarshal number -1 into Go struct field KVTxnOp.KV.Index of type uint64",
        );
        check_refused(r#"[{"KV":{"Value":"x"}}]"#, "illegal base64 data at input byte 0");
        check_refused(
            r#"[{"KV":1}]"#,
            "json: cannot unmarshal number into Go struct field TxnOp.KV of type api.KVTxnOp",
        );
        for inner in [
            r#"{"Node":{"Odd":1}}"#,
            r#"{"Node":{"Node":{"Odd":1}}}"#,
            r#"{"Service":{"Odd":1}}"#,
            r#"{"Service":{"Service":{"Odd":1}}}"#,
            r#"{"Check":{"Odd":1}}"#,
            r#"{"Check":{"Check":{"Odd":1}}}"#,
            r#"{"Check":{"Check":{"Definition":{"Odd":1},"Odd":1}}}"#,
        ] {
            check_refused(&format!("[{inner}]"), "json: unknown field \"Odd\"");
        }
        check_refused(
            r#"[{"Check":{"Check":{"Interval":"10s"}}}]"#,
            "json: unknown field \"Interval\"",
        );
        check_refused(
            r#"[{"Check":{"Check":1}}]"#,
            "json: cannot unmarshal number into Go struct field CheckTxnOp.Check.Check of type \
             api.HealthCheck",
        );
    }

    #[test]
    fn what_names_nothing_is_left_out() {
        for body in ["null", "[]", "[{}]", "[null,{\"KV\":null}]"] {
            assert_eq!(read(body.as_bytes()).expect("read").0, Vec::new(), "{body}");
        }
        let (ops, given) = read(br#"[{},{"Node":{},"KV":{"verb":"get"}}]"#).expect("read");
        assert_eq!(given, 2);
        assert!(matches!(ops.as_slice(), [Op { subject: Subject::Kv(_), .. }]), "{ops:?}");
    }
}
