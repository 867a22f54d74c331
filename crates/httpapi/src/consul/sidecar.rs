//! `Connect.SidecarService`: a second service, made out of the first.
//!
//! It saves whoever runs a proxy beside his service from registering both; the proxy itself is nobody's
//! business here. Source: Consul, "Register a service mesh proxy as a sidecar", sidecar service
//! defaults.

use super::checks::Definition;
use super::error::Problem;
use super::mesh::CONNECT_PROXY;
use super::proxy::Block;
use super::services::ServiceDefinition;
use super::services::validation::{basics, complaint};
use lang::json::Json;
use model::{CheckDefinition, Instance, InstanceId, Nanos, Registration, ServiceName, Text};
use seams::Registrar;
use std::net::Ipv6Addr;
use std::ops::RangeInclusive;

/// Where a sidecar listens that names no port.
const PORTS: RangeInclusive<i64> = 21_000..=21_255;
const DESTINATION: &str = "DestinationServiceID";

fn id_of(parent: &InstanceId) -> InstanceId {
    InstanceId::new(Text::from(format!("{parent}-sidecar-proxy")))
}

/// The sidecar that is registered with an instance and goes with it.
pub fn registered(registrar: &dyn Registrar, parent: &InstanceId) -> Option<Instance> {
    let sidecar = registrar.instance(&id_of(parent))?;
    let own = sidecar.kind == CONNECT_PROXY
        && Block::of(sidecar.proxy.as_ref()).text(DESTINATION) == Some(parent.as_str());
    own.then_some(sidecar)
}

/// Fills in what the definition of a sidecar leaves out.
pub fn complete(
    mut given: ServiceDefinition,
    parent: &Instance,
    registered: &[Instance],
) -> Result<Registration, Problem> {
    inherit(&mut given.instance, parent);
    basics(&given)?;
    let sidecar = &mut given.instance;
    if sidecar.port < 1 {
        sidecar.port = free_port(&sidecar.id, registered).ok_or_else(|| {
            Problem::Bad(format!(
                "Invalid SidecarService: no port provided for sidecar_service and none left in the \
                 configured range [{}, {}]",
                PORTS.start(),
                PORTS.end()
            ))
        })?;
    }
    let proxy = proxy(sidecar, parent);
    if given.checks.iter().all(Definition::is_empty) {
        let address = match sidecar.address.as_str() {
            "" => proxy.text("LocalServiceAddress").unwrap_or_default(),
            own => own,
        };
        given.checks = usual_checks(parent, address, sidecar.port);
    }
    sidecar.proxy = Some(proxy.into_opaque());
    if let Some(complaint) = complaint(sidecar, None) {
        return Err(Problem::Bad(format!("Failed Validation: {complaint}")));
    }
    if let Some(why) = given.checks.iter().find_map(Definition::complaint) {
        return Err(Problem::Bad(format!("Invalid check in sidecar_service: {why}")));
    }
    given.registration()
}

/// What a sidecar has of its service unless it says otherwise.
fn inherit(sidecar: &mut Instance, parent: &Instance) {
    sidecar.id = id_of(&parent.id);
    if sidecar.service.is_empty() {
        sidecar.service = ServiceName::new(Text::from(format!("{}-sidecar-proxy", parent.service)));
    }
    if sidecar.kind.is_empty() {
        sidecar.kind = Text::new(CONNECT_PROXY);
    }
    if sidecar.tags.is_empty() {
        sidecar.tags = parent.tags.clone();
    }
    if sidecar.meta.is_none() {
        sidecar.meta = parent.meta.clone();
    }
    if sidecar.locality.is_none() {
        sidecar.locality = parent.locality.clone();
    }
}

/// The port that it has already, else the first that no instance of this agent has.
fn free_port(id: &InstanceId, registered: &[Instance]) -> Option<i64> {
    let own = registered.iter().find(|instance| instance.id.fold() == id.fold());
    if let Some(own) = own.filter(|own| PORTS.contains(&own.port)) {
        return Some(own.port);
    }
    PORTS.into_iter().find(|port| !registered.iter().any(|instance| instance.port == *port))
}

fn proxy(sidecar: &Instance, parent: &Instance) -> Block {
    let text = |text: &str| Json::String(text.to_owned());
    let mut proxy = Block::of(sidecar.proxy.as_ref());
    proxy.default("DestinationServiceName", text(parent.service.as_str()));
    proxy.default(DESTINATION, text(parent.id.as_str()));
    if proxy.text("LocalServiceSocketPath").is_none() {
        proxy.default("LocalServiceAddress", text("127.0.0.1"));
        proxy.default("LocalServicePort", Json::Number(parent.port.to_string()));
    }
    proxy
}

