//! Addresses that are host names: a CNAME, and what we ourselves know of its target.

use super::Answer;
use crate::encoded::{Row, ServiceRow};
use crate::naming::{Lookup, consul};
use crate::zone::Place;
use dnswire::{Name, Owner, Section, rtype};

/// How far aliases are followed inside the zone.
const DEPTH: usize = 3;

/// A host name that was written, and those that led to it.
#[derive(Clone, Copy)]
pub(super) struct Trail<'t> {
    host: &'t [u8],
    before: Option<&'t Trail<'t>>,
}

impl<'t> Trail<'t> {
    pub fn new(host: &'t [u8]) -> Trail<'t> {
        Trail { host, before: None }
    }

    fn steps(&self) -> impl Iterator<Item = &Trail<'t>> {
        std::iter::successors(Some(self), |step| step.before)
    }

    /// Length bytes are no letters, so that wire forms compare as names do.
    fn has(&self, host: &[u8]) -> bool {
        self.steps().any(|step| step.host.eq_ignore_ascii_case(host))
    }
}

/// How many addresses of one alias are told.
const MOST: usize = 5;

impl Answer<'_, '_, '_> {
    /// Writes `owner` CNAME `host` and what is known of `host`, into the answer.
    pub(super) fn put_alias(&mut self, owner: Owner<'_>, host: &[u8], ttl: u32) {
        match self.writer.record(Section::Answer, owner, rtype::CNAME, ttl, &[host]) {
            Ok(at) => self.put_target(Section::Answer, at, Trail::new(host)),
            Err(_) => self.over = true,
        }
    }

    /// Writes what is known of the trail's host, which stands at `at`. Nothing, when it is not in
    /// the zone, unknown, or too deep: then the asker resolves it. A circle is told once.
    pub(super) fn put_target(&mut self, section: Section, at: usize, trail: Trail<'_>) {
        let host = trail.host;
        let Ok(name) = Name::parse(host) else { return };
        let Place::Inside(suffix) = self.context.zone.place(&name) else { return };
        let owner = Owner::Earlier { at, copy: host, suffix: None };
        match consul::parse(&name, suffix.before, rtype::ANY) {
            Lookup::Node { node, datacenter } if self.is_here(datacenter) == Ok(true) => {
                let Some(node) = self.context.picture.node(node) else { return };
                let ttl = self.context.zone.node_ttl;
                match (node.addresses.any, &node.addresses.host) {
                    (Some(ip), _) => {
                        self.put_address(section, owner, ip, ttl);
                    }
                    (None, Some(next)) => self.put_next(section, owner, next, ttl, trail),
                    (None, None) => {}
                }
            }
            Lookup::Service { service, tag, datacenter }
                if self.is_here(datacenter) == Ok(true) =>
            {
                let Some(service) = self.context.picture.service(service) else { return };
                self.put_service_target(section, owner, service, tag, trail);
            }
            Lookup::Address(ip) => {
                self.put_address(section, owner, ip, self.context.zone.node_ttl);
            }
            _ => {}
        }
    }

    fn put_service_target(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        service: &ServiceRow,
        tag: &[u8],
        trail: Trail<'_>,
    ) {
        let tag = (!tag.is_empty()).then(|| self.context.picture.tag(tag));
        let rows = || {
            service.chunks.iter().flat_map(move |chunk| {
                let offered = tag.map_or(chunk.all, |tag| chunk.tagged(tag));
                let offered = move |(at, _): &(usize, &Row)| offered >> at & 1 == 1;
                chunk.rows().iter().enumerate().filter(offered).map(move |(_, row)| (chunk, row))
            })
        };
        let mut told = 0;
        self.scratch.seen.clear();
        for ip in rows().filter_map(|(_, row)| row.any()) {
            if told == MOST {
                return;
            }
            if self.scratch.seen.insert(super::service::key(ip)) {
                self.put_address(section, owner, ip, service.ttl);
                told += 1;
            }
        }
        let host = rows().find_map(|(chunk, row)| chunk.host_name(row));
        if let (0, Some(next)) = (told, host) {
            self.put_next(section, owner, next, service.ttl, trail);
        }
    }

    fn put_next(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        next: &[u8],
        ttl: u32,
        trail: Trail<'_>,
    ) {
        if trail.has(next) {
            return;
        }
        let written = self.writer.record(section, owner, rtype::CNAME, ttl, &[next]);
        if let (Ok(at), 1..=DEPTH) = (written, trail.steps().count()) {
            self.put_target(section, at, Trail { host: next, before: Some(&trail) });
        }
    }
}
