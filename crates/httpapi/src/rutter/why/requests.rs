//! What brings an instance back, as the requests that do it.
//!
//! Programs carry them out as they are; people read the text beside them.

use crate::consul::blocking::Scene;
use crate::consul::catalog::datacenter;
use crate::consul::shapes::{BareCheck, NO_PROXY, NodeService};
use catalog::why::{Remedy, path_segment};
use model::{Check, Instance, Row};
use serde::Serialize;
use serde_json::{Value, json};

/// A request to this agent, or to that of a node.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RequestShape {
    method: &'static str,
    path: String,
    #[serde(skip_serializing_if = "Value::is_null")]
    body: Value,
    /// Whose agent is to be asked; empty where any will do.
    #[serde(skip_serializing_if = "String::is_empty")]
    node: String,
}

impl RequestShape {
    fn any(path: &str, body: Value) -> RequestShape {
        RequestShape { method: "PUT", path: path.to_owned(), body, node: String::new() }
    }

    fn agent(node: &str, path: String, body: Value) -> RequestShape {
        RequestShape { method: "PUT", path, body, node: node.to_owned() }
    }
}

/// The requests of a remedy for an instance; none where it takes something else.
pub fn requests(scene: &Scene, remedy: &Remedy, row: &Row<Instance>) -> Vec<RequestShape> {
    let request = match remedy {
        Remedy::Register(check) => pass(scene, check),
        Remedy::Deregister(check) => RequestShape::any(
            "/v1/catalog/deregister",
            json!({
                "Datacenter": datacenter(scene),
                "Node": check.node.as_str(),
                "CheckID": check.id.as_str(),
            }),
        ),
        Remedy::Resume(check) => {
            let path = match check.instance.as_str() {
                "" => Some("/v1/agent/maintenance?enable=false".to_owned()),
                id => path_segment(id)
                    .map(|id| format!("/v1/agent/service/maintenance/{id}?enable=false")),
            };
            let Some(path) = path else { return Vec::new() };
            RequestShape::agent(check.node.as_str(), path, Value::Null)
        }
        Remedy::Report(check) => {
            let Some(id) = path_segment(check.id.as_str()) else { return Vec::new() };
            let path = format!("/v1/agent/check/pass/{id}");
            RequestShape::agent(check.node.as_str(), path, Value::Null)
        }
        Remedy::Tag { asked, .. } => match tagged(scene, row, asked) {
            Some(request) => request,
            None => return Vec::new(),
        },
        Remedy::Follow { .. }
        | Remedy::Run(_)
        | Remedy::Source
        | Remedy::Address(_)
        | Remedy::HostName => return Vec::new(),
    };
    vec![request]
}

/// The check as it is registered, and passing.
fn pass(scene: &Scene, row: &Row<Check>) -> RequestShape {
    let mut check = value(&BareCheck(row));
    check["Status"] = "passing".into();
    let stale = ["Output", "CreateIndex", "ModifyIndex", "ServiceName", "ServiceTags", "Node"];
    tidy(&mut check, &stale);
    let body = json!({
        "Datacenter": datacenter(scene),
        "Node": row.node.as_str(),
        "SkipNodeUpdate": true,
        "Check": check,
    });
    RequestShape::any("/v1/catalog/register", body)
}

/// The instance as it is registered, with one more tag; by the hand of its owner.
fn tagged(scene: &Scene, row: &Row<Instance>, tag: &str) -> Option<RequestShape> {
    let mut service = value(&NodeService(row));
    let tags = row.tags.iter().map(|own| own.as_str()).chain([tag]);
    service["Tags"] = tags.collect();
    tidy(&mut service, &["CreateIndex", "ModifyIndex", "PeerName"]);
    let node = row.node.as_str();
    if !row.owner.reconciles() {
        let body = json!({
            "Datacenter": datacenter(scene),
            "Node": node,
            "SkipNodeUpdate": true,
            "Service": service,
        });
        return Some(RequestShape::any("/v1/catalog/register", body));
    }
    if !row.owner.as_str().starts_with("agent/") {
        return None;
    }
    let name = service["Service"].take();
    tidy(&mut service, &["Service"]);
    service["Name"] = name;
    Some(RequestShape::agent(node, "/v1/agent/service/register".to_owned(), service))
}

fn value<T: Serialize>(shape: &T) -> Value {
    serde_json::to_value(shape).expect("shapes have text keys")
}

/// Takes these members away, and those that say what is so without them: people read it, too.
fn tidy(value: &mut Value, keys: &[&str]) {
    let Some(members) = value.as_object_mut() else { return };
    members.retain(|key, value| {
        let usual = match value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(members) => members.is_empty() || *value == no_proxy(),
            Value::Number(number) => number.as_i64() == Some(0),
            Value::Bool(true) => false,
        };
        !usual && !keys.contains(&key.as_str())
    });
}

/// What is shown of a service without a proxy.
fn no_proxy() -> Value {
    serde_json::from_str(NO_PROXY).unwrap_or_default()
}
