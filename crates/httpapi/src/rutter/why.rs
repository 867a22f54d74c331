//! `GET /v1/rutter/why/NAME`: whether each instance is told, or the one thing that keeps it out.
//!
//! Nothing is judged here. DNS explains itself ([`seams::Names`]), HTTP is asked by the terms with which
//! it filters its own answers, and the rest is read from the view and the log's history.

mod asked;
mod judged;
mod requests;
mod shapes;
mod subject;

use crate::consul::blocking::{Body, Found, Scene};
use crate::consul::catalog::{datacenter, may_see};
use crate::consul::error::{Problem, Stop};
use asked::{Asked, Which};
use catalog::why::{Absence, Terms, nearest};
use catalog::{NodeKey, ServiceKey, Watch};
use judged::{DnsSaid, Judged, MOST_INSTANCES, Said, lay_out};
use model::{Folded, Index, NodeName, Owner, ServiceName};
use seams::{NameAnswer, NameQuestion};
use shapes::{Answer, CauseShape, DoorShape, ElsewhereShape, GoneShape, InstanceShape, TraceShape};
use std::collections::BTreeMap;
use subject::Subject;

/// The most instances that are gone of which is told.
const MOST_GONE: usize = 10;

/// The most nodes that are named on which a service is.
const MOST_NODES: usize = 10;

/// The most services of a node that are looked through, by name.
const MOST_SERVICES: usize = 64;

/// Explains a name.
pub fn why(scene: &Scene) -> Result<Found, Stop> {
    let asked = Asked::of(scene)?;
    let subject = subject::of(scene, &asked)?;
    let answer = match &subject {
        Subject::Service(of) => {
            Problem::unless(scene.auth.service_read(&of.service), "service:read", &of.service)?;
            Explained { scene, asked: &asked }.service(of)?
        }
        Subject::Node { node, name } => {
            Problem::unless(scene.auth.node_read(node), "node:read", node)?;
            Explained { scene, asked: &asked }.node(node, name.as_deref())?
        }
        Subject::Name { name, usual } => {
            Problem::unless(scene.auth.service_read(name), "service:read", name)?;
            Explained { scene, asked: &asked }.name(name, usual)
        }
    };
    Ok(Found {
        body: Body::Json(crate::answer::json(&answer)),
        index: scene.view.index().max(Index(1)),
        watches: vec![Watch::Services(scene.tenant()), Watch::Checks(scene.tenant())],
        filtered: false,
    })
}

/// A service as it is asked for.
struct OfService {
    service: String,
    tag: Option<String>,
    /// Only on this node.
    node: Option<String>,
    /// The name that was typed, where it was one of DNS.
    name: Option<String>,
}

/// The instances of a service, and what each door answers.
struct JudgedService<'v> {
    judged: Vec<Judged<'v>>,
    doors: Vec<DoorShape>,
}

struct Explained<'s, 'c> {
    scene: &'s Scene<'c>,
    asked: &'s Asked,
}

impl Explained<'_, '_> {
    fn service(&self, of: &OfService) -> Result<Answer, Stop> {
        let (scene, tenant) = (self.scene, self.scene.tenant());
        let key = ServiceKey::new(tenant, &ServiceName::new(of.service.as_str()));
        let JudgedService { judged, doors } = self.judged(&key, of)?;
        let mut answer = Answer::new("service", &of.service, scene);
        answer.tag = of.tag.clone().unwrap_or_default();
        answer.node = of.node.clone().unwrap_or_default();
        if judged.is_empty() {
            let strange = doors.iter().find_map(|door| door.absence);
            self.missing(&mut answer, of, &key, strange)?;
        }
        (answer.unsynced, answer.more_unsynced) = self.unsynced(&key);
        answer.gone = self.gone(&key, of.node.as_deref());
        (answer.instances, answer.more_instances) = lay_out(scene, judged);
        answer.doors = doors;
        Ok(answer)
    }

    /// Says of what is not there where it is, or what was perhaps meant.
    fn missing(
        &self,
        answer: &mut Answer,
        of: &OfService,
        key: &ServiceKey,
        strange: Option<Absence>,
    ) -> Result<(), Stop> {
        if strange == Some(Absence::NoSuchDatacenter) {
            answer.absence(Absence::NoSuchDatacenter);
            answer.nearest = Some(datacenter(self.scene).to_owned());
            return Ok(());
        }
        let elsewhere = self.elsewhere(key)?;
        let known = elsewhere.count > 0;
        let (absence, nearest) = match &of.node {
            Some(node) if !self.node_is_known(node)? => {
                let nearest = match known {
                    true => self.nearest_node(node)?,
                    false => self.nearest_service(&of.service)?,
                };
                (Absence::NoSuchNode, nearest)
            }
            Some(_) if known => (Absence::NotOnNode, None),
            _ => (Absence::NoSuchService, self.nearest_service(&of.service)?),
        };
        answer.absence(absence);
        answer.nearest = nearest;
        answer.elsewhere = known.then_some(elsewhere);
        Ok(())
    }

