//! The nouns of `model` to and from their messages.
//!
//! What is read is taken as it stands: the door that wrote it has judged it. Only what this version
//! has no word for is refused.

use super::error::{Fault, FormatError};
use super::wire::{
    self, optional_uuid, shared_tags, strings, text_list, text_map, texts, uuid, uuid_bytes,
};
use model::{
    Behavior, Check, CheckDefinition, CheckDetails, CheckId, FaceNames, Instance, InstanceDetails,
    InstanceId, KvEntry, Locality, Nanos, Node, NodeName, Opaque, Phase, ServiceAddress,
    ServiceCheck, ServiceName, Session, Status, Text, Weights,
};
use prost::Message;

/// Writes an instance alone, as it stands in the log.
pub fn encode_instance(instance: &Instance) -> Vec<u8> {
    wire::Instance::from(instance).encode_to_vec()
}

/// Reads an instance that [`encode_instance`] wrote.
pub fn decode_instance(bytes: &[u8]) -> Result<Instance, FormatError> {
    let message = wire::Instance::decode(bytes).map_err(Fault::from);
    message.and_then(Instance::try_from).map_err(|fault| fault.of("instance"))
}

/// Writes a check alone, as it stands in the log.
pub fn encode_check(check: &Check) -> Vec<u8> {
    wire::Check::from(check).encode_to_vec()
}

/// Reads a check that [`encode_check`] wrote.
pub fn decode_check(bytes: &[u8]) -> Result<Check, FormatError> {
    let message = wire::Check::decode(bytes).map_err(|fault| Fault::from(fault).of("check"));
    message.map(Check::from)
}

/// Phases by their numbers.
const PHASES: [Phase; 6] = [
    Phase::Running,
    Phase::Staging,
    Phase::Unhealthy,
    Phase::Unreachable,
    Phase::Draining,
    Phase::Killing,
];

fn phase_number(phase: Phase) -> u32 {
    match phase {
        Phase::Running => 0,
        Phase::Staging => 1,
        Phase::Unhealthy => 2,
        Phase::Unreachable => 3,
        Phase::Draining => 4,
        Phase::Killing => 5,
    }
}

fn phase(number: u32) -> Result<Phase, Fault> {
    PHASES.get(number as usize).copied().ok_or(Fault::Unknown("phase"))
}

impl From<&Locality> for wire::Locality {
    fn from(locality: &Locality) -> Self {
        wire::Locality {
            region: locality.region.as_str().to_owned(),
            availability_zone: locality.availability_zone.as_str().to_owned(),
        }
    }
}

impl From<wire::Locality> for Locality {
    fn from(locality: wire::Locality) -> Self {
        Locality {
            region: locality.region.into(),
            availability_zone: locality.availability_zone.into(),
        }
    }
}

impl From<&Node> for wire::Node {
    fn from(node: &Node) -> Self {
        wire::Node {
            name: node.name.as_str().to_owned(),
            id: node.id.as_ref().map(uuid_bytes),
            address: node.address.as_str().to_owned(),
            tagged_addresses: node.tagged_addresses.as_ref().map(texts),
            meta: node.meta.as_ref().map(texts),
            locality: node.locality.as_deref().map(Into::into),
        }
    }
}

impl TryFrom<wire::Node> for Node {
    type Error = Fault;

    fn try_from(node: wire::Node) -> Result<Self, Fault> {
        Ok(Node {
            name: NodeName::new(node.name),
            id: optional_uuid(node.id.as_ref())?,
            address: node.address.into(),
            tagged_addresses: node.tagged_addresses.map(text_map),
            meta: node.meta.map(text_map),
            locality: node.locality.map(|locality| Box::new(locality.into())),
        })
    }
}

impl From<&Instance> for wire::Instance {
    fn from(instance: &Instance) -> Self {
        wire::Instance {
            node: instance.node.as_str().to_owned(),
            id: instance.id.as_str().to_owned(),
            service: instance.service.as_str().to_owned(),
            kind: instance.kind.as_str().to_owned(),
            tags: strings(&instance.tags),
            address: instance.address.as_str().to_owned(),
            tagged_addresses: instance.tagged_addresses.as_ref().map(|map| {
                let entries =
                    map.iter().map(|(tag, address)| (tag.as_str().to_owned(), address.into()));
                wire::ServiceAddresses { entries: entries.collect() }
            }),
            meta: instance.meta.as_ref().map(texts),
            port: instance.port,
            socket_path: instance.socket_path.as_str().to_owned(),
            weights: (instance.weights != Weights::default()).then_some(wire::Weights {
                passing: instance.weights.passing,
                warning: instance.weights.warning,
            }),
            enable_tag_override: instance.enable_tag_override,
            locality: instance.locality.as_deref().map(Into::into),
            proxy: instance.proxy.as_ref().map(|opaque| opaque.0.to_string()),
            connect: instance.connect.as_ref().map(|opaque| opaque.0.to_string()),
            phase: phase_number(instance.phase),
            names: instance.names.as_deref().map(Into::into),
        }
    }
}

