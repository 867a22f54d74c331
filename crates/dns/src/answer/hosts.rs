//! Addresses that are host names: a CNAME, and what we ourselves know of its target.
//!
//! | asked about | what is told of the target |
//! |---|---|
//! | a service | addresses and aliases with the service's TTL; at most five without EDNS |
//! | a node | all that ANY would give, texts too, each with its own TTL |
//!
//! A target that is not in the zone, unknown, or too deep is left to the asker.

use super::reason::Cut;
use super::{Answer, Context};
use crate::encoded::{NodeFacts, ServiceRow};
use crate::naming::{Lookup, consul};
use crate::pick::Want;
use crate::zone::Place;
use dnswire::{Name, Owner, Section, rtype};
use std::net::IpAddr;

/// How many targets are looked up one after the other.
const DEPTH: usize = 3;

/// How many records of a service's target are told without EDNS.
const MOST: usize = 5;

/// A host name that was written, and those that led to it.
#[derive(Clone, Copy)]
struct Trail<'t> {
    host: &'t [u8],
    before: Option<&'t Trail<'t>>,
}

impl<'t> Trail<'t> {
    fn steps(&self) -> impl Iterator<Item = &Trail<'t>> {
        std::iter::successors(Some(self), |step| step.before)
    }

    /// Length bytes are no letters, so that wire forms compare as names do.
    fn has(&self, host: &[u8]) -> bool {
        self.steps().any(|step| step.host.eq_ignore_ascii_case(host))
    }
}

/// What may be told of a target, and where.
struct Extras {
    section: Section,
    /// The TTL of all of it; each record's own without.
    ttl: Option<u32>,
    /// How many more records.
    left: usize,
    texts: bool,
}

