//! A catalog for tests: rows as JSON registrations or as lines, and a table that follows them.

use catalog::{Acl, Command};
use dns::{Config, Table};
use model::{
    Check, Instance, InstanceDetails, Node, NodeName, ServiceAddress, Status, Text, TextMap,
    Weights,
};
use seams::Projection;
use seams::fakes::FakeCatalog;
use serde_json::Value;
use std::sync::Arc;

pub struct World {
    pub catalog: Arc<FakeCatalog>,
    pub table: Arc<Table>,
    pub config: Config,
}

impl World {
    pub fn new(config: Config) -> World {
        World::under(config, Acl::Off)
    }

    pub fn under(config: Config, acl: Acl) -> World {
        let table = dns::table(&config);
        let projections = vec![Arc::clone(&table) as Arc<dyn Projection>];
        let catalog = FakeCatalog::with(catalog::View::new(acl), projections);
        World { catalog, table, config }
    }

    pub fn write(&self, commands: Vec<Command>) {
        let committed = self.catalog.write(commands);
        assert!(
            matches!(committed.outcome, catalog::Outcome::Done(_)),
            "refused: {:?}",
            committed.outcome
        );
    }

    /// What `PUT /v1/catalog/register` would write, as far as the stories use it.
    pub fn register(&self, body: &str) {
        self.write(registration(&serde_json::from_str(body).expect("JSON")));
    }

    /// Lines of `node NAME ADDRESS [meta=k:v] [TAG=ADDRESS] [STATUS]`, `gone NODE [ID]` and
    /// `SERVICE ID NODE:PORT [key=value…] [STATUS]`.
    pub fn lines(&self, text: &str) {
        commands(text).for_each(|commands| self.write(commands));
    }

    /// The same in one write.
    pub fn lines_at_once(&self, text: &str) {
        self.write(commands(text).flatten().collect());
    }
}

fn commands(text: &str) -> impl Iterator<Item = Vec<Command>> {
    let lines = text.split(['\n', '|']).map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[0] {
            "node" => node_line(&words[1..]),
            "gone" => gone_line(&words[1..]),
            _ => instance_line(&words),
        }
    })
}

fn node_line(words: &[&str]) -> Vec<Command> {
    let mut node = Node { name: words[0].into(), address: words[1].into(), ..Node::default() };
    let mut commands = Vec::new();
    for word in &words[2..] {
        match word.split_once('=') {
            Some(("meta", pair)) => {
                let (key, value) = pair.split_once(':').expect("key:value");
                let meta = node.meta.get_or_insert_with(TextMap::new);
                meta.insert(Text::new(key), Text::new(value));
            }
            Some((tag, address)) => {
                let tagged = node.tagged_addresses.get_or_insert_with(TextMap::new);
                tagged.insert(Text::new(tag), Text::new(address));
            }
            None => commands.push(check(words[0], "", "node", word)),
        }
    }
    commands.insert(0, Command::PutNode(node));
    commands
}

fn gone_line(words: &[&str]) -> Vec<Command> {
    let node = NodeName::from(words[0]);
    match words.get(1) {
        Some(id) => vec![Command::RemoveInstance(node, (*id).into())],
        None => vec![Command::RemoveNode(node)],
    }
}

fn instance_line(words: &[&str]) -> Vec<Command> {
    let (node, port) = words[2].rsplit_once(':').expect("node:port");
    let mut instance = Instance {
        node: node.into(),
        id: words[1].into(),
        service: words[0].into(),
        port: port.parse().expect("a port"),
        ..Instance::default()
    };
    let mut status = "passing";
    for word in &words[3..] {
        match word.split_once('=') {
            Some(("tags", tags)) => instance.tags = tags.split(',').map(Text::new).collect(),
            Some(("address", address)) => instance.address = address.into(),
            Some(("weights", weights)) => {
                let (passing, warning) = weights.split_once('/').expect("two weights");
                instance.weights = Weights {
                    passing: passing.parse().expect("a number"),
                    warning: warning.parse().expect("a number"),
                };
            }
            Some((tag @ ("lan_ipv4" | "lan_ipv6" | "wan"), address)) => {
                let address = ServiceAddress { address: address.into(), port: instance.port };
                let tagged = instance.tagged_addresses.get_or_insert_default();
                tagged.insert(Text::new(tag), address);
            }
            Some((key, _)) => panic!("unknown key {key}"),
            None => status = word,
        }
    }
    let id = words[1];
    vec![Command::PutInstance(Box::new(instance)), check(node, id, &format!("of-{id}"), status)]
}

fn check(node: &str, instance: &str, id: &str, status: &str) -> Command {
    Command::PutCheck(Box::new(Check {
        node: node.into(),
        id: id.into(),
        status: Status::parse(status),
        instance: instance.into(),
        ..Check::default()
    }))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

fn map(value: &Value) -> Option<TextMap> {
    let map = value.as_object()?;
    Some(map.iter().map(|(key, value)| (Text::new(key), Text::new(text(value)))).collect())
}

fn registration(body: &Value) -> Vec<Command> {
    let name = text(&body["Node"]);
    let mut commands = vec![Command::PutNode(Node {
        name: name.into(),
        address: text(&body["Address"]).into(),
        tagged_addresses: map(&body["TaggedAddresses"]),
        meta: map(&body["NodeMeta"]),
        ..Node::default()
    })];
    if let Some(service) = body.get("Service") {
        commands.push(Command::PutInstance(Box::new(instance(name, service))));
    }
    if let Some(it) = body.get("Check") {
        let (id, instance) = (text(&it["CheckID"]), text(&it["ServiceID"]));
        commands.push(check(name, instance, id, text(&it["Status"])));
    }
    commands
}

fn instance(node: &str, body: &Value) -> Instance {
    let service = text(&body["Service"]);
    let id = body["ID"].as_str().unwrap_or(service);
    let weight = |key| body["Weights"][key].as_i64().unwrap_or(1);
    let tagged = body["TaggedAddresses"].as_object().map(|tagged| {
        let address = |value: &Value| ServiceAddress {
            address: text(&value["Address"]).into(),
            port: value["Port"].as_i64().unwrap_or(0),
        };
        tagged.iter().map(|(tag, value)| (Text::new(tag), address(value))).collect()
    });
    Instance {
        node: node.into(),
        id: id.into(),
        service: service.into(),
        tags: body["Tags"].as_array().into_iter().flatten().map(|tag| text(tag).into()).collect(),
        address: text(&body["Address"]).into(),
        port: body["Port"].as_i64().unwrap_or(0),
        details: InstanceDetails {
            tagged_addresses: tagged,
            weights: Weights { passing: weight("Passing"), warning: weight("Warning") },
            ..InstanceDetails::default()
        }
        .into(),
    }
}