impl TryFrom<wire::Instance> for Instance {
    type Error = Fault;

    fn try_from(instance: wire::Instance) -> Result<Self, Fault> {
        Ok(Instance {
            node: NodeName::new(instance.node),
            id: InstanceId::new(instance.id),
            service: ServiceName::new(instance.service),
            tags: shared_tags(instance.tags),
            address: instance.address.into(),
            port: instance.port,
            details: InstanceDetails {
                kind: instance.kind.into(),
                tagged_addresses: instance.tagged_addresses.map(|map| {
                    let entries = map.entries.into_iter();
                    entries.map(|(tag, address)| (Text::from(tag), address.into())).collect()
                }),
                meta: instance.meta.map(text_map),
                socket_path: instance.socket_path.into(),
                weights: instance.weights.map_or_else(Weights::default, |weights| Weights {
                    passing: weights.passing,
                    warning: weights.warning,
                }),
                enable_tag_override: instance.enable_tag_override,
                locality: instance.locality.map(|locality| Box::new(locality.into())),
                proxy: instance.proxy.map(|text| Opaque(text.into())),
                connect: instance.connect.map(|text| Opaque(text.into())),
                phase: phase(instance.phase)?,
                names: instance.names.map(|names| Box::new(names.into())),
            }
            .into(),
        })
    }
}

impl From<&ServiceAddress> for wire::ServiceAddress {
    fn from(address: &ServiceAddress) -> Self {
        wire::ServiceAddress { address: address.address.as_str().to_owned(), port: address.port }
    }
}

impl From<wire::ServiceAddress> for ServiceAddress {
    fn from(address: wire::ServiceAddress) -> Self {
        ServiceAddress { address: address.address.into(), port: address.port }
    }
}

impl From<&FaceNames> for wire::FaceNames {
    fn from(names: &FaceNames) -> Self {
        let string = |name: &Option<Text>| name.as_ref().map(Text::to_string);
        wire::FaceNames {
            mesos_task: string(&names.mesos_task),
            mesos_framework: string(&names.mesos_framework),
            cloud_map_namespace: string(&names.cloud_map_namespace),
            cloud_map_service: string(&names.cloud_map_service),
        }
    }
}

impl From<wire::FaceNames> for FaceNames {
    fn from(names: wire::FaceNames) -> Self {
        FaceNames {
            mesos_task: names.mesos_task.map(Into::into),
            mesos_framework: names.mesos_framework.map(Into::into),
            cloud_map_namespace: names.cloud_map_namespace.map(Into::into),
            cloud_map_service: names.cloud_map_service.map(Into::into),
        }
    }
}

impl From<&Check> for wire::Check {
    fn from(check: &Check) -> Self {
        wire::Check {
            node: check.node.as_str().to_owned(),
            id: check.id.as_str().to_owned(),
            name: check.name.as_str().to_owned(),
            status: check.status.as_str().to_owned(),
            notes: check.notes.as_str().to_owned(),
            output: check.output.as_str().to_owned(),
            instance: check.instance.as_str().to_owned(),
            service: check.service.as_str().to_owned(),
            service_tags: strings(&check.service_tags),
            kind: check.kind.as_str().to_owned(),
            interval: check.interval.as_str().to_owned(),
            timeout: check.timeout.as_str().to_owned(),
            exposed_port: check.exposed_port,
            definition: check.definition.as_deref().map(|definition| Box::new(definition.into())),
        }
    }
}

impl From<wire::Check> for Check {
    fn from(check: wire::Check) -> Self {
        Check {
            node: NodeName::new(check.node),
            id: CheckId::new(check.id),
            name: check.name.into(),
            status: Status::parse(&check.status),
            output: check.output.into(),
            instance: InstanceId::new(check.instance),
            service: ServiceName::new(check.service),
            service_tags: shared_tags(check.service_tags),
            definition: check.definition.map(|definition| Box::new((*definition).into())),
            details: CheckDetails {
                notes: check.notes.into(),
                kind: check.kind.into(),
                interval: check.interval.into(),
                timeout: check.timeout.into(),
                exposed_port: check.exposed_port,
            }
            .into(),
        }
    }
}

impl From<&CheckDefinition> for wire::CheckDefinition {
    fn from(definition: &CheckDefinition) -> Self {
        let header = |(name, values): (&Text, &Vec<Text>)| wire::Header {
            name: name.as_str().to_owned(),
            values: strings(values),
        };
        wire::CheckDefinition {
            http: definition.http.as_str().to_owned(),
            tls_server_name: definition.tls_server_name.as_str().to_owned(),
            tls_skip_verify: definition.tls_skip_verify,
            header: definition.header.iter().map(header).collect(),
            method: definition.method.as_str().to_owned(),
            body: definition.body.as_str().to_owned(),
            disable_redirects: definition.disable_redirects,
            tcp: definition.tcp.as_str().to_owned(),
            tcp_use_tls: definition.tcp_use_tls,
            udp: definition.udp.as_str().to_owned(),
            h2ping: definition.h2ping.as_str().to_owned(),
            h2ping_use_tls: definition.h2ping_use_tls,
            os_service: definition.os_service.as_str().to_owned(),
            interval: definition.interval.0,
            output_max_size: definition.output_max_size,
            timeout: definition.timeout.0,
            deregister_critical_service_after: definition.deregister_critical_service_after.0,
            script_args: strings(&definition.script_args),
            docker_container_id: definition.docker_container_id.as_str().to_owned(),
            shell: definition.shell.as_str().to_owned(),
            grpc: definition.grpc.as_str().to_owned(),
            grpc_use_tls: definition.grpc_use_tls,
            alias_node: definition.alias_node.as_str().to_owned(),
            alias_service: definition.alias_service.as_str().to_owned(),
            ttl: definition.ttl.0,
            success_before_passing: definition.success_before_passing,
            failures_before_warning: definition.failures_before_warning,
            failures_before_critical: definition.failures_before_critical,
        }
    }
}

