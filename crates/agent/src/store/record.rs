//! The agent's operations as bytes, with field numbers: a new optional field needs no new format.

use crate::local::{Operation, TtlState};
use crate::time::WallTime;
use model::{
    Check, CheckDefinition, CheckId, FaceNames, Instance, InstanceId, Locality, Nanos, Opaque,
    Phase, Registration, ServiceAddress, ServiceName, Status, Text, Weights,
};
use prost::Message;
use seams::ExistingChecks;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Operations written together.
#[derive(Clone, PartialEq, Message)]
struct Records {
    #[prost(message, repeated, tag = "1")]
    records: Vec<Record>,
}

#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    #[prost(message, tag = "1")]
    Register(RegisterRecord),
    #[prost(string, tag = "2")]
    Deregister(String),
    #[prost(message, tag = "3")]
    RegisterCheck(CheckRecord),
    #[prost(string, tag = "4")]
    DeregisterCheck(String),
    #[prost(message, tag = "5")]
    TtlState(TtlRecord),
}

#[derive(Clone, PartialEq, Message)]
struct RegisterRecord {
    #[prost(message, required, tag = "1")]
    instance: InstanceRecord,
    #[prost(message, repeated, tag = "2")]
    checks: Vec<CheckRecord>,
    #[prost(bool, tag = "3")]
    replace: bool,
}

#[derive(Clone, PartialEq, Message)]
struct TtlRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    status: String,
    #[prost(string, tag = "3")]
    output: String,
    #[prost(uint64, tag = "4")]
    expires_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
