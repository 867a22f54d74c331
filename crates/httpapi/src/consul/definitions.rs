//! Definitions of services and checks that come from elsewhere than a request, read as a request's are:
//! a file that says the same registers the same.

use super::checks::{Definition, Given};
use super::error::Problem;
use super::json::Place;
use super::services::{ServiceDefinition, agent_service};
use super::sidecar;
use lang::json::Json;
use model::{Check, Instance, Registration};

/// A service as it was defined.
#[derive(Debug)]
pub struct Service {
    /// The service and its checks; they name no node yet.
    pub registration: Registration,
    sidecar: Option<Box<ServiceDefinition>>,
}

/// Reads a service as the body of `agent/service/register`; the error is Consul's text.
pub fn service(json: &Json) -> Result<Service, String> {
    let (registration, sidecar) = agent_service(json).map_err(text)?;
    let service = Service { registration, sidecar };
    // Which port it gets is known only where it is registered; all else is known to be well here.
    service.sidecar(&[]).map(|_| service)
}

impl Service {
    /// The sidecar that the service asks for, on a port that none of these instances has.
    pub fn sidecar(&self, registered: &[Instance]) -> Result<Option<Registration>, String> {
        let Some(given) = &self.sidecar else { return Ok(None) };
        let given = ServiceDefinition::clone(given);
        sidecar::complete(given, &self.registration.instance, registered).map(Some).map_err(text)
    }
}

/// Reads a check as the body of `agent/check/register`, but that an id may stand for its name; the
/// error is Consul's text.
pub fn check(json: &Json) -> Result<Check, String> {
    let place = Place::root("").inside("Alias", "");
    let mut definition = Definition::read(json, Given::Alone, &place).map_err(text)?;
    if definition.name.is_empty() {
        definition.name = definition.id.clone();
    }
    definition.validate_alone().map_err(text)?;
    Ok(definition.into_check_alone())
}

/// The text of a refusal.
pub(super) fn text(problem: Problem) -> String {
    match problem {
        Problem::Bad(text) | Problem::Decode(text) | Problem::Invalid(text) => {
            text.trim_end().to_owned()
        }
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        lang::json::parse(text.as_bytes()).expect(text)
    }

    #[test]
    fn a_service_brings_its_sidecar_on_a_port_of_its_own() {
        let web = json(r#"{"Name":"web","Port":80,"Connect":{"SidecarService":{}}}"#);
        let web = service(&web).expect("it is taken");
        assert_eq!(web.registration.instance.id.as_str(), "web");
        let port = |registered: &[Instance]| {
            web.sidecar(registered).expect("there is room").expect("it is asked for").instance.port
        };
        assert_eq!(port(&[]), 21_000);
        assert_eq!(port(&[Instance { port: 21_000, ..Instance::default() }]), 21_001);
    }

    #[test]
    fn a_check_may_have_an_id_alone() {
        let alone = check(&json(r#"{"ID":"a","TTL":"1s"}"#)).expect("it is taken");
        assert_eq!((alone.id.as_str(), alone.name.as_str()), ("a", "a"));
        for (text, why) in [
            (r#"{"TTL":"1s"}"#, "Missing check name"),
            (r#"{"Name":"a"}"#, "Invalid check: TTL must be > 0 for TTL checks"),
            (r#"{"Name":5}"#, "json: cannot unmarshal number"),
            (r#"{"Name":"a","Nope":1}"#, "json: unknown field \"Nope\""),
        ] {
            assert!(check(&json(text)).is_err_and(|said| said.contains(why)), "{text}");
        }
        assert_eq!(service(&json("{}")).err().as_deref(), Some("Missing service name"));
    }
}
