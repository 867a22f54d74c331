//! `/v1/agent/`: this node's own registrations.
//!
//! Writes go to the agent's own store, which answers when it is synced. Source: Consul, "Agent HTTP API"

use super::checks::{Definition, Given};
use super::error::Problem;
use super::filter::{self, CheckRow, InstanceRow};
use super::json::{Place, members};
use super::mesh::destination;
use super::services::agent_service;
use super::shapes::{AgentService, CheckShape};
use super::sidecar;
use crate::answer::Answer;
use crate::call::Call;
use catalog::Authorizer;
use model::{Check, CheckId, Instance, InstanceId, Status, Text};
use seams::{ExistingChecks, RegisterError};
use std::collections::BTreeMap;

/// `PUT service/register`: a service, and the sidecar that it asks for.
pub async fn register(mut call: Call) -> Result<Answer, Problem> {
    let body = call.json().await?;
    let (registration, sidecar) = agent_service(&body)?;
    let registrar = &call.context.registrar;
    let sidecar = sidecar
        .map(|given| sidecar::complete(*given, &registration.instance, &registrar.instances()));
    let registrations = [Some(registration), sidecar.transpose()?];
    let authorizer = call.authorizer();
    for registration in registrations.iter().flatten() {
        let name = registration.instance.service.as_str();
        Problem::unless(authorizer.service_write(name), "service:write", name)?;
        // Whoever stands before a service is found in its place.
        if let Some(to) = destination(&registration.instance) {
            Problem::unless(authorizer.service_write(&to), "service:write", &to)?;
        }
    }
    let existing = match call.query.first("replace-existing-checks") {
        Some("" | "true") => ExistingChecks::Replace,
        _ => ExistingChecks::Keep,
    };
    let node = &call.context.identity.node_name;
    // Two changes, as in Consul: a sidecar that the store refuses leaves its service registered.
    for mut registration in registrations.into_iter().flatten() {
        registration.instance.node = node.clone();
        for check in &mut registration.checks {
            check.node = node.clone();
        }
        registrar.register(registration, existing, call.author()).await?;
    }
    Ok(Answer::empty())
}

fn find_instance(call: &Call, id: &str) -> Option<Instance> {
    call.context.registrar.instance(&InstanceId::from(id))
}