/// What a host name of the zone means.
enum Known<'a> {
    Node(&'a NodeFacts),
    /// Of a service, those with a tag or all.
    Service(&'a ServiceRow, Option<u64>),
    Address(IpAddr),
}

impl<'a> Answer<'a, '_, '_> {
    /// A service's alias: `owner` CNAME `host` and what is known of `host`, into the answer.
    pub(super) fn put_service_alias(&mut self, host: &[u8], ttl: u32) {
        self.put_alias(host, ttl, self.service_extras(Section::Answer, ttl));
    }

    /// A node's.
    pub(super) fn put_node_alias(&mut self, host: &[u8], ttl: u32) {
        let section = Section::Answer;
        self.put_alias(host, ttl, Extras { section, ttl: None, left: usize::MAX, texts: true });
    }

    /// The glue of an SRV record whose target `host` stands at `at`.
    pub(super) fn put_host_glue(&mut self, host: &[u8], at: usize, ttl: u32) {
        let mut extras = self.service_extras(Section::Additional, ttl);
        self.put_target(at, Trail { host, before: None }, &mut extras);
    }

    fn service_extras(&self, section: Section, ttl: u32) -> Extras {
        let left = if self.question.edns.is_some() { usize::MAX } else { MOST };
        Extras { section, ttl: Some(ttl), left, texts: false }
    }

    fn put_alias(&mut self, host: &[u8], ttl: u32, mut extras: Extras) {
        match self.writer.record(Section::Answer, Owner::Question, rtype::CNAME, ttl, &[host]) {
            Ok(at) => self.put_target(at, Trail { host, before: None }, &mut extras),
            Err(_) => self.overflow(Cut::Size),
        }
    }

    /// Writes what is known of the trail's host, which stands at `at`.
    fn put_target(&mut self, at: usize, trail: Trail<'_>, extras: &mut Extras) {
        let owner = Owner::Earlier { at, copy: trail.host, suffix: None };
        match self.known(trail.host) {
            Some(Known::Node(node)) => self.put_node_target(owner, node, trail, extras),
            Some(Known::Service(service, tag)) => {
                self.put_service_target(owner, service, tag, trail, extras);
            }
            Some(Known::Address(ip)) => {
                self.put_extra_address(owner, ip, self.context.zone.node_ttl, extras);
            }
            None => {}
        }
    }

    /// What we ourselves know of a host name, if anything.
    fn known(&self, host: &[u8]) -> Option<Known<'a>> {
        let Context { zone, picture, .. } = self.context;
        let name = Name::parse(host).ok()?;
        let Place::Inside(suffix) = zone.place(&name) else { return None };
        let is_here = |named| self.is_here(named) == Ok(true);
        match consul::parse(&name, suffix.before, rtype::ANY) {
            Lookup::Node { node, datacenter } if is_here(datacenter) => {
                picture.node(node).map(Known::Node)
            }
            Lookup::Service { service, tag, datacenter } if is_here(datacenter) => {
                let tag = (!tag.is_empty()).then(|| picture.tag(tag));
                picture.service(service).map(|service| Known::Service(service, tag))
            }
            Lookup::Address(ip) => Some(Known::Address(ip)),
            _ => None,
        }
    }

    /// Whether there is something to tell of the trail's host that was not told yet.
    fn leads_on(&self, trail: Trail<'_>, extras: &Extras) -> bool {
        match self.known(trail.host) {
            Some(Known::Node(node)) => {
                let next = node.addresses.host.as_ref().is_some_and(|next| !trail.has(next));
                let texts = extras.texts && node.text_count > 0;
                node.addresses.any.is_some() || next || texts
            }
            Some(Known::Service(service, tag)) => service.chunks.iter().any(|chunk| {
                let addresses = chunk.offered(tag) & chunk.ip;
                addresses != 0 || chunk.hosts(tag).any(|next| !trail.has(next))
            }),
            Some(Known::Address(_)) => true,
            None => false,
        }
    }

    fn put_node_target(
        &mut self,
        owner: Owner<'_>,
        node: &NodeFacts,
        trail: Trail<'_>,
        extras: &mut Extras,
    ) {
        let ttl = self.context.zone.node_ttl;
        match (node.addresses.any, &node.addresses.host) {
            (Some(ip), _) => self.put_extra_address(owner, ip, ttl, extras),
            (None, Some(next)) => self.put_next(owner, next, ttl, trail, extras),
            (None, None) => {}
        }
        if !extras.texts {
            return;
        }
        for text in node.texts() {
            if !self.has_place(extras) {
                return;
            }
            let written = self.writer.record(extras.section, owner, rtype::TXT, ttl, &[text]);
            self.note(written.is_ok(), extras);
        }
    }

    fn put_service_target(
        &mut self,
        owner: Owner<'_>,
        service: &ServiceRow,
        tag: Option<u64>,
        trail: Trail<'_>,
        extras: &mut Extras,
    ) {
        let selected = self.scratch.select(service, tag, Want::Ip);
        if selected.wanted == 0 {
            self.scratch.select(service, tag, Want::Host);
            let Some(place) = self.scratch.pick(service) else { return };
            if service.has_several_hosts(tag) {
                self.shorten_uncounted(Cut::OneAlias);
            }
            let (chunk, row) = place.find(service);
            if let Some(next) = chunk.host_name(row) {
                self.put_next(owner, next, service.ttl, trail, extras);
            }
            return;
        }
        let mut most = self.most_addresses();
        while let Some(place) = self.scratch.pick(service) {
            let Some(ip) = place.find(service).1.any() else { continue };
            if !self.scratch.is_new(service, super::service::key(ip)) {
                continue;
            }
            if most == 0 {
                return self.shorten_uncounted(Cut::Addresses);
            }
            if !self.has_place(extras) {
                return;
            }
            self.put_extra_address(owner, ip, service.ttl, extras);
            most -= 1;
        }
    }

    fn put_next(
        &mut self,
        owner: Owner<'_>,
        next: &[u8],
        ttl: u32,
        trail: Trail<'_>,
        extras: &mut Extras,
    ) {
        if trail.has(next) || !self.has_place(extras) {
            return;
        }
        let ttl = extras.ttl.unwrap_or(ttl);
        let written = self.writer.record(extras.section, owner, rtype::CNAME, ttl, &[next]);
        self.note(written.is_ok(), extras);
        let Ok(at) = written else { return };
        let next = Trail { host: next, before: Some(&trail) };
        if trail.steps().count() < DEPTH {
            self.put_target(at, next, extras);
        } else if self.leads_on(next, extras) {
            self.shorten_uncounted(Cut::Depth);
        }
    }

    fn put_extra_address(&mut self, owner: Owner<'_>, ip: IpAddr, ttl: u32, extras: &mut Extras) {
        if self.has_place(extras) {
            let ttl = extras.ttl.unwrap_or(ttl);
            let written = self.put_address(extras.section, owner, ip, ttl);
            self.note(written, extras);
        }
    }

    /// Whether one more record may be told; a small answer has as few of these as of any others.
    fn has_place(&mut self, extras: &Extras) -> bool {
        let is_answer = extras.section == Section::Answer;
        let written = usize::from(self.writer.count(Section::Answer));
        if is_answer && self.limit.is_small && written >= self.limit.addresses {
            self.overflow(Cut::SmallAnswer);
            return false;
        }
        if extras.left == 0 {
            self.shorten_uncounted(Cut::Target);
        }
        extras.left > 0
    }

    fn note(&mut self, written: bool, extras: &mut Extras) {
        extras.left = if written { extras.left - 1 } else { 0 };
        // What does not fit into Additional is no loss that TC speaks of (RFC 2181 §9).
        match (extras.section, written) {
            (_, true) => self.note_safe(),
            (Section::Answer, false) => self.overflow(Cut::Size),
            (_, false) => self.shorten_uncounted(Cut::Beside),
        }
    }
}
