//! `/v1/health/`: instances with their checks, and checks by node, service and state.
//!
//! Source: Consul, "Health HTTP API"; stories 24 and 25.

use super::blocking::{Body, Found, Scene};
use super::catalog::{Wanted, datacenter, matching_nodes, may_see, nothing};
use super::error::{Problem, Stop};
use super::filter::{self, CheckRow, ChecksOf, InstanceRow, InstanceWithChecks};
use super::mesh::{Fronts, fronts};
use super::params;
use super::shapes::{CheckShape, NodeService, NodeShape};
use crate::answer::{append, json};
use crate::kept::AnyRow;
use bytes::Bytes;
use catalog::{NodeKey, Offer, ServiceKey, Watch};
use lang::filter::Filter;
use model::{Check, Index, NodeName, Row, ServiceName};
use std::sync::Arc;

fn service_key(scene: &Scene) -> Result<ServiceKey, Problem> {
    Ok(ServiceKey::new(scene.tenant(), &ServiceName::new(scene.name("service name")?)))
}

/// `GET service/:name`: instances with the checks that count for them; `?passing` the healthy ones.
pub fn service(scene: &Scene) -> Result<Found, Stop> {
    let passing = params::passing(&scene.call.query)?;
    let key = service_key(scene)?;
    let filter = filter::of(scene.call, &filter::INSTANCE_WITH_CHECKS)?;
    if scene.call.query.given("peer").is_some() {
        return Ok(nothing(Index(1), Vec::new()));
    }
    let offers = scene.view.service(&key)?;
    let index = scene.view.service_mark(&key)?.health;
    let found = Fronts { offers, watches: vec![Watch::Service(key)], index };
    Ok(instances(scene, filter, passing, found))
}

/// The index of `GET service/:name`.
pub fn service_index(scene: &Scene) -> Result<Index, Stop> {
    Ok(scene.view.service_mark(&service_key(scene)?)?.health)
}

/// Those of the instances that are asked for and may be seen, with their checks.
fn instances(scene: &Scene, filter: Option<&Filter>, passing: bool, found: Fronts) -> Found {
    let Fronts { offers, watches, index } = found;
    let (wanted, tenant) = (Wanted::of(scene, passing), scene.tenant());
    let asked: Vec<_> = offers.into_iter().filter(|offer| wanted.matches(scene, offer)).collect();
    let seen: Vec<_> = asked.iter().filter(|offer| may_see(scene, offer)).collect();
    let kept = |offer: &Offer| {
        let checks = ChecksOf { view: scene.view, tenant, instance: offer.instance };
        let node = NodeShape(offer.node, datacenter(scene));
        let instance = InstanceRow::new(offer.instance);
        filter::keeps(filter, &InstanceWithChecks { node, instance, checks })
    };
    let filtered = seen.len() < asked.len();
    let rows = seen.into_iter().filter(|offer| kept(offer));
    Found { filtered, body: Body::Json(rendered(scene, rows)), index, watches }
}

/// The instances with their nodes and all checks that count for them, joined from rows as they are kept.
fn rendered<'o, 'v: 'o>(scene: &Scene, offers: impl Iterator<Item = &'o Offer<'v>>) -> Bytes {
    let mut out = Vec::with_capacity(1024);
    let mut separator: &[u8] = b"[";
    for offer in offers {
        out.extend_from_slice(separator);
        out.extend_from_slice(b"{\"Node\":");
        put(scene, &mut out, AnyRow::Node(Arc::clone(offer.node)));
        out.extend_from_slice(b",\"Service\":");
        put(scene, &mut out, AnyRow::Instance(Arc::clone(offer.instance)));
        let mut before: &[u8] = b",\"Checks\":[";
        let checks = scene.view.checks_for(scene.tenant(), offer.instance);
        for check in checks {
            out.extend_from_slice(before);
            put(scene, &mut out, AnyRow::Check(Arc::clone(check)));
            before = b",";
        }
        out.extend_from_slice(if before == b"," { b"]}" } else { b",\"Checks\":[]}" });
        separator = b",";
    }
    out.extend_from_slice(if separator == b"," { b"]" } else { b"[]" });
    out.shrink_to_fit();
    Bytes::from(out)
}

