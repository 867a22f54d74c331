//! What is registered is what is read, whatever it is: every field, through every pair of bytes.

use crate::bytes::{load, save};
use catalog::format::{decode_entry, encode_entry};
use catalog::{Claim, Command, Entry, NodeKey, Outcome, View, apply};
use model::{
    Author, Check, CheckDefinition, CheckDetails, CheckId, FaceNames, Index, Instance,
    InstanceDetails, InstanceId, Locality, Nanos, Node, NodeName, Opaque, Owner, Phase,
    ServiceAddress, ServiceName, Status, Tenant, Text, TextMap, Timestamp, Weights,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

fn text() -> impl Strategy<Value = Text> {
    prop_oneof![
        Just(Text::default()),
        "[a-z0-9.:-]{1,12}".prop_map(Text::from),
        "\\PC{0,60}".prop_map(Text::from),
    ]
}

fn text_map() -> impl Strategy<Value = Option<TextMap>> {
    option::of(btree_map(text(), text(), 0..4))
}

fn locality() -> impl Strategy<Value = Option<Box<Locality>>> {
    option::of(
        (text(), text()).prop_map(|(region, availability_zone)| {
            Box::new(Locality { region, availability_zone })
        }),
    )
}

fn node() -> impl Strategy<Value = Node> {
    let id = option::of(any::<u128>().prop_map(uuid::Uuid::from_u128));
    (text(), id, text(), text_map(), text_map(), locality()).prop_map(
        |(name, id, address, tagged_addresses, meta, locality)| Node {
            name: NodeName::new(name),
            id,
            address,
            tagged_addresses,
            meta,
            locality,
        },
    )
}

fn phase() -> impl Strategy<Value = Phase> {
    prop_oneof![
        Just(Phase::Staging),
        Just(Phase::Running),
        Just(Phase::Unhealthy),
        Just(Phase::Unreachable),
        Just(Phase::Draining),
        Just(Phase::Killing),
    ]
}

fn face_names() -> impl Strategy<Value = Option<Box<FaceNames>>> {
    let name = || option::of(text());
    option::of((name(), name(), name(), name()).prop_map(|names| {
        Box::new(FaceNames {
            mesos_task: names.0,
            mesos_framework: names.1,
            cloud_map_namespace: names.2,
            cloud_map_service: names.3,
        })
    }))
}

fn instance() -> impl Strategy<Value = Instance> {
    let address =
        (text(), any::<i64>()).prop_map(|(address, port)| ServiceAddress { address, port });
    let opaque = || option::of("\\PC{0,40}".prop_map(|text| Opaque(text.into())));
    let names = (text(), text(), text(), vec(text(), 0..4), text());
    let weights =
        (any::<i64>(), any::<i64>()).prop_map(|(passing, warning)| Weights { passing, warning });
    let where_it_is =
        (option::of(btree_map(text(), address, 0..3)), text_map(), any::<i64>(), text());
    let rest = (
        prop_oneof![Just(Weights::default()), weights],
        any::<bool>(),
        locality(),
        opaque(),
        opaque(),
        phase(),
        face_names(),
    );
    (names, where_it_is, rest).prop_map(|(names, place, rest)| Instance {
        node: NodeName::default(),
        id: InstanceId::new(names.0),
        service: ServiceName::new(names.1),
        tags: names.3.into(),
        address: names.4,
        port: place.2,
        details: InstanceDetails {
            kind: names.2,
            tagged_addresses: place.0,
            meta: place.1,
            socket_path: place.3,
            weights: rest.0,
            enable_tag_override: rest.1,
            locality: rest.2,
            proxy: rest.3,
            connect: rest.4,
            phase: rest.5,
            names: rest.6,
        }
        .into(),
    })
}

fn definition() -> impl Strategy<Value = CheckDefinition> {
    let texts = vec(text(), 13);
    let numbers = vec(any::<i64>(), 8);
    let flags = vec(any::<bool>(), 5);
    let header = btree_map(text(), vec(text(), 0..3), 0..3);
    (texts, numbers, flags, header, vec(text(), 0..3)).prop_map(
        |(mut texts, numbers, flags, header, script_args)| {
            let mut text = || texts.pop().expect("there is one for each");
            CheckDefinition {
                http: text(),
                tls_server_name: text(),
                tls_skip_verify: flags[0],
                header,
                method: text(),
                body: text(),
                disable_redirects: flags[1],
                tcp: text(),
                tcp_use_tls: flags[2],
                udp: text(),
                h2ping: text(),
                h2ping_use_tls: flags[3],
                os_service: text(),
                interval: Nanos(numbers[0]),
                output_max_size: numbers[1],
                timeout: Nanos(numbers[2]),
                deregister_critical_service_after: Nanos(numbers[3]),
                script_args,
                docker_container_id: text(),
                shell: text(),
                grpc: text(),
                grpc_use_tls: flags[4],
                alias_node: text(),
                alias_service: text(),
                ttl: Nanos(numbers[4]),
                success_before_passing: numbers[5],
                failures_before_warning: numbers[6],
                failures_before_critical: numbers[7],
            }
        },
    )
}

/// A check; the flag says whether it watches the instance.
fn check() -> impl Strategy<Value = (Check, bool)> {
    let status = prop_oneof![
        Just(Status::Passing),
        Just(Status::Warning),
        Just(Status::Critical),
        text().prop_map(|text| Status::parse(&text)),
    ];
    let texts = vec(text(), 7);
    (texts, status, any::<i64>(), option::of(definition()), any::<bool>()).prop_map(
        |(mut texts, status, exposed_port, definition, of_instance)| {
            let mut text = || texts.pop().expect("there is one for each");
            let check = Check {
                id: CheckId::new(text()),
                name: text(),
                status,
                output: text(),
                definition: definition.map(Box::new),
                details: CheckDetails {
                    notes: text(),
                    kind: text(),
                    interval: text(),
                    timeout: text(),
                    exposed_port,
                }
                .into(),
                ..Check::default()
            };
            (check, of_instance)
        },
    )
}

/// One registration: a node, an instance on it, and checks of either with different ids.
fn registration() -> impl Strategy<Value = (Node, Instance, Vec<Check>)> {
    (node(), instance(), vec(check(), 0..4)).prop_map(|(node, mut instance, checks)| {
        instance.node = node.name.clone();
        let mut kept: Vec<Check> = Vec::new();
        for (mut check, of_instance) in checks {
            check.node = node.name.clone();
            // An empty id marks the node's checks; an instance with one has none of its own.
            if of_instance && !instance.id.is_empty() {
                check.instance = instance.id.clone();
                check.service = instance.service.clone();
                check.service_tags = instance.tags.clone();
            }
            if kept.iter().all(|other| other.id.fold() != check.id.fold()) {
                kept.push(check);
            }
        }
        (node, instance, kept)
    })
}

#[track_caller]
fn check_read(view: &View, node: &Node, instance: &Instance, checks: &[Check]) {
    let key = NodeKey::new(Tenant::DEFAULT, &node.name);
    let found = view.node(&key).expect("held").value.expect("registered");
    assert_eq!(&found.claim, node);
    let found = view.instance(&key.instance(&instance.id)).expect("held").expect("registered");
    assert_eq!(&found.claim, instance);
    assert_eq!((found.created, found.modified), (Index(5), Index(5)));
    let service = catalog::ServiceKey::new(Tenant::DEFAULT, &instance.service);
    let offers = view.service(&service).expect("held");
    assert_eq!((offers.len(), &offers[0].instance.claim), (1, instance));
    for check in checks {
        let found = view.check(&key.check(&check.id)).expect("held").expect("registered");
        assert_eq!(&found.claim, check);
    }
    assert_eq!(view.checks_on(&key).expect("held").value.len(), checks.len());
    if let Some(id) = node.id {
        assert_eq!(view.node_by_id(Tenant::DEFAULT, id), Ok(Some(&key)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_is_registered_is_read_back((node, instance, checks) in registration()) {
        let mut commands =
            vec![Command::PutNode(node.clone()), Command::PutInstance(Box::new(instance.clone()))];
        commands.extend(checks.iter().cloned().map(Box::new).map(Command::PutCheck));
        let entry = Entry {
            time: Timestamp(1),
            author: Author::default(),
            owner: Owner::http(),
            claim: Claim::Explicit,
            tenant: Tenant::DEFAULT,
            request: None,
            commands,
        };
        let read = decode_entry(&encode_entry(&entry)).expect("what was encoded is decoded");
        prop_assert_eq!(&read, &entry);
        let applied = apply(&View::default(), [(Index(5), read)]);
        prop_assert!(matches!(applied.outcomes[0], Outcome::Done(_)));
        check_read(&applied.view, &node, &instance, &checks);
        let state = load(&save(&applied.view)).expect("what was written is read");
        prop_assert_eq!(&state, applied.view.state());
        check_read(&View::default().replaced_by(state), &node, &instance, &checks);

        // The same once more changes nothing and wakes nobody.
        let again = apply(&applied.view, [(Index(6), entry)]);
        prop_assert!(again.touched.is_empty());
        check_read(&again.view, &node, &instance, &checks);
    }
}
