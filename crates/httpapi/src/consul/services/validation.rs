//! What is refused of a service, in Consul's words.
//!
//! Two doors look differently hard: an agent at names, addresses, weights and metadata, and then both at
//! what contradicts itself in services of the mesh ([`complaint`]). What stands inside of a proxy's
//! `Config`, `Upstreams` and `Expose` is nobody's business here.

use super::ServiceDefinition;
use crate::consul::error::{Problem, several};
use crate::consul::mesh::{CONNECT_PROXY, GATEWAYS, is_native};
use crate::consul::proxy::Block;
use lang::json::Json;
use model::{Instance, Weights};
use std::net::IpAddr;

/// What an agent refuses, in the order in which it looks.
pub fn validate(given: &ServiceDefinition) -> Result<(), Problem> {
    basics(given)?;
    match complaint(&given.instance, given.sidecar.as_deref()) {
        None => Ok(()),
        Some(complaint) => Err(Problem::Bad(format!("Validation failed: {complaint}"))),
    }
}

/// The same but for what contradicts itself, which a sidecar can only be asked when it is complete.
pub fn basics(given: &ServiceDefinition) -> Result<(), Problem> {
    let instance = &given.instance;
    if instance.service.is_empty() {
        return Err(Problem::bad("Missing service name"));
    }
    if is_any(&instance.address) {
        return Err(Problem::bad("Invalid service address"));
    }
    if given.weighed {
        validate_weights(instance.weights)?;
    }
    for (key, value) in instance.meta.iter().flatten() {
        if let Some(why) = meta_complaint(key, value) {
            return Err(Problem::Bad(format!(
                "Invalid Service Meta: Couldn't load metadata pair ('{key}', '{value}'): {why}"
            )));
        }
    }
    if instance.meta.as_ref().is_some_and(|meta| meta.len() > 64) {
        return Err(Problem::bad(
            "Invalid Service Meta: Node metadata cannot contain more than 64 key/value pairs",
        ));
    }
    Ok(())
}

/// What contradicts itself in a service and the sidecar that it asks for; every door refuses it.
pub fn complaint(instance: &Instance, sidecar: Option<&ServiceDefinition>) -> Option<String> {
    let mut all = Vec::new();
    let reachable = instance.port != 0 || !instance.socket_path.is_empty();
    let native = is_native(instance);
    match instance.kind.as_str() {
        CONNECT_PROXY => of_proxy(instance, reachable, native, &mut all),
        kind if GATEWAYS.contains(&kind) => of_gateway(instance, sidecar.is_some(), &mut all),
        _ => {}
    }
    let zone_alone = instance
        .locality
        .as_ref()
        .is_some_and(|at| at.region.is_empty() && !at.availability_zone.is_empty());
    let others = [
        (
            sidecar.is_some_and(|sidecar| !sidecar.instance.id.is_empty()),
            "A SidecarService cannot specify an ID as this is managed by the agent",
        ),
        (
            sidecar.is_some_and(|sidecar| sidecar.sidecar.is_some()),
            "A SidecarService cannot have a nested SidecarService",
        ),
        (native && !reachable, "Port or SocketPath must be set for a Connect native service."),
        (zone_alone, "zone cannot be set without region"),
    ];
    all.extend(others.into_iter().filter(|(is, _)| *is).map(|(_, said)| said.to_owned()));
    (!all.is_empty()).then(|| several(&all))
}

fn of_proxy(instance: &Instance, reachable: bool, native: bool, all: &mut Vec<String>) {
    let proxy = Block::of(instance.proxy.as_ref());
    let to = proxy.text("DestinationServiceName").unwrap_or_default();
    let complaints = [
        (!reachable, "Port or SocketPath must be set for a connect-proxy"),
        (
            to.trim().is_empty(),
            "Proxy.DestinationServiceName must be non-empty for Connect proxy services",
        ),
        (
            to == "*",
            "Proxy.DestinationServiceName must not be a wildcard for Connect proxy services",
        ),
        (native, "A Proxy cannot also be Connect Native, only typical services"),
    ];
    all.extend(complaints.into_iter().filter(|(is, _)| *is).map(|(_, said)| said.to_owned()));
}

