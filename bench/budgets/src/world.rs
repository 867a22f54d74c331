//! Catalogs of a given size, the same in every run.

use catalog::{Acl, Command, View, apply};
use model::{Check, Index, Instance, Node, Status, Text};
use seams::fakes::entry;

/// What one registration writes: a node, an instance with two tags, a check of the instance.
pub fn registration(service: &str, number: usize, nodes: usize, output: &str) -> Vec<Command> {
    let node = format!("node-{}", number % nodes);
    let id = format!("{service}-{number}");
    let address = format!("10.{}.{}.{}", number % nodes / 250, number % 250, 1 + number % 200);
    vec![
        Command::PutNode(Node {
            name: node.as_str().into(),
            address: Text::from(address),
            ..Node::default()
        }),
        Command::PutInstance(Box::new(Instance {
            node: node.as_str().into(),
            id: id.as_str().into(),
            service: service.into(),
            port: 8080,
            tags: [Text::new("v1"), Text::new("production")].into(),
            ..Instance::default()
        })),
        Command::PutCheck(Box::new(Check {
            node: node.as_str().into(),
            id: format!("check-of-{id}").as_str().into(),
            name: Text::new("answers over HTTP"),
            status: Status::parse("passing"),
            output: Text::new(output),
            instance: id.as_str().into(),
            ..Check::default()
        })),
    ]
}

/// Services of so many instances each, on a tenth as many nodes as there are instances.
pub fn view(services: usize, instances: usize) -> View {
    let nodes = (services * instances / 10).max(1);
    let entries = (0..services).map(|service| {
        let name = format!("service-{service}");
        let of = (0..instances)
            .flat_map(|n| registration(&name, service * instances + n, nodes, "HTTP GET: 200 OK"));
        (Index(service as u64 + 1), entry(of.collect()))
    });
    apply(&View::new(Acl::Off), entries.collect::<Vec<_>>()).view
}
