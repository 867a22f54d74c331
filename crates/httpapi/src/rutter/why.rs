//! `GET /v1/rutter/why/NAME`: whether each instance is told, or the one thing that keeps it out.
//!
//! Nothing is judged here. DNS explains itself ([`seams::Names`]), HTTP is asked by the terms with which
//! it filters its own answers, and the rest is read from the view and the log's history.

mod asked;
mod requests;
mod shapes;
mod subject;

use crate::consul::blocking::{Body, Found, Scene};
use crate::consul::catalog::{datacenter, may_see};
use crate::consul::error::{Problem, Stop};
use asked::{Asked, Which};
use catalog::why::{Absence, Terms, nearest};
use catalog::{NodeKey, Offer, ServiceKey, Watch};
use model::{Folded, Index, NodeName, Owner, ServiceName};
use seams::{NameAnswer, NameQuestion};
use shapes::{
    Answer, CauseShape, DoorShape, ElsewhereShape, GoneShape, InstanceShape, TraceShape,
    UNSPEAKABLE, Verdict,
};
use std::collections::BTreeSet;
use subject::Subject;

/// The most instances that are gone of which is told.
const MOST_GONE: usize = 10;

/// The most nodes that are named on which a service is.
const MOST_NODES: usize = 10;

/// The most services of a node that are looked through.
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

struct Explained<'s, 'c> {
    scene: &'s Scene<'c>,
    asked: &'s Asked,
}