struct InstanceRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    service: String,
    #[prost(string, tag = "3")]
    kind: String,
    #[prost(string, repeated, tag = "4")]
    tags: Vec<String>,
    #[prost(string, tag = "5")]
    address: String,
    #[prost(message, optional, tag = "6")]
    tagged_addresses: Option<AddressesRecord>,
    #[prost(message, optional, tag = "7")]
    meta: Option<TextsRecord>,
    #[prost(sint64, tag = "8")]
    port: i64,
    #[prost(string, tag = "9")]
    socket_path: String,
    #[prost(sint64, tag = "10")]
    weight_passing: i64,
    #[prost(sint64, tag = "11")]
    weight_warning: i64,
    #[prost(bool, tag = "12")]
    enable_tag_override: bool,
    #[prost(string, optional, tag = "13")]
    region: Option<String>,
    #[prost(string, optional, tag = "14")]
    availability_zone: Option<String>,
    #[prost(string, optional, tag = "15")]
    proxy: Option<String>,
    #[prost(string, optional, tag = "16")]
    connect: Option<String>,
    #[prost(uint32, tag = "17")]
    phase: u32,
    #[prost(message, optional, tag = "18")]
    names: Option<NamesRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct AddressesRecord {
    #[prost(btree_map = "string, message", tag = "1")]
    by_tag: BTreeMap<String, AddressRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct AddressRecord {
    #[prost(string, tag = "1")]
    address: String,
    #[prost(sint64, tag = "2")]
    port: i64,
}

#[derive(Clone, PartialEq, Message)]
struct TextsRecord {
    #[prost(btree_map = "string, string", tag = "1")]
    by_key: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct NamesRecord {
    #[prost(string, optional, tag = "1")]
    mesos_task: Option<String>,
    #[prost(string, optional, tag = "2")]
    mesos_framework: Option<String>,
    #[prost(string, optional, tag = "3")]
    cloud_map_namespace: Option<String>,
    #[prost(string, optional, tag = "4")]
    cloud_map_service: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct CheckRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    status: String,
    #[prost(string, tag = "4")]
    notes: String,
    #[prost(string, tag = "5")]
    output: String,
    #[prost(string, tag = "6")]
    instance: String,
    #[prost(string, tag = "7")]
    kind: String,
    #[prost(string, tag = "8")]
    interval: String,
    #[prost(string, tag = "9")]
    timeout: String,
    #[prost(sint64, tag = "10")]
    exposed_port: i64,
    #[prost(message, optional, tag = "11")]
    definition: Option<DefinitionRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct ValuesRecord {
    #[prost(string, repeated, tag = "1")]
    values: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct DefinitionRecord {
    #[prost(string, tag = "1")]
    http: String,
    #[prost(string, tag = "2")]
    tls_server_name: String,
    #[prost(bool, tag = "3")]
    tls_skip_verify: bool,
    #[prost(btree_map = "string, message", tag = "4")]
    header: BTreeMap<String, ValuesRecord>,
    #[prost(string, tag = "5")]
    method: String,
    #[prost(string, tag = "6")]
    body: String,
    #[prost(bool, tag = "7")]
    disable_redirects: bool,
    #[prost(string, tag = "8")]
    tcp: String,
    #[prost(bool, tag = "9")]
    tcp_use_tls: bool,
    #[prost(string, tag = "10")]
    udp: String,
    #[prost(string, tag = "11")]
    h2ping: String,
    #[prost(bool, tag = "12")]
    h2ping_use_tls: bool,
    #[prost(string, tag = "13")]
    os_service: String,
    #[prost(sint64, tag = "14")]
    interval_ns: i64,
    #[prost(sint64, tag = "15")]
    output_max_size: i64,
    #[prost(sint64, tag = "16")]
    timeout_ns: i64,
    #[prost(sint64, tag = "17")]
    deregister_critical_service_after_ns: i64,
    #[prost(string, repeated, tag = "18")]
    script_args: Vec<String>,
    #[prost(string, tag = "19")]
    docker_container_id: String,
    #[prost(string, tag = "20")]
    shell: String,
    #[prost(string, tag = "21")]
    grpc: String,
    #[prost(bool, tag = "22")]
    grpc_use_tls: bool,
    #[prost(string, tag = "23")]
    alias_node: String,
    #[prost(string, tag = "24")]
    alias_service: String,
    #[prost(sint64, tag = "25")]
    ttl_ns: i64,
    #[prost(sint64, tag = "26")]
    success_before_passing: i64,
    #[prost(sint64, tag = "27")]
    failures_before_warning: i64,
    #[prost(sint64, tag = "28")]
    failures_before_critical: i64,
}

/// Operations to bytes.
pub fn encode(operations: &[Operation]) -> Vec<u8> {
    Records { records: operations.iter().map(Record::from).collect() }.encode_to_vec()
}

/// Bytes to operations; `None`: this version does not know all that is in them.
pub fn decode(bytes: &[u8]) -> Option<Vec<Operation>> {
    let records = Records::decode(bytes).ok()?.records;
    records.into_iter().map(|record| record.kind.and_then(operation)).collect()
}

impl From<&Operation> for Record {
    fn from(operation: &Operation) -> Record {
        let kind = match operation {
            Operation::Register(registration, existing) => Kind::Register(RegisterRecord {
                instance: InstanceRecord::from(&registration.instance),
                checks: registration.checks.iter().map(CheckRecord::from).collect(),
                replace: *existing == ExistingChecks::Replace,
            }),
            Operation::Deregister(id) => Kind::Deregister(id.as_str().to_owned()),
            Operation::RegisterCheck(check) => Kind::RegisterCheck(CheckRecord::from(&**check)),
            Operation::DeregisterCheck(id) => Kind::DeregisterCheck(id.as_str().to_owned()),
            Operation::TtlState(state) => Kind::TtlState(TtlRecord {
                id: state.id.as_str().to_owned(),
                status: state.status.as_str().to_owned(),
                output: state.output.to_string(),
                expires_ms: state.expires.0,
            }),
        };
        Record { kind: Some(kind) }
    }
}

fn operation(kind: Kind) -> Option<Operation> {
    Some(match kind {
        Kind::Register(record) => {
            let existing =
                if record.replace { ExistingChecks::Replace } else { ExistingChecks::Keep };
            let registration = Registration {
                instance: instance(record.instance)?,
                checks: record.checks.into_iter().map(check).collect(),
            };
            Operation::Register(Box::new(registration), existing)
        }
        Kind::Deregister(id) => Operation::Deregister(InstanceId::new(id)),
        Kind::RegisterCheck(record) => Operation::RegisterCheck(Box::new(check(record))),
        Kind::DeregisterCheck(id) => Operation::DeregisterCheck(CheckId::new(id)),
        Kind::TtlState(record) => Operation::TtlState(TtlState {
            id: CheckId::new(record.id),
            status: Status::parse(&record.status),
            output: record.output.into(),
            expires: WallTime(record.expires_ms),
        }),
    })
}

fn strings(texts: &[Text]) -> Vec<String> {
    texts.iter().map(Text::to_string).collect()
}

fn text(text: &Option<Text>) -> Option<String> {
    text.as_ref().map(Text::to_string)
}

impl From<&Instance> for InstanceRecord {
    fn from(instance: &Instance) -> InstanceRecord {
        InstanceRecord {
            id: instance.id.as_str().to_owned(),
            service: instance.service.as_str().to_owned(),
            kind: instance.kind.to_string(),
            tags: strings(&instance.tags),
            address: instance.address.to_string(),
            tagged_addresses: instance.tagged_addresses.as_ref().map(|addresses| {
                let record = |address: &ServiceAddress| AddressRecord {
                    address: address.address.to_string(),
                    port: address.port,
                };
                let by_tag = addresses.iter().map(|(tag, at)| (tag.to_string(), record(at)));
                AddressesRecord { by_tag: by_tag.collect() }
            }),
            meta: instance.meta.as_ref().map(|meta| TextsRecord {
                by_key: meta.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
            }),
            port: instance.port,
            socket_path: instance.socket_path.to_string(),
            weight_passing: instance.weights.passing,
            weight_warning: instance.weights.warning,
            enable_tag_override: instance.enable_tag_override,
            region: instance.locality.as_ref().map(|at| at.region.to_string()),
            availability_zone: instance
                .locality
                .as_ref()
                .map(|at| at.availability_zone.to_string()),
            proxy: instance.proxy.as_ref().map(|block| block.0.to_string()),
            connect: instance.connect.as_ref().map(|block| block.0.to_string()),
            phase: PHASES.iter().position(|phase| *phase == instance.phase).unwrap_or(0) as u32,
            names: instance.names.as_ref().map(|names| NamesRecord {
                mesos_task: text(&names.mesos_task),
                mesos_framework: text(&names.mesos_framework),
                cloud_map_namespace: text(&names.cloud_map_namespace),
                cloud_map_service: text(&names.cloud_map_service),
            }),
        }
    }
}

/// Phases by their number in the store; what an agent registers is running.
const PHASES: [Phase; 6] = [
    Phase::Running,
    Phase::Staging,
    Phase::Unhealthy,
    Phase::Unreachable,
    Phase::Draining,
    Phase::Killing,
];

fn instance(record: InstanceRecord) -> Option<Instance> {
    let locality = record.region.map(|region| {
        let zone = record.availability_zone.unwrap_or_default();
        Box::new(Locality { region: region.into(), availability_zone: zone.into() })
    });
    Some(Instance {
        node: Default::default(),
        id: InstanceId::new(record.id),
        service: ServiceName::new(record.service),
        kind: record.kind.into(),
        tags: record.tags.into_iter().map(Text::from).collect(),
        address: record.address.into(),
        tagged_addresses: record.tagged_addresses.map(|addresses| {
            let address =
                |at: AddressRecord| ServiceAddress { address: at.address.into(), port: at.port };
            addresses.by_tag.into_iter().map(|(tag, at)| (tag.into(), address(at))).collect()
        }),
        meta: record
            .meta
            .map(|meta| meta.by_key.into_iter().map(|(k, v)| (k.into(), v.into())).collect()),
        port: record.port,
        socket_path: record.socket_path.into(),
        weights: Weights { passing: record.weight_passing, warning: record.weight_warning },
        enable_tag_override: record.enable_tag_override,
        locality,
        proxy: record.proxy.map(|block| Opaque(Arc::from(block))),
        connect: record.connect.map(|block| Opaque(Arc::from(block))),
        phase: *PHASES.get(record.phase as usize)?,
        names: record.names.map(|names| {
            Box::new(FaceNames {
                mesos_task: names.mesos_task.map(Text::from),
                mesos_framework: names.mesos_framework.map(Text::from),
                cloud_map_namespace: names.cloud_map_namespace.map(Text::from),
                cloud_map_service: names.cloud_map_service.map(Text::from),
            })
        }),
    })
}

impl From<&Check> for CheckRecord {
    fn from(check: &Check) -> CheckRecord {
        CheckRecord {
            id: check.id.as_str().to_owned(),
            name: check.name.to_string(),
            status: check.status.as_str().to_owned(),
            notes: check.notes.to_string(),
            output: check.output.to_string(),
            instance: check.instance.as_str().to_owned(),
            kind: check.kind.to_string(),
            interval: check.interval.to_string(),
            timeout: check.timeout.to_string(),
            exposed_port: check.exposed_port,
            definition: check.definition.as_deref().map(DefinitionRecord::from),
        }
    }
}

fn check(record: CheckRecord) -> Check {
    Check {
        id: CheckId::new(record.id),
        name: record.name.into(),
        status: Status::parse(&record.status),
        notes: record.notes.into(),
        output: record.output.into(),
        instance: InstanceId::new(record.instance),
        kind: record.kind.into(),
        interval: record.interval.into(),
        timeout: record.timeout.into(),
        exposed_port: record.exposed_port,
        definition: record.definition.map(|definition| Box::new(definition.into())),
        ..Check::default()
    }
}

impl From<&CheckDefinition> for DefinitionRecord {
    fn from(definition: &CheckDefinition) -> DefinitionRecord {
        let header = definition.header.iter();
        DefinitionRecord {
            http: definition.http.to_string(),
            tls_server_name: definition.tls_server_name.to_string(),
            tls_skip_verify: definition.tls_skip_verify,
            header: header
                .map(|(name, values)| (name.to_string(), ValuesRecord { values: strings(values) }))
                .collect(),
            method: definition.method.to_string(),
            body: definition.body.to_string(),
            disable_redirects: definition.disable_redirects,
            tcp: definition.tcp.to_string(),
            tcp_use_tls: definition.tcp_use_tls,
            udp: definition.udp.to_string(),
            h2ping: definition.h2ping.to_string(),
            h2ping_use_tls: definition.h2ping_use_tls,
            os_service: definition.os_service.to_string(),
            interval_ns: definition.interval.0,
            output_max_size: definition.output_max_size,
            timeout_ns: definition.timeout.0,
            deregister_critical_service_after_ns: definition.deregister_critical_service_after.0,
            script_args: strings(&definition.script_args),
            docker_container_id: definition.docker_container_id.to_string(),
            shell: definition.shell.to_string(),
            grpc: definition.grpc.to_string(),
            grpc_use_tls: definition.grpc_use_tls,
            alias_node: definition.alias_node.to_string(),
            alias_service: definition.alias_service.to_string(),
            ttl_ns: definition.ttl.0,
            success_before_passing: definition.success_before_passing,
            failures_before_warning: definition.failures_before_warning,
            failures_before_critical: definition.failures_before_critical,
        }
    }
}

impl From<DefinitionRecord> for CheckDefinition {
    fn from(record: DefinitionRecord) -> CheckDefinition {
        let texts = |values: Vec<String>| values.into_iter().map(Text::from).collect::<Vec<_>>();
        let header = record.header.into_iter();
        CheckDefinition {
            http: record.http.into(),
            tls_server_name: record.tls_server_name.into(),
            tls_skip_verify: record.tls_skip_verify,
            header: header.map(|(name, held)| (name.into(), texts(held.values))).collect(),
            method: record.method.into(),
            body: record.body.into(),
            disable_redirects: record.disable_redirects,
            tcp: record.tcp.into(),
            tcp_use_tls: record.tcp_use_tls,
            udp: record.udp.into(),
            h2ping: record.h2ping.into(),
            h2ping_use_tls: record.h2ping_use_tls,
            os_service: record.os_service.into(),
            interval: Nanos(record.interval_ns),
            output_max_size: record.output_max_size,
            timeout: Nanos(record.timeout_ns),
            deregister_critical_service_after: Nanos(record.deregister_critical_service_after_ns),
            script_args: texts(record.script_args),
            docker_container_id: record.docker_container_id.into(),
            shell: record.shell.into(),
            grpc: record.grpc.into(),
            grpc_use_tls: record.grpc_use_tls,
            alias_node: record.alias_node.into(),
            alias_service: record.alias_service.into(),
            ttl: Nanos(record.ttl_ns),
            success_before_passing: record.success_before_passing,
            failures_before_warning: record.failures_before_warning,
            failures_before_critical: record.failures_before_critical,
        }
    }
}
