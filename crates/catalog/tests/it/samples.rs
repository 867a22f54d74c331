//! One full sample of everything that stands in the log: every command with every field set.

use catalog::{
    AnyRow, Cause, Claim, Command, Condition, Entry, Expectation, Failure, HistoryLimits,
    KvCondition, KvWrite, Operation, Outcome, Refusal, Reply, RowName, Selection, Shown,
};
use model::{
    Author, Behavior, Check, CheckDefinition, CheckDetails, CheckId, Door, FaceNames, Index,
    Instance, InstanceDetails, InstanceId, KvEntry, KvKey, Locality, Nanos, Node, NodeName, Opaque,
    Owner, Phase, RequestKey, Row, ServiceAddress, ServiceCheck, ServiceName, Session, Status,
    Tenant, Text, TextMap, Timestamp, Weights,
};
use std::sync::Arc;
use uuid::Uuid;

pub const NODE_ID: Uuid = Uuid::from_u128(0x11111111_2222_3333_4444_555555555555);
pub const SESSION: Uuid = Uuid::from_u128(0xaaaaaaaa_bbbb_cccc_dddd_eeeeeeeeeeee);

pub fn entry(commands: Vec<Command>) -> Entry {
    Entry {
        time: Timestamp(1_700_000_000_000),
        author: Author {
            actor: Text::new("agent/n1"),
            door: Door::Agent,
            remote: Text::new("10.0.0.9:51234"),
            request: Text::new("0123456789abcdef"),
        },
        owner: Owner::new("agent/n1"),
        claim: Claim::Reconcile,
        tenant: Tenant(3),
        request: Some(RequestKey { client: Uuid::from_u128(7), sequence: 42 }),
        commands,
    }
}

fn text_map(pairs: &[(&str, &str)]) -> TextMap {
    pairs.iter().map(|(key, value)| (Text::new(key), Text::new(value))).collect()
}

fn locality() -> Option<Box<Locality>> {
    let (region, zone) = (Text::new("eu-west-1"), Text::new("eu-west-1b"));
    Some(Box::new(Locality { region, availability_zone: zone }))
}

pub fn node() -> Node {
    Node {
        name: NodeName::from("Node-1"),
        id: Some(NODE_ID),
        address: Text::new("10.0.0.1"),
        tagged_addresses: Some(text_map(&[("lan", "10.0.0.1"), ("wan", "192.0.2.1")])),
        meta: Some(text_map(&[("rack", "r1"), ("empty", "")])),
        locality: locality(),
    }
}

