//! Service definitions as clients give them, to an agent or to the catalog.

pub mod validation;

use super::checks::{Definition, Given};
use super::error::Problem;
use super::json::{Place, each_member, members};
use super::proxy;
use lang::json::Json;
use model::{
    Check, Instance, InstanceId, Locality, Opaque, Registration, ServiceAddress, ServiceName, Text,
    Weights,
};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use validation::{complaint, is_any, validate, validate_weights};

/// The members that a service has at both doors; says whether it knows the key.
fn member(
    instance: &mut Instance,
    key: &str,
    value: &Json,
    place: &Place,
) -> Result<bool, Problem> {
    match key {
        "kind" => place.text("Kind", value, &mut instance.kind)?,
        "id" => {
            let mut id = Text::default();
            place.text("ID", value, &mut id)?;
            instance.id = InstanceId::new(id);
        }
        "tags" => {
            let mut tags = instance.tags.to_vec();
            place.texts("Tags", value, &mut tags)?;
            instance.tags = Arc::from(tags);
        }
        "address" => place.text("Address", value, &mut instance.address)?,
        "taggedaddresses" => {
            instance.tagged_addresses = tagged_addresses(place, value)?;
        }
        "meta" => place.map("Meta", value, &mut instance.meta)?,
        "port" => place.number("Port", value, &mut instance.port)?,
        "socketpath" => place.text("SocketPath", value, &mut instance.socket_path)?,
        "enabletagoverride" => {
            place.truth("EnableTagOverride", value, &mut instance.enable_tag_override)?;
        }
        "weights" => weights(place, value, &mut instance.weights)?,
        "locality" => instance.locality = locality(place, value)?,
        "proxy" => instance.proxy = proxy::read(place, value)?,
        "connect" => instance.connect = connect(place, value)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn service_name(
    place: &Place,
    name: &str,
    value: &Json,
    out: &mut ServiceName,
) -> Result<(), Problem> {
    let mut text = Text::default();
    place.text(name, value, &mut text)?;
    *out = ServiceName::new(text);
    Ok(())
}

/// The service of a catalog registration; `None` if it names nothing.
pub fn catalog_service(place: &Place, json: &Json) -> Result<Option<Instance>, Problem> {
    let Some(given) = place.object("Service", json, "structs.NodeService")? else {
        return Ok(None);
    };
    let (mut instance, _) = node_service(&place.inside("Service", "NodeService"), given, &[])?;
    if let Some(complaint) = complaint(&instance, None) {
        return Err(Problem::Invalid(complaint));
    }
    if instance.service.is_empty() {
        return match instance.id.is_empty() {
            true => Ok(None),
            false => Err(Problem::invalid(
                "Must provide service name (Service.Service) when service ID is provided",
            )),
        };
    }
    if instance.id.is_empty() {
        instance.id = InstanceId::from(instance.service.as_str());
    }
    match is_any(&instance.address) {
        true => Err(Problem::invalid("Invalid service address")),
        false => Ok(Some(instance)),
    }
}

/// The members of a service of the catalog, and the index at which it is said to have been changed;
/// `ignored` are keys that mean nothing here.
pub fn node_service(
    inside: &Place,
    given: &[(String, Json)],
    ignored: &[&str],
) -> Result<(Instance, u64), Problem> {
    let (mut instance, mut modified) = (Instance::default(), 0);
    each_member(given, true, &mut |key, value| {
        match key {
            "service" => service_name(inside, "Service", value, &mut instance.service)?,
            "modifyindex" => inside.unsigned("ModifyIndex", value, &mut modified)?,
            "peername" | "createindex" => {}
            key if ignored.contains(&key) => {}
            key => return member(&mut instance, key, value, inside),
        }
        Ok(true)
    })?;
    // Consul's Go client sends weights of 0 where none were meant; the catalog keeps none that DNS
    // could not tell.
    if validate_weights(instance.weights).is_err() {
        instance.weights = Weights::default();
    }
    Ok((instance, modified))
}

const AGENT_SERVICE: &str = concat!(
    "struct { EnableTagOverrideSnake bool \"json:\\\"enable_tag_override\\\"\"; ",
    "TaggedAddressesSnake map[string]structs.ServiceAddress \"json:\\\"tagged_addresses\\\"\"; ",
    "*structs.Alias }"
);

/// A service as it was given to the agent.
#[derive(Debug, Clone, Default)]
pub struct ServiceDefinition {
    /// The service; its id is empty if none was given.
    pub instance: Instance,
    /// Its checks, `Check` before `Checks`.
    pub checks: Vec<Definition>,
    /// The sidecar that it asks for.
    pub sidecar: Option<Box<ServiceDefinition>>,
    weighed: bool,
}

impl ServiceDefinition {
    /// Reads a service, and its sidecar with it.
    pub fn read(json: &Json) -> Result<ServiceDefinition, Problem> {
        let mut given = ServiceDefinition::default();
        let place = Place::root("").inside("Alias", "");
        members(json, AGENT_SERVICE, true, &mut |key, value| given.member(key, value, &place))?;
        Ok(given)
    }

    fn member(&mut self, key: &str, value: &Json, place: &Place) -> Result<bool, Problem> {
        let instance = &mut self.instance;
        match key {
            "name" => service_name(place, "Name", value, &mut instance.service)?,
            "check" => self.checks.insert(0, embedded(value)?),
            "checks" => {
                let checks = place.items("Checks", value, "structs.CheckTypes")?;
                for check in checks.unwrap_or_default() {
                    self.checks.push(embedded(check)?);
                }
            }
            "token" => place.text("Token", value, &mut Text::default())?,
            "enable_tag_override" => {
                place.truth("EnableTagOverride", value, &mut instance.enable_tag_override)?;
            }
            "tagged_addresses" => instance.tagged_addresses = tagged_addresses(place, value)?,
            "socket_path" => place.text("SocketPath", value, &mut instance.socket_path)?,
            "connect" => {
                self.sidecar = sidecar_of(value)?.map(Box::new);
                return member(instance, key, value, place);
            }
            key => {
                self.weighed |= key == "weights" && *value != Json::Null;
                return member(instance, key, value, place);
            }
        }
        Ok(true)
    }

    /// What is registered, if nothing speaks against it.
    pub fn registration(self) -> Result<Registration, Problem> {
        let ServiceDefinition { mut instance, checks, .. } = self;
        fill_addresses(&mut instance);
        let checks = embedded_checks(&instance, checks)?;
        Ok(Registration { instance, checks })
    }
}

/// Reads the body of a registration with the agent and refuses what Consul does, in its order; the
/// sidecar, if one is asked for, is yet to be made out of its service.
pub fn agent_service(
    json: &Json,
) -> Result<(Registration, Option<Box<ServiceDefinition>>), Problem> {
    let mut given = ServiceDefinition::read(json)?;
    validate(&given)?;
    if given.instance.id.is_empty() {
        given.instance.id = InstanceId::from(given.instance.service.as_str());
    }
    let sidecar = given.sidecar.take();
    Ok((given.registration()?, sidecar))
}

fn embedded(json: &Json) -> Result<Definition, Problem> {
    Definition::read(json, Given::WithService, &Place::root("").inside("Alias", ""))
}

fn names_sidecar(key: &str) -> bool {
    ["SidecarService", "sidecar_service"].iter().any(|name| name.eq_ignore_ascii_case(key))
}

/// The sidecar that a `Connect` block asks for.
fn sidecar_of(connect: &Json) -> Result<Option<ServiceDefinition>, Problem> {
    let Json::Object(members) = connect else { return Ok(None) };
    match members.iter().rfind(|(key, _)| names_sidecar(key)) {
        Some((_, value)) if *value != Json::Null => ServiceDefinition::read(value).map(Some),
        _ => Ok(None),
    }
}

/// An agent adds its own address under the tags by which clients choose a family.
fn fill_addresses(instance: &mut Instance) {
    let Ok(ip) = instance.address.parse::<IpAddr>() else { return };
    let tags = if ip.is_ipv4() { ["lan_ipv4", "wan_ipv4"] } else { ["lan_ipv6", "wan_ipv6"] };
    let own = ServiceAddress { address: instance.address.clone(), port: instance.port };
    let addresses = instance.tagged_addresses.get_or_insert_default();
    for tag in tags {
        addresses.entry(Text::new(tag)).or_insert_with(|| own.clone());
    }
}

fn embedded_checks(
    instance: &Instance,
    definitions: Vec<Definition>,
) -> Result<Vec<Check>, Problem> {
    let definitions: Vec<_> = definitions.into_iter().filter(|check| !check.is_empty()).collect();
    for check in &definitions {
        check.validate()?;
    }
    let several = definitions.len() > 1;
    let number = |(n, check): (usize, Definition)| {
        if !check.has_known_status() {
            return Err(Problem::bad("Status for checks must 'passing', 'warning', 'critical'"));
        }
        let id = match (check.id.is_empty(), several) {
            (false, _) => check.id.clone(),
            (true, false) => Text::from(format!("service:{}", instance.id)),
            (true, true) => Text::from(format!("service:{}:{}", instance.id, n + 1)),
        };
        let name = match check.name.is_empty() {
            false => check.name.clone(),
            true => Text::from(format!("Service '{}' check", instance.service)),
        };
        let mut check = check.into_check(id, name, Given::WithService);
        check.instance = instance.id.clone();
        check.service = instance.service.clone();
        check.service_tags = Arc::clone(&instance.tags);
        Ok(check)
    };
    definitions.into_iter().enumerate().map(number).collect()
}

fn tagged_addresses(
    place: &Place,
    json: &Json,
) -> Result<Option<BTreeMap<Text, ServiceAddress>>, Problem> {
    let wanted = "map[string]structs.ServiceAddress";
    let Some(tags) = place.object("TaggedAddresses", json, wanted)? else { return Ok(None) };
    let inside = place.inside("TaggedAddresses", "ServiceAddress");
    let mut addresses = BTreeMap::new();
    for (tag, json) in tags {
        let mut at = ServiceAddress::default();
        members(json, "structs.ServiceAddress", true, &mut |key, value| {
            match key {
                "address" => inside.text("Address", value, &mut at.address)?,
                "port" => inside.number("Port", value, &mut at.port)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        addresses.insert(Text::new(tag), at);
    }
    Ok(Some(addresses))
}

fn weights(place: &Place, json: &Json, out: &mut Weights) -> Result<(), Problem> {
    let Some(given) = place.object("Weights", json, "structs.Weights")? else { return Ok(()) };
    let inside = place.inside("Weights", "Weights");
    *out = Weights { passing: 0, warning: 0 };
    each_member(given, true, &mut |key, value| {
        match key {
            "passing" => inside.number("Passing", value, &mut out.passing)?,
            "warning" => inside.number("Warning", value, &mut out.warning)?,
            _ => return Ok(false),
        }
        Ok(true)
    })
}

/// Where something stands.
pub fn locality(place: &Place, json: &Json) -> Result<Option<Box<Locality>>, Problem> {
    let Some(given) = place.object("Locality", json, "structs.Locality")? else { return Ok(None) };
    let inside = place.inside("Locality", "Locality");
    let mut locality = Locality::default();
    each_member(given, true, &mut |key, value| {
        match key {
            "region" => inside.text("Region", value, &mut locality.region)?,
            "zone" => inside.text("Zone", value, &mut locality.availability_zone)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(Some(Box::new(locality)))
}

/// The connect block as given, but for the sidecar, which is a service of its own.
fn connect(place: &Place, json: &Json) -> Result<Option<Opaque>, Problem> {
    let Some(given) = place.object("Connect", json, "structs.ServiceConnect")? else {
        return Ok(None);
    };
    let shown: Vec<(String, Json)> = given
        .iter()
        .filter(|(key, value)| !names_sidecar(key) && *value != Json::Bool(false))
        .map(|(key, value)| match key.eq_ignore_ascii_case("native") {
            true => ("Native".to_owned(), value.clone()),
            false => (key.clone(), value.clone()),
        })
        .collect();
    match shown.is_empty() {
        true => Ok(None),
        false => Ok(Some(Opaque(Arc::from(Json::Object(shown).canonical())))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Registration, Problem> {
        let read = agent_service(&lang::json::parse(body.as_bytes()).unwrap());
        read.map(|(registration, _)| registration)
    }

    #[test]
    fn checks_are_named_after_their_service() {
        let ids = |body: &str| {
            let registration = read(body).unwrap();
            let shown = |check: &Check| format!("{} {} {}", check.id, check.name, check.status);
            registration.checks.iter().map(shown).collect::<Vec<_>>()
        };
        assert_eq!(
            ids(r#"{"ID":"w1","Name":"w","check":{"ttl":"1s"}}"#),
            ["service:w1 Service 'w' check critical"]
        );
        assert_eq!(
            ids(
                r#"{"Name":"w","Checks":[{"TTL":"1s","Status":"passing"},{"CheckID":"own","Name":"n","TTL":"1s"},{"TTL":"2s"}]}"#
            ),
            [
                "service:w:1 Service 'w' check passing",
                "own n critical",
                "service:w:3 Service 'w' check critical"
            ]
        );
        assert!(ids(r#"{"Name":"w","Check":{}}"#).is_empty());
    }

    #[test]
    fn an_address_is_told_by_family_too() {
        let instance = read(r#"{"Name":"w","Address":"10.1.1.1","Port":81}"#).unwrap().instance;
        let tags = instance.tagged_addresses.clone().unwrap();
        assert_eq!(tags.keys().map(Text::as_str).collect::<Vec<_>>(), ["lan_ipv4", "wan_ipv4"]);
        assert_eq!(tags["wan_ipv4"], ServiceAddress { address: "10.1.1.1".into(), port: 81 });
        assert_eq!(read(r#"{"Name":"w","Address":"h"}"#).unwrap().instance.tagged_addresses, None);
    }
}