/// Appends a row. What is kept of a node names this datacenter as it spells itself.
fn put(scene: &Scene, out: &mut Vec<u8>, row: AnyRow) {
    let name = datacenter(scene);
    let render = |out: &mut Vec<u8>| match &row {
        AnyRow::Node(node) => append(out, &NodeShape(node, name)),
        AnyRow::Instance(instance) => append(out, &NodeService(instance)),
        AnyRow::Check(check) => append(out, &CheckShape::of(check)),
    };
    match name == scene.call.context.datacenters.own() {
        true => scene.call.kept.append(out, &row, render),
        false => render(out),
    }
}

/// `GET connect/:service`: who answers for it in a mesh.
pub fn connect(scene: &Scene) -> Result<Found, Stop> {
    let passing = params::passing(&scene.call.query)?;
    let key = service_key(scene)?;
    let filter = filter::of(scene.call, &filter::INSTANCE_WITH_CHECKS)?;
    Ok(instances(scene, filter, passing, fronts(scene, &key, |mark| mark.health)?))
}

/// `GET ingress/:service`: nobody said which services stand behind a gateway.
pub fn ingress(scene: &Scene) -> Result<Found, Stop> {
    service_key(scene)?;
    filter::of(scene.call, &filter::INSTANCE_WITH_CHECKS)?;
    Ok(nothing(Index(1), Vec::new()))
}

type Checks<'v> = Vec<&'v Arc<Row<Check>>>;

/// The checks that match `node-meta` and that the caller may see.
fn answer(scene: &Scene, checks: Checks, mut watches: Vec<Watch>) -> Result<Found, Stop> {
    let filter = filter::of(scene.call, &filter::CHECK)?;
    let nodes = matching_nodes(scene, &mut watches)?;
    let mut rows = Vec::new();
    let mut filtered = false;
    for row in checks {
        if nodes.as_ref().is_some_and(|nodes| !nodes.contains(&row.node.fold())) {
            continue;
        }
        let of_service = row.service.as_str();
        let seen = scene.auth.node_read(row.node.as_str())
            && (of_service.is_empty() || scene.auth.service_read(of_service));
        match seen {
            true if filter::keeps(filter, &CheckRow(row)) => rows.push(CheckShape::of(row)),
            true => {}
            false => filtered = true,
        }
    }
    let index = checks_index(scene)?;
    Ok(Found { body: Body::Json(json(&rows)), index, watches, filtered })
}

/// The index of reads of checks.
pub fn checks_index(scene: &Scene) -> Result<Index, Stop> {
    Ok(scene.view.tables().checks.max(Index(1)))
}

/// `GET node/:node`: its checks, those of its instances too.
pub fn node(scene: &Scene) -> Result<Found, Stop> {
    let name = NodeName::new(scene.name("node name")?);
    let key = NodeKey::new(scene.tenant(), &name);
    let checks = scene.view.checks_on(&key)?.value;
    answer(scene, checks, vec![Watch::Node(key)])
}

/// `GET checks/:service`: the checks of its instances.
pub fn checks(scene: &Scene) -> Result<Found, Stop> {
    let key = service_key(scene)?;
    let mut checks: Checks = Vec::new();
    for offer in scene.view.service(&key)? {
        let node = NodeKey::new(scene.tenant(), &offer.node.name);
        checks.extend(scene.view.instance_checks(&node.instance(&offer.instance.id)));
    }
    checks.sort_by_cached_key(|row| (row.node.fold(), row.id.fold()));
    answer(scene, checks, vec![Watch::Service(key)])
}

/// `GET state/:state`: all checks in it; `any` is every check.
pub fn state(scene: &Scene) -> Result<Found, Stop> {
    let state = scene.name("check state")?;
    let all = scene.view.checks(scene.tenant())?.value;
    let checks = all.into_iter().filter(|row| state == "any" || row.status.as_str() == state);
    answer(scene, checks.collect(), vec![Watch::Checks(scene.tenant())])
}
