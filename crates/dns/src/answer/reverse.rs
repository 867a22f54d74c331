//! Reverse look-ups: whatever type is asked, the names of the address.

use super::reason::Cut;
use super::{Answer, Reply};
use crate::encoded::Pointer;
use crate::naming::reverse;
use catalog::why::Absence;
use dnswire::{Owner, Section, rcode, rtype};

impl Answer<'_, '_, '_> {
    /// Nodes' names win over services'; TTL 0, under the domain itself. Health does not matter. Who
    /// asks for the SOA gets that besides, as there is no other answer to give it (as observed).
    pub(super) fn reverse(mut self, before: usize, six: bool) -> Reply {
        let Some(ip) = reverse::parse(&self.question.name, before, six) else {
            return self.no_such_name(Absence::NoSuchForm);
        };
        let picture = self.context.picture;
        let mut nodes = false;
        for pointer in picture.pointers(ip) {
            let fits = match pointer {
                Pointer::Node(node) => match picture.node_of(node) {
                    Some(node) if !node.target.is_empty() => {
                        nodes = true;
                        self.put_pointer(&[&node.target])
                    }
                    // Its name is none that DNS can carry.
                    _ => true,
                },
                Pointer::Service(_) if nodes => break,
                Pointer::Service(service) => self.put_service_pointer(service.as_str()),
            };
            if !fits {
                self.overflow(Cut::Size);
                break;
            }
        }
        if self.writer.count(Section::Answer) == 0 {
            return self.no_such_name(Absence::NoSuchAddress);
        }
        if self.question.qtype == rtype::SOA && !self.put_soa(Section::Authority) {
            self.shorten_uncounted(Cut::Beside);
        }
        self.finish(rcode::NOERROR, true)
    }

    fn put_service_pointer(&mut self, service: &str) -> bool {
        // DNS does not reach a service of another shape, so nothing points to it.
        if service.is_empty() || service.len() > 63 || service.contains('.') {
            return true;
        }
        let datacenter = &self.context.picture.datacenter;
        let length = 1 + service.len() + 8 + 1 + datacenter.len() + self.context.zone.domain.len();
        if length > dnswire::MAX_NAME {
            return true;
        }
        let (length, dc_length) = ([service.len() as u8], [datacenter.len() as u8]);
        self.put_pointer(&[&length, service.as_bytes(), b"\x07service", &dc_length, datacenter])
    }

    fn put_pointer(&mut self, labels: &[&[u8]]) -> bool {
        let mut parts: [&[u8]; 6] = [&[]; 6];
        parts[..labels.len()].copy_from_slice(labels);
        parts[labels.len()] = &self.context.zone.domain;
        let written = self.writer.record(Section::Answer, Owner::Question, rtype::PTR, 0, &parts);
        self.note_safe();
        written.is_ok()
    }
}