impl Explained<'_, '_> {
    fn service(&self, of: &OfService) -> Result<Answer, Stop> {
        let (scene, tenant) = (self.scene, self.scene.tenant());
        let key = ServiceKey::new(tenant, &ServiceName::new(of.service.as_str()));
        let (instances, doors) = self.instances(&key, of)?;
        let mut answer = Answer::new("service", &of.service, scene);
        answer.tag = of.tag.clone().unwrap_or_default();
        answer.node = of.node.clone().unwrap_or_default();
        if instances.is_empty() {
            let strange = doors.iter().find_map(|door| door.absence);
            self.missing(&mut answer, of, &key, strange)?;
        }
        answer.unsynced = self.unsynced(&key);
        answer.gone = self.gone(&key, of.node.as_deref());
        (answer.instances, answer.doors) = (instances, doors);
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
    fn instances(
        &self,
        key: &ServiceKey,
        of: &OfService,
    ) -> Result<(Vec<InstanceShape>, Vec<DoorShape>), Stop> {
        let (scene, tenant) = (self.scene, self.scene.tenant());
        let dns = self.asked.looks_at(Which::Dns).then(|| self.ask_dns(of));
        let elsewhere = matches!(&dns, Some((_, Some(answer)))
            if answer.absence == Some(Absence::NoSuchDatacenter));
        let offers = scene.view.service(key)?.into_iter();
        let on = of.node.as_deref().map(Folded::new);
        let offers = offers.filter(|offer| {
            may_see(scene, offer) && on.as_ref().is_none_or(|on| offer.node.name.fold() == *on)
        });
        let offers: Vec<Offer<'_>> = if elsewhere { Vec::new() } else { offers.collect() };
        let tags = of.tag.iter().map(|tag| Folded::new(tag)).collect();
        let terms = Terms::http(self.asked.passing, tags);
        let mut instances = Vec::new();
        for offer in &offers {
            let mut shape = InstanceShape::of(scene, offer);
            if let Some((_, answer)) = &dns {
                shape.verdicts.push(self.dns_verdict(answer.as_ref(), offer, of));
            }
            if self.asked.looks_at(Which::Http) {
                let causes: Vec<_> = terms.causes(scene.view, tenant, offer.instance).collect();
                shape.verdicts.push(Verdict::new(scene, "http", offer, &causes));
            }
            instances.push(shape);
        }
        let served = |door: &str| {
            let told = |shape: &&InstanceShape| {
                shape.verdicts.iter().any(|verdict| verdict.door == door && verdict.served)
            };
            instances.iter().filter(told).count()
        };
        let mut doors = Vec::new();
        if let Some((question, answer)) = dns {
            doors.push(DoorShape::dns(question, answer, served("dns"), offers.len()));
        }
        if self.asked.looks_at(Which::Http) && !elsewhere {
            let question = self.asked.request(&of.service, of.tag.as_deref());
            doors.push(DoorShape::http(question, served("http"), offers.len()));
        }
        Ok((instances, doors))
    }

    /// What DNS says of an instance. One of which it says nothing is not served.
    fn dns_verdict(
        &self,
        answer: Option<&NameAnswer>,
        offer: &Offer<'_>,
        of: &OfService,
    ) -> Verdict {
        let Some(answer) = answer else {
            let remedy = "register it under a name of at most 63 bytes without a dot";
            return Verdict::out("dns", CauseShape::plain("name", UNSPEAKABLE, remedy));
        };
        let told = answer.instances.iter().find(|(node, id, _)| {
            *node == offer.instance.node && id.fold() == offer.instance.id.fold()
        });
        if let Some((_, _, causes)) = told {
            return Verdict::new(self.scene, "dns", offer, causes);
        }
        let Some(absence) = answer.absence else {
            let remedy = "let DNS read its service and its node";
            return Verdict::out("dns", CauseShape::plain("unseen", "DNS does not see it", remedy));
        };
        let names = self.scene.call.context.names.as_ref();
        let usual = names.and_then(|names| names.of_service(&of.service, of.tag.as_deref()));
        let remedy = usual.map_or_else(String::new, |name| format!("ask for {name}"));
        Verdict::out("dns", CauseShape::plain(absence.name(), absence.text(), remedy))
    }

    /// What DNS is asked, and answers; nothing where it cannot be asked.
    fn ask_dns(&self, of: &OfService) -> (String, Option<NameAnswer>) {
        let Some(names) = &self.scene.call.context.names else { return Default::default() };
        let name = of.name.clone().or_else(|| names.of_service(&of.service, of.tag.as_deref()));
        name.map_or_else(Default::default, |name| self.ask_name(&name, "SRV"))
    }

    fn ask_name(&self, name: &str, usual: &'static str) -> (String, Option<NameAnswer>) {
        let Some(names) = &self.scene.call.context.names else { return Default::default() };
        let (qtype, number) = self.asked.qtype(usual);
        let question = NameQuestion {
            name,
            qtype: number,
            edns: self.asked.edns,
            tcp: self.asked.tcp,
            passing: self.asked.passing,
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
                .map_or_else(Default::default, |name| self.ask_name(&name, "ANY"));
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
        let services: BTreeSet<String> = scene
            .view
            .instances_on(&key)?
            .into_iter()
            .map(|instance| instance.service.to_string())
            .filter(|service| scene.auth.service_read(service))
            .take(MOST_SERVICES)
            .collect();
        for service in services {
            let key = ServiceKey::new(tenant, &ServiceName::new(service.as_str()));
            let tag = self.asked.tag.clone();
            let of = OfService { service, tag, node: Some(node.to_owned()), name: None };
            answer.instances.extend(self.instances(&key, &of)?.0);
        }
        Ok(answer)
    }

    /// A name of the zone that is neither a service's nor a node's, or an address backwards.
    fn name(&self, name: &str, usual: &'static str) -> Answer {
        let mut answer = Answer::new("name", name, self.scene);
        let (question, told) = self.ask_name(name, usual);
        if let Some(absence) = told.as_ref().and_then(|told| told.absence) {
            answer.absence(absence);
        }
        answer.doors.push(DoorShape::dns(question, told, 0, 0));
        answer
    }

    /// What is registered with this node's agent and not in the catalog as its own.
    fn unsynced(&self, key: &ServiceKey) -> Vec<InstanceShape> {
        let Scene { view, call, auth } = self.scene;
        let datacenters = &call.context.datacenters;
        if !datacenter(self.scene).eq_ignore_ascii_case(datacenters.own()) {
            return Vec::new();
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
        lacking.collect()
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
