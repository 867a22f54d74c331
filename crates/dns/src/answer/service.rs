//! Services: addresses, or SRV records with their glue.

use super::reason::{Cut, Why};
use super::{Answer, Detour, Reply};
use crate::encoded::{Family, NodeFacts, Row, ServiceRow, Target};
use crate::pick::{Accepted, Want};
use catalog::why::Absence;
use dnswire::{Mark, Owner, Section, rcode, rtype};
use std::net::IpAddr;

/// What an address is recognised by.
pub(super) fn key(ip: IpAddr) -> u128 {
    match ip {
        // Mapped addresses (::ffff:0:0/96) are no addresses of instances.
        IpAddr::V4(v4) => 0xFFFF_0000_0000 | u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// A record's type, class, TTL and data length: what stands between its owner and its data.
const FIXED: usize = 10;

impl<'a> Answer<'a, '_, '_> {
    pub(super) fn service(mut self, name: &'a [u8], tag: &[u8]) -> Result<Reply, Detour<'a>> {
        let picture = self.context.picture;
        let service = match picture.service(name) {
            Some(service) => service,
            None if picture.is_complete => {
                return Ok(self.no_such_name(Absence::NoSuchService));
            }
            None => return Err(Detour::Service(name)),
        };
        let want = Want::of(self.question.qtype);
        let tag = (!tag.is_empty()).then(|| picture.tag(tag));
        let selected = self.scratch.select(service, tag, want);
        self.candidates = selected.wanted;
        if selected.offered == 0 {
            self.explain_silence(service, tag, want);
            return Ok(self.no_such_name(Absence::NoSuchService));
        }
        match want {
            Want::V4 | Want::V6 | Want::Ip if selected.wanted > 0 => {
                self.put_addresses(service, want);
            }
            // An IP address wins over a host name; there is one CNAME, at random.
            _ if want.may_be_alias() && selected.hosts > 0 => {
                self.scratch.select(service, tag, Want::Host);
                let Some(place) = self.scratch.pick(service) else {
                    return Ok(self.no_data(Absence::NoHostName));
                };
                if selected.hosts > 1 && service.has_several_hosts(tag) {
                    self.candidates = selected.hosts;
                    self.shorten(Cut::OneAlias);
                }
                // Nobody counts what it leads to.
                self.candidates = 0;
                let (chunk, row) = place.find(service);
                if let Some(host) = chunk.host_name(row) {
                    self.put_service_alias(host, service.ttl);
                }
            }
            Want::Srv if selected.wanted > 0 => self.put_targets(service),
            _ => {
                self.explain_type(service, tag, want);
                return Ok(self.no_data(missing(want)));
            }
        }
        Ok(self.finish(rcode::NOERROR, true))
    }

    /// Each address once, at random, as many as are allowed.
    fn put_addresses(&mut self, service: &ServiceRow, want: Want) {
        let most = self.most_addresses();
        let mut marks: [Option<Mark>; 8] = [None; 8];
        let mut written = 0;
        while let Some(place) = self.scratch.pick(service) {
            let row = place.find(service).1;
            let ip = match want {
                Want::V4 => row.v4.map(IpAddr::V4),
                Want::V6 => row.v6.map(IpAddr::V6),
                _ => row.any(),
            };
            let Some(ip) = ip.filter(|ip| self.scratch.is_new(service, key(*ip))) else {
                continue;
            };
            if written == most {
                self.shorten(Cut::Addresses);
                break;
            }
            let mark = self.writer.mark();
            if written == self.limit.addresses {
                self.overflow(self.size_limit());
                break;
            }
            if !self.put_address(Section::Answer, Owner::Question, ip, service.ttl) {
                self.overflow(Cut::Size);
                break;
            }
            self.note_safe();
            if let Some(place) = marks.get_mut(written) {
                *place = Some(mark);
            }
            written += 1;
        }
        if self.over && self.limit.is_small {
            while written > 1 && self.writer.plain_length() > super::SMALL {
                written -= 1;
                let Some(Some(mark)) = marks.get(written) else { break };
                self.writer.back_to(*mark);
                self.overflow_again();
            }
        }
    }

    /// How many addresses the settings allow.
    pub(super) fn most_addresses(&self) -> usize {
        match self.context.zone.a_record_limit {
            0 => usize::MAX,
            limit => limit,
        }
    }

    /// SRV records at random, as many as fit with their glue, then the glue.
    fn put_targets(&mut self, service: &ServiceRow) {
        self.scratch.accepted.clear();
        let mut glue_size = 0;
        let mut plain = self.writer.plain_length();
        let whole = self.question.name.wire_length();
        let head = FIXED + if self.context.zone.compresses { 2 } else { whole };
        while let Some(place) = self.scratch.pick(service) {
            let (chunk, row) = place.find(service);
            if !self.scratch.is_new(service, u128::from(row.identity)) {
                continue;
            }
            let data = chunk.srv_data(row);
            let rest = if row.target == Target::Host { &[] } else { self.typed_domain() };
            let target_at = self.writer.length() + head + 6;
            let glue = self.glue(data, row, target_at);
            let size = head + data.len() + rest.len();
            let fits = size + glue_size + glue.size <= self.writer.room();
            let first = self.scratch.accepted.is_empty();
            if self.scratch.accepted.len() == self.limit.targets {
                self.overflow(self.size_limit());
                break;
            }
            if !(fits || first) {
                self.overflow(Cut::Size);
                break;
            }
            let before = self.writer.mark();
            let parts = [data, rest];
            let owner = Owner::Question;
            if self.writer.record(Section::Answer, owner, rtype::SRV, service.ttl, &parts).is_err()
            {
                self.overflow(Cut::Size);
                break;
            }
            plain += whole + FIXED + data.len() + rest.len() + glue.plain;
            glue_size += if fits { glue.size } else { 0 };
            let accepted = Accepted { at: place, target_at, plain, before, glue: fits };
            self.scratch.accepted.push(accepted);
            if !fits {
                // One alone lacks only what goes with it.
                if !self.has_more_targets(service) {
                    self.shorten_uncounted(Cut::Beside);
                }
                self.overflow(Cut::Size);
                break;
            }
        }
        self.cut_small();
        self.note_targets_safe();
        for nth in 0..self.scratch.accepted.len() {
            self.put_glue(service, nth);
        }
    }

    /// Whether there is one that was not drawn yet.
    fn has_more_targets(&mut self, service: &ServiceRow) -> bool {
        while let Some(place) = self.scratch.pick(service) {
            let row = place.find(service).1;
            if self.scratch.is_new(service, u128::from(row.identity)) {
                return true;
            }
        }
        false
    }

    /// Whether an SRV record before the nth has the same target, so that its address is there already.
    fn repeats_target(&self, service: &ServiceRow, nth: usize) -> bool {
        let target = |accepted: &Accepted| {
            let (chunk, row) = accepted.at.find(service);
            &chunk.srv_data(row)[6..]
        };
        let same = target(&self.scratch.accepted[nth]);
        let mut before = self.scratch.accepted[..nth].iter();
        before.any(|accepted| target(accepted).eq_ignore_ascii_case(same))
    }

    /// Whether one before the nth is on the same node, so that its texts are there already.
    fn repeats_node(&self, service: &ServiceRow, nth: usize) -> bool {
        let row = |accepted: &Accepted| accepted.at.find(service).1;
        let same = row(&self.scratch.accepted[nth]);
        let before = self.scratch.accepted[..nth].iter().map(row);
        let mut with_texts = before.filter(|row| row.target != Target::Host && row.any.is_some());
        with_texts.any(|row| *row.node.target == *same.node.target)
    }

    /// A small answer that is shortened anyway must fit without compression, too.
    fn cut_small(&mut self) {
        if !(self.over && self.limit.is_small) {
            return;
        }
        while let [_, .., last] = self.scratch.accepted[..] {
            if last.plain <= super::SMALL {
                break;
            }
            self.writer.back_to(last.before);
            self.scratch.accepted.pop();
            self.overflow_again();
        }
    }

    /// A shortened answer has room to say so before its glue, or else before its last record.
    fn note_targets_safe(&mut self) {
        self.note_safe();
        if let ([_, .., last], true) = (&self.scratch.accepted[..], self.over) {
            let before = last.before;
            self.note_safe_before(before);
        }
    }

    /// Which limit it is that bounds the number of records.
    pub(super) fn size_limit(&self) -> Cut {
        if self.limit.is_small { Cut::SmallAnswer } else { Cut::Size }
    }

    /// What the glue of a row costs, its target standing at `target_at`.
    fn glue(&self, data: &[u8], row: &Row, target_at: usize) -> Glue {
        let Some(family) = row.any else { return Glue { size: 0, plain: 0 } };
        let domain = self.typed_domain().len();
        let labels = data.len() - 6;
        // A pointer, or the labels again where a pointer does not reach, or all of it.
        let tail = if self.context.zone.compresses { 2 } else { domain };
        let is_near = self.context.zone.compresses && target_at < 0x4000;
        let earlier = |labels: usize| if is_near { 2 } else { labels + tail };
        let address = match family {
            Family::V4 => 4,
            Family::V6 => 16,
        };
        let mut glue = Glue {
            size: earlier(labels) + FIXED + address,
            plain: labels + domain + FIXED + address,
        };
        if self.has_texts(&row.node) {
            let node = row.node.target.len();
            let owner = match row.target {
                Target::Node => earlier(node),
                _ => node + tail,
            };
            for text in row.node.texts() {
                glue.size += owner + FIXED + text.len();
                glue.plain += node + domain + FIXED + text.len();
            }
        }
        glue
    }

    fn has_texts(&self, node: &NodeFacts) -> bool {
        self.context.zone.adds_node_meta && !node.target.is_empty()
    }

    /// Writes what goes with the nth SRV record. Two may go with the same: what is there already is not
    /// missing where it does not fit again.
    fn put_glue(&mut self, service: &ServiceRow, nth: usize) {
        let accepted = self.scratch.accepted[nth];
        let (chunk, row) = accepted.at.find(service);
        let (at, domain, ttl) = (accepted.target_at, self.domain_at(), service.ttl);
        if let Some(host) = chunk.host_name(row) {
            let was_short = self.is_short();
            self.put_host_glue(host, at, ttl);
            if !was_short && self.is_short() && self.repeats_target(service, nth) {
                self.why = Why::Whole;
            }
            return;
        }
        let (Some(ip), data) = (row.any(), chunk.srv_data(row)) else { return };
        let owner = Owner::Earlier { at, copy: &data[6..], suffix: Some(domain) };
        // The room was counted; the glue of a host name before it may have taken it.
        if self.put_address(Section::Additional, owner, ip, ttl) {
            self.note_safe();
        } else if !self.is_short() && !self.repeats_target(service, nth) {
            self.shorten_uncounted(Cut::Beside);
        }
        if !accepted.glue || !self.has_texts(&row.node) {
            return;
        }
        let node = &row.node;
        let owner = match row.target {
            Target::Node => owner,
            _ => Owner::Prefixed(&node.target, domain),
        };
        let is_whole = self.put_texts(Section::Additional, owner, node, ttl, usize::MAX);
        if !is_whole && !self.is_short() && !self.repeats_node(service, nth) {
            self.shorten_uncounted(Cut::Beside);
        }
    }
}

/// What is missing where nothing makes the wanted records.
fn missing(want: Want) -> Absence {
    match want {
        Want::V4 => Absence::NoIpv4,
        Want::V6 => Absence::NoIpv6,
        Want::Ip | Want::Srv => Absence::NoAddress,
        Want::Host => Absence::NoHostName,
        Want::Nothing => Absence::NoSuchType,
    }
}

/// Bytes that glue takes, as we write it and without compression.
struct Glue {
    size: usize,
    plain: usize,
}
