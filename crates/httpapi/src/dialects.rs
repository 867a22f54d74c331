//! The route table: one line an endpoint, data that tests walk.
//!
//! A pattern that ends in `/` takes everything below it, as in Go's `ServeMux`; the longest wins, and
//! the path without that slash is redirected to it.

use crate::answer::Answer;
use crate::call::Call;
use crate::consul::blocking::{Family, Found, ReadDoor, Scene};
use crate::consul::error::{Problem, Stop};
use crate::consul::params::Enterprise::{self, Both, Partition, Unread};
use crate::consul::{
    absent, acl, agent, catalog, coordinate, event, hashed, health, host, kv, local_health,
    maintenance, members, metrics, operations, operator, register, session, status, txn, ui,
};
use seams::BoxFuture;

/// A method that some endpoint takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// GET.
    Get,
    /// PUT.
    Put,
    /// POST.
    Post,
    /// DELETE.
    Delete,
    /// OPTIONS, where it is answered otherwise than everywhere; `Allow` names it first anyway.
    Options,
}

impl Verb {
    /// The method's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Get => "GET",
            Put => "PUT",
            Post => "POST",
            Delete => "DELETE",
            Options => "OPTIONS",
        }
    }
}

/// The future of a handler that does something.
pub type Acting = BoxFuture<'static, Result<Answer, Problem>>;

/// What stands behind a method of an endpoint.
#[derive(Clone, Copy)]
pub enum Door {
    /// A read of a view, which can block.
    Read(ReadDoor),
    /// Everything else.
    Act(fn(Call) -> Acting),
}

/// One endpoint.
pub struct Route {
    /// The path, or with a trailing slash all paths below it.
    pub pattern: &'static str,
    /// What of Consul Enterprise it refuses.
    pub enterprise: Enterprise,
    /// Its methods in the order in which `Allow` names them.
    pub doors: &'static [(Verb, Door)],
}

const fn route(
    pattern: &'static str,
    enterprise: Enterprise,
    doors: &'static [(Verb, Door)],
) -> Route {
    Route { pattern, enterprise, doors }
}

const fn read(family: Family, evaluate: fn(&Scene) -> Result<Found, Stop>) -> Door {
    Door::Read(ReadDoor { evaluate, family })
}

macro_rules! act {
    ($handler:path) => {
        Door::Act(|call| Box::pin($handler(call)))
    };
}

/// Gossip has no keys.
const KEYRING: Door = act!(operator::keyring);
/// There are no ACLs.
const NO_ACL: Door = act!(acl::disabled);
/// Consul has it and this version does not.
const LATER: Door = act!(absent::later);
/// There is no mesh.
const NO_MESH: Door = act!(absent::no_mesh);

const CATALOG: Family = Family::Catalog;
const KV: Family = Family::Kv;
const PLAIN: Family = Family::Plain;

use Verb::{Delete, Get, Options, Post, Put};

