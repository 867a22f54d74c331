//! What was acknowledged is there after a crash at any byte, and damage to it is refused.

use super::*;
use crate::local::TtlState;
use crate::time::WallTime;
use model::{
    Check, CheckDefinition, CheckDetails, FaceNames, Instance, InstanceDetails, Locality, Nanos,
    Opaque, Phase, Registration, ServiceAddress, Status, Text, Weights,
};
use proptest::prelude::*;
use seams::ExistingChecks;
use std::fs;

fn register(id: &str) -> Operation {
    let instance = Instance { id: id.into(), service: id.into(), ..Instance::default() };
    let registration = Registration { instance, checks: vec![Check::default()] };
    Operation::Register(Box::new(registration), ExistingChecks::Keep)
}

fn report(id: &str) -> Operation {
    Operation::TtlState(TtlState {
        id: id.into(),
        status: Status::Passing,
        output: "fine".into(),
        expires: WallTime(5),
    })
}

fn open(directory: &Path) -> (Store, Vec<Operation>, UnboundedReceiver<Done>) {
    Store::open(directory).unwrap()
}

fn held(directory: &Path) -> Vec<Operation> {
    open(directory).1
}

#[track_caller]
fn wait(done: &mut UnboundedReceiver<Done>, ticket: u64) {
    loop {
        match done.blocking_recv().expect("the store answers") {
            Done::Appended { up_to, result } if up_to >= ticket => return result.unwrap(),
            _ => {}
        }
    }
}

/// A store of three operations, written one by one; its bytes, and its length at each answer.
fn written(directory: &Path) -> (Vec<u8>, Vec<u64>) {
    let (store, _, mut done) = open(directory);
    let mut lengths = Vec::new();
    for (ticket, operation) in operations().iter().enumerate() {
        store.append(encode(operation), ticket as u64);
        wait(&mut done, ticket as u64);
        lengths.push(fs::metadata(directory.join(FILE)).unwrap().len());
    }
    drop(store);
    (fs::read(directory.join(FILE)).unwrap(), lengths)
}

fn operations() -> Vec<Operation> {
    vec![register("a"), register("b"), Operation::Deregister("a".into())]
}

#[test]
fn a_file_cut_at_any_byte_holds_what_was_acknowledged_by_then_and_nothing_half() {
    let directory = tempfile::tempdir().unwrap();
    let (bytes, acknowledged) = written(directory.path());
    let path = directory.path().join(FILE);
    for cut in frame::HEADER.len()..=bytes.len() {
        fs::write(&path, &bytes[..cut]).unwrap();
        let found = held(directory.path());
        let needed = acknowledged.iter().filter(|length| **length <= cut as u64).count();
        assert!(found.len() >= needed, "cut at {cut}: {} of {needed}", found.len());
        assert_eq!(found, operations()[..found.len()], "cut at {cut}");
        assert_eq!(held(directory.path()), found, "repaired at {cut}");
    }
}

#[test]
fn what_is_added_after_a_repair_stays() {
    let directory = tempfile::tempdir().unwrap();
    let (bytes, _) = written(directory.path());
    fs::write(directory.path().join(FILE), &bytes[..bytes.len() - 40]).unwrap();
    let (store, found, mut done) = open(directory.path());
    store.append(encode(&register("late")), 9);
    wait(&mut done, 9);
    drop(store);
    let expected: Vec<Operation> = found.into_iter().chain([register("late")]).collect();
    assert_eq!(held(directory.path()), expected);
}

#[test]
fn a_flipped_bit_is_refused_or_harmless() {
    let directory = tempfile::tempdir().unwrap();
    let (bytes, _) = written(directory.path());
    let mut refused = 0;
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match frame::read(&flipped) {
            Err(_) => refused += 1,
            Ok(contents) => {
                let found: Option<Vec<Vec<Operation>>> =
                    contents.payloads.iter().map(|payload| record::decode(payload)).collect();
                assert_eq!(found.unwrap().concat(), operations(), "bit {bit}");
            }
        }
    }
    assert!(refused > bytes.len() * 4, "{refused} of {} bits refused", bytes.len() * 8);
}

#[test]
fn a_damaged_store_is_refused_with_a_word_on_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let (bytes, _) = written(directory.path());
    let path = directory.path().join(FILE);
    let refusal = |at: usize, value: u8| {
        let mut damaged = bytes.clone();
        damaged[at] = value;
        fs::write(&path, &damaged).unwrap();
        Store::open(directory.path()).err().map(|error| error.to_string())
    };
    let middle = refusal(80, bytes[80] ^ 0x40).unwrap();
    assert!(middle.contains("damaged at byte 72: put back a copy"), "{middle}");
    let newer = refusal(13, b'2').unwrap();
    assert!(newer.contains("written by a newer version"), "{newer}");
    assert!(refusal(0, b'x').unwrap().contains("damaged at byte 0"));
    fs::write(&path, b"").unwrap();
    assert!(Store::open(directory.path()).is_err(), "a store never was empty");
}

