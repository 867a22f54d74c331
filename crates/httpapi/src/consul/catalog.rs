//! `/v1/catalog/`, the reads: nodes, services, instances.
//!
//! Source: Consul, "Catalog HTTP API"; stories 21 to 25.

use super::blocking::{Body, Found, Scene};
use super::error::{Problem, Stop};
use super::filter::{self, InstanceOnNode, InstanceRow};
use super::mesh::{Fronts, fronts};
use super::params;
use super::shapes::{NodeService, NodeShape, ServiceNode};
use crate::answer::{Answer, json};
use crate::call::Call;
use catalog::why::Terms;
use catalog::{NodeKey, Offer, ServiceKey, Watch};
use lang::filter::Filter;
use model::{Folded, Index, Instance, Node, NodeId, NodeName, Row, ServiceName, Text, TextMap};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// `GET datacenters`: this one first.
pub async fn datacenters(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::json(&call.context.datacenters.names()))
}

/// The datacenter that a read is about, as its rows name it, however the query spells it.
pub fn datacenter<'c>(scene: &'c Scene) -> &'c str {
    own_spelling(scene.call)
}

/// The datacenter that a call is about, as its rows name it.
pub fn own_spelling(call: &Call) -> &str {
    let datacenters = &call.context.datacenters;
    let asked = call.query.given("dc").unwrap_or(datacenters.own());
    if asked.eq_ignore_ascii_case(datacenters.own()) { datacenters.own() } else { asked }
}

/// `GET nodes`.
pub fn nodes(scene: &Scene) -> Result<Found, Stop> {
    let filter = filter::of(scene.call, &filter::NODE)?;
    let wanted = params::node_meta(&scene.call.query);
    let found = scene.view.nodes(scene.tenant())?;
    let asked = found.value.into_iter();
    let asked: Vec<_> = asked.filter(|row| params::has_meta(row.meta.as_ref(), &wanted)).collect();
    let count = asked.len();
    let seen = asked.into_iter().filter(|row| scene.auth.node_read(row.name.as_str()));
    let mut rows: Vec<_> = seen.map(|row| NodeShape(row, datacenter(scene))).collect();
    let filtered = rows.len() < count;
    rows.retain(|row| filter::keeps(filter, row));
    Ok(Found {
        filtered,
        body: Body::Json(json(&rows)),
        index: found.index,
        watches: vec![Watch::Nodes(scene.tenant())],
    })
}

/// The index of `GET nodes`.
pub fn nodes_index(scene: &Scene) -> Result<Index, Stop> {
    let tables = scene.view.tables();
    Ok(tables.nodes.max(tables.services).max(Index(1)))
}

/// The index of `GET services`.
pub fn services_index(scene: &Scene) -> Result<Index, Stop> {
    Ok(scene.view.tables().services.max(Index(1)))
}

/// `GET services`: the names with the tags of all instances, or of those that are asked for, each tag
/// where it is first met.
pub fn services(scene: &Scene) -> Result<Found, Stop> {
    let filter = filter::of(scene.call, &filter::INSTANCE_ON_NODE)?;
    let found = scene.view.services(scene.tenant())?;
    let mut watches = vec![Watch::Services(scene.tenant())];
    let nodes = matching_nodes(scene, &mut watches)?;
    let on = filter.map(|_| nodes_by_name(scene, &mut watches)).transpose()?.unwrap_or_default();
    let mut names: BTreeMap<&str, Tags> = BTreeMap::new();
    let mut filtered = false;
    for row in found.value {
        if nodes.as_ref().is_some_and(|nodes| !nodes.contains(&row.node.fold())) {
            continue;
        }
        if !scene.auth.service_read(row.service.as_str()) {
            filtered = true;
            continue;
        }
        if let Some(filter) = filter {
            let Some(node) = on.get(&row.node.fold()) else { continue };
            let node = NodeShape(node, datacenter(scene));
            if !filter.matches(&InstanceOnNode { node, instance: InstanceRow::new(row) }) {
                continue;
            }
        }
        names.entry(row.service.as_str()).or_default().add(&row.tags);
    }
    let names: BTreeMap<_, _> = names.iter().map(|(name, tags)| (name, &tags.in_order)).collect();
    Ok(Found { body: Body::Json(json(&names)), index: found.index, watches, filtered })
}

