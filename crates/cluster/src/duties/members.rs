//! The servers' own rows: node, the service `consul`, and the check `serfHealth`.
//!
//! There is one server and it is alive when it can write this; gossip will feed this duty later.
//!
//! Source: Consul, "Servers register themselves"; shapes observed on Consul 1.21 (story 01).

use catalog::{Command, NodeKey, View};
use model::{
    Check, CheckId, Instance, InstanceDetails, InstanceId, Node, NodeName, ServiceName, Status,
    Tenant, Text, TextMap,
};
use std::time::Duration;

/// How often the rows are compared with what they should be.
pub(crate) const PERIOD: Duration = Duration::from_secs(60);

/// The service under which servers are registered.
const SERVERS: &str = "consul";

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerRow {
    /// Its node: name, id, address, tagged addresses, meta.
    pub node: Node,
    /// The port where it takes other servers.
    pub port: u16,
    /// The version it reports.
    pub version: Text,
}

impl ServerRow {
    /// The server's address for other servers, as `ip:port`.
    pub fn address(&self) -> String {
        if self.node.address.contains(':') {
            return format!("[{}]:{}", self.node.address, self.port);
        }
        format!("{}:{}", self.node.address, self.port)
    }

    /// The commands that make the catalog show this server; none if it does.
    pub(crate) fn wanted(&self, view: &View) -> Vec<Command> {
        let tenant = Tenant::DEFAULT;
        let key = NodeKey::new(tenant, &self.node.name);
        let service = self.service();
        let check = liveness(&self.node.name);
        let stands = (|| {
            let node = view.node(&key)?.value.is_some_and(|row| row.claim == self.node);
            let instance = view.instance(&key.instance(&service.id))?;
            let alive = view.check(&key.check(&check.id))?;
            let rows = instance.is_some_and(|row| row.claim == service)
                && alive.is_some_and(|row| row.claim == check);
            Ok::<bool, catalog::NotHeld>(node && rows)
        })();
        if stands == Ok(true) {
            return Vec::new();
        }
        vec![
            Command::PutNode(self.node.clone()),
            Command::PutInstance(Box::new(service)),
            Command::PutCheck(Box::new(check)),
        ]
    }

    fn service(&self) -> Instance {
        let meta = [
            ("non_voter", "false"),
            ("raft_version", "3"),
            ("read_replica", "false"),
            ("serf_protocol_current", "2"),
            ("serf_protocol_max", "5"),
            ("serf_protocol_min", "1"),
            ("version", self.version.as_str()),
        ];
        Instance {
            node: self.node.name.clone(),
            id: InstanceId::from(SERVERS),
            service: ServiceName::from(SERVERS),
            port: i64::from(self.port),
            details: InstanceDetails {
                meta: Some(TextMap::from_iter(meta.map(|(k, v)| (k.into(), v.into())))),
                ..InstanceDetails::default()
            }
            .into(),
            ..Instance::default()
        }
    }
}

fn liveness(node: &NodeName) -> Check {
    Check {
        node: node.clone(),
        id: CheckId::from("serfHealth"),
        name: "Serf Health Status".into(),
        status: Status::Passing,
        output: "Agent alive and reachable".into(),
        ..Check::default()
    }
}