    /// The nodes on which a service is, of those that may be seen.
    fn elsewhere(&self, key: &ServiceKey) -> Result<ElsewhereShape, Stop> {
        let offers = self.scene.view.service(key)?.into_iter();
        let seen = offers.filter(|offer| may_see(self.scene, offer));
        let mut nodes: Vec<&str> = seen.map(|offer| offer.node.name.as_str()).collect();
        nodes.dedup();
        let count = nodes.len();
        let nodes = nodes.into_iter().take(MOST_NODES).map(str::to_owned).collect();
        Ok(ElsewhereShape { nodes, count })
    }

    /// The instances of a service, and what each door says of it.
    fn judged(&self, key: &ServiceKey, of: &OfService) -> Result<JudgedService<'_>, Stop> {
        let (scene, tenant) = (self.scene, self.scene.tenant());
        let mut dns = self.asked.looks_at(Which::Dns).then(|| self.ask_dns(of));
        let elsewhere = matches!(&dns, Some((_, Some(answer)))
            if answer.absence == Some(Absence::NoSuchDatacenter));
        let offers = match of.node.as_deref() {
            _ if elsewhere => Vec::new(),
            Some(node) => scene.view.service_on(key, &NodeName::new(node))?,
            None => scene.view.service(key)?,
        };
        let mut said = dns.as_mut().map(|(_, answer)| DnsSaid::of(answer.as_mut(), self.usual(of)));
        let tags = of.tag.iter().map(|tag| Folded::new(tag)).collect();
        let terms = self.asked.looks_at(Which::Http).then(|| Terms::http(self.asked.passing, tags));
        let seen = offers.into_iter().filter(|offer| may_see(scene, offer));
        let judged = seen.map(|offer| Judged {
            dns: said.as_mut().map(|said| said.said(&offer)),
            http: terms.as_ref().map(|terms| {
                Said::Causes(terms.causes(scene.view, tenant, offer.instance).collect())
            }),
            offer,
        });
        let judged: Vec<Judged<'_>> = judged.collect();
        let served = |said: for<'j> fn(&'j Judged<'_>) -> Option<&'j Said>| {
            judged.iter().filter_map(said).filter(|said| said.is_served()).count()
        };
        let mut doors = Vec::new();
        if let Some((question, answer)) = dns {
            let served = served(|judged| judged.dns.as_ref());
            doors.push(DoorShape::dns(question, answer, served, judged.len()));
        }
        if terms.is_some() && !elsewhere {
            let question = self.asked.request(&of.service, of.tag.as_deref());
            let served = served(|judged| judged.http.as_ref());
            doors.push(DoorShape::http(question, served, judged.len()));
        }
        Ok(JudgedService { judged, doors })
    }

    /// The name by which DNS is usually asked.
    fn usual(&self, of: &OfService) -> Option<String> {
        let names = self.scene.call.context.names.as_ref();
        names.and_then(|names| names.of_service(&of.service, of.tag.as_deref()))
    }

    /// What DNS is asked, and answers; nothing where it cannot be asked.
    fn ask_dns(&self, of: &OfService) -> (String, Option<NameAnswer>) {
        let name = of.name.clone().or_else(|| self.usual(of));
        let on = of.node.as_deref();
        name.map_or_else(Default::default, |name| self.ask_name(&name, "SRV", on))
    }

    fn ask_name(
        &self,
        name: &str,
        usual: &'static str,
        on: Option<&str>,
    ) -> (String, Option<NameAnswer>) {
        let Some(names) = &self.scene.call.context.names else { return Default::default() };
        let (qtype, number) = self.asked.qtype(usual);
        let question = NameQuestion {
            name,
            qtype: number,
            edns: self.asked.edns,
            tcp: self.asked.tcp,
            passing: self.asked.passing,
            on,
        };
        (format!("{name} {qtype}"), names.explain(self.scene.view, &question))
    }

    fn node(&self, node: &str, name: Option<&str>) -> Result<Answer, Stop> {
        let (scene, tenant) = (self.scene, self.scene.tenant());
        let mut answer = Answer::new("node", node, scene);
        answer.node = node.to_owned();
        answer.tag = self.asked.tag.clone().unwrap_or_default();
        let key = NodeKey::new(tenant, &NodeName::new(node));
        if self.asked.looks_at(Which::Dns) {
            let own = scene.call.context.names.as_ref().and_then(|names| names.of_node(node));
            let (question, told) = name
                .map(str::to_owned)
                .or(own)
                .map_or_else(Default::default, |name| self.ask_name(&name, "ANY", None));
            answer.doors.push(DoorShape::dns(question, told, 0, 0));
        }
        let Some(row) = scene.view.node(&key)?.value else {
            answer.absence(Absence::NoSuchNode);
            answer.nearest = self.nearest_node(node)?;
            return Ok(answer);
        };
        let strange = answer.doors.iter().find_map(|door| door.absence);
        if strange == Some(Absence::NoSuchDatacenter) {
            answer.absence(Absence::NoSuchDatacenter);
            answer.nearest = Some(datacenter(scene).to_owned());
            return Ok(answer);
        }
        answer.registered = Some(TraceShape::of(scene.view.trace(row.created)));
        answer.owner = row.owner.to_string();
        // The spellings of a name are one service.
        let mut services: BTreeMap<ServiceKey, &ServiceName> = BTreeMap::new();
        for instance in scene.view.instances_on(&key)? {
            if scene.auth.service_read(instance.service.as_str()) {
                let key = ServiceKey::new(tenant, &instance.service);
                services.entry(key).or_insert(&instance.service);
            }
        }
        answer.more_services = services.len().saturating_sub(MOST_SERVICES);
        let mut judged = Vec::new();
        for (key, service) in services.into_iter().take(MOST_SERVICES) {
            let (service, tag) = (service.to_string(), self.asked.tag.clone());
            let of = OfService { service, tag, node: Some(node.to_owned()), name: None };
            judged.extend(self.judged(&key, &of)?.judged);
        }
        (answer.instances, answer.more_instances) = lay_out(scene, judged);
        Ok(answer)
    }

    /// A name of the zone that is neither a service's nor a node's, or an address backwards.
    fn name(&self, name: &str, usual: &'static str) -> Answer {
        let mut answer = Answer::new("name", name, self.scene);
        let (question, told) = self.ask_name(name, usual, None);
        if let Some(absence) = told.as_ref().and_then(|told| told.absence) {
            answer.absence(absence);
        }
        answer.doors.push(DoorShape::dns(question, told, 0, 0));
        answer
    }

    /// What is registered with this node's agent and not in the catalog as its own.
    fn unsynced(&self, key: &ServiceKey) -> (Vec<InstanceShape>, usize) {
        let Scene { view, call, auth } = self.scene;
        let datacenters = &call.context.datacenters;
        if !datacenter(self.scene).eq_ignore_ascii_case(datacenters.own()) {
            return (Vec::new(), 0);
        }
        let node = &call.context.identity.node_name;
        let owner = Owner::agent(&node.fold());
        let on = NodeKey::new(key.tenant, node);
        let own = call.context.registrar.instances().into_iter();
        let own = own.filter(|own| {
            ServiceKey::new(key.tenant, &own.service) == *key
                && auth.service_read(own.service.as_str())
        });
        let lacking = own.filter_map(|own| {
            let row = view.instance(&on.instance(&own.id)).ok().flatten();
            let cause = match row {
                None => CauseShape::plain(
                    "unsynced",
                    "registered with the agent, and not in the catalog yet",
                    "the agent's next pass writes it; its log says what is refused",
                ),
                Some(row) if row.owner != owner => CauseShape::plain(
                    "taken",
                    format!(
                        "registered with the agent, and its id is taken in the catalog by {}, for service {}",
                        row.owner, row.service
                    ),
                    "register it under another id",
                ),
                Some(_) => return None,
            };
            Some(InstanceShape::unsynced(&own, &owner, cause))
        });
        let mut lacking: Vec<InstanceShape> = lacking.collect();
        let more = lacking.len().saturating_sub(MOST_INSTANCES);
        lacking.truncate(MOST_INSTANCES);
        (lacking, more)
    }

    fn gone(&self, key: &ServiceKey, node: Option<&str>) -> Vec<GoneShape> {
        let on = node.map(Folded::new);
        let gone = self.scene.view.gone(key, MOST_GONE, |row| {
            self.scene.auth.node_read(row.node.as_str())
                && on.as_ref().is_none_or(|on| row.node.fold() == *on)
        });
        gone.into_iter().map(GoneShape::of).collect()
    }

    fn node_is_known(&self, node: &str) -> Result<bool, Stop> {
        let key = NodeKey::new(self.scene.tenant(), &NodeName::new(node));
        Ok(self.scene.view.node(&key)?.value.is_some() && self.scene.auth.node_read(node))
    }

    /// Of the services and nodes that may be seen.
    fn nearest_service(&self, name: &str) -> Result<Option<String>, Stop> {
        let keys = self.scene.view.service_keys(self.scene.tenant())?;
        let names = keys.map(|key| key.service.as_str());
        let near = nearest(name, names.filter(|name| self.scene.auth.service_read(name)));
        match near {
            Some(near) => Ok(Some(near.to_owned())),
            None => self.nearest_node(name),
        }
    }

    fn nearest_node(&self, name: &str) -> Result<Option<String>, Stop> {
        let nodes = self.scene.view.nodes(self.scene.tenant())?.value.into_iter();
        let names = nodes.map(|row| row.name.as_str());
        let near = nearest(name, names.filter(|name| self.scene.auth.node_read(name)));
        Ok(near.map(str::to_owned))
    }
}
