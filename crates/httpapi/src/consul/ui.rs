//! `/v1/internal/ui/`: the reads that Consul's web interface and some dashboards make.
//!
//! Plain reads of the view. Unlike the catalog's lists these have `null` for no tags.
//! Source: Consul's web interface; story 23.

use super::blocking::{Body, Found, Scene};
use super::catalog::datacenter;
use super::error::Stop;
use super::filter::{self, CheckRow, ChecksOf, InstanceRow, InstanceWithChecks};
use super::shapes::{BareCheck, BareService, NodeShape, Pairs, id};
use crate::answer::json;
use catalog::{NodeKey, Watch};
use lang::filter::{Fields, Filter, Kind, List, Schema, Value as Field};
use model::{Check, Index, Instance, Node, NodeName, Row, Status};
use serde::Serialize;
use serde_json::{Value, json as object};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A node with its instances and checks.
#[derive(Serialize)]
struct NodeDump<'v> {
    #[serde(skip)]
    row: &'v Row<Node>,
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Node")]
    name: &'v str,
    #[serde(rename = "Address")]
    address: &'v str,
    #[serde(rename = "TaggedAddresses")]
    tagged_addresses: Option<Pairs<'v>>,
    #[serde(rename = "Meta")]
    meta: Option<Pairs<'v>>,
    #[serde(rename = "Services")]
    services: All<BareService<'v>>,
    #[serde(rename = "Checks")]
    checks: All<BareCheck<'v>>,
}

const PAIRS: Kind = Kind::Map(&Kind::Text);

/// What a filter of the nodes may select.
static NODE: Schema = Schema(&[
    ("ID", Kind::Text),
    ("Node", Kind::Text),
    ("Partition", Kind::Text),
    ("PeerName", Kind::Text),
    ("Address", Kind::Text),
    ("TaggedAddresses", PAIRS),
    ("Meta", PAIRS),
    ("Services", Kind::List(&filter::INSTANCE)),
    ("Checks", Kind::List(&filter::CHECK)),
]);

impl Fields for NodeDump<'_> {
    fn field(&self, name: &str) -> Field<'_> {
        match name {
            "ID" => Field::Text(self.id.as_str().into()),
            "Node" => self.name.into(),
            "Address" => self.address.into(),
            "TaggedAddresses" => Field::Map(&self.row.tagged_addresses),
            "Meta" => Field::Map(&self.row.meta),
            "Services" => Field::List(&self.services),
            "Checks" => Field::List(&self.checks),
            _ => Field::Json(None),
        }
    }
}

/// What is on a node, of one kind.
#[derive(Serialize)]
#[serde(transparent)]
struct All<T>(Vec<T>);

impl List for All<BareService<'_>> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn any(&self, holds: &mut dyn FnMut(&dyn Fields) -> bool) -> bool {
        self.0.iter().any(|service| holds(&InstanceRow::new(service.0)))
    }
}

impl List for All<BareCheck<'_>> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn any(&self, holds: &mut dyn FnMut(&dyn Fields) -> bool) -> bool {
        self.0.iter().any(|check| holds(&CheckRow(check.0)))
    }
}

/// The node's dump; `None` where the caller may not see the node. Also whether something was left out.
fn dump<'v>(scene: &Scene<'v>, row: &'v Row<Node>) -> Result<(Option<NodeDump<'v>>, bool), Stop> {
    if !scene.auth.node_read(row.name.as_str()) {
        return Ok((None, true));
    }
    let key = NodeKey::new(scene.tenant(), &row.name);
    let seen = |service: &str| service.is_empty() || scene.auth.service_read(service);
    let instances = scene.view.instances_on(&key)?;
    let checks = scene.view.checks_on(&key)?.value;
    let count = instances.len() + checks.len();
    let services: Vec<_> = instances
        .into_iter()
        .filter(|row| seen(row.service.as_str()))
        .map(|row| BareService(row))
        .collect();
    let checks: Vec<_> = checks
        .into_iter()
        .filter(|row| seen(row.service.as_str()))
        .map(|row| BareCheck(row))
        .collect();
    let filtered = services.len() + checks.len() < count;
    let dump = NodeDump {
        row,
        id: id(row),
        name: row.name.as_str(),
        address: row.address.as_str(),
        tagged_addresses: row.tagged_addresses.as_ref().map(Pairs),
        meta: row.meta.as_ref().map(Pairs),
        services: All(services),
        checks: All(checks),
    };
    Ok((Some(dump), filtered))
}

/// The newest change of anything shown.
fn index(scene: &Scene) -> Result<Index, Stop> {
    let nodes = scene.view.nodes(scene.tenant())?.index;
    let instances = scene.view.services(scene.tenant())?.index;
    Ok(nodes.max(instances).max(scene.view.tables().checks))
}

fn watches(scene: &Scene) -> Vec<Watch> {
    let tenant = scene.tenant();
    vec![Watch::Nodes(tenant), Watch::Services(tenant), Watch::Checks(tenant)]
}