/// Consul's endpoints.
#[rustfmt::skip]
pub static ROUTES: &[Route] = &[
    route("/v1/agent/self", Unread, &[(Get, act!(members::own))]),
    route("/v1/agent/members", Partition, &[(Get, act!(members::members))]),
    route("/v1/agent/version", Unread, &[(Get, act!(members::version))]),
    route("/v1/agent/metrics", Unread, &[(Get, act!(metrics::metrics))]),
    route("/v1/agent/host", Unread, &[(Get, act!(host::host))]),
    route("/v1/agent/join/", Partition, &[(Put, act!(operations::join))]),
    route("/v1/agent/force-leave/", Partition, &[(Put, act!(operations::force_leave))]),
    route("/v1/agent/leave", Unread, &[(Put, act!(operations::leave))]),
    route("/v1/agent/reload", Unread, &[(Put, act!(operations::reload))]),
    route("/v1/agent/token/", Unread, &[(Put, act!(operations::token))]),
    route("/v1/agent/maintenance", Partition, &[(Put, act!(maintenance::of_node))]),
    route("/v1/agent/health/service/id/", Both, &[(Get, act!(local_health::by_id))]),
    route("/v1/agent/health/service/name/", Both, &[(Get, act!(local_health::by_name))]),
    route("/v1/agent/monitor", Unread, &[(Get, act!(absent::monitor))]),
    route("/v1/agent/services", Both, &[(Get, act!(agent::services))]),
    route("/v1/agent/service/", Both, &[(Get, act!(hashed::service))]),
    route("/v1/agent/service/register", Both, &[(Put, act!(agent::register))]),
    route("/v1/agent/service/deregister/", Both, &[(Put, act!(agent::deregister))]),
    route("/v1/agent/service/maintenance/", Both, &[(Put, act!(maintenance::of_instance))]),
    route("/v1/agent/checks", Both, &[(Get, act!(agent::checks))]),
    route("/v1/agent/check/register", Both, &[(Put, act!(agent::register_check))]),
    route("/v1/agent/check/deregister/", Both, &[(Put, act!(agent::deregister_check))]),
    route("/v1/agent/check/pass/", Both, &[(Put, act!(agent::pass))]),
    route("/v1/agent/check/warn/", Both, &[(Put, act!(agent::warn))]),
    route("/v1/agent/check/fail/", Both, &[(Put, act!(agent::fail))]),
    route("/v1/agent/check/update/", Both, &[(Put, act!(agent::update))]),
    route("/v1/catalog/register", Both, &[(Put, act!(register::register))]),
    route("/v1/catalog/deregister", Both, &[(Put, act!(register::deregister))]),
    route("/v1/catalog/datacenters", Unread, &[(Get, act!(catalog::datacenters))]),
    route("/v1/catalog/nodes", Partition, &[(Get, read(CATALOG, catalog::nodes))]),
    route("/v1/catalog/services", Both, &[(Get, read(Family::Cached, catalog::services))]),
    route("/v1/catalog/service/", Both, &[(Get, read(Family::Cached, catalog::service))]),
    route("/v1/catalog/connect/", Both, &[(Get, read(CATALOG, catalog::connect))]),
    route("/v1/catalog/gateway-services/", Both, &[(Get, read(CATALOG, catalog::gateway_services))]),
    route("/v1/catalog/node/", Both, &[(Get, read(CATALOG, catalog::node))]),
    route("/v1/catalog/node-services/", Both, &[(Get, read(CATALOG, catalog::node_services))]),
    route("/v1/coordinate/datacenters", Unread, &[(Get, act!(coordinate::datacenters))]),
    route("/v1/coordinate/nodes", Partition, &[(Get, read(PLAIN, coordinate::nodes))]),
    route("/v1/coordinate/node/", Partition, &[(Get, act!(coordinate::node))]),
    route("/v1/coordinate/update", Partition, &[(Put, act!(coordinate::update))]),
    route("/v1/event/fire/", Partition, &[(Put, act!(event::fire))]),
    route("/v1/event/list", Partition, &[(Get, act!(event::list))]),
    route("/v1/health/service/", Both, &[(Get, read(Family::Streamed, health::service))]),
    route("/v1/health/connect/", Both, &[(Get, read(CATALOG, health::connect))]),
    route("/v1/health/ingress/", Both, &[(Get, read(CATALOG, health::ingress))]),
    route("/v1/health/node/", Both, &[(Get, read(CATALOG, health::node))]),
    route("/v1/health/checks/", Both, &[(Get, read(CATALOG, health::checks))]),
    route("/v1/health/state/", Both, &[(Get, read(CATALOG, health::state))]),
    route("/v1/kv/", Both, &[(Get, read(KV, kv::get)), (Put, act!(kv::put)), (Delete, act!(kv::delete))]),
    route("/v1/internal/ui/nodes", Partition, &[(Get, read(PLAIN, ui::nodes))]),
    route("/v1/internal/ui/node/", Partition, &[(Get, read(PLAIN, ui::node))]),
    route("/v1/internal/ui/services", Both, &[(Get, read(PLAIN, ui::services))]),
    route("/v1/operator/raft/configuration", Unread, &[(Get, act!(operator::raft_configuration))]),
    route("/v1/operator/raft/peer", Unread, &[(Delete, act!(operator::remove_peer))]),
    route("/v1/operator/raft/transfer-leader", Unread, &[(Post, act!(operator::transfer_leader))]),
    route("/v1/operator/autopilot/configuration", Unread, &[(Get, act!(operator::autopilot)), (Put, act!(operator::configure_autopilot))]),
    route("/v1/operator/autopilot/health", Unread, &[(Get, act!(operator::autopilot_health))]),
    route("/v1/operator/autopilot/state", Unread, &[(Get, act!(operator::autopilot_state))]),
    route("/v1/operator/keyring", Unread, &[(Get, KEYRING), (Post, KEYRING), (Put, KEYRING), (Delete, KEYRING)]),
    route("/v1/operator/usage", Unread, &[(Get, read(CATALOG, operator::usage))]),
    route("/v1/session/create", Both, &[(Put, act!(session::create))]),
    route("/v1/session/destroy/", Both, &[(Put, act!(session::destroy))]),
    route("/v1/session/renew/", Both, &[(Put, act!(session::renew))]),
    route("/v1/session/info/", Both, &[(Get, read(PLAIN, session::info))]),
    route("/v1/session/node/", Both, &[(Get, read(PLAIN, session::of_node))]),
    route("/v1/session/list", Both, &[(Get, read(PLAIN, session::list))]),
    route("/v1/status/leader", Unread, &[(Get, act!(status::leader))]),
    route("/v1/status/peers", Unread, &[(Get, act!(status::peers))]),
    route("/v1/txn", Partition, &[(Put, act!(txn::txn))]),
    route("/metrics", Unread, &[(Get, act!(metrics::scrape))]),
    // What is switched off.
    route("/v1/acl/auth-method", Unread, &[(Put, NO_ACL)]),
    route("/v1/acl/auth-method/", Unread, &[(Get, NO_ACL), (Put, NO_ACL), (Delete, NO_ACL)]),
    route("/v1/acl/auth-methods", Unread, &[(Get, NO_ACL)]),
    route("/v1/acl/binding-rule", Unread, &[(Put, NO_ACL)]),
    route("/v1/acl/binding-rule/", Unread, &[(Get, NO_ACL), (Put, NO_ACL), (Delete, NO_ACL)]),
    route("/v1/acl/binding-rules", Unread, &[(Get, NO_ACL)]),
    route("/v1/acl/bootstrap", Unread, &[(Put, NO_ACL)]),
    route("/v1/acl/login", Unread, &[(Post, NO_ACL)]),
    route("/v1/acl/logout", Unread, &[(Post, NO_ACL)]),
    route("/v1/acl/policies", Unread, &[(Get, NO_ACL)]),
    route("/v1/acl/policy", Unread, &[(Put, NO_ACL)]),
    route("/v1/acl/policy/", Unread, &[(Get, NO_ACL), (Put, NO_ACL), (Delete, NO_ACL)]),
    route("/v1/acl/policy/name/", Unread, &[(Get, NO_ACL)]),
    route("/v1/acl/replication", Unread, &[(Get, NO_ACL)]),
    route("/v1/acl/role", Unread, &[(Put, NO_ACL)]),
    route("/v1/acl/role/", Unread, &[(Get, NO_ACL), (Put, NO_ACL), (Delete, NO_ACL)]),
    route("/v1/acl/role/name/", Unread, &[(Get, NO_ACL)]),
    route("/v1/acl/roles", Unread, &[(Get, NO_ACL)]),
    route("/v1/acl/templated-policies", Unread, &[(Get, NO_ACL)]),
    route("/v1/acl/templated-policy/name/", Unread, &[(Get, NO_ACL)]),
    route("/v1/acl/templated-policy/preview/", Unread, &[(Post, NO_ACL)]),
    route("/v1/acl/token", Unread, &[(Put, NO_ACL)]),
    route("/v1/acl/token/", Unread, &[(Get, NO_ACL), (Put, NO_ACL), (Delete, NO_ACL)]),
    route("/v1/acl/token/self", Unread, &[(Get, NO_ACL)]),
    route("/v1/acl/tokens", Unread, &[(Get, NO_ACL)]),
    route("/v1/internal/acl/authorize", Unread, &[(Post, NO_ACL)]),
    route("/v1/agent/connect/authorize", Unread, &[(Post, NO_MESH)]),
    route("/v1/agent/connect/ca/leaf/", Unread, &[(Get, NO_MESH)]),
    route("/v1/agent/connect/ca/roots", Unread, &[(Get, NO_MESH)]),
    route("/v1/connect/ca/configuration", Unread, &[(Get, NO_MESH), (Put, NO_MESH)]),
    route("/v1/connect/ca/roots", Unread, &[(Get, NO_MESH)]),
    // What comes later: empty where that is true, else refused.
    route("/v1/config", Unread, &[(Put, LATER)]),
    route("/v1/config/", Both, &[(Get, read(PLAIN, absent::config)), (Delete, LATER)]),
    route("/v1/connect/intentions", Both, &[(Get, read(PLAIN, absent::none)), (Post, LATER)]),
    route("/v1/connect/intentions/", Unread, &[(Get, LATER), (Put, LATER), (Delete, LATER)]),
    route("/v1/connect/intentions/check", Unread, &[(Get, LATER)]),
    route("/v1/connect/intentions/exact", Unread, &[(Get, LATER), (Put, LATER), (Delete, LATER)]),
    route("/v1/connect/intentions/match", Unread, &[(Get, LATER)]),
    route("/v1/discovery-chain/", Unread, &[(Get, LATER), (Post, LATER)]),
    route("/v1/exported-services", Partition, &[(Get, read(PLAIN, absent::none))]),
    route("/v1/internal/federation-state/", Unread, &[(Get, LATER)]),
    route("/v1/internal/federation-states", Unread, &[(Get, LATER)]),
    route("/v1/internal/federation-states/mesh-gateways", Unread, &[(Get, LATER)]),
    route("/v1/internal/service-virtual-ip", Unread, &[(Put, LATER)]),
    route("/v1/internal/ui/catalog-overview", Unread, &[(Get, LATER)]),
    route("/v1/internal/ui/exported-services", Partition, &[(Get, read(PLAIN, absent::exported_to_peer))]),
    route("/v1/internal/ui/gateway-intentions/", Unread, &[(Get, LATER)]),
    route("/v1/internal/ui/gateway-services-nodes/", Unread, &[(Get, LATER)]),
    route("/v1/internal/ui/metrics-proxy/", Unread, &[(Get, LATER)]),
    route("/v1/internal/ui/service-topology/", Unread, &[(Get, LATER)]),
    route("/v1/peering/", Unread, &[(Get, LATER), (Delete, LATER)]),
    route("/v1/peering/establish", Unread, &[(Post, LATER)]),
    route("/v1/peering/token", Unread, &[(Post, LATER)]),
    route("/v1/peerings", Partition, &[(Get, read(PLAIN, absent::none))]),
    route("/v1/query", Partition, &[(Get, read(CATALOG, absent::none)), (Post, LATER)]),
    route("/v1/query/", Partition, &[(Options, act!(absent::query_methods)), (Get, act!(absent::query)), (Put, LATER), (Delete, LATER)]),
    route("/v1/snapshot", Unread, &[(Get, LATER), (Put, LATER)]),
];

