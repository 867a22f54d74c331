//! All rows, immutable, and the step from one picture to the next.

use super::chunk::{Draft, Target};
use super::names::{Pointer, Reverse};
use super::node::labels;
use super::service::ServiceDraft;
use super::{Addresses, NodeFacts, ServiceRow};
use crate::config::Config;
use catalog::why::{self, Terms};
use catalog::{Authorizer, Health, Held, NodeKey, Offer, ServiceKey, Token, Touched, View};
use foldhash::quality::RandomState;
use imbl::shared_ptr::DefaultSharedPtr;
use model::{Folded, Instance, Node, NodeName, Row, Tenant};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

type Map<V> = imbl::GenericHashMap<Box<[u8]>, V, RandomState, DefaultSharedPtr>;

/// One state of all rows. Cheap to clone: what did not change is shared.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    nodes: Map<Arc<NodeEntry>>,
    services: Map<Arc<ServiceRow>>,
    /// The names of each address; read without an iterator of imbl's, which would allocate.
    reverse: Reverse,
    /// What is not here does not exist; else it is just not held.
    pub is_complete: bool,
    /// The datacenter that the rows are of, lower-cased.
    pub datacenter: Box<[u8]>,
    hasher: RandomState,
}

#[derive(Debug)]
struct NodeEntry {
    facts: Arc<NodeFacts>,
    source: Arc<Row<Node>>,
    offered: Offered,
}

/// The services of a node's instances, in order, each with the addresses that its instances give
/// themselves: where a reverse look-up finds it, whatever its health.
type Offered = Box<[(Folded, Option<IpAddr>)]>;

/// Makes rows of what a view shows.
#[derive(Debug)]
pub(crate) struct Encoder {
    config: Config,
    /// Which instances are told.
    terms: Terms,
    datacenter: String,
    /// What the longer name of the zone takes on the wire.
    domain: usize,
    /// The labels `addr.DC`.
    addr: Box<[u8]>,
    hasher: RandomState,
}

/// A view and what may be shown of it.
struct Source<'v> {
    view: &'v View,
    authorizer: Authorizer,
}

impl<'v> Source<'v> {
    /// DNS sees what the agent's default token sees.
    fn new(view: &'v View) -> Source<'v> {
        Source { view, authorizer: view.authorizer(&Token::default()) }
    }
}

/// A node's instances by service, each with what is known of the node.
type ByService<'v> = BTreeMap<Folded, Vec<(&'v Arc<Row<Instance>>, Arc<NodeFacts>)>>;

const TENANT: Tenant = Tenant::DEFAULT;

/// A service that nobody can ask for: only who holds everything holds it.
fn holds_everything(view: &View) -> bool {
    view.service(&ServiceKey { tenant: TENANT, service: Folded::new("\0") }).is_ok()
}

fn lower(name: &Folded) -> Box<[u8]> {
    name.as_str().as_bytes().into()
}

impl Encoder {
    pub fn new(config: &Config, datacenter: &str) -> Encoder {
        let (config, datacenter) = (config.clone(), datacenter.to_owned());
        let wire = |domain: &str| domain.trim_end_matches('.').len() + 2;
        let domain = wire(&config.domain).max(config.alt_domain.as_deref().map_or(0, wire));
        let addr = labels(&["addr", &datacenter], domain);
        let terms = Terms::dns(config.only_passing);
        Encoder { config, terms, datacenter, domain, addr, hasher: RandomState::default() }
    }

    fn facts(&self, key: &NodeKey, node: &Node) -> NodeFacts {
        NodeFacts::new(key, node, &self.datacenter, self.domain)
    }

    /// A picture that holds nothing.
    pub fn empty(&self) -> Picture {
        Picture {
            nodes: Map::with_hasher(self.hasher.clone()),
            services: Map::with_hasher(self.hasher.clone()),
            reverse: Reverse::new(),
            is_complete: false,
            datacenter: self.datacenter.to_ascii_lowercase().into_bytes().into(),
            hasher: self.hasher.clone(),
        }
    }

