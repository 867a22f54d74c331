//! `/v1/catalog/register` and `deregister`: writing the catalog past any agent.
//!
//! Node, service and checks become one entry, so all or nothing of it is applied.
//! Source: Consul, "Catalog HTTP API"; stories 21 and 22.

use super::checks::{Given, kind, run_member};
use super::error::Problem;
use super::json::{Place, each_member, members};
use super::mesh::destination;
use super::services::{catalog_service, locality};
use crate::answer::Answer;
use crate::call::Call;
use catalog::{Authorizer, Command, NodeKey, View};
use lang::json::Json;
use model::{
    Check, CheckDefinition, CheckId, Instance, InstanceId, Node, NodeId, NodeName, Status, Text,
};
use std::sync::Arc;

/// A registration as it was given.
#[derive(Default)]
struct Registration {
    datacenter: Text,
    id: Text,
    node: Node,
    service: Option<Instance>,
    /// What Consul refuses of the service, told after what is wrong with the node.
    service_complaint: Option<Problem>,
    checks: Vec<GivenCheck>,
    skip_node: bool,
}

/// A check as it was given.
struct GivenCheck {
    /// The node it names; empty for that of the registration.
    node: Text,
    /// The check, without its node.
    check: Check,
}

/// `PUT register`.
pub async fn register(mut call: Call) -> Result<Answer, Problem> {
    let json = call.json().await?;
    let mut given = read(&json)?;
    let datacenter = match given.datacenter.is_empty() {
        true => call.query.given("dc").unwrap_or_default().into(),
        false => given.datacenter.clone(),
    };
    let doors = call.doors_of(&datacenter)?;
    validate(&mut given)?;
    // Held until it is answered, a view would keep what the writes before it replaced.
    let authorizer = doors.reader.view().authorizer(&call.token);
    allow(&authorizer, &given)?;
    call.write(&doors, &authorizer, commands(given), "").await?;
    Ok(Answer::json(&true))
}

/// What a body writes, whoever sent it.
pub(super) fn commands_of(json: &Json) -> Result<Vec<Command>, Problem> {
    let mut given = read(json)?;
    validate(&mut given)?;
    Ok(commands(given))
}