#[test]
fn an_operation_of_a_newer_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    let path = directory.path().join(FILE);
    let mut bytes = fs::read(&path).unwrap();
    // Field 1 (a record) with nothing in it but field 9, which nobody knows yet.
    let position = bytes.len() as u64;
    frame::write(&mut bytes, position, position, &[0x0a, 0x02, 0x48, 0x01]);
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(Store::open(directory.path()), Err(StartError::Newer { .. })));
}

#[test]
fn many_who_wait_share_a_sync() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _, mut done) = open(directory.path());
    let before = store.syncs();
    for ticket in 0..1000 {
        store.append(encode(&register("a")), ticket);
    }
    wait(&mut done, 999);
    let syncs = store.syncs() - before;
    assert!(syncs <= 125, "{syncs} syncs for 1000 operations");
    drop(store);
    assert_eq!(held(directory.path()).len(), 1000);
}

#[test]
fn reports_are_kept_without_being_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _, _done) = open(directory.path());
    store.append_lazily(&report("a"));
    drop(store);
    assert_eq!(held(directory.path()), [report("a")]);
}

#[test]
fn a_store_that_has_grown_is_written_anew_and_stays_small() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _, mut done) = open(directory.path());
    let big = register(&"x".repeat(10_000));
    let mut ticket = 0;
    while !store.is_overgrown() {
        ticket += 1;
        assert!(ticket < 1000, "it never is too large");
        store.append(encode(&big), ticket);
        wait(&mut done, ticket);
    }
    store.rewrite(std::slice::from_ref(&big));
    store.append(encode(&register("after")), ticket + 1);
    wait(&mut done, ticket + 1);
    assert!(!store.is_overgrown());
    drop(store);
    assert!(fs::metadata(directory.path().join(FILE)).unwrap().len() < 50_000);
    assert_eq!(held(directory.path()), [big, register("after")]);
    assert!(!directory.path().join(format!("{FILE}.new")).exists());
}

#[test]
fn a_rewritten_store_refuses_damage_to_all_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _, mut done) = open(directory.path());
    store.rewrite(&operations());
    assert_eq!(done.blocking_recv(), Some(Done::Rewritten));
    let mut bytes = fs::read(directory.path().join(FILE)).unwrap();
    let at = bytes.len() - 40;
    bytes[at] ^= 1;
    assert!(matches!(frame::read(&bytes), Err(Damage::Corrupt(16))));
}

#[test]
fn a_store_in_memory_answers_at_once() {
    let (store, mut done) = Store::memory();
    store.append(encode(&register("a")), 1);
    assert_eq!(done.try_recv(), Ok(Done::Appended { up_to: 1, result: Ok(()) }));
    store.append_lazily(&report("a"));
    store.rewrite(&[]);
    assert_eq!(done.try_recv(), Ok(Done::Rewritten));
    assert!(!store.is_overgrown());
}

fn text() -> impl Strategy<Value = Text> {
    prop_oneof![Just(""), Just("a"), Just("Ümlaut"), Just("a longer text than stays inline")]
        .prop_map(Text::new)
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), Just(-1), any::<i64>()]
}

prop_compose! {
    fn instance()(
        texts in prop::collection::vec(text(), 10),
        tags in prop::collection::vec(text(), 0..3),
        addresses in prop::option::of(prop::collection::btree_map(text(), number(), 0..3)),
        meta in prop::option::of(prop::collection::btree_map(text(), text(), 0..3)),
        numbers in prop::collection::vec(number(), 3),
        flags in any::<[bool; 5]>(),
        phase in 0usize..6,
    ) -> Instance {
        let t = |at: usize| texts[at].clone();
        let phases = [
            Phase::Staging, Phase::Running, Phase::Unhealthy,
            Phase::Unreachable, Phase::Draining, Phase::Killing,
        ];
        Instance {
            node: Default::default(),
            id: t(0).as_str().into(),
            service: t(1).as_str().into(),
            tags: tags.into(),
            address: t(3),
            port: numbers[0], details: InstanceDetails { kind: t(2), tagged_addresses: addresses.map(|by_tag| {
                let at = |port| ServiceAddress { address: t(4), port };
                by_tag.into_iter().map(|(tag, port)| (tag, at(port))).collect()
            }), meta, socket_path: t(5), weights: Weights { passing: numbers[1], warning: numbers[2] }, enable_tag_override: flags[0], locality: flags[1].then(|| Box::new(Locality { region: t(6), availability_zone: t(7) })), proxy: flags[2].then(|| Opaque(Arc::from("{\"Mode\":\"direct\"}"))), connect: flags[3].then(|| Opaque(Arc::from("{}"))), phase: phases[phase], names: flags[4].then(|| Box::new(FaceNames {
                mesos_task: Some(t(8)),
                mesos_framework: None,
                cloud_map_namespace: Some(t(9)),
                cloud_map_service: None,
            })) }.into() }
    }
}