/// That the proxy listens, and that its service is well.
fn usual_checks(parent: &Instance, address: &str, port: i64) -> Vec<Definition> {
    let at = match address.parse::<Ipv6Addr>() {
        Ok(address) => format!("[{address}]:{port}"),
        Err(_) => format!("{address}:{port}"),
    };
    let listens = CheckDefinition {
        tcp: Text::from(at),
        interval: Nanos::seconds(10),
        ..CheckDefinition::default()
    };
    let alias =
        CheckDefinition { alias_service: parent.id.as_str().into(), ..CheckDefinition::default() };
    let aliasing = format!("Connect Sidecar Aliasing {}", parent.id);
    vec![
        Definition {
            name: Text::new("Connect Sidecar Listening"),
            run: listens,
            ..Definition::default()
        },
        Definition { name: Text::from(aliasing), run: alias, ..Definition::default() },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consul::services::agent_service;

    fn sidecar(body: &str, registered: &[Instance]) -> Result<Registration, Problem> {
        let (parent, given) = agent_service(&lang::json::parse(body.as_bytes()).unwrap()).unwrap();
        complete(*given.expect("a sidecar is asked for"), &parent.instance, registered)
    }

    fn on_port(port: i64) -> Instance {
        Instance { id: InstanceId::from(format!("i{port}").as_str()), port, ..Instance::default() }
    }

    #[test]
    fn a_sidecar_takes_after_its_service() {
        let body = r#"{"ID":"w1","Name":"web","Port":80,"Tags":["v1"],"Meta":{"a":"b"},
            "Connect":{"sidecar_service":{}}}"#;
        let Registration { instance, checks } = sidecar(body, &[on_port(21_000)]).unwrap();
        assert_eq!(
            (instance.id.as_str(), instance.service.as_str()),
            ("w1-sidecar-proxy", "web-sidecar-proxy")
        );
        assert_eq!((instance.kind.as_str(), instance.port), ("connect-proxy", 21_001));
        assert_eq!(
            (instance.tags.len(), instance.meta.as_ref().map(|meta| meta.len())),
            (1, Some(1))
        );
        let proxy = Block::of(instance.proxy.as_ref());
        assert_eq!(proxy.text("DestinationServiceName"), Some("web"));
        assert_eq!(proxy.text(DESTINATION), Some("w1"));
        assert_eq!(proxy.member("LocalServicePort"), Some(&Json::Number("80".to_owned())));
        let shown = checks.iter().map(|check| {
            let run = check.definition.as_deref().expect("it is run");
            format!("{}|{}|{}{}", check.id, check.name, run.tcp, run.alias_service)
        });
        assert_eq!(
            shown.collect::<Vec<_>>(),
            [
                "service:w1-sidecar-proxy:1|Connect Sidecar Listening|127.0.0.1:21001",
                "service:w1-sidecar-proxy:2|Connect Sidecar Aliasing w1|w1",
            ]
        );
    }

    #[test]
    fn what_a_sidecar_says_stands() {
        let body = r#"{"Name":"web","Port":80,"Connect":{"SidecarService":{"Name":"own","Port":7,
            "Tags":["t"],"Address":"::1","Check":{"TTL":"1s"},
            "Proxy":{"local_service_port":9,"upstreams":[{"DestinationName":"db"}]}}}}"#;
        let Registration { instance, checks } = sidecar(body, &[]).unwrap();
        assert_eq!((instance.service.as_str(), instance.port), ("own", 7));
        assert_eq!(instance.tags.len(), 1);
        assert_eq!((checks.len(), checks[0].kind.as_str()), (1, "ttl"));
        let proxy = Block::of(instance.proxy.as_ref());
        assert_eq!(proxy.member("LocalServicePort"), Some(&Json::Number("9".to_owned())));
        assert!(proxy.member("Upstreams").is_some());
    }

    #[test]
    fn a_port_is_kept_and_ports_run_out() {
        let body = r#"{"Name":"web","Connect":{"SidecarService":{}}}"#;
        let mut registered: Vec<Instance> = PORTS.map(on_port).collect();
        match sidecar(body, &registered) {
            Err(Problem::Bad(text)) => assert_eq!(
                text,
                "Invalid SidecarService: no port provided for sidecar_service and none left in the \
                 configured range [21000, 21255]"
            ),
            other => panic!("{other:?}"),
        }
        registered[7].id = InstanceId::from("web-sidecar-proxy");
        assert_eq!(sidecar(body, &registered).unwrap().instance.port, 21_007);
    }

    #[test]
    fn a_check_that_cannot_be_run_is_refused() {
        let body = r#"{"Name":"web","Connect":{"SidecarService":{"Check":{"HTTP":"http://x"}}}}"#;
        match sidecar(body, &[]) {
            Err(Problem::Bad(text)) => {
                assert!(text.starts_with("Invalid check in sidecar_service: Interval"), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }
}