/// What only a proxy before one service has.
const OF_ONE_SERVICE: [&str; 6] = [
    "DestinationServiceName",
    "DestinationServiceID",
    "LocalServiceAddress",
    "LocalServicePort",
    "LocalServiceSocketPath",
    "Upstreams",
];

fn of_gateway(instance: &Instance, has_sidecar: bool, all: &mut Vec<String>) {
    let kind = instance.kind.as_str();
    if instance.port == 0 && !matches!(kind, "ingress-gateway" | "api-gateway") {
        all.push(format!("Port must be non-zero for a {kind}"));
    }
    if has_sidecar {
        all.push(format!("A {kind} cannot have a sidecar service defined"));
    }
    let proxy = Block::of(instance.proxy.as_ref());
    for member in OF_ONE_SERVICE {
        let says = match proxy.member(member) {
            None | Some(Json::Null) => false,
            Some(Json::String(text)) => !text.is_empty(),
            Some(Json::Number(text)) => text != "0",
            Some(Json::Array(items)) => !items.is_empty(),
            Some(_) => true,
        };
        if says {
            all.push(format!("The Proxy.{member} configuration is invalid for a {kind}"));
        }
    }
}

/// Refuses weights that DNS cannot tell.
pub fn validate_weights(weights: Weights) -> Result<(), Problem> {
    let complaint = if weights.passing < 1 {
        "Passing must be greater than 0"
    } else if weights.warning < 0 {
        "Warning must be greater or equal than 0"
    } else if weights.passing > 65_535 || weights.warning > 65_535 {
        "DNS Weight must be between 0 and 65535"
    } else {
        return Ok(());
    };
    Err(Problem::Bad(format!("Invalid Weights: {complaint}")))
}

fn meta_complaint(key: &str, value: &str) -> Option<&'static str> {
    let known = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if key.is_empty() {
        Some("Key cannot be blank")
    } else if !key.chars().all(known) {
        Some("Key contains invalid characters")
    } else if key.len() > 128 {
        Some("Key is too long (limit: 128 characters)")
    } else if key.starts_with("consul-") {
        Some("Key prefix 'consul-' is reserved for internal use")
    } else if value.len() > 512 {
        Some("Value is too long (limit: 512 characters)")
    } else {
        None
    }
}

