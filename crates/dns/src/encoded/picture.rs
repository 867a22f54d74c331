//! All rows, immutable, and the step from one picture to the next.

use super::chunk::{Draft, Target};
use super::names::{Pointer, Reverse};
use super::node::labels;
use super::service::ServiceDraft;
use super::{Addresses, NodeFacts, ServiceRow};
use crate::config::Config;
use catalog::why::{self, Cause, Terms};
use catalog::{
    Authorizer, Health, Held, InstanceKey, NodeKey, Offer, ServiceKey, Token, Touched, View,
};
use foldhash::quality::RandomState;
use imbl::shared_ptr::DefaultSharedPtr;
use model::{Folded, Instance, Node, NodeName, Row, Tenant};
use std::collections::BTreeMap;
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
}

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

/// An instance where it stands, as far as there is one.
type Placed<'p> = (Option<&'p Arc<Row<Node>>>, Option<&'p Arc<Row<Instance>>>);

/// The services that change, and what they become.
type Drafts = BTreeMap<Folded, ServiceDraft>;

/// An instance before and after.
type Change<'c> = (Option<&'c Arc<Row<Instance>>>, Option<&'c Arc<Row<Instance>>>);

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
        picture.name_again(&source);
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

    /// The same, but that only what passes is told.
    pub fn only_passing(&self) -> Encoder {
        let config = Config { only_passing: true, ..self.config.clone() };
        let encoder = Encoder::new(&config, &self.datacenter);
        Encoder { hasher: self.hasher.clone(), ..encoder }
    }

    /// The instances of a service, perhaps only those of a node, that may be seen, each with the row
    /// that is made of it.
    pub fn drafts<'v>(
        &self,
        view: &'v View,
        service: &str,
        on: Option<&str>,
    ) -> impl Iterator<Item = (&'v Row<Instance>, Draft)> {
        let source = Source::new(view);
        let key = ServiceKey { tenant: TENANT, service: Folded::new(service) };
        let offers = match on {
            Some(node) => view.service_on(&key, &NodeName::new(node)),
            None => view.service(&key),
        };
        offers.unwrap_or_default().into_iter().filter_map(move |Offer { node, instance }| {
            if !source.authorizer.node_read(node.name.as_str()) {
                return None;
            }
            let facts = Arc::new(self.facts(&NodeKey::new(TENANT, &node.name), node));
            Some((&**instance, self.instance(&source, &facts, instance)?))
        })
    }

    /// All for which an instance's row is not told.
    pub fn causes(&self, view: &View, instance: &Instance) -> Vec<Cause> {
        self.terms.causes(view, TENANT, instance).collect()
    }

    /// What rows with a tag are found by.
    pub fn tag(&self, tag: &Folded) -> u64 {
        self.hasher.hash_one(tag.as_str().as_bytes())
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
        picture.name_again(source);
    }

    /// On a server: the rows of touched instances, and all of touched nodes.
    fn follow(&self, picture: &mut Picture, source: &Source<'_>, touched: &Touched) {
        let mut drafts = Drafts::new();
        for key in touched.whole_nodes().filter(|key| key.tenant == TENANT) {
            self.follow_node(picture, source, touched, key, &mut drafts);
        }
        for (key, before) in touched.instances().filter(|(key, _)| key.tenant == TENANT) {
            let node = key.node_key();
            if !touched.is_whole(&node) {
                let now = source.view.instance(key).ok().flatten();
                self.follow_instance(picture, source, &node, (before, now), &mut drafts);
            }
        }
        for (service, draft) in drafts {
            self.store_service(picture, &service, draft);
        }
    }

    /// Brings one instance up to date on a node that is as it was.
    fn follow_instance(
        &self,
        picture: &mut Picture,
        source: &Source<'_>,
        node: &NodeKey,
        (before, now): Change<'_>,
        drafts: &mut Drafts,
    ) {
        // A node that is not shown shows nothing.
        let Some(entry) = picture.nodes.get(node.node.as_str().as_bytes()).cloned() else { return };
        picture.rename(source, (Some(&entry.source), before), (Some(&entry.source), now));
        let left = before.filter(|old| now.is_none_or(|new| new.service != old.service));
        if let Some(old) = left {
            let draft = draft_of(drafts, picture, old.service.fold());
            draft.replace_row(&node.node, &old.id.fold(), None);
        }
        if let Some(new) = now {
            let draft = draft_of(drafts, picture, new.service.fold());
            let row = self.instance(source, &entry.facts, new);
            draft.replace_row(&node.node, &new.id.fold(), row);
        }
    }

    /// Brings a node and all that stands on it up to date.
    fn follow_node(
        &self,
        picture: &mut Picture,
        source: &Source<'_>,
        touched: &Touched,
        key: &NodeKey,
        drafts: &mut Drafts,
    ) {
        let before = picture.nodes.get(key.node.as_str().as_bytes()).cloned();
        let row = source.view.node(key).ok().and_then(|node| node.value);
        let row = row.filter(|row| source.authorizer.node_read(row.name.as_str()));
        let facts = match (&before, row) {
            (Some(entry), Some(row)) if Arc::ptr_eq(&entry.source, row) => Arc::clone(&entry.facts),
            (_, Some(row)) => Arc::new(self.facts(key, row)),
            (Some(entry), None) => Arc::clone(&entry.facts),
            (None, None) => return,
        };
        match row {
            Some(row) => picture.put_node(Arc::clone(row), Arc::clone(&facts)),
            None => picture.drop_node(&key.node),
        }
        let old_row = before.as_ref().map(|entry| &entry.source);
        let mut rows: BTreeMap<Folded, Vec<Draft>> = BTreeMap::new();
        for (old, new) in changes_on(source, touched, key) {
            picture.rename(source, (old_row, old), (row, new));
            if let Some(old) = old {
                rows.entry(old.service.fold()).or_default();
            }
            if let Some(new) = new {
                let drafts = rows.entry(new.service.fold()).or_default();
                drafts.extend(row.and_then(|_| self.instance(source, &facts, new)));
            }
        }
        for (service, rows) in rows {
            draft_of(drafts, picture, service).replace_node(&key.node, rows);
        }
    }

    fn put_node(
        &self,
        picture: &mut Picture,
        source: &Source<'_>,
        key: &NodeKey,
        row: &Arc<Row<Node>>,
    ) {
        if source.authorizer.node_read(row.name.as_str()) {
            picture.put_node(Arc::clone(row), Arc::new(self.facts(key, row)));
        }
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
        let (own, is_given) = self.own_addresses(instance);
        let is_own = own.any.is_some();
        let addresses = if is_given { own } else { own.or(&node.addresses) };
        let target = target(node, &addresses, is_own);
        let weight = match self.terms.judge(source.view, TENANT, instance) {
            Ok(Health::Passing) => instance.weights.passing,
            Ok(_) => instance.weights.warning,
            Err(cause) => {
                let reason = why::sentence(instance, &cause).into_bytes();
                let mut draft = Draft::new(node, &addresses, target, reason);
                draft.row.id = instance.id.fold();
                return Some(Draft { tags, is_shown: false, ..draft });
            }
        };
        // Consul takes any port and answers its low 16 bits.
        let port = instance.port as u16;
        let srv = self.srv_data(node, target, &addresses, weight, port);
        let identity = self.hasher.hash_one((&node.key, &srv[4..]));
        let mut draft = Draft::new(node, &addresses, target, srv);
        (draft.row.identity, draft.row.id) = (identity, instance.id.fold());
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
        if instance.address.is_empty() {
            return (Addresses::new("", v4, v6), false);
        }
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

/// What becomes of the instances of a node, of those that are as they were too.
fn changes_on<'c>(
    source: &Source<'c>,
    touched: &'c Touched,
    node: &NodeKey,
) -> impl Iterator<Item = Change<'c>> {
    let before: BTreeMap<&InstanceKey, Option<&Arc<Row<Instance>>>> =
        touched.instances_on(node).collect();
    let gone = before.iter().filter(|(key, _)| matches!(source.view.instance(key), Ok(None)));
    let gone: Vec<Change<'c>> = gone.map(|(_, old)| (*old, None)).collect();
    let now = source.view.instances_on(node).unwrap_or_default();
    let node = node.clone();
    let kept = now.into_iter().map(move |row| {
        let old = before.get(&node.instance(&row.id)).copied();
        (old.unwrap_or(Some(row)), Some(row))
    });
    gone.into_iter().chain(kept)
}