fn read(json: &Json) -> Result<Registration, Problem> {
    let place = Place::root("RegisterRequest");
    let mut given = Registration::default();
    members(json, "structs.RegisterRequest", true, &mut |key, value| {
        match key {
            "datacenter" => place.text("Datacenter", value, &mut given.datacenter)?,
            "id" => place.text("ID", value, &mut given.id)?,
            "node" => {
                let mut name = Text::default();
                place.text("Node", value, &mut name)?;
                given.node.name = NodeName::new(name);
            }
            "address" => place.text("Address", value, &mut given.node.address)?,
            "taggedaddresses" => {
                place.map("TaggedAddresses", value, &mut given.node.tagged_addresses)?;
            }
            "nodemeta" => place.map("NodeMeta", value, &mut given.node.meta)?,
            "locality" => given.node.locality = locality(&place, value)?,
            "service" => match catalog_service(&place, value) {
                Err(complaint @ Problem::Invalid(_)) => given.service_complaint = Some(complaint),
                read => given.service = read?,
            },
            "check" => {
                if *value != Json::Null {
                    let inside = place.inside("Check", "HealthCheck");
                    given.checks.push(check(value, &inside)?);
                }
            }
            "checks" => {
                let inside = place.inside("Checks", "HealthCheck");
                for item in
                    place.items("Checks", value, "structs.HealthChecks")?.unwrap_or_default()
                {
                    given.checks.push(check(item, &inside)?);
                }
            }
            "skipnodeupdate" => place.truth("SkipNodeUpdate", value, &mut given.skip_node)?,
            "token" | "peername" | "createindex" | "modifyindex" => {}
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(given)
}

/// Reads a check of the catalog.
fn check(json: &Json, place: &Place) -> Result<GivenCheck, Problem> {
    let mut node = Text::default();
    let mut check = Check::default();
    let (mut id, mut instance, mut status) = (Text::default(), Text::default(), Text::default());
    members(json, "structs.HealthCheck", true, &mut |key, value| {
        match key {
            "node" => place.text("Node", value, &mut node)?,
            "checkid" => place.text("CheckID", value, &mut id)?,
            "name" => place.text("Name", value, &mut check.name)?,
            "status" => place.text("Status", value, &mut status)?,
            "notes" => place.text("Notes", value, &mut check.notes)?,
            "output" => place.text("Output", value, &mut check.output)?,
            "serviceid" => place.text("ServiceID", value, &mut instance)?,
            "type" => place.text("Type", value, &mut check.kind)?,
            "interval" => place.text("Interval", value, &mut check.interval)?,
            "timeout" => place.text("Timeout", value, &mut check.timeout)?,
            "exposedport" => place.number("ExposedPort", value, &mut check.exposed_port)?,
            "definition" => check.definition = definition(place, value)?,
            // Filled in from the service.
            "servicename" | "servicetags" | "peername" | "createindex" => {}
            "modifyindex" => place.unsigned("ModifyIndex", value, &mut 0)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    check.id = CheckId::new(if id.is_empty() { check.name.clone() } else { id });
    check.instance = InstanceId::new(instance);
    check.status = Status::parse(if status.is_empty() { "critical" } else { &status });
    if let Some(run) = check.definition.as_deref().filter(|_| check.kind.is_empty()) {
        check.kind = Text::new(kind(run));
    }
    Ok(GivenCheck { node, check })
}

/// How a check of the catalog is run; what is not known in it is not refused, as in Consul.
fn definition(place: &Place, json: &Json) -> Result<Option<Box<CheckDefinition>>, Problem> {
    let Some(given) = place.object("Definition", json, "structs.HealthCheckDefinition")? else {
        return Ok(None);
    };
    let inside = place.inside("Definition", "HealthCheckDefinition");
    let mut run = CheckDefinition::default();
    each_member(given, false, &mut |key, value| {
        run_member(&mut run, key, value, Given::Alone, &inside)
    })?;
    Ok((run != CheckDefinition::default()).then(|| Box::new(run)))
}

fn validate(given: &mut Registration) -> Result<(), Problem> {
    if given.node.name.is_empty() {
        return Err(Problem::invalid("Must provide node"));
    }
    if given.node.address.is_empty() && !given.skip_node {
        return Err(Problem::invalid("Must provide address if SkipNodeUpdate is not set"));
    }
    if !given.id.is_empty() {
        let id = node_id(&given.id);
        given.node.id = Some(id.map_err(|why| Problem::Invalid(format!("Bad node ID: {why}")))?);
    }
    if let Some(complaint) = given.service_complaint.take() {
        return Err(complaint);
    }
    let node = &given.node.name;
    for GivenCheck { node: named, check } in &mut given.checks {
        if !named.is_empty() && NodeName::new(named.clone()).fold() != node.fold() {
            return Err(Problem::Invalid(format!(
                "Node '{named}' for check '{}' doesn't match register request node '{node}'",
                check.id
            )));
        }
        if check.id.is_empty() {
            return Err(Problem::Invalid(format!(
                "failed inserting check on node \"{node}\": failed health check lookup: index \
                 error: object is missing a value for this index"
            )));
        }
        check.node = node.clone();
    }
    if let Some(service) = &mut given.service {
        service.node = node.clone();
    }
    Ok(())
}

/// Reads the id of a node.
pub(super) fn node_id(text: &str) -> Result<NodeId, &'static str> {
    if text.len() != 36 {
        return Err("uuid string is wrong length");
    }
    text.parse().map_err(|_| "uuid is improperly formatted")
}

fn allow(authorizer: &Authorizer, given: &Registration) -> Result<(), Problem> {
    let node = given.node.name.as_str();
    Problem::unless(authorizer.node_write(node), "node:write", node)?;
    match &given.service {
        None => Ok(()),
        Some(service) => {
            let name = service.service.as_str();
            Problem::unless(authorizer.service_write(name), "service:write", name)?;
            match destination(service) {
                Some(to) => Problem::unless(authorizer.service_write(&to), "service:write", &to),
                None => Ok(()),
            }
        }
    }
}

fn commands(given: Registration) -> Vec<Command> {
    let node = match given.skip_node {
        true => Command::EnsureNode(given.node.name),
        false => Command::PutNode(given.node),
    };
    let service = given.service.map(|service| Command::PutInstance(Box::new(service)));
    let checks = given.checks.into_iter().map(|given| Command::PutCheck(Box::new(given.check)));
    std::iter::once(node).chain(service).chain(checks).collect()
}

const DEREGISTER: &str = "struct { Address string; *structs.Alias }";

/// `PUT deregister`: a service, else a check, else the whole node; true also where nothing was.
pub async fn deregister(mut call: Call) -> Result<Answer, Problem> {
    let json = call.json().await?;
    let place = Place::root("").inside("Alias", "");
    let (mut datacenter, mut node) = (Text::default(), Text::default());
    let (mut service, mut check) = (Text::default(), Text::default());
    members(&json, DEREGISTER, true, &mut |key, value| {
        match key {
            "datacenter" => place.text("Datacenter", value, &mut datacenter)?,
            "node" => place.text("Node", value, &mut node)?,
            "serviceid" => place.text("ServiceID", value, &mut service)?,
            "checkid" => place.text("CheckID", value, &mut check)?,
            "address" | "token" | "peername" => {}
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    if datacenter.is_empty() {
        datacenter = call.query.given("dc").unwrap_or_default().into();
    }
    let doors = call.doors_of(&datacenter)?;
    if node.is_empty() {
        return Err(Problem::invalid("Must provide node"));
    }
    let node = NodeName::new(node);
    let command = if !service.is_empty() {
        Command::RemoveInstance(node, InstanceId::new(service))
    } else if !check.is_empty() {
        Command::RemoveCheck(node, CheckId::new(check))
    } else {
        Command::RemoveNode(node)
    };
    let view = doors.reader.view();
    let authorizer = view.authorizer(&call.token);
    allow_removal(&view, &authorizer, &command)?;
    drop(view);
    call.write(&doors, &authorizer, vec![command], "").await?;
    Ok(Answer::json(&true))
}

/// Who may write a service may remove its instances and their checks; all else is the node's.
fn allow_removal(
    view: &Arc<View>,
    authorizer: &Authorizer,
    command: &Command,
) -> Result<(), Problem> {
    let tenant = authorizer.tenant();
    let (node, service) = match command {
        Command::RemoveInstance(node, id) => {
            let row = view.instance(&NodeKey::new(tenant, node).instance(id));
            (node, row.ok().flatten().map(|row| row.service.clone()))
        }
        Command::RemoveCheck(node, id) => {
            let row = view.check(&NodeKey::new(tenant, node).check(id)).ok().flatten();
            (node, row.map(|row| row.service.clone()).filter(|service| !service.is_empty()))
        }
        Command::RemoveNode(node) => (node, None),
        _ => return Ok(()),
    };
    let by_service = service.is_some_and(|name| authorizer.service_write(name.as_str()));
    let name = node.as_str();
    Problem::unless(by_service || authorizer.node_write(name), "node:write", name)
}