/// Methods that Consul refuses and some client sends: (pattern, method, what it is taken for). They
/// are taken and not told of by `Allow`.
const TOLERATED: &[(&str, Verb, Verb)] = &[
    // Spring Cloud Consul fires by POST.
    ("/v1/event/fire/", Post, Put),
    // Consul's own documents have said PUT.
    ("/v1/operator/raft/transfer-leader", Put, Post),
];

impl Route {
    /// What stands behind a method, and which one it is taken for.
    pub fn door(&self, method: &str) -> Option<(Verb, Door)> {
        let named = |method: &str| self.doors.iter().find(|(verb, _)| verb.as_str() == method);
        let tolerated = || {
            let mut rows = TOLERATED.iter();
            let is = |pattern: &str, verb: Verb| pattern == self.pattern && verb.as_str() == method;
            rows.find(|(pattern, verb, _)| is(pattern, *verb)).and_then(|row| named(row.2.as_str()))
        };
        named(method).or_else(tolerated).copied()
    }

    /// Its methods as `Allow` names them.
    pub fn allowed(&self) -> String {
        let told = self.doors.iter().map(|(verb, _)| *verb).filter(|verb| *verb != Options);
        let told = std::iter::once(Options).chain(told).map(Verb::as_str);
        told.collect::<Vec<_>>().join(",")
    }
}