fn draft_of<'d>(
    drafts: &'d mut Drafts,
    picture: &Picture,
    service: Folded,
) -> &'d mut ServiceDraft {
    drafts.entry(service).or_insert_with_key(|service| {
        ServiceDraft::of(picture.service(service.as_str().as_bytes()))
    })
}

/// The address under which a reverse look-up finds an instance by its service's name, whatever its
/// health. One whose address is its node's own is left out: there the node's name wins.
fn named_at(source: &Source<'_>, node: &Node, instance: &Instance) -> Option<IpAddr> {
    let own: IpAddr = instance.address.as_str().parse().ok()?;
    let is_shown = Some(own) != plain_address(node)
        && source.authorizer.service_read(instance.service.as_str());
    is_shown.then_some(own)
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

    /// Puts a node in the place of what was there; what its instances are called is another matter.
    fn put_node(&mut self, source: Arc<Row<Node>>, facts: Arc<NodeFacts>) {
        let (node, new) = (facts.key.clone(), plain_address(&source));
        let before = self.nodes.insert(lower(&node), Arc::new(NodeEntry { facts, source }));
        self.rename_node(&node, before.as_deref(), new);
    }

    fn drop_node(&mut self, node: &Folded) {
        let before = self.nodes.remove(node.as_str().as_bytes());
        self.rename_node(node, before.as_deref(), None);
    }

    fn rename_node(&mut self, node: &Folded, before: Option<&NodeEntry>, new: Option<IpAddr>) {
        let old = before.and_then(|entry| plain_address(&entry.source));
        // Nearly always: a change of health renames nothing.
        if old != new {
            let name = Pointer::Node(node.clone());
            old.into_iter().for_each(|ip| self.reverse.remove(ip, &name));
            new.into_iter().for_each(|ip| self.reverse.add(ip, &name));
        }
    }

    /// Brings reverse look-ups from what an instance was on its node to what it is.
    fn rename(&mut self, source: &Source<'_>, before: Placed<'_>, now: Placed<'_>) {
        let name = |(node, instance): Placed<'_>| {
            let (node, instance) = (node?, instance?);
            let ip = named_at(source, node, instance)?;
            Some((ip, Pointer::Service(instance.service.fold())))
        };
        let (old, new) = (name(before), name(now));
        if old != new {
            old.into_iter().for_each(|(ip, name)| self.reverse.remove(ip, &name));
            new.into_iter().for_each(|(ip, name)| self.reverse.add(ip, &name));
        }
    }

    /// Names all that is here from the beginning.
    fn name_again(&mut self, source: &Source<'_>) {
        self.reverse = Reverse::new();
        let entries: Vec<Arc<NodeEntry>> = self.nodes.values().cloned().collect();
        for entry in entries {
            self.rename_node(&entry.facts.key, None, plain_address(&entry.source));
            let key = NodeKey { tenant: TENANT, node: entry.facts.key.clone() };
            for instance in source.view.instances_on(&key).unwrap_or_default() {
                self.rename(source, (None, None), (Some(&entry.source), Some(instance)));
            }
        }
    }
}

/// The address under which reverse look-ups find a node: its own, not a tagged one.
fn plain_address(node: &Node) -> Option<IpAddr> {
    node.address.parse().ok()
}