prop_compose! {
    fn definition()(
        texts in prop::collection::vec(text(), 14),
        several in prop::collection::vec(text(), 0..3),
        header in prop::collection::btree_map(text(), prop::collection::vec(text(), 0..3), 0..3),
        numbers in prop::collection::vec(number(), 8),
        flags in any::<[bool; 5]>(),
    ) -> CheckDefinition {
        let t = |at: usize| texts[at].clone();
        CheckDefinition {
            http: t(0),
            tls_server_name: t(1),
            tls_skip_verify: flags[0],
            header,
            method: t(2),
            body: t(3),
            disable_redirects: flags[1],
            tcp: t(4),
            tcp_use_tls: flags[2],
            udp: t(5),
            h2ping: t(6),
            h2ping_use_tls: flags[3],
            os_service: t(7),
            interval: Nanos(numbers[0]),
            output_max_size: numbers[1],
            timeout: Nanos(numbers[2]),
            deregister_critical_service_after: Nanos(numbers[3]),
            script_args: several,
            docker_container_id: t(8),
            shell: t(9),
            grpc: t(10),
            grpc_use_tls: flags[4],
            alias_node: t(11),
            alias_service: t(12),
            ttl: Nanos(numbers[4]),
            success_before_passing: numbers[5],
            failures_before_warning: numbers[6],
            failures_before_critical: numbers[7],
        }
    }
}

prop_compose! {
    fn check()(
        texts in prop::collection::vec(text(), 9),
        exposed_port in number(),
        definition in prop::option::of(definition()),
    ) -> Check {
        let t = |at: usize| texts[at].clone();
        Check {
            id: t(0).as_str().into(),
            name: t(1),
            status: Status::parse(&t(2)),
            output: t(4),
            instance: t(5).as_str().into(),
            definition: definition.map(Box::new), details: CheckDetails { notes: t(3), kind: t(6), interval: t(7), timeout: t(8), exposed_port }.into(),
            ..Check::default()
         }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_operation_is_read_as_it_was_written(
        instance in instance(),
        checks in prop::collection::vec(check(), 0..3),
        lone in check(),
        expires in any::<u64>(),
    ) {
        let state = TtlState {
            id: lone.id.clone(),
            status: lone.status.clone(),
            output: lone.output.clone(),
            expires: WallTime(expires),
        };
        let operations = vec![
            Operation::Deregister(instance.id.clone()),
            Operation::Register(
                Box::new(Registration { instance, checks }),
                ExistingChecks::Replace,
            ),
            Operation::DeregisterCheck(lone.id.clone()),
            Operation::RegisterCheck(Box::new(lone)),
            Operation::TtlState(state),
        ];
        let one_by_one: Vec<u8> = operations.chunks(1).flat_map(record::encode).collect();
        prop_assert_eq!(&one_by_one, &record::encode(&operations));
        prop_assert_eq!(record::decode(&one_by_one), Some(operations));
    }
}

#[test]
fn what_is_written_today_is_read_for_ever() {
    let instance = Instance { port: 80, ..Instance::default() };
    let instance = Instance { id: "web".into(), service: "web".into(), ..instance };
    let definition = CheckDefinition { ttl: Nanos::seconds(10), ..CheckDefinition::default() };
    let definition = Some(Box::new(definition));
    let check = Check {
        id: "c".into(),
        definition,
        details: CheckDetails { kind: "ttl".into(), ..CheckDetails::default() }.into(),
        ..Check::default()
    };
    let registration = Registration { instance, checks: vec![check] };
    let operations = [
        Operation::Register(Box::new(registration), ExistingChecks::Keep),
        report("c"),
        Operation::DeregisterCheck("c".into()),
        Operation::Deregister("web".into()),
    ];
    let hex: String =
        record::encode(&operations).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, GOLDEN);
}

/// Records of the first version.
const GOLDEN: &str = "0a2e0a2c0a0d12037765621a0377656248a001121b1201632208637269746963616c520374746c7207c8018090\
    dfc04a0a162a140a0163120770617373696e671a0466696e6520050a032201630a051203776562";
