//! Nodes, and names that spell an address.

use super::reason::Cut;
use super::{Answer, Detour, Reply};
use crate::encoded::NodeFacts;
use catalog::why::Absence;
use dnswire::{Owner, Section, rcode, rtype};
use std::net::IpAddr;

impl<'a> Answer<'a, '_, '_> {
    /// A node's health does not matter, and NODATA of a node carries no SOA (as observed).
    pub(super) fn node(mut self, name: &'a [u8]) -> Result<Reply, Detour<'a>> {
        let picture = self.context.picture;
        let node = match picture.node(name) {
            Some(node) => node,
            None if picture.is_complete => {
                return Ok(self.no_such_name(Absence::NoSuchNode));
            }
            None => return Err(Detour::Node(name)),
        };
        let ttl = self.context.zone.node_ttl;
        let addresses = &node.addresses;
        let address = match self.question.qtype {
            rtype::A => addresses.v4.map(IpAddr::V4),
            rtype::AAAA => addresses.v6.map(IpAddr::V6),
            rtype::ANY => addresses.any,
            rtype::TXT => {
                self.put_answer_texts(node, ttl);
                return Ok(self.finish(rcode::NOERROR, true));
            }
            _ => return Ok(self.finish(rcode::NOERROR, true)),
        };
        if let Some(ip) = address {
            if !self.put_address(Section::Answer, Owner::Question, ip, ttl) {
                self.overflow(Cut::Size);
            }
        } else if let Some(host) = &addresses.host {
            self.put_node_alias(host, ttl);
        }
        if self.question.qtype == rtype::ANY {
            self.put_answer_texts(node, ttl);
        } else if self.context.zone.adds_node_meta {
            self.note_safe();
            if !self.put_texts(Section::Additional, Owner::Question, node, ttl, usize::MAX) {
                self.shorten_uncounted(Cut::Beside);
            }
        }
        Ok(self.finish(rcode::NOERROR, true))
    }

    /// A node's texts beside what is written already.
    fn put_answer_texts(&mut self, node: &NodeFacts, ttl: u32) {
        let written = usize::from(self.writer.count(Section::Answer));
        let most = self.most_texts(written);
        self.candidates = (written + node.text_count) as u32;
        if !self.put_texts(Section::Answer, Owner::Question, node, ttl, most) {
            self.overflow(self.size_limit());
        }
    }

    /// How many TXT records go into the answer beside what is written.
    fn most_texts(&self, written: usize) -> usize {
        match self.limit.is_small {
            true => self.limit.addresses - written.min(self.limit.addresses),
            false => usize::MAX,
        }
    }

    /// The owner is the address written anew, in lower case; what follows is as typed. Another
    /// type's question gets the address in Additional.
    pub(super) fn address(mut self, ip: IpAddr) -> Reply {
        let fits = match self.question.qtype {
            rtype::A => ip.is_ipv4(),
            rtype::AAAA => ip.is_ipv6(),
            rtype::ANY => true,
            _ => false,
        };
        let section = if fits { Section::Answer } else { Section::Additional };
        let mut label = [0; 33];
        let label = crate::naming::consul::address_label(ip, &mut label);
        let owner = Owner::Prefixed(label, self.question.name.offset(1));
        self.put_address(section, owner, ip, self.context.zone.node_ttl);
        self.finish(rcode::NOERROR, true)
    }
}
