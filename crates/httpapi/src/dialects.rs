//! The route table: one line an endpoint, data that tests walk.
//!
//! A pattern that ends in `/` takes everything below it, as in Go's `ServeMux`; the longest wins, and
//! the path without that slash is redirected to it.

use crate::admission::Class;
use crate::answer::Answer;
use crate::call::Call;
use crate::consul::blocking::{Family, Found, IndexOf, ReadDoor, Scene};
use crate::consul::error::{Problem, Stop};
use crate::consul::params::Enterprise::{self, Both, Partition, Unread};
use crate::consul::{
    absent, acl, agent, catalog, coordinate, event, hashed, health, host, kv, local_health,
    maintenance, members, metrics, operations, operator, register, session, status, txn, ui,
};
use crate::rutter::why;
use foldhash::quality::RandomState;
use seams::BoxFuture;
use std::collections::HashMap;
use std::sync::LazyLock;

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
    /// How many there are.
    pub const COUNT: usize = 5;

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
    /// Everything else; what lists or reads is made in a turn where it is long.
    Act(fn(Call) -> Acting),
    /// Waits for a change of something else than a view, and sees to its turn itself.
    Wait(fn(Call) -> Acting),
}

/// One endpoint.
pub struct Route {
    /// The path, or with a trailing slash all paths below it.
    pub pattern: &'static str,
    /// What of Consul Enterprise it refuses.
    pub enterprise: Enterprise,
    /// How urgent its reads are; or all it does, where that is a heartbeat.
    pub class: Class,
    /// Its methods in the order in which `Allow` names them.
    pub doors: &'static [(Verb, Door)],
}

const fn route(
    pattern: &'static str,
    enterprise: Enterprise,
    class: Class,
    doors: &'static [(Verb, Door)],
) -> Route {
    Route { pattern, enterprise, class, doors }
}

const fn read(family: Family, evaluate: fn(&Scene) -> Result<Found, Stop>) -> Door {
    Door::Read(ReadDoor { evaluate, family, index: None, searches: false })
}

/// A read whose answer can be kept, with what tells its index.
const fn kept(family: Family, evaluate: fn(&Scene) -> Result<Found, Stop>, index: IndexOf) -> Door {
    Door::Read(ReadDoor { evaluate, family, index: Some(index), searches: false })
}

/// A read that looks through much more than it tells.
const fn search(family: Family, evaluate: fn(&Scene) -> Result<Found, Stop>) -> Door {
    Door::Read(ReadDoor { evaluate, family, index: None, searches: true })
}

macro_rules! act {
    ($handler:path) => {
        Door::Act(|call| Box::pin($handler(call)))
    };
}