    /// A picture of all that a view holds, from the beginning.
    pub fn whole(&self, view: &View) -> Picture {
        let mut picture = self.empty();
        picture.is_complete = holds_everything(view);
        let source = Source::new(view);
        let keys: Vec<ServiceKey> = match view.service_keys(TENANT) {
            Ok(keys) => keys.cloned().collect(),
            Err(_) => return picture,
        };
        let nodes = view.nodes(TENANT).map(|nodes| nodes.value).unwrap_or_default();
        for row in nodes {
            self.put_node(&mut picture, &source, &NodeKey::new(TENANT, &row.name), row);
        }
        for key in keys {
            // What is named and not held stays to be asked for.
            let _ = self.put_service(&mut picture, &source, &key);
        }
        picture
    }

    /// A picture of one service: what the slow path answers from where the table has nothing.
    pub fn one_service(&self, view: &View, name: &str) -> Held<Picture> {
        let mut picture = self.empty();
        picture.is_complete = true;
        let key = ServiceKey { tenant: TENANT, service: Folded::new(name) };
        self.put_service(&mut picture, &Source::new(view), &key)?;
        Ok(picture)
    }

    /// A picture of one node.
    pub fn one_node(&self, view: &View, name: &str) -> Held<Picture> {
        let mut picture = self.empty();
        picture.is_complete = true;
        let key = NodeKey { tenant: TENANT, node: Folded::new(name) };
        if let Some(row) = view.node(&key)?.value {
            self.put_node(&mut picture, &Source::new(view), &key, row);
        }
        Ok(picture)
    }

    /// The picture after a publish, which changed what was touched and nothing else.
    pub fn next(&self, before: &Picture, view: &View, touched: &Touched) -> Picture {
        let is_complete = holds_everything(view);
        if touched.is_everything() || is_complete != before.is_complete {
            return self.whole(view);
        }
        let mut picture = before.clone();
        let source = Source::new(view);
        if is_complete {
            self.follow(&mut picture, &source, touched);
        } else {
            self.follow_held(&mut picture, &source, touched);
        }
        picture
    }

    /// On an agent: each touched service anew, as far as it is held.
    fn follow_held(&self, picture: &mut Picture, source: &Source<'_>, touched: &Touched) {
        for key in touched.nodes().filter(|key| key.tenant == TENANT) {
            picture.drop_node(&key.node);
            if let Ok(Some(row)) = source.view.node(key).map(|node| node.value) {
                self.put_node(picture, source, key, row);
            }
        }
        for key in touched.services().filter(|key| key.tenant == TENANT) {
            picture.services.remove(key.service.as_str().as_bytes());
            let _ = self.put_service(picture, source, key);
        }
    }

    /// On a server: the rows of touched nodes in touched services.
    fn follow(&self, picture: &mut Picture, source: &Source<'_>, touched: &Touched) {
        let services: BTreeSet<&Folded> =
            touched.services().filter(|key| key.tenant == TENANT).map(|key| &key.service).collect();
        let mut drafts: BTreeMap<Folded, ServiceDraft> = BTreeMap::new();
        for key in touched.nodes().filter(|key| key.tenant == TENANT) {
            let rows = self.follow_node(picture, source, key);
            for (service, new) in rows.into_iter().filter(|(name, _)| services.contains(name)) {
                let encoded =
                    new.iter().filter_map(|(row, facts)| self.instance(source, facts, row));
                let encoded = encoded.collect();
                let draft = drafts.entry(service).or_insert_with_key(|service| {
                    ServiceDraft::of(picture.service(service.as_str().as_bytes()))
                });
                draft.replace(&key.node, encoded);
            }
        }
        for (service, draft) in drafts {
            self.store_service(picture, &service, draft);
        }
    }

