//! A catalog to ask and to write to: small, with everything in it that answers are made of.

use catalog::{Acl, Applied, Command, Entry, Outcome, Touched, View, apply};
use dns::{Config, Table};
use model::{
    Check, Index, Instance, InstanceDetails, Node, ServiceAddress, Status, Text, TextMap, Weights,
};
use seams::Projection;
use seams::fakes::entry;
use std::sync::Arc;

/// Applies one entry behind what the view shows.
pub fn write(view: &View, entry: Entry) -> Applied {
    apply(view, [(Index(view.index().0 + 1), entry)])
}

fn map(pairs: &[(&str, &str)]) -> TextMap {
    pairs.iter().map(|(key, value)| (Text::new(key), Text::new(value))).collect()
}

fn node(name: &str, address: &str, meta: &[(&str, &str)]) -> Command {
    let tagged = map(&[("lan", address), ("wan", "198.51.100.7")]);
    Command::PutNode(Node {
        name: name.into(),
        address: address.into(),
        meta: Some(map(meta)),
        tagged_addresses: Some(tagged),
        ..Node::default()
    })
}

fn instance(service: &str, id: &str, node: &str, address: &str, tags: &[&str]) -> Command {
    let lan = ServiceAddress { address: Text::new("10.9.9.9"), port: 9 };
    Command::PutInstance(Box::new(Instance {
        node: node.into(),
        id: id.into(),
        service: service.into(),
        address: address.into(),
        port: 80,
        tags: tags.iter().map(Text::new).collect(),
        details: InstanceDetails {
            tagged_addresses: Some([(Text::new("lan_ipv4"), lan)].into()),
            weights: Weights { passing: 1, warning: 3 },
            ..InstanceDetails::default()
        }
        .into(),
    }))
}

fn check(node: &str, id: &str, instance: &str, status: &str) -> Command {
    Command::PutCheck(Box::new(Check {
        node: node.into(),
        id: id.into(),
        status: Status::parse(status),
        instance: instance.into(),
        ..Check::default()
    }))
}

/// A few nodes, with services that have one instance or many, of every form of address, with and
/// without health, and two whose addresses are each other's names.
pub fn view() -> View {
    let mut commands = vec![
        node("n1", "10.0.0.1", &[("rack", "r1"), ("rfc1035-os", "linux")]),
        node("n2", "fd00::2", &[]),
        node("N-3.Mixed", "www.example.test", &[("", "")]),
        instance("consul", "consul", "n1", "", &[]),
        instance("web", "web-1", "n1", "", &["v1", "prod"]),
        instance("web", "web-2", "n2", "10.0.0.9", &["v2"]),
        instance("web", "web-3", "N-3.Mixed", "fd00::9", &["v1"]),
        instance("sick", "sick-1", "n1", "", &[]),
        instance("warned", "warned-1", "n2", "", &[]),
        instance("ext", "ext-1", "n1", "www.example.test", &[]),
        instance("loop", "loop-1", "n1", "pool.service.consul", &[]),
        instance("pool", "pool-1", "n2", "loop.service.consul", &[]),
        instance("odd name é", "odd", "n1", "", &["a b"]),
        check("n1", "of-sick", "sick-1", "critical"),
        check("n2", "of-warned", "warned-1", "warning"),
        check("n2", "node", "", "passing"),
    ];
    for number in 0..40 {
        let (id, address) = (format!("many-{number}"), format!("10.1.0.{number}"));
        commands.push(instance("many", &id, "n1", &address, &["all"]));
    }
    let applied = write(&View::new(Acl::Off), entry(commands));
    assert!(matches!(applied.outcomes[..], [Outcome::Done(_)]), "{:?}", applied.outcomes);
    applied.view
}

/// A table for DNS that shows a view.
pub fn table(config: &Config, view: &View) -> Arc<Table> {
    let table = dns::table(config);
    table.publish(&Arc::new(view.clone()), &Touched::everything());
    table
}
