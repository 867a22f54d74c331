//! What a state costs in memory, and what reading and writing it adds.

use crate::alloc::{live, peak_of};
use crate::bytes::load;
use catalog::format::write_snapshot;
use catalog::{Claim, Command, Entry, View, apply};
use model::{
    Author, Check, CheckDetails, CheckId, Index, Instance, InstanceId, Node, NodeName, Owner,
    ServiceName, Status, Tenant, Text, Timestamp,
};

const NODES: usize = 10_000;
const INSTANCES: usize = 10;
const MIB: isize = 1 << 20;

/// One node with its instances and a check for each, as agents register them.
fn node_entry(number: usize) -> Entry {
    let name = NodeName::new(format!("node-{number:05}"));
    let node = Node {
        name: name.clone(),
        id: Some(uuid::Uuid::from_u128(number as u128)),
        address: Text::from(format!("10.{}.{}.1", number >> 8, number & 255)),
        ..Node::default()
    };
    let mut commands = vec![Command::PutNode(node)];
    for slot in 0..INSTANCES {
        let service = (number * INSTANCES + slot) % 1_000;
        commands.push(Command::PutInstance(Box::new(Instance {
            node: name.clone(),
            id: InstanceId::new(format!("service-{service:03}-{slot}")),
            service: ServiceName::new(format!("service-{service:03}")),
            tags: [Text::new("v1"), Text::new("primary")].into(),
            port: 20_000 + slot as i64,
            ..Instance::default()
        })));
        commands.push(Command::PutCheck(Box::new(Check {
            node: name.clone(),
            id: CheckId::new(format!("service:service-{service:03}-{slot}")),
            name: Text::from(format!("Service 'service-{service:03}' check")),
            status: Status::Passing,
            output: Text::new("HTTP GET http://10.0.0.1:20000/health: 200 OK Output: ok"),
            instance: InstanceId::new(format!("service-{service:03}-{slot}")),
            details: CheckDetails {
                kind: Text::new("http"),
                interval: Text::new("10s"),
                ..CheckDetails::default()
            }
            .into(),
            ..Check::default()
        })));
    }
    Entry {
        time: Timestamp(1_000_000),
        author: Author::default(),
        owner: Owner::agent(&name.fold()),
        claim: Claim::Reconcile,
        tenant: Tenant::DEFAULT,
        request: None,
        commands,
    }
}

fn large_view() -> View {
    let mut view = View::default();
    for batch in (0..NODES).step_by(100) {
        // In no order, as agents come: 7,919 is prime.
        let entries =
            (batch..batch + 100).map(|n| (Index(n as u64 + 1), node_entry(n * 7_919 % NODES)));
        view = apply(&view, entries).view;
    }
    view
}

#[test]
fn a_snapshot_of_100_000_instances_costs_little_beside_the_state() {
    let before = live();
    let view = large_view();
    let state_bytes = live() - before;
    let each = state_bytes / (NODES * INSTANCES) as isize;

    let mut bytes = Vec::with_capacity(state_bytes as usize);
    let ((), to_write) = peak_of(|| {
        write_snapshot(&view, &mut bytes).expect("memory takes every byte");
    });
    drop(view);

    let before = live();
    let (state, peak) = peak_of(|| load(&bytes).expect("what was written is read"));
    let loaded = live() - before;
    let to_read = peak - loaded;
    println!(
        "state {} MiB ({each} B an instance with its check), loaded {} MiB; snapshot {} MiB; \
         writing adds {} KiB, reading {} KiB",
        state_bytes / MIB,
        loaded / MIB,
        bytes.len() as isize / MIB,
        to_write / 1024,
        to_read / 1024
    );
    assert_eq!(state.window().newest, Index(NODES as u64));
    assert!(to_write < 20 * MIB, "writing adds {to_write} bytes");
    assert!(to_read < 20 * MIB, "reading adds {to_read} bytes");
    assert!(each <= 1_350, "an instance with its check costs {each} bytes");
    assert!(loaded < state_bytes + state_bytes / 10, "{loaded} loaded, {state_bytes} applied");
}