    /// Brings a node up to date; gives its instances, old services of it included, by service.
    fn follow_node<'v>(
        &self,
        picture: &mut Picture,
        source: &Source<'v>,
        key: &NodeKey,
    ) -> ByService<'v> {
        let before = picture.nodes.get(key.node.as_str().as_bytes()).cloned();
        let old = before.iter().flat_map(|entry| entry.offered.iter());
        let mut rows: ByService<'v> =
            old.map(|(service, _)| (service.clone(), Vec::new())).collect();
        let row = source.view.node(key).ok().and_then(|node| node.value);
        let Some(row) = row.filter(|row| source.authorizer.node_read(row.name.as_str())) else {
            picture.drop_node(&key.node);
            return rows;
        };
        let facts = match &before {
            Some(entry) if Arc::ptr_eq(&entry.source, row) => Arc::clone(&entry.facts),
            _ => Arc::new(self.facts(key, row)),
        };
        for instance in source.view.instances_on(key).unwrap_or_default() {
            let service = instance.service.fold();
            rows.entry(service).or_default().push((instance, Arc::clone(&facts)));
        }
        picture.put_node(Arc::clone(row), facts, offered(source, key));
        rows
    }

    fn put_node(
        &self,
        picture: &mut Picture,
        source: &Source<'_>,
        key: &NodeKey,
        row: &Arc<Row<Node>>,
    ) {
        if !source.authorizer.node_read(row.name.as_str()) {
            return;
        }
        let facts = Arc::new(self.facts(key, row));
        picture.put_node(Arc::clone(row), facts, offered(source, key));
    }

    fn put_service(
        &self,
        picture: &mut Picture,
        source: &Source<'_>,
        key: &ServiceKey,
    ) -> Held<()> {
        let offers = source.view.service(key)?;
        let mut nodes: BTreeMap<&NodeName, Arc<NodeFacts>> = BTreeMap::new();
        let mut drafts = Vec::with_capacity(offers.len());
        for Offer { node, instance } in offers {
            if !source.authorizer.node_read(node.name.as_str()) {
                continue;
            }
            let facts = nodes.entry(&node.name).or_insert_with(|| {
                let key = NodeKey::new(TENANT, &node.name);
                let known = picture.nodes.get(key.node.as_str().as_bytes());
                match known.filter(|entry| Arc::ptr_eq(&entry.source, node)) {
                    Some(entry) => Arc::clone(&entry.facts),
                    None => Arc::new(self.facts(&key, node)),
                }
            });
            drafts.extend(self.instance(source, facts, instance));
        }
        self.store_service(picture, &key.service, ServiceDraft::from_rows(drafts));
        Ok(())
    }

    fn store_service(&self, picture: &mut Picture, service: &Folded, draft: ServiceDraft) {
        if draft.is_empty() && picture.is_complete {
            picture.services.remove(service.as_str().as_bytes());
            return;
        }
        let row = draft.finish(self.config.service_ttl(service.as_str()));
        picture.services.insert(lower(service), Arc::new(row));
    }

    /// An instance as a row: told, or withheld with the reason. Nothing when nobody may see it.
    fn instance(
        &self,
        source: &Source<'_>,
        node: &Arc<NodeFacts>,
        instance: &Instance,
    ) -> Option<Draft> {
        if !source.authorizer.service_read(instance.service.as_str()) {
            return None;
        }
        let tags = instance.tags.iter().map(|tag| hash_tag(&self.hasher, tag)).collect();
        let health = match self.terms.judge(source.view, TENANT, instance) {
            Ok(health) => health,
            Err(cause) => {
                let reason = why::sentence(instance, &cause);
                return Some(Draft { tags, ..Draft::withheld(node, &reason) });
            }
        };
        let (own, is_given) = self.own_addresses(instance);
        let is_own = own.any.is_some();
        let addresses = if is_given { own } else { own.or(&node.addresses) };
        let target = target(node, &addresses, is_own);
        let weight = match health {
            Health::Passing => instance.weights.passing,
            _ => instance.weights.warning,
        };
        // Consul takes any port and answers its low 16 bits.
        let port = instance.port as u16;
        let srv = self.srv_data(node, target, &addresses, weight, port);
        let identity = self.hasher.hash_one((&node.key, &srv[4..]));
        let mut draft = Draft::new(node, &addresses, target, srv);
        draft.row.identity = identity;
        Some(Draft { tags, ..draft })
    }

    /// The addresses that an instance gives itself, and whether it gives one at all; without, its
    /// node's count. One that names itself means its node, too, and so does one that is neither an
    /// address nor a host name.
    fn own_addresses(&self, instance: &Instance) -> (Addresses, bool) {
        let tagged = |tag: &str| {
            let tagged = instance.tagged_addresses.as_ref()?.get(tag)?;
            Some(tagged.address.as_str())
        };
        let (v4, v6) = (tagged("lan_ipv4"), tagged("lan_ipv6"));
        let domain = self.config.domain.trim_end_matches('.');
        let itself = format!("{}.service.{domain}", instance.service);
        let address = instance.address.as_str();
        let own = Addresses::new(address, v4, v6);
        let is_itself = address.trim_end_matches('.').eq_ignore_ascii_case(&itself);
        let is_usable = own.host.is_some() || address.parse::<IpAddr>().is_ok();
        if is_itself || !is_usable {
            return (Addresses::new("", v4, v6), false);
        }
        (own, true)
    }

    fn srv_data(
        &self,
        node: &NodeFacts,
        target: Target,
        addresses: &Addresses,
        weight: i64,
        port: u16,
    ) -> Vec<u8> {
        let weight = weight.clamp(0, i64::from(u16::MAX)) as u16;
        let mut data = vec![0, 1];
        data.extend_from_slice(&weight.to_be_bytes());
        data.extend_from_slice(&port.to_be_bytes());
        match target {
            Target::Node => data.extend_from_slice(&node.target),
            Target::Address => {
                let Some(ip) = addresses.any else { return data };
                let mut label = [0; 33];
                data.extend_from_slice(crate::naming::consul::address_label(ip, &mut label));
                data.extend_from_slice(&self.addr);
            }
            Target::Host => data.extend_from_slice(addresses.host.as_deref().unwrap_or_default()),
            Target::Nothing => {}
        }
        data
    }
}