impl From<wire::CheckDefinition> for CheckDefinition {
    fn from(definition: wire::CheckDefinition) -> Self {
        let header = |header: wire::Header| (Text::from(header.name), text_list(header.values));
        CheckDefinition {
            http: definition.http.into(),
            tls_server_name: definition.tls_server_name.into(),
            tls_skip_verify: definition.tls_skip_verify,
            header: definition.header.into_iter().map(header).collect(),
            method: definition.method.into(),
            body: definition.body.into(),
            disable_redirects: definition.disable_redirects,
            tcp: definition.tcp.into(),
            tcp_use_tls: definition.tcp_use_tls,
            udp: definition.udp.into(),
            h2ping: definition.h2ping.into(),
            h2ping_use_tls: definition.h2ping_use_tls,
            os_service: definition.os_service.into(),
            interval: Nanos(definition.interval),
            output_max_size: definition.output_max_size,
            timeout: Nanos(definition.timeout),
            deregister_critical_service_after: Nanos(definition.deregister_critical_service_after),
            script_args: text_list(definition.script_args),
            docker_container_id: definition.docker_container_id.into(),
            shell: definition.shell.into(),
            grpc: definition.grpc.into(),
            grpc_use_tls: definition.grpc_use_tls,
            alias_node: definition.alias_node.into(),
            alias_service: definition.alias_service.into(),
            ttl: Nanos(definition.ttl),
            success_before_passing: definition.success_before_passing,
            failures_before_warning: definition.failures_before_warning,
            failures_before_critical: definition.failures_before_critical,
        }
    }
}

impl From<&KvEntry> for wire::KvEntry {
    fn from(entry: &KvEntry) -> Self {
        wire::KvEntry {
            value: entry.value.to_vec(),
            flags: entry.flags,
            lock_index: entry.lock_index,
            session: entry.session.as_ref().map(uuid_bytes),
        }
    }
}

impl TryFrom<wire::KvEntry> for KvEntry {
    type Error = Fault;

    fn try_from(entry: wire::KvEntry) -> Result<Self, Fault> {
        Ok(KvEntry {
            value: entry.value.into(),
            flags: entry.flags,
            lock_index: entry.lock_index,
            session: optional_uuid(entry.session.as_ref())?,
        })
    }
}

impl From<&Session> for wire::Session {
    fn from(session: &Session) -> Self {
        let service_check = |check: &ServiceCheck| wire::ServiceCheck {
            id: check.id.as_str().to_owned(),
            namespace: check.namespace.as_str().to_owned(),
        };
        wire::Session {
            id: uuid_bytes(&session.id),
            name: session.name.as_str().to_owned(),
            node: session.node.as_str().to_owned(),
            lock_delay: session.lock_delay.0,
            behavior: match session.behavior {
                Behavior::Release => 0,
                Behavior::Delete => 1,
            },
            ttl: session.ttl.as_str().to_owned(),
            ttl_nanos: session.ttl_nanos.0,
            node_checks: session.node_checks.iter().map(CheckId::to_string).collect(),
            service_checks: session.service_checks.as_ref().map(|checks| wire::ServiceChecks {
                checks: checks.iter().map(service_check).collect(),
            }),
        }
    }
}

impl TryFrom<wire::Session> for Session {
    type Error = Fault;

    fn try_from(session: wire::Session) -> Result<Self, Fault> {
        let service_check = |check: wire::ServiceCheck| ServiceCheck {
            id: CheckId::new(check.id),
            namespace: check.namespace.into(),
        };
        Ok(Session {
            id: uuid(&session.id)?,
            name: session.name.into(),
            node: NodeName::new(session.node),
            lock_delay: Nanos(session.lock_delay),
            behavior: match session.behavior {
                0 => Behavior::Release,
                1 => Behavior::Delete,
                _ => return Err(Fault::Unknown("session behaviour")),
            },
            ttl: session.ttl.into(),
            ttl_nanos: Nanos(session.ttl_nanos),
            node_checks: session.node_checks.into_iter().map(CheckId::new).collect(),
            service_checks: session
                .service_checks
                .map(|checks| checks.checks.into_iter().map(service_check).collect()),
        })
    }
}
