//! A check as a transaction names it.
//!
//! Not the catalog's: Consul reads this one through its client's type, which knows fewer members of a
//! check (no `Interval` beside its `Definition`) and fewer ways to run one, and derives no type from
//! them.

use crate::consul::checks::{Given, run_member};
use crate::consul::error::Problem;
use crate::consul::json::{Place, each_member, nanos};
use lang::json::Json;
use model::{Check, CheckDefinition, CheckId, InstanceId, NodeName, Status, Text};

/// The members of a check, and the index at which it is said to have been changed.
pub fn read(place: &Place, given: &[(String, Json)]) -> Result<(Check, u64), Problem> {
    let (mut check, mut modified) = (Check::default(), 0);
    let (mut node, mut id, mut instance, mut status) = <(Text, Text, Text, Text)>::default();
    each_member(given, true, &mut |key, value| {
        match key {
            "node" => place.text("Node", value, &mut node)?,
            "checkid" => place.text("CheckID", value, &mut id)?,
            "name" => place.text("Name", value, &mut check.name)?,
            "status" => place.text("Status", value, &mut status)?,
            "notes" => place.text("Notes", value, &mut check.notes)?,
            "output" => place.text("Output", value, &mut check.output)?,
            "serviceid" => place.text("ServiceID", value, &mut instance)?,
            "type" => place.text("Type", value, &mut check.kind)?,
            "exposedport" => place.number("ExposedPort", value, &mut check.exposed_port)?,
            "definition" => check.definition = definition(place, value)?,
            "modifyindex" => place.unsigned("ModifyIndex", value, &mut modified)?,
            // Filled in from the service, or nothing here.
            "servicename" | "servicetags" | "namespace" | "partition" | "peername"
            | "createindex" => {}
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    check.node = NodeName::new(node);
    check.id = CheckId::new(id);
    check.instance = InstanceId::new(instance);
    check.status = Status::parse(if status.is_empty() { "critical" } else { &status });
    Ok((check, modified))
}

/// The members that say how a check is run; what else stands there is not refused.
const RUN: [&str; 15] = [
    "http",
    "header",
    "method",
    "body",
    "tlsservername",
    "tlsskipverify",
    "tcp",
    "tcpusetls",
    "udp",
    "grpc",
    "grpcusetls",
    "osservice",
    "interval",
    "timeout",
    "deregistercriticalserviceafter",
];

fn definition(place: &Place, json: &Json) -> Result<Option<Box<CheckDefinition>>, Problem> {
    let Some(given) = place.object("Definition", json, "api.HealthCheckDefinition")? else {
        return Ok(None);
    };
    let inside = place.inside("Definition", "HealthCheckDefinition");
    let mut run = CheckDefinition::default();
    each_member(given, false, &mut |key, value| {
        Ok(RUN.contains(&key) && run_member(&mut run, key, value, Given::Alone, &inside)?)
    })?;
    // An old way to write the same, which counts where both are there.
    each_member(given, false, &mut |key, value| {
        match key {
            "intervalduration" => nanos(value, &mut run.interval)?,
            "timeoutduration" => nanos(value, &mut run.timeout)?,
            "deregistercriticalserviceafterduration" => {
                nanos(value, &mut run.deregister_critical_service_after)?;
            }
            _ => {}
        }
        Ok(true)
    })?;
    Ok((run != CheckDefinition::default()).then(|| Box::new(run)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Nanos;

    fn read(body: &str) -> Check {
        let json = lang::json::parse(body.as_bytes()).unwrap();
        let Json::Object(members) = json else { panic!("{body}: an object") };
        super::read(&Place::root("HealthCheck"), &members).unwrap().0
    }

    #[test]
    fn a_definition_is_read_as_consuls_client_writes_it() {
        let run = |definition: &str| read(&format!(r#"{{"Definition":{definition}}}"#)).definition;
        assert_eq!(run("null"), None);
        assert_eq!(run(r#"{"TTL":"10s","H2PING":"a:1","odd":1,"tls_skip_verify":true}"#), None);
        let udp = CheckDefinition {
            udp: Text::new("a:1"),
            interval: Nanos::seconds(3),
            timeout: Nanos::seconds(1),
            deregister_critical_service_after: Nanos::seconds(60),
            ..CheckDefinition::default()
        };
        let written = r#"{"IntervalDuration":3000000000,"Interval":"2s","Timeout":"1s","UDP":"a:1",
            "TimeoutDuration":null,"DeregisterCriticalServiceAfterDuration":"1m"}"#;
        assert_eq!(run(written), Some(Box::new(udp)));
    }

    #[test]
    fn a_type_is_the_one_that_was_given() {
        assert_eq!(read(r#"{"Definition":{"HTTP":"http://x"}}"#).kind, "");
        assert_eq!(read(r#"{"Type":"odd","Definition":{"HTTP":"http://x"}}"#).kind, "odd");
    }
}