fn target(node: &NodeFacts, addresses: &Addresses, is_own: bool) -> Target {
    match (&addresses.host, addresses.any) {
        (Some(_), None) => Target::Host,
        (_, Some(_)) if !is_own && node.is_target => Target::Node,
        (_, Some(_)) => Target::Address,
        (None, None) => Target::Nothing,
    }
}

/// What is told of a node's instances by name. A service whose address is its node's own is left
/// out of reverse look-ups: there the node's name wins.
fn offered(source: &Source<'_>, key: &NodeKey) -> Offered {
    let node = source.view.node(key).ok().and_then(|node| node.value);
    let node = node.and_then(|row| plain_address(row));
    let instances = source.view.instances_on(key).unwrap_or_default();
    let offered: BTreeSet<(Folded, Option<IpAddr>)> = instances
        .iter()
        .map(|instance| {
            let own: Option<IpAddr> = instance.address.as_str().parse().ok();
            let is_shown = own != node && source.authorizer.service_read(instance.service.as_str());
            (instance.service.fold(), own.filter(|_| is_shown))
        })
        .collect();
    offered.into_iter().collect()
}

/// Tags are compared without regard to case, by hash: the hasher's seed is this process's own.
fn hash_tag(hasher: &RandomState, tag: &str) -> u64 {
    hasher.hash_one(Folded::new(tag).as_str().as_bytes())
}

