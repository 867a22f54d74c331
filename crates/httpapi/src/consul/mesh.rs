//! Who answers for a service in a mesh: its instances that speak it themselves, and the proxies before it.
//!
//! Nobody here runs a mesh; this tells apart what others registered for theirs. A proxy has a service
//! name of its own, so who answers is looked for among all instances, and an answer is waited for under
//! every name it was found at, and under all, since a proxy may come under any.

use super::blocking::Scene;
use super::error::Stop;
use super::proxy::Block;
use catalog::{Offer, ServiceKey, ServiceMark, Watch};
use lang::json::{Json, parse};
use model::{Folded, Index, Instance};
use std::collections::BTreeSet;

/// The kind of a proxy before one service.
pub const CONNECT_PROXY: &str = "connect-proxy";

/// The kinds of gateways.
pub const GATEWAYS: [&str; 4] =
    ["mesh-gateway", "terminating-gateway", "ingress-gateway", "api-gateway"];

/// Whether an instance speaks the mesh's language itself.
pub fn is_native(instance: &Instance) -> bool {
    let Some(block) = &instance.connect else { return false };
    match parse(block.0.as_bytes()) {
        Ok(Json::Object(members)) => {
            members.iter().any(|(key, value)| key == "Native" && *value == Json::Bool(true))
        }
        _ => false,
    }
}

/// The service that a proxy stands before.
pub fn destination(instance: &Instance) -> Option<String> {
    let proxy = instance.kind == CONNECT_PROXY;
    let block = proxy.then(|| Block::of(instance.proxy.as_ref()))?;
    block.text("DestinationServiceName").map(str::to_owned)
}

/// The service that an instance answers for in a mesh.
fn answers_for(instance: &Instance) -> Option<Folded> {
    match destination(instance) {
        Some(name) => Some(Folded::new(&name)),
        None => is_native(instance).then(|| instance.service.fold()),
    }
}

/// Who answers for a service.
pub struct Fronts<'v> {
    /// The instances, by folded node name, then folded id.
    pub offers: Vec<Offer<'v>>,
    /// What to wait for.
    pub watches: Vec<Watch>,
    /// The index of the last change.
    pub index: Index,
}

/// Finds them; `mark` is the index of each of their services that counts.
pub fn fronts<'v>(
    scene: &Scene<'v>,
    key: &ServiceKey,
    mark: fn(&ServiceMark) -> Index,
) -> Result<Fronts<'v>, Stop> {
    let (view, tenant) = (scene.view, scene.tenant());
    let is_front = |instance: &Instance| answers_for(instance).as_ref() == Some(&key.service);
    let all = view.services(tenant)?;
    let names: BTreeSet<ServiceKey> = (all.value.iter())
        .filter(|row| is_front(row))
        .map(|row| ServiceKey::new(tenant, &row.service))
        .collect();
    let mut offers = Vec::new();
    let mut index = mark(&view.service_mark(key)?);
    let asked = scene.call.query.given("index").and_then(|index| index.parse().ok());
    // Where nobody answers, the service alone tells, as in Consul. Who has seen a later index has seen
    // somebody answer, and must not wait for an index that fell.
    if !names.is_empty() || asked.is_some_and(|asked: u64| asked > index.0) {
        index = index.max(all.index);
    }
    let mut watches = vec![Watch::Service(key.clone()), Watch::Services(tenant)];
    for name in names {
        offers.extend(view.service(&name)?.into_iter().filter(|offer| is_front(offer.instance)));
        index = index.max(mark(&view.service_mark(&name)?));
        if name != *key {
            watches.push(Watch::Service(name));
        }
    }
    offers.sort_by_cached_key(|offer| (offer.node.name.fold(), offer.instance.id.fold()));
    Ok(Fronts { offers, watches, index })
}
