//! SOA and NS: who serves the zone.

use super::reason::Cut;
use super::{Answer, Detour, Reply};
use crate::encoded::NodeFacts;
use crate::pick::Want;
use dnswire::{Owner, Section, rcode, rtype};

/// The most name servers named.
const NAME_SERVERS: usize = 3;

impl<'a> Answer<'a, '_, '_> {
    /// SOA is answered for any name in the zone, existing or not.
    pub(super) fn soa(mut self) -> Result<Reply, Detour<'a>> {
        let is_primary = self.suffix.is_some_and(|suffix| suffix.is_primary);
        let fits = match is_primary {
            true => self.put_soa(Section::Answer),
            false => self.put_primary_soa(Section::Answer),
        };
        if !fits {
            self.overflow(Cut::Size);
        }
        self.put_name_servers(Section::Authority)?;
        Ok(self.finish(rcode::NOERROR, true))
    }

    /// NS too.
    pub(super) fn name_servers(mut self) -> Result<Reply, Detour<'a>> {
        self.put_name_servers(Section::Answer)?;
        Ok(self.finish(rcode::NOERROR, true))
    }

    /// The SOA of the domain as it was asked; outside the zone that of the domain itself. False when
    /// it does not fit.
    pub(super) fn put_soa(&mut self, section: Section) -> bool {
        if self.suffix.is_none() {
            return self.put_primary_soa(section);
        }
        let at = self.domain_at();
        let mut pointer = [0; 2];
        let domain = self.domain_tail(&mut pointer);
        let numbers = self.context.zone.soa_numbers(self.context.now);
        let parts: [&[u8]; 5] = [b"\x02ns", domain, b"\x0ahostmaster", domain, &numbers];
        let ttl = self.context.zone.min_ttl;
        // Compressed and without others before it, it always fits: a question of at most 271 bytes,
        // 70 of this, 512 allowed.
        self.writer.record(section, Owner::Suffix(at), rtype::SOA, ttl, &parts).is_ok()
    }

    fn put_primary_soa(&mut self, section: Section) -> bool {
        let zone = self.context.zone;
        let domain = &*zone.domain;
        let numbers = zone.soa_numbers(self.context.now);
        let parts: [&[u8]; 5] = [b"\x02ns", domain, b"\x0ahostmaster", domain, &numbers];
        // A domain longer than its neighbours need leaves a negative answer without its SOA.
        let owner = Owner::Whole(domain);
        self.writer.record(section, owner, rtype::SOA, zone.min_ttl, &parts).is_ok()
    }

    /// Some servers at random, those whose name a resolver may take, with their addresses.
    fn put_name_servers(&mut self, section: Section) -> Result<(), Detour<'a>> {
        let picture = self.context.picture;
        let servers = match picture.service(b"consul") {
            Some(servers) => servers,
            None if picture.is_complete => return Ok(()),
            None => return Err(Detour::Service(b"consul")),
        };
        let at = self.domain_at();
        let mut pointer = [0; 2];
        let domain = self.domain_tail(&mut pointer);
        let ttl = self.context.zone.node_ttl;
        let mut named: [Option<(&NodeFacts, usize)>; NAME_SERVERS] = [None; NAME_SERVERS];
        let mut count = 0;
        self.scratch.select(servers, None, Want::Ip);
        while let Some(place) = self.scratch.pick(servers) {
            let node = &*place.find(servers).1.node;
            let is_named = named.iter().flatten().any(|(other, _)| std::ptr::eq(*other, node));
            if is_named || !node.is_safe {
                continue;
            }
            if count == NAME_SERVERS {
                self.leave_servers_out(section, Cut::Servers);
                break;
            }
            let parts: [&[u8]; 2] = [&node.target, domain];
            match self.writer.record(section, Owner::Suffix(at), rtype::NS, ttl, &parts) {
                Ok(target_at) => named[count] = Some((node, target_at)),
                Err(_) => {
                    self.leave_servers_out(section, Cut::Size);
                    break;
                }
            }
            self.note_safe();
            count += 1;
        }
        for (node, target_at) in named.into_iter().flatten() {
            let owner = Owner::Earlier { at: target_at, copy: &node.target, suffix: Some(at) };
            let Some(ip) = node.addresses.any else { continue };
            match self.put_address(Section::Additional, owner, ip, ttl) {
                true => self.note_safe(),
                false => self.shorten_uncounted(Cut::Beside),
            }
        }
        Ok(())
    }

    /// Not all servers are named. Beside an answer three of them are enough, and those that do not fit
    /// are no loss that TC speaks of (RFC 2181 §9).
    fn leave_servers_out(&mut self, section: Section, by: Cut) {
        match (section, by) {
            (Section::Answer, Cut::Size) => self.overflow(by),
            (Section::Answer, _) => self.shorten(by),
            (_, Cut::Size) => self.shorten_uncounted(Cut::Beside),
            _ => {}
        }
    }
}