/// A name beyond ASCII as the catalog folds it; a question's name was lower-cased in ASCII only.
/// This allocates: the hot path leaves such questions to the slow one.
fn folded(name: &[u8]) -> Option<Folded> {
    std::str::from_utf8(name).ok().map(Folded::new)
}

fn look_up<'m, V>(rows: &'m Map<Arc<V>>, name: &[u8]) -> Option<&'m V> {
    let row = match name.is_ascii() {
        true => rows.get(name),
        false => rows.get(folded(name)?.as_str().as_bytes()),
    };
    row.map(Arc::as_ref)
}

impl Picture {
    /// A service by its name, lower-cased as far as it is ASCII.
    pub fn service(&self, name: &[u8]) -> Option<&ServiceRow> {
        look_up(&self.services, name)
    }

    /// A node by its name, lower-cased as far as it is ASCII.
    pub fn node(&self, name: &[u8]) -> Option<&NodeFacts> {
        look_up(&self.nodes, name).map(|entry| &*entry.facts)
    }

    /// A node by its folded name.
    pub fn node_of(&self, name: &Folded) -> Option<&NodeFacts> {
        self.nodes.get(name.as_str().as_bytes()).map(|entry| &*entry.facts)
    }

    /// What a tag, lower-cased as far as it is ASCII, is found by.
    pub fn tag(&self, tag: &[u8]) -> u64 {
        if tag.is_ascii() {
            return self.hasher.hash_one(tag);
        }
        // What is no text is nobody's tag.
        let folded = folded(tag).unwrap_or_default();
        self.hasher.hash_one(folded.as_str().as_bytes())
    }

    /// The names of an address, nodes before services.
    pub fn pointers(&self, address: IpAddr) -> impl Iterator<Item = &Pointer> {
        self.reverse.names(address)
    }

    /// Puts a node in the place of what was there; only names that change are counted.
    fn put_node(&mut self, source: Arc<Row<Node>>, facts: Arc<NodeFacts>, offered: Offered) {
        let node = facts.key.clone();
        let entry = Arc::new(NodeEntry { source, offered, facts });
        let before = self.nodes.insert(lower(&node), Arc::clone(&entry));
        self.rename(&node, before.as_deref(), Some(&entry));
    }

    fn drop_node(&mut self, node: &Folded) {
        let before = self.nodes.remove(node.as_str().as_bytes());
        self.rename(node, before.as_deref(), None);
    }

    /// Brings reverse look-ups from what a node was to what it is.
    fn rename(&mut self, node: &Folded, before: Option<&NodeEntry>, now: Option<&NodeEntry>) {
        let address = |entry: Option<&NodeEntry>| plain_address(&entry?.source);
        let (old, new) = (address(before), address(now));
        if old != new {
            let name = Pointer::Node(node.clone());
            old.into_iter().for_each(|ip| self.reverse.remove(ip, &name));
            new.into_iter().for_each(|ip| self.reverse.add(ip, &name));
        }
        fn offered(entry: Option<&NodeEntry>) -> &[(Folded, Option<IpAddr>)] {
            entry.map_or(&[], |entry| &entry.offered)
        }
        let (old, new) = (offered(before), offered(now));
        // Nearly always: a change of health renames nothing.
        if old == new {
            return;
        }
        for (service, ip) in old.iter().filter(|offer| new.binary_search(offer).is_err()) {
            let Some(ip) = ip else { continue };
            self.reverse.remove(*ip, &Pointer::Service(service.clone()));
        }
        for (service, ip) in new.iter().filter(|offer| old.binary_search(offer).is_err()) {
            let Some(ip) = ip else { continue };
            self.reverse.add(*ip, &Pointer::Service(service.clone()));
        }
    }
}

/// The address under which reverse look-ups find a node: its own, not a tagged one.
fn plain_address(node: &Node) -> Option<IpAddr> {
    node.address.parse().ok()
}
