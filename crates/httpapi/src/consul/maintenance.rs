//! `/v1/agent/maintenance` and `/v1/agent/service/maintenance/`: taken out by a person.
//!
//! It is a check that is critical and that nobody runs, so that whoever knows checks knows this:
//! Fabio and our own local health go by the ids. Source: Consul, recorded answers.

use super::error::Problem;
use super::local_health::{NODE_MAINTENANCE, SERVICE_MAINTENANCE};
use crate::answer::Answer;
use crate::call::Call;
use lang::{number, quote};
use model::{Check, CheckDetails, CheckId, InstanceId, Status, Text};
use seams::RegisterError;

/// `PUT /v1/agent/maintenance`: this node.
pub async fn of_node(call: Call) -> Result<Answer, Problem> {
    let wanted = wanted(&call)?;
    let node = call.context.identity.node_name.as_str();
    Problem::unless(call.authorizer().node_write(node), "node:write", node)?;
    let check = Check {
        id: CheckId::from(NODE_MAINTENANCE),
        name: Text::new("Node Maintenance Mode"),
        details: CheckDetails { notes: reason(&call, "node"), ..CheckDetails::default() }.into(),
        ..Check::default()
    };
    set(&call, wanted, check).await
}

/// `PUT /v1/agent/service/maintenance/:id`: one instance.
pub async fn of_instance(call: Call) -> Result<Answer, Problem> {
    let id = call.name();
    if id.is_empty() {
        return Err(Problem::bad("Missing service ID"));
    }
    let wanted = wanted(&call)?;
    let instance = call.context.registrar.instance(&InstanceId::from(id.as_str()));
    let name = instance.as_ref().map_or(id.as_str(), |instance| instance.service.as_str());
    Problem::unless(call.authorizer().service_write(name), "service:write", name)?;
    let instance = instance.ok_or_else(|| RegisterError::UnknownInstance(id.clone()))?;
    let check = Check {
        id: CheckId::new(Text::from(format!("{SERVICE_MAINTENANCE}{}", instance.id))),
        name: Text::new("Service Maintenance Mode"),
        instance: instance.id,
        service: instance.service,
        service_tags: instance.tags,
        details: CheckDetails { notes: reason(&call, "service"), ..CheckDetails::default() }.into(),
        ..Check::default()
    };
    set(&call, wanted, check).await
}

/// Whether it is to be switched on.
fn wanted(call: &Call) -> Result<bool, Problem> {
    let given = call.query.first("enable");
    let given = given.ok_or_else(|| Problem::bad("Missing value for enable"))?;
    number::parse_bool(given)
        .map_err(|_| Problem::Bad(format!("Invalid value for enable: {}", quote(given))))
}

fn reason(call: &Call, what: &str) -> Text {
    match call.query.given("reason") {
        Some(reason) => Text::new(reason),
        None => Text::from(format!(
            "Maintenance mode is enabled for this {what}, but no reason was provided. This is a \
             default message."
        )),
    }
}

/// Puts the check there or takes it away; where that is done already, the first reason stays.
async fn set(call: &Call, wanted: bool, check: Check) -> Result<Answer, Problem> {
    let registrar = &call.context.registrar;
    match (wanted, registrar.check(&check.id).is_some()) {
        (true, false) => {
            let node = call.context.identity.node_name.clone();
            let mut check = Check { node, status: Status::Critical, ..check };
            check.kind = Text::new("maintenance");
            registrar.register_check(check, call.author()).await?;
        }
        (false, true) => match registrar.deregister_check(check.id, call.author()).await {
            // Somebody else took it away meanwhile.
            Ok(()) | Err(RegisterError::UnknownCheck(_)) => {}
            Err(error) => return Err(error.into()),
        },
        _ => {}
    }
    Ok(Answer::empty())
}