/// `PUT service/deregister/:id`; its sidecar goes with it.
pub async fn deregister(call: Call) -> Result<Answer, Problem> {
    let id = call.name();
    let unknown = || RegisterError::UnknownInstance(id.clone());
    let instance = find_instance(&call, &id);
    let name = instance.as_ref().map_or(id.as_str(), |instance| instance.service.as_str());
    Problem::unless(call.authorizer().service_write(name), "service:write", name)?;
    let instance = instance.as_ref().ok_or_else(unknown)?;
    let registrar = &call.context.registrar;
    let sidecar = sidecar::registered(&**registrar, &instance.id);
    registrar.deregister(instance.id.clone(), call.author()).await?;
    if let Some(sidecar) = sidecar {
        match registrar.deregister(sidecar.id, call.author()).await {
            // Somebody else took it away meanwhile.
            Ok(()) | Err(RegisterError::UnknownInstance(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Answer::empty())
}

/// `PUT check/register`.
pub async fn register_check(mut call: Call) -> Result<Answer, Problem> {
    let body = call.json().await?;
    let definition = Definition::read(&body, Given::Alone, &Place::root("").inside("Alias", ""))?;
    definition.validate_alone()?;
    let instance = match definition.instance.as_str() {
        "" => None,
        id => {
            let absent =
                || Problem::Absent(format!("ServiceID {} does not exist", lang::quote(id)));
            Some(find_instance(&call, id).ok_or_else(absent)?)
        }
    };
    allow_check(&call, &call.authorizer(), instance.as_ref().map(|is| is.service.as_str()))?;
    let mut check = definition.into_check_alone();
    check.node = call.context.identity.node_name.clone();
    if let Some(instance) = instance {
        check.instance = instance.id;
        check.service = instance.service;
        check.service_tags = instance.tags;
    }
    call.context.registrar.register_check(check, call.author()).await?;
    Ok(Answer::empty())
}

fn allow_check(call: &Call, authorizer: &Authorizer, service: Option<&str>) -> Result<(), Problem> {
    match service.filter(|service| !service.is_empty()) {
        Some(name) => Problem::unless(authorizer.service_write(name), "service:write", name),
        None => {
            let node = call.context.identity.node_name.as_str();
            Problem::unless(authorizer.node_write(node), "node:write", node)
        }
    }
}

/// The check that a call names, if there is one and the caller may change it.
fn known_check(call: &Call) -> Result<CheckId, Problem> {
    let id = call.name();
    let check = call.context.registrar.check(&CheckId::from(id.as_str()));
    let service = check.as_ref().map(|check| check.service.as_str());
    allow_check(call, &call.authorizer(), service)?;
    check.map(|check| check.id).ok_or_else(|| RegisterError::UnknownCheck(id).into())
}

/// `PUT check/deregister/:id`.
pub async fn deregister_check(call: Call) -> Result<Answer, Problem> {
    let id = known_check(&call)?;
    call.context.registrar.deregister_check(id, call.author()).await?;
    Ok(Answer::empty())
}

/// `PUT check/pass/:id`.
pub async fn pass(call: Call) -> Result<Answer, Problem> {
    observe(call, Status::Passing).await
}

/// `PUT check/warn/:id`.
pub async fn warn(call: Call) -> Result<Answer, Problem> {
    observe(call, Status::Warning).await
}

/// `PUT check/fail/:id`.
pub async fn fail(call: Call) -> Result<Answer, Problem> {
    observe(call, Status::Critical).await
}

async fn observe(call: Call, status: Status) -> Result<Answer, Problem> {
    let id = known_check(&call)?;
    let note = call.query.first("note").unwrap_or_default().to_owned();
    call.context.registrar.observe(id, status, note).await?;
    Ok(Answer::empty())
}

/// `PUT check/update/:id`: a status and an output in the body.
pub async fn update(mut call: Call) -> Result<Answer, Problem> {
    let body = call.json().await?;
    let place = Place::root("checkUpdate");
    let (mut status, mut output) = (Text::default(), Text::default());
    members(&body, "agent.checkUpdate", true, &mut |key, value| {
        match key {
            "status" => place.text("Status", value, &mut status)?,
            "output" => place.text("Output", value, &mut output)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let status = match Status::parse(&status) {
        Status::Other(text) => {
            return Err(Problem::Bad(format!("Invalid check status: '{text}'")));
        }
        status => status,
    };
    let id = known_check(&call)?;
    call.context.registrar.observe(id, status, output.into()).await?;
    Ok(Answer::empty())
}

/// `GET services`: what is registered here, by id.
pub async fn services(call: Call) -> Result<Answer, Problem> {
    let filter = filter::of(&call, &filter::INSTANCE)?;
    let authorizer = call.authorizer();
    let instances = call.context.registrar.instances();
    let datacenter = &call.context.identity.datacenter;
    let shown: BTreeMap<&str, AgentService<'_>> = instances
        .iter()
        .filter(|instance| authorizer.service_read(instance.service.as_str()))
        .filter(|instance| filter::keeps(filter, &InstanceRow::new(instance)))
        .map(|is| (is.id.as_str(), AgentService { instance: is, datacenter, hash: None }))
        .collect();
    Ok(Answer::json(&shown))
}

/// `GET checks`: the checks registered here, by id.
pub async fn checks(call: Call) -> Result<Answer, Problem> {
    let authorizer = call.authorizer();
    let node = call.context.identity.node_name.as_str();
    let checks = call.context.registrar.checks();
    let seen = |check: &&Check| match check.service.as_str() {
        "" => authorizer.node_read(node),
        service => authorizer.service_read(service),
    };
    let filter = filter::of_first_row(&call, &filter::CHECK, checks.iter().any(|is| seen(&is)))?;
    let shown: BTreeMap<&str, CheckShape<'_>> = checks
        .iter()
        .filter(seen)
        .filter(|check| filter::keeps(filter, &CheckRow(check)))
        .map(|check| (check.id.as_str(), CheckShape { check, indexes: (0, 0), definition: false }))
        .collect();
    Ok(Answer::json(&shown))
}