macro_rules! wait {
    ($handler:path) => {
        Door::Wait(|call| Box::pin($handler(call)))
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

use Class::{Bulk, Heartbeat, Read, Write};
use Verb::{Delete, Get, Options, Post, Put};

/// Consul's endpoints, and our own.
#[rustfmt::skip]
pub static ROUTES: &[Route] = &[
    route("/v1/agent/self", Unread, Read, &[(Get, act!(members::own))]),
    route("/v1/agent/members", Partition, Read, &[(Get, act!(members::members))]),
    route("/v1/agent/version", Unread, Read, &[(Get, act!(members::version))]),
    route("/v1/agent/metrics", Unread, Bulk, &[(Get, act!(metrics::metrics))]),
    route("/v1/agent/host", Unread, Read, &[(Get, act!(host::host))]),
    route("/v1/agent/join/", Partition, Write, &[(Put, act!(operations::join))]),
    route("/v1/agent/force-leave/", Partition, Write, &[(Put, act!(operations::force_leave))]),
    route("/v1/agent/leave", Unread, Write, &[(Put, act!(operations::leave))]),
    route("/v1/agent/reload", Unread, Write, &[(Put, act!(operations::reload))]),
    route("/v1/agent/token/", Unread, Write, &[(Put, act!(operations::token))]),
    route("/v1/agent/maintenance", Partition, Write, &[(Put, act!(maintenance::of_node))]),
    route("/v1/agent/health/service/id/", Both, Read, &[(Get, act!(local_health::by_id))]),
    route("/v1/agent/health/service/name/", Both, Read, &[(Get, act!(local_health::by_name))]),
    route("/v1/agent/monitor", Unread, Read, &[(Get, act!(absent::monitor))]),
    route("/v1/agent/services", Both, Bulk, &[(Get, act!(agent::services))]),
    route("/v1/agent/service/", Both, Read, &[(Get, wait!(hashed::service))]),
    route("/v1/agent/service/register", Both, Write, &[(Put, act!(agent::register))]),
    route("/v1/agent/service/deregister/", Both, Write, &[(Put, act!(agent::deregister))]),
    route("/v1/agent/service/maintenance/", Both, Write, &[(Put, act!(maintenance::of_instance))]),
    route("/v1/agent/checks", Both, Bulk, &[(Get, act!(agent::checks))]),
    route("/v1/agent/check/register", Both, Write, &[(Put, act!(agent::register_check))]),
    route("/v1/agent/check/deregister/", Both, Write, &[(Put, act!(agent::deregister_check))]),
    route("/v1/agent/check/pass/", Both, Heartbeat, &[(Put, act!(agent::pass))]),
    route("/v1/agent/check/warn/", Both, Heartbeat, &[(Put, act!(agent::warn))]),
    route("/v1/agent/check/fail/", Both, Heartbeat, &[(Put, act!(agent::fail))]),
    route("/v1/agent/check/update/", Both, Heartbeat, &[(Put, act!(agent::update))]),
    route("/v1/catalog/register", Both, Write, &[(Put, act!(register::register))]),
    route("/v1/catalog/deregister", Both, Write, &[(Put, act!(register::deregister))]),
    route("/v1/catalog/datacenters", Unread, Read, &[(Get, act!(catalog::datacenters))]),
    route("/v1/catalog/nodes", Partition, Bulk, &[(Get, kept(CATALOG, catalog::nodes, catalog::nodes_index))]),
    route("/v1/catalog/services", Both, Bulk, &[(Get, kept(Family::Cached, catalog::services, catalog::services_index))]),
    route("/v1/catalog/service/", Both, Read, &[(Get, kept(Family::Cached, catalog::service, catalog::service_index))]),
    route("/v1/catalog/connect/", Both, Read, &[(Get, read(CATALOG, catalog::connect))]),
    route("/v1/catalog/gateway-services/", Both, Read, &[(Get, read(CATALOG, catalog::gateway_services))]),
    route("/v1/catalog/node/", Both, Read, &[(Get, read(CATALOG, catalog::node))]),
    route("/v1/catalog/node-services/", Both, Read, &[(Get, read(CATALOG, catalog::node_services))]),
    route("/v1/coordinate/datacenters", Unread, Read, &[(Get, act!(coordinate::datacenters))]),
    route("/v1/coordinate/nodes", Partition, Bulk, &[(Get, read(PLAIN, coordinate::nodes))]),
    route("/v1/coordinate/node/", Partition, Read, &[(Get, act!(coordinate::node))]),
    route("/v1/coordinate/update", Partition, Write, &[(Put, act!(coordinate::update))]),
    route("/v1/event/fire/", Partition, Write, &[(Put, act!(event::fire))]),
    route("/v1/event/list", Partition, Bulk, &[(Get, wait!(event::list))]),
    route("/v1/health/service/", Both, Read, &[(Get, kept(Family::Streamed, health::service, health::service_index))]),
    route("/v1/health/connect/", Both, Read, &[(Get, read(CATALOG, health::connect))]),
    route("/v1/health/ingress/", Both, Read, &[(Get, read(CATALOG, health::ingress))]),
    route("/v1/health/node/", Both, Read, &[(Get, kept(CATALOG, health::node, health::checks_index))]),
    route("/v1/health/checks/", Both, Read, &[(Get, kept(CATALOG, health::checks, health::checks_index))]),
    route("/v1/health/state/", Both, Bulk, &[(Get, kept(CATALOG, health::state, health::checks_index))]),
    route("/v1/kv/", Both, Read, &[(Get, read(KV, kv::get)), (Put, act!(kv::put)), (Delete, act!(kv::delete))]),
    route("/v1/internal/ui/nodes", Partition, Bulk, &[(Get, read(PLAIN, ui::nodes))]),
    route("/v1/internal/ui/node/", Partition, Read, &[(Get, read(PLAIN, ui::node))]),
    route("/v1/internal/ui/services", Both, Bulk, &[(Get, read(PLAIN, ui::services))]),
    route("/v1/operator/raft/configuration", Unread, Read, &[(Get, act!(operator::raft_configuration))]),
    route("/v1/operator/raft/peer", Unread, Write, &[(Delete, act!(operator::remove_peer))]),
    route("/v1/operator/raft/transfer-leader", Unread, Write, &[(Post, act!(operator::transfer_leader))]),
    route("/v1/operator/autopilot/configuration", Unread, Read, &[(Get, act!(operator::autopilot)), (Put, act!(operator::configure_autopilot))]),
    route("/v1/operator/autopilot/health", Unread, Read, &[(Get, act!(operator::autopilot_health))]),
    route("/v1/operator/autopilot/state", Unread, Read, &[(Get, act!(operator::autopilot_state))]),
    route("/v1/operator/keyring", Unread, Read, &[(Get, KEYRING), (Post, KEYRING), (Put, KEYRING), (Delete, KEYRING)]),
    route("/v1/operator/usage", Unread, Bulk, &[(Get, read(CATALOG, operator::usage))]),
    route("/v1/session/create", Both, Write, &[(Put, act!(session::create))]),
    route("/v1/session/destroy/", Both, Write, &[(Put, act!(session::destroy))]),
    route("/v1/session/renew/", Both, Heartbeat, &[(Put, act!(session::renew))]),
    route("/v1/session/info/", Both, Read, &[(Get, read(PLAIN, session::info))]),
    route("/v1/session/node/", Both, Read, &[(Get, read(PLAIN, session::of_node))]),
    route("/v1/session/list", Both, Bulk, &[(Get, read(PLAIN, session::list))]),
    route("/v1/status/leader", Unread, Read, &[(Get, act!(status::leader))]),
    route("/v1/status/peers", Unread, Read, &[(Get, act!(status::peers))]),
    route("/v1/txn", Partition, Write, &[(Put, act!(txn::txn))]),
    route("/v1/rutter/why/", Unread, Bulk, &[(Get, search(PLAIN, why::why))]),
    route("/metrics", Unread, Bulk, &[(Get, act!(metrics::scrape))]),
    // What is switched off.
    route("/v1/acl/auth-method", Unread, Write, &[(Put, NO_ACL)]),
    route("/v1/acl/auth-method/", Unread, Read, &[(Get, NO_ACL), (Put, NO_ACL), (Delete, NO_ACL)]),
    route("/v1/acl/auth-methods", Unread, Read, &[(Get, NO_ACL)]),
    route("/v1/acl/binding-rule", Unread, Write, &[(Put, NO_ACL)]),
    route("/v1/acl/binding-rule/", Unread, Read, &[(Get, NO_ACL), (Put, NO_ACL), (Delete, NO_ACL)]),
    route("/v1/acl/binding-rules", Unread, Read, &[(Get, NO_ACL)]),
    route("/v1/acl/bootstrap", Unread, Write, &[(Put, NO_ACL)]),
    route("/v1/acl/login", Unread, Write, &[(Post, NO_ACL)]),
    route("/v1/acl/logout", Unread, Write, &[(Post, NO_ACL)]),
    route("/v1/acl/policies", Unread, Read, &[(Get, NO_ACL)]),
    route("/v1/acl/policy", Unread, Write, &[(Put, NO_ACL)]),
    route("/v1/acl/policy/", Unread, Read, &[(Get, NO_ACL), (Put, NO_ACL), (Delete, NO_ACL)]),
    route("/v1/acl/policy/name/", Unread, Read, &[(Get, NO_ACL)]),
    route("/v1/acl/replication", Unread, Read, &[(Get, NO_ACL)]),
    route("/v1/acl/role", Unread, Write, &[(Put, NO_ACL)]),
    route("/v1/acl/role/", Unread, Read, &[(Get, NO_ACL), (Put, NO_ACL), (Delete, NO_ACL)]),
    route("/v1/acl/role/name/", Unread, Read, &[(Get, NO_ACL)]),
    route("/v1/acl/roles", Unread, Read, &[(Get, NO_ACL)]),
    route("/v1/acl/templated-policies", Unread, Read, &[(Get, NO_ACL)]),
    route("/v1/acl/templated-policy/name/", Unread, Read, &[(Get, NO_ACL)]),
    route("/v1/acl/templated-policy/preview/", Unread, Write, &[(Post, NO_ACL)]),
    route("/v1/acl/token", Unread, Write, &[(Put, NO_ACL)]),
    route("/v1/acl/token/", Unread, Read, &[(Get, NO_ACL), (Put, NO_ACL), (Delete, NO_ACL)]),
    route("/v1/acl/token/self", Unread, Read, &[(Get, NO_ACL)]),
    route("/v1/acl/tokens", Unread, Read, &[(Get, NO_ACL)]),
    route("/v1/internal/acl/authorize", Unread, Write, &[(Post, NO_ACL)]),
    route("/v1/agent/connect/authorize", Unread, Write, &[(Post, NO_MESH)]),
    route("/v1/agent/connect/ca/leaf/", Unread, Read, &[(Get, NO_MESH)]),
    route("/v1/agent/connect/ca/roots", Unread, Read, &[(Get, NO_MESH)]),
    route("/v1/connect/ca/configuration", Unread, Read, &[(Get, NO_MESH), (Put, NO_MESH)]),
    route("/v1/connect/ca/roots", Unread, Read, &[(Get, NO_MESH)]),
    // What comes later: empty where that is true, else refused.
    route("/v1/config", Unread, Write, &[(Put, LATER)]),
    route("/v1/config/", Both, Read, &[(Get, read(PLAIN, absent::config)), (Delete, LATER)]),
    route("/v1/connect/intentions", Both, Read, &[(Get, read(PLAIN, absent::none)), (Post, LATER)]),
    route("/v1/connect/intentions/", Unread, Read, &[(Get, LATER), (Put, LATER), (Delete, LATER)]),
    route("/v1/connect/intentions/check", Unread, Read, &[(Get, LATER)]),
    route("/v1/connect/intentions/exact", Unread, Read, &[(Get, LATER), (Put, LATER), (Delete, LATER)]),
    route("/v1/connect/intentions/match", Unread, Read, &[(Get, LATER)]),
    route("/v1/discovery-chain/", Unread, Read, &[(Get, LATER), (Post, LATER)]),
    route("/v1/exported-services", Partition, Read, &[(Get, read(PLAIN, absent::none))]),
    route("/v1/internal/federation-state/", Unread, Read, &[(Get, LATER)]),
    route("/v1/internal/federation-states", Unread, Read, &[(Get, LATER)]),
    route("/v1/internal/federation-states/mesh-gateways", Unread, Read, &[(Get, LATER)]),
    route("/v1/internal/service-virtual-ip", Unread, Write, &[(Put, LATER)]),
    route("/v1/internal/ui/catalog-overview", Unread, Read, &[(Get, LATER)]),
    route("/v1/internal/ui/exported-services", Partition, Read, &[(Get, read(PLAIN, absent::exported_to_peer))]),
    route("/v1/internal/ui/gateway-intentions/", Unread, Read, &[(Get, LATER)]),
    route("/v1/internal/ui/gateway-services-nodes/", Unread, Read, &[(Get, LATER)]),
    route("/v1/internal/ui/metrics-proxy/", Unread, Read, &[(Get, LATER)]),
    route("/v1/internal/ui/service-topology/", Unread, Read, &[(Get, LATER)]),
    route("/v1/peering/", Unread, Read, &[(Get, LATER), (Delete, LATER)]),
    route("/v1/peering/establish", Unread, Write, &[(Post, LATER)]),
    route("/v1/peering/token", Unread, Write, &[(Post, LATER)]),
    route("/v1/peerings", Partition, Read, &[(Get, read(PLAIN, absent::none))]),
    route("/v1/query", Partition, Read, &[(Get, read(CATALOG, absent::none)), (Post, LATER)]),
    route("/v1/query/", Partition, Read, &[(Options, act!(absent::query_methods)), (Get, act!(absent::query)), (Put, LATER), (Delete, LATER)]),
    route("/v1/snapshot", Unread, Read, &[(Get, LATER), (Put, LATER)]),
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
    /// Where in the table it stands.
    pub fn number(&self) -> usize {
        let offset = std::ptr::from_ref(self).addr() - ROUTES.as_ptr().addr();
        offset / size_of::<Route>()
    }

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

    /// How urgent a request of this method is.
    pub fn class_of(&self, verb: Verb) -> Class {
        match (self.class, verb) {
            (Heartbeat, _) => Heartbeat,
            (class, Get | Options) => class,
            _ => Write,
        }
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

/// The endpoints by their patterns.
static BY_PATTERN: LazyLock<HashMap<&str, &Route, RandomState>> =
    LazyLock::new(|| ROUTES.iter().map(|route| (route.pattern, route)).collect());

/// Finds the endpoint of a raw, clean path.
pub fn find(path: &str) -> Place<'_> {
    if let Some(route) = BY_PATTERN.get(path) {
        return Place::Route(route, "");
    }
    for (at, _) in path.rmatch_indices('/') {
        let (prefix, rest) = path.split_at(at + 1);
        if let Some(route) = BY_PATTERN.get(prefix) {
            return Place::Route(route, rest);
        }
    }
    match BY_PATTERN.contains_key(format!("{path}/").as_str()) {
        true => Place::Slash,
        false => Place::Nowhere,
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
    fn what_tells_that_something_lives_goes_before_what_lists_everything() {
        for (path, verb, class) in [
            ("/v1/agent/check/pass/x", Put, Heartbeat),
            ("/v1/agent/check/update/x", Put, Heartbeat),
            ("/v1/session/renew/x", Put, Heartbeat),
            ("/v1/agent/service/register", Put, Write),
            ("/v1/txn", Put, Write),
            ("/v1/kv/a", Put, Write),
            ("/v1/kv/a", Get, Read),
            ("/v1/health/service/web", Get, Read),
            ("/v1/agent/services", Get, Bulk),
            ("/v1/health/state/any", Get, Bulk),
            ("/v1/catalog/nodes", Get, Bulk),
            ("/v1/rutter/why/web", Get, Bulk),
            ("/v1/agent/health/service/name/web", Get, Read),
            ("/v1/agent/health/service/id/web", Get, Read),
            ("/v1/agent/metrics", Get, Bulk),
            ("/metrics", Get, Bulk),
            ("/v1/event/list", Get, Bulk),
        ] {
            let Place::Route(route, _) = find(path) else { panic!("{path} leads nowhere") };
            assert_eq!(route.class_of(verb), class, "{path}");
        }
        assert!(Heartbeat < Write && Write < Read && Read < Bulk);
    }

    #[test]
    fn a_search_always_takes_a_turn() {
        let searches = |route: &&Route| {
            let is = |door: &Door| matches!(door, Door::Read(read) if read.searches);
            route.doors.iter().any(|(_, door)| is(door))
        };
        let patterns: Vec<_> = ROUTES.iter().filter(searches).map(|route| route.pattern).collect();
        assert_eq!(patterns, ["/v1/rutter/why/"]);
    }

    #[test]
    fn no_pattern_stands_twice() {
        for (n, route) in ROUTES.iter().enumerate() {
            assert_eq!(route.number(), n);
            assert!(!ROUTES[..n].iter().any(|r| r.pattern == route.pattern), "{}", route.pattern);
        }
    }
}