/// All endpoints as (pattern, method), for documents and for tests that knock on every door.
pub fn endpoints() -> impl Iterator<Item = (&'static str, &'static str)> {
    ROUTES
        .iter()
        .flat_map(|route| route.doors.iter().map(|(verb, _)| (route.pattern, verb.as_str())))
        .filter(|(_, method)| *method != Options.as_str())
}

/// Where a path leads.
pub enum Place<'p> {
    /// To an endpoint; the rest of the path is still encoded.
    Route(&'static Route, &'p str),
    /// To the same path with a slash.
    Slash,
    /// Nowhere.
    Nowhere,
}

/// Finds the endpoint of a raw, clean path.
pub fn find(path: &str) -> Place<'_> {
    if let Some(route) = ROUTES.iter().find(|route| route.pattern == path) {
        return Place::Route(route, "");
    }
    let below = ROUTES.iter().filter(|route| route.pattern.ends_with('/'));
    let below = below.filter_map(|route| Some((route, path.strip_prefix(route.pattern)?)));
    if let Some((route, rest)) = below.min_by_key(|(_, rest)| rest.len()) {
        return Place::Route(route, rest);
    }
    let slashed = |route: &&Route| route.pattern.strip_suffix('/') == Some(path);
    match ROUTES.iter().find(slashed) {
        Some(_) => Place::Slash,
        None => Place::Nowhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expected: Option<(&str, &str)>) {
        let found = match find(path) {
            Place::Route(route, rest) => Some((route.pattern, rest)),
            Place::Slash => Some(("slash", "")),
            Place::Nowhere => None,
        };
        assert_eq!(found, expected, "{path}");
    }

    #[test]
    fn the_longest_pattern_wins() {
        check("/v1/kv/a/b", Some(("/v1/kv/", "a/b")));
        check("/v1/kv/", Some(("/v1/kv/", "")));
        check("/v1/kv", Some(("slash", "")));
        check("/v1/agent/service/register", Some(("/v1/agent/service/register", "")));
        check("/v1/agent/service/deregister/x", Some(("/v1/agent/service/deregister/", "x")));
        check("/v1/agent/service/x", Some(("/v1/agent/service/", "x")));
        check("/v1/status/leader/", None);
        check("/v1/catalog", None);
        check("/", None);
    }

    #[test]
    fn no_pattern_stands_twice() {
        for (n, route) in ROUTES.iter().enumerate() {
            assert!(!ROUTES[..n].iter().any(|r| r.pattern == route.pattern), "{}", route.pattern);
        }
    }
}