/// An address that stands for all addresses is none to connect to.
pub fn is_any(address: &str) -> bool {
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    bare.unwrap_or(address).parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consul::services::agent_service;

    #[track_caller]
    fn refused(body: &str, text: &str) {
        match agent_service(&lang::json::parse(body.as_bytes()).unwrap()) {
            Err(Problem::Bad(said) | Problem::Decode(said)) => assert_eq!(said, text, "{body}"),
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn an_agent_says_what_is_wrong_with_a_service() {
        refused("{}", "Missing service name");
        refused(r#"{"Name":"w","Address":"[::]"}"#, "Invalid service address");
        refused(
            r#"{"Name":"w","Weights":{"Passing":-1}}"#,
            "Invalid Weights: Passing must be greater than 0",
        );
        refused(
            r#"{"Name":"w","Weights":{"Passing":70000}}"#,
            "Invalid Weights: DNS Weight must be between 0 and 65535",
        );
        refused(
            r#"{"Name":"w","Meta":{"consul-x":"v"}}"#,
            "Invalid Service Meta: Couldn't load metadata pair ('consul-x', 'v'): Key prefix \
             'consul-' is reserved for internal use",
        );
        refused(
            r#"{"Name":"w","Connect":{"Native":true}}"#,
            "Validation failed: 1 error occurred:\n\t* Port or SocketPath must be set for a \
             Connect native service.\n\n",
        );
        refused(
            r#"{"Name":"w","Connect":{"SidecarService":{"ID":"x","Connect":{"sidecar_service":{}}}}}"#,
            "Validation failed: 2 errors occurred:\n\t* A SidecarService cannot specify an ID as this \
             is managed by the agent\n\t* A SidecarService cannot have a nested SidecarService\n\n",
        );
        refused(
            r#"{"Name":"w","Check":{"TTL":"10s","Status":"odd"}}"#,
            "Status for checks must 'passing', 'warning', 'critical'",
        );
        refused(
            r#"{"Name":"w","Port":"80"}"#,
            "json: cannot unmarshal string into Go struct field .Alias.Port of type int",
        );
        refused(
            r#"{"Name":"w","Tags":"a"}"#,
            "json: cannot unmarshal string into Go struct field .Alias.Tags of type []string",
        );
        refused(r#"{"Name":"w","Unknown":1}"#, "json: unknown field \"Unknown\"");
    }

    #[track_caller]
    fn check_complaint(body: &str, complaints: &[&str]) {
        let json = lang::json::parse(body.as_bytes()).unwrap();
        let given = ServiceDefinition::read(&json).unwrap();
        let complaints: Vec<_> = complaints.iter().map(|&said| said.to_owned()).collect();
        let expected = (!complaints.is_empty()).then(|| several(&complaints));
        assert_eq!(complaint(&given.instance, given.sidecar.as_deref()), expected, "{body}");
    }

    #[test]
    fn a_proxy_stands_before_one_service_and_can_be_reached() {
        let nameless = "Proxy.DestinationServiceName must be non-empty for Connect proxy services";
        let reach = "Port or SocketPath must be set for a connect-proxy";
        check_complaint(r#"{"Kind":"connect-proxy"}"#, &[reach, nameless]);
        check_complaint(
            r#"{"Kind":"connect-proxy","Port":1,"Proxy":{"destination_service_name":" "}}"#,
            &[nameless],
        );
        check_complaint(
            r#"{"Kind":"connect-proxy","Port":1,"Proxy":{"DestinationServiceName":"*"},
                "Connect":{"Native":true}}"#,
            &[
                "Proxy.DestinationServiceName must not be a wildcard for Connect proxy services",
                "A Proxy cannot also be Connect Native, only typical services",
            ],
        );
        for reached in [r#""Port":-1"#, r#""SocketPath":"/run/s""#] {
            let proxy = r#""Proxy":{"DestinationServiceName":"web"}"#;
            check_complaint(&format!(r#"{{"Kind":"connect-proxy",{proxy},{reached}}}"#), &[]);
        }
    }

    #[test]
    fn a_gateway_stands_before_no_service() {
        let other = "The Proxy.DestinationServiceID configuration is invalid for a mesh-gateway";
        check_complaint(
            r#"{"Kind":"mesh-gateway","Proxy":{"DestinationServiceID":"x","LocalServicePort":0},
                "Connect":{"SidecarService":{}}}"#,
            &[
                "Port must be non-zero for a mesh-gateway",
                "A mesh-gateway cannot have a sidecar service defined",
                other,
            ],
        );
        check_complaint(
            r#"{"Kind":"ingress-gateway","Proxy":{"Upstreams":[{}]}}"#,
            &["The Proxy.Upstreams configuration is invalid for a ingress-gateway"],
        );
        check_complaint(r#"{"Kind":"api-gateway","Proxy":{"Upstreams":[]}}"#, &[]);
    }

    #[test]
    fn what_no_mesh_knows_is_not_judged() {
        check_complaint(r#"{"Kind":"odd","Proxy":{"DestinationServiceName":"*"}}"#, &[]);
        check_complaint(r#"{"Connect":{"Native":false}}"#, &[]);
        check_complaint(
            r#"{"Locality":{"Zone":"a"},"Connect":{"Native":true}}"#,
            &[
                "Port or SocketPath must be set for a Connect native service.",
                "zone cannot be set without region",
            ],
        );
    }
}