/// The tags of a service, each once.
#[derive(Default)]
struct Tags<'v> {
    known: BTreeSet<&'v str>,
    in_order: Vec<&'v str>,
}

impl<'v> Tags<'v> {
    fn add(&mut self, tags: &'v [Text]) {
        for tag in tags {
            if self.known.insert(tag.as_str()) {
                self.in_order.push(tag.as_str());
            }
        }
    }
}

/// All nodes, which are then waited for too: a filter may ask for what is theirs.
fn nodes_by_name<'v>(
    scene: &Scene<'v>,
    watches: &mut Vec<Watch>,
) -> Result<BTreeMap<Folded, &'v Arc<Row<Node>>>, Stop> {
    let nodes = scene.view.nodes(scene.tenant())?.value.into_iter();
    let watch = Watch::Nodes(scene.tenant());
    if !watches.contains(&watch) {
        watches.push(watch);
    }
    Ok(nodes.map(|row| (row.name.fold(), row)).collect())
}

/// The nodes that `node-meta` asks for, which are then waited for too; `None` for all.
pub fn matching_nodes(
    scene: &Scene,
    watches: &mut Vec<Watch>,
) -> Result<Option<BTreeSet<Folded>>, Stop> {
    let wanted = params::node_meta(&scene.call.query);
    if wanted.is_empty() {
        return Ok(None);
    }
    watches.push(Watch::Nodes(scene.tenant()));
    let nodes = scene.view.nodes(scene.tenant())?.value.into_iter();
    let matching = nodes.filter(|row| params::has_meta(row.meta.as_ref(), &wanted));
    Ok(Some(matching.map(|row| row.name.fold()).collect()))
}

/// Which instances of a service are asked for.
pub struct Wanted {
    terms: Terms,
    meta: TextMap,
}

impl Wanted {
    /// What the query asks for, whatever its health, or of what passes.
    pub fn of(scene: &Scene, passing: bool) -> Wanted {
        let query = &scene.call.query;
        let terms = Terms::http(passing, params::tags(query));
        Wanted { terms, meta: params::node_meta(query) }
    }

    /// Whether it is this one.
    pub fn matches(&self, scene: &Scene, offer: &Offer<'_>) -> bool {
        params::has_meta(offer.node.meta.as_ref(), &self.meta)
            && self.terms.admit(scene.view, scene.tenant(), offer.instance).is_some()
    }
}

/// Whether the caller may see an instance with its node.
pub fn may_see(scene: &Scene, offer: &Offer<'_>) -> bool {
    scene.auth.service_read(offer.instance.service.as_str())
        && scene.auth.node_read(offer.node.name.as_str())
}

/// `GET service/:name`: all instances, unhealthy ones too.
pub fn service(scene: &Scene) -> Result<Found, Stop> {
    let name = scene.name("service name")?;
    let filter = filter::of(scene.call, &filter::INSTANCE_ON_NODE)?;
    let key = ServiceKey::new(scene.tenant(), &ServiceName::new(name));
    let offers = scene.view.service(&key)?;
    let index = scene.view.service_mark(&key)?.instances;
    Ok(instances(scene, filter, Fronts { offers, watches: vec![Watch::Service(key)], index }))
}

/// The index of `GET service/:name`.
pub fn service_index(scene: &Scene) -> Result<Index, Stop> {
    let name = ServiceName::new(scene.name("service name")?);
    Ok(scene.view.service_mark(&ServiceKey::new(scene.tenant(), &name))?.instances)
}

/// Those of the instances that are asked for and may be seen.
fn instances(scene: &Scene, filter: Option<&Filter>, found: Fronts) -> Found {
    let Fronts { offers, watches, index } = found;
    let wanted = Wanted::of(scene, false);
    let asked: Vec<_> = offers.into_iter().filter(|offer| wanted.matches(scene, offer)).collect();
    let seen: Vec<_> = asked.iter().filter(|offer| may_see(scene, offer)).collect();
    let row = |offer: &Offer| {
        let node = NodeShape(offer.node, datacenter(scene));
        filter::keeps(filter, &InstanceOnNode { node, instance: InstanceRow::new(offer.instance) })
    };
    let rows: Vec<_> = seen
        .iter()
        .filter(|offer| row(offer))
        .map(|offer| ServiceNode {
            node: offer.node,
            instance: offer.instance,
            datacenter: datacenter(scene),
        })
        .collect();
    Found { filtered: seen.len() < asked.len(), body: Body::Json(json(&rows)), index, watches }
}