pub fn instance() -> Instance {
    let address = |address, port| ServiceAddress { address: Text::new(address), port };
    let tagged = [("lan", address("10.0.0.2", 8080)), ("wan", address("192.0.2.2", 80))];
    Instance {
        node: NodeName::from("Node-1"),
        id: InstanceId::from("web-1"),
        service: ServiceName::from("Web"),
        tags: [Text::new("v1"), Text::new("a tag that is too long to stay inline")].into(),
        address: Text::new("10.0.0.2"),
        port: -1,
        details: InstanceDetails {
            kind: Text::new("connect-proxy"),
            tagged_addresses: Some(tagged.map(|(tag, address)| (Text::new(tag), address)).into()),
            meta: Some(text_map(&[("version", "1.2.3")])),
            socket_path: Text::new("/run/web.sock"),
            weights: Weights { passing: 10, warning: -1 },
            enable_tag_override: true,
            locality: locality(),
            proxy: Some(Opaque(r#"{"Mode":"direct"}"#.into())),
            connect: Some(Opaque("{}".into())),
            phase: Phase::Draining,
            names: Some(Box::new(FaceNames {
                mesos_task: Some(Text::new("task")),
                mesos_framework: Some(Text::new("marathon")),
                cloud_map_namespace: Some(Text::new("example.local")),
                cloud_map_service: Some(Text::new("web")),
            })),
        }
        .into(),
    }
}

pub fn definition() -> CheckDefinition {
    CheckDefinition {
        http: Text::new("https://10.0.0.2:8080/health"),
        tls_server_name: Text::new("web.example"),
        tls_skip_verify: true,
        header: [(Text::new("X-A"), vec![Text::new("1"), Text::new("2")])].into(),
        method: Text::new("POST"),
        body: Text::new("ping"),
        disable_redirects: true,
        tcp: Text::new("10.0.0.2:1"),
        tcp_use_tls: true,
        udp: Text::new("10.0.0.2:2"),
        h2ping: Text::new("10.0.0.2:3"),
        h2ping_use_tls: true,
        os_service: Text::new("nginx.service"),
        interval: Nanos::seconds(10),
        output_max_size: 4096,
        timeout: Nanos::seconds(2),
        deregister_critical_service_after: Nanos::seconds(90),
        script_args: vec![Text::new("/bin/true"), Text::new("-x")],
        docker_container_id: Text::new("c0ffee"),
        shell: Text::new("/bin/sh"),
        grpc: Text::new("10.0.0.2:4/web"),
        grpc_use_tls: true,
        alias_node: Text::new("other"),
        alias_service: Text::new("other-1"),
        ttl: Nanos::seconds(30),
        success_before_passing: 1,
        failures_before_warning: 2,
        failures_before_critical: 3,
    }
}

pub fn check() -> Check {
    Check {
        node: NodeName::from("Node-1"),
        id: CheckId::from("Web-Http"),
        name: Text::new("answers over HTTP"),
        status: Status::Other(Text::new("odd")),
        output: Text::new("HTTP GET: 200 OK"),
        instance: InstanceId::from("web-1"),
        service: ServiceName::from("Web"),
        service_tags: [Text::new("v1")].into(),
        definition: Some(Box::new(definition())),
        details: CheckDetails {
            notes: Text::new("call Anna"),
            kind: Text::new("http"),
            interval: Text::new("10s"),
            timeout: Text::new("2s"),
            exposed_port: 21500,
        }
        .into(),
    }
}

pub fn session() -> Session {
    let service_check = |id| ServiceCheck { id: CheckId::from(id), namespace: Text::new("ns") };
    Session {
        id: SESSION,
        name: Text::new("leader election"),
        node: NodeName::from("Node-1"),
        lock_delay: Nanos::seconds(15),
        behavior: Behavior::Delete,
        ttl: Text::new("30s"),
        ttl_nanos: Nanos::seconds(30),
        node_checks: vec![CheckId::from("serfHealth")],
        service_checks: Some(vec![service_check("web-http")]),
    }
}

fn kv(condition: KvCondition) -> Command {
    let value = [0, 255, b'v'].into();
    Command::KvPut(KvWrite { key: KvKey::new(b"a/\xff"), value, flags: u64::MAX, condition })
}

/// Every command, by the name of its golden file.
pub fn commands() -> Vec<(&'static str, Command)> {
    let limits = HistoryLimits { entries: 1, bytes: 2, age_ms: 3 };
    let name = NodeName::from("Node-1");
    vec![
        ("put-node", Command::PutNode(node())),
        ("ensure-node", Command::EnsureNode(name.clone())),
        ("put-instance", Command::PutInstance(Box::new(instance()))),
        ("put-check", Command::PutCheck(Box::new(check()))),
        ("remove-node", Command::RemoveNode(name.clone())),
        ("remove-instance", Command::RemoveInstance(name.clone(), InstanceId::from("web-1"))),
        ("remove-check", Command::RemoveCheck(name, CheckId::from("web-http"))),
        ("kv-put-always", kv(KvCondition::Always)),
        ("kv-put-unchanged", kv(KvCondition::Unchanged(Index(0)))),
        ("kv-put-acquire", kv(KvCondition::Acquire(SESSION))),
        ("kv-put-release", kv(KvCondition::Release(SESSION))),
        ("kv-delete", Command::KvDelete(KvKey::new(b"a"), None)),
        ("kv-delete-unchanged", Command::KvDelete(KvKey::new(b"a"), Some(Index(0)))),
        ("kv-delete-tree", Command::KvDeleteTree(KvKey::new(b"a/"))),
        ("create-session", Command::CreateSession(Box::new(session()))),
        ("destroy-session", Command::DestroySession(SESSION)),
        ("expire-session", Command::ExpireSession(SESSION)),
        ("reap-tombstones", Command::ReapTombstones(Index(17))),
        ("set-history-limits", Command::SetHistoryLimits(limits)),
        ("transact", Command::Transact(operations())),
    ]
}

/// Every name of a row, condition and selection, and operations with and without each part.
fn operations() -> Vec<Operation> {
    let (node, instance, check) = ("Node-1".into(), "web-1".into(), "Web-Http".into());
    let expects = |row: RowName, is| Some(Expectation { row, is });
    let key = || RowName::Kv(KvKey::new(b"a/\xff"));
    let asks = |expects| Operation { expects, ..Operation::default() };
    let shows = |selection| Operation { shows: Some(selection), ..Operation::default() };
    vec![
        asks(expects(RowName::Node(node), Condition::Present)),
        asks(expects(RowName::NodeId(NODE_ID), Condition::Absent)),
        asks(expects(RowName::Instance("Node-1".into(), instance), Condition::Unchanged(Index(0)))),
        asks(expects(RowName::Check("Node-1".into(), check), Condition::ChangedAt(Index(5)))),
        asks(expects(key(), Condition::HeldBy(None))),
        shows(Selection::Head(key())),
        shows(Selection::KvTree(KvKey::new(b"a/"))),
        Operation {
            expects: expects(key(), Condition::HeldBy(Some(SESSION))),
            does: Some(Box::new(kv(KvCondition::Always))),
            shows: Some(Selection::Row(key())),
        },
    ]
}

fn row<T>(claim: T) -> Arc<Row<T>> {
    let (created, modified) = (Index(3), Index(u64::MAX));
    Arc::new(Row { claim, owner: Owner::http(), created, modified })
}

/// A row of every table that operations show.
fn shown() -> Vec<Shown> {
    let value = [0, 255, b'v'].into();
    let entry = KvEntry { value, flags: u64::MAX, lock_index: 2, session: Some(SESSION) };
    let rows = [
        AnyRow::Node(row(node())),
        AnyRow::Instance(row(instance())),
        AnyRow::Check(row(check())),
        AnyRow::Kv(KvKey::new(b"a/\xff"), row(entry)),
    ];
    (0..).zip(rows).map(|(operation, row)| Shown { operation, row }).collect()
}

/// Every cause of a failure.
fn failures() -> Vec<Failure> {
    let causes = [
        Cause::Absent,
        Cause::Present,
        Cause::Changed(Index(9)),
        Cause::HeldBy(Some(SESSION)),
        Cause::HeldBy(None),
        Cause::ConditionFailed,
        Cause::LockDelayed,
        Cause::Refused(Box::new(Refusal::InvalidSession(SESSION))),
    ];
    (0..).zip(causes).map(|(operation, cause)| Failure { operation, cause }).collect()
}

/// Every outcome.
pub fn outcomes() -> Vec<Outcome> {
    let name = NodeName::from("Node-1");
    let refusals = [
        Refusal::NodeNameReserved {
            id: NODE_ID,
            name: name.clone(),
            renames: Some(Text::new("10.0.0.1")),
            holder: Some(SESSION),
            holder_name: NodeName::from("node-1"),
            address: Text::new("10.0.0.2"),
        },
        Refusal::NodeNameReserved {
            id: NODE_ID,
            name: name.clone(),
            renames: None,
            holder: None,
            holder_name: NodeName::from("node-1"),
            address: Text::default(),
        },
        Refusal::MissingNode(name),
        Refusal::MissingInstance {
            instance: InstanceId::from("web-1"),
            check: CheckId::from("web-http"),
        },
        Refusal::SessionWithoutNode,
        Refusal::SessionWithoutCheck(CheckId::from("web-http")),
        Refusal::SessionCheckCritical(CheckId::from("web-http")),
        Refusal::InvalidSession(SESSION),
        Refusal::OwnedByOther { what: "node n1".to_owned(), owner: Owner::leader() },
    ];
    let done = Outcome::Done(vec![Reply::Done, Reply::ConditionFailed, Reply::Done]);
    // New ones go to the end: each golden file is named by its place here.
    let later = [
        done,
        Outcome::Done(Vec::new()),
        Outcome::Refused(Refusal::TooLateToKnow),
        Outcome::Done(vec![Reply::Shown(shown()), Reply::Done, Reply::Shown(Vec::new())]),
        Outcome::Refused(Refusal::Failed(failures())),
        Outcome::Refused(Refusal::Failed(vec![Failure { operation: 1, cause: Cause::TooMuch }])),
    ];
    refusals.into_iter().map(Outcome::Refused).chain(later).collect()
}