/// `GET nodes`: every node with what is on it.
pub fn nodes(scene: &Scene) -> Result<Found, Stop> {
    let filter = filter::of(scene.call, &NODE)?;
    let mut rows = Vec::new();
    let mut filtered = false;
    for row in scene.view.nodes(scene.tenant())?.value {
        let (row, left_out) = dump(scene, row)?;
        rows.extend(row.filter(|row| filter::keeps(filter, row)));
        filtered |= left_out;
    }
    let body = Body::Json(json(&rows));
    Ok(Found { body, index: index(scene)?, watches: watches(scene), filtered })
}

/// `GET node/:node`: one of them.
pub fn node(scene: &Scene) -> Result<Found, Stop> {
    let key = NodeKey::new(scene.tenant(), &NodeName::new(scene.name("node name")?));
    let found = scene.view.node(&key)?;
    let (row, filtered) = match found.value {
        Some(row) => dump(scene, row)?,
        None => (None, false),
    };
    let body = row.map_or(Body::Absent, |row| Body::Json(json(&row)));
    let index = found.index.max(scene.view.tables().checks);
    Ok(Found { body, index, watches: vec![Watch::Node(key)], filtered })
}

/// What is told of a service.
#[derive(Default)]
struct Summary<'v> {
    kind: &'v str,
    tags: BTreeSet<&'v str>,
    nodes: BTreeSet<&'v str>,
    sources: BTreeSet<&'v str>,
    instances: usize,
    /// By status, each check once however many instances it counts for.
    checks: BTreeMap<(&'v str, &'v str), &'v Status>,
}

/// Where a service says who manages it.
const EXTERNAL_SOURCE: &str = "external-source";

impl<'v> Summary<'v> {
    fn add(
        &mut self,
        instance: &'v Row<Instance>,
        checks: impl Iterator<Item = &'v Arc<Row<Check>>>,
    ) {
        self.kind = instance.kind.as_str();
        self.tags.extend(instance.tags.iter().map(|tag| tag.as_str()));
        self.nodes.insert(instance.node.as_str());
        let source = instance.meta.as_ref().and_then(|meta| meta.get(EXTERNAL_SOURCE));
        self.sources.extend(source.map(|source| source.as_str()));
        self.instances += 1;
        for check in checks {
            self.checks.insert((check.node.as_str(), check.id.as_str()), &check.status);
        }
    }

    fn count(&self, status: &Status) -> usize {
        self.checks.values().filter(|is| **is == status).count()
    }
}

/// A sorted list; `null` where there is none.
fn listed(set: &BTreeSet<&str>) -> Option<Vec<String>> {
    (!set.is_empty()).then(|| set.iter().map(|text| (*text).to_owned()).collect())
}

fn shown(name: &str, datacenter: &str, summary: &Summary<'_>) -> Value {
    let mut shape = object!({
        "Name": name,
        "Datacenter": datacenter,
        "Tags": listed(&summary.tags),
        "Nodes": listed(&summary.nodes),
        "ExternalSources": listed(&summary.sources),
        "InstanceCount": summary.instances,
        "ChecksPassing": summary.count(&Status::Passing),
        "ChecksWarning": summary.count(&Status::Warning),
        "ChecksCritical": summary.count(&Status::Critical),
        "GatewayConfig": {},
        "TransparentProxy": false,
        "ConnectNative": false,
        "ConnectedWithProxy": false,
        "ConnectedWithGateway": false,
    });
    if !summary.kind.is_empty() {
        shape["Kind"] = summary.kind.into();
    }
    shape
}

/// Whether an instance, with its node and its checks, is asked for.
fn keeps(scene: &Scene, filter: Option<&Filter>, row: &Row<Instance>) -> Result<bool, Stop> {
    let key = NodeKey::new(scene.tenant(), &row.node);
    let Some(node) = scene.view.node(&key)?.value else { return Ok(false) };
    let node = NodeShape(node, datacenter(scene));
    let instance = InstanceRow::new(row);
    let checks = ChecksOf { view: scene.view, tenant: scene.tenant(), instance: row };
    Ok(filter::keeps(filter, &InstanceWithChecks { node, instance, checks }))
}

/// `GET services`: every service, how many instances it has and how they are.
pub fn services(scene: &Scene) -> Result<Found, Stop> {
    let filter = filter::of(scene.call, &filter::INSTANCE_WITH_CHECKS)?;
    let mut services: BTreeMap<&str, Summary<'_>> = BTreeMap::new();
    let mut filtered = false;
    for row in scene.view.services(scene.tenant())?.value {
        let name = row.service.as_str();
        if !scene.auth.service_read(name) || !scene.auth.node_read(row.node.as_str()) {
            filtered = true;
            continue;
        }
        if filter.is_some() && !keeps(scene, filter, row)? {
            continue;
        }
        services.entry(name).or_default().add(row, scene.view.checks_for(scene.tenant(), row));
    }
    let rows = services.iter().map(|(name, summary)| shown(name, datacenter(scene), summary));
    let body = Body::Json(json(&rows.collect::<Vec<_>>()));
    Ok(Found { body, index: index(scene)?, watches: watches(scene), filtered })
}