/// `GET connect/:service`: who answers for it in a mesh.
pub fn connect(scene: &Scene) -> Result<Found, Stop> {
    let key = ServiceKey::new(scene.tenant(), &ServiceName::new(scene.name("service name")?));
    let filter = filter::of(scene.call, &filter::INSTANCE_ON_NODE)?;
    Ok(instances(scene, filter, fronts(scene, &key, |mark| mark.instances)?))
}

/// `GET gateway-services/:gateway`: nobody said which services stand behind a gateway.
pub fn gateway_services(scene: &Scene) -> Result<Found, Stop> {
    scene.name("gateway name")?;
    Ok(nothing(Index(1), Vec::new()))
}

/// An empty list.
pub fn nothing(index: Index, watches: Vec<Watch>) -> Found {
    Found { body: Body::Json(json::<[()]>(&[])), index, watches, filtered: false }
}

/// A node with what is on it, if it is there and may be seen.
struct OnNode<'v> {
    node: Option<&'v Arc<Row<Node>>>,
    instances: Vec<&'v Arc<Row<Instance>>>,
    index: Index,
    watches: Vec<Watch>,
    filtered: bool,
}

fn on_node<'v>(scene: &Scene<'v>) -> Result<OnNode<'v>, Stop> {
    let name = scene.name("node name")?;
    let filter = filter::of(scene.call, &filter::INSTANCE)?;
    let key = NodeKey::new(scene.tenant(), &NodeName::new(name.clone()));
    let mut watches = vec![Watch::Node(key.clone())];
    let mut found = scene.view.node(&key)?;
    if found.value.is_none()
        && let Ok(id) = name.parse::<NodeId>()
    {
        watches.push(Watch::Nodes(scene.tenant()));
        if let Some(key) = scene.view.node_by_id(scene.tenant(), id)? {
            found = scene.view.node(key)?;
            watches.push(Watch::Node(key.clone()));
        }
    }
    let Some(node) = found.value else {
        let (node, instances) = (None, Vec::new());
        return Ok(OnNode { node, instances, index: found.index, watches, filtered: false });
    };
    if !scene.auth.node_read(node.name.as_str()) {
        let (node, instances) = (None, Vec::new());
        return Ok(OnNode { node, instances, index: found.index, watches, filtered: true });
    }
    let all = scene.view.instances_on(&NodeKey::new(scene.tenant(), &node.name))?;
    let count = all.len();
    let seen = all.into_iter().filter(|row| scene.auth.service_read(row.service.as_str()));
    let mut instances: Vec<_> = seen.collect();
    let filtered = instances.len() < count;
    instances.retain(|row| filter::keeps(filter, &InstanceRow::new(row)));
    Ok(OnNode { node: Some(node), instances, index: found.index, watches, filtered })
}

/// `GET node/:node`, by name or id: its instances by id; `null` for an unknown one.
pub fn node(scene: &Scene) -> Result<Found, Stop> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Shape<'v> {
        node: NodeShape<'v>,
        services: BTreeMap<&'v str, NodeService<'v>>,
    }
    let on = on_node(scene)?;
    let shape = on.node.map(|node| Shape {
        node: NodeShape(node, datacenter(scene)),
        services: on.instances.iter().map(|row| (row.id.as_str(), NodeService(row))).collect(),
    });
    let body = Body::Json(json(&shape));
    Ok(Found { body, index: on.index, watches: on.watches, filtered: on.filtered })
}

/// `GET node-services/:node`: the same as a list.
pub fn node_services(scene: &Scene) -> Result<Found, Stop> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Shape<'v> {
        node: Option<NodeShape<'v>>,
        services: Option<Vec<NodeService<'v>>>,
    }
    let on = on_node(scene)?;
    let services: Vec<_> = on.instances.iter().map(|row| NodeService(row)).collect();
    let shape = Shape {
        node: on.node.map(|node| NodeShape(node, datacenter(scene))),
        services: on.node.map(|_| services),
    };
    let body = Body::Json(json(&shape));
    Ok(Found { body, index: on.index, watches: on.watches, filtered: on.filtered })
}
