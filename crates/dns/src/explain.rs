//! Explaining an answer: the question is put to the code that answers packets, and each instance
//! to the code that makes its row.

use crate::answer::{self, Channel, Context, Reply, Why};
use crate::encoded::{Chunk, Draft, Encoder, Picture};
use crate::live::Live;
use crate::naming::{Lookup, consul};
use crate::pick::{Scratch, Want};
use crate::zone::{Place, Zone};
use catalog::View;
use catalog::why::{Absence, Cause, Family};
use dnswire::{Name, Question, rtype};
use model::{Folded, InstanceId, NodeName, Text};
use seams::{Meaning, NameAnswer, NameQuestion, Names};
use std::borrow::Cow;
use std::cell::LazyCell;
use std::sync::Arc;

impl Names for Live {
    fn of_service(&self, service: &str, tag: Option<&str>) -> Option<String> {
        let domain = self.domain();
        let tagged = tag.map_or(String::new(), |tag| format!("{tag}."));
        let name = format!("{tagged}{service}.service.{domain}");
        let meant = Meaning::Service {
            service: service.to_lowercase(),
            tag: tag.unwrap_or_default().to_lowercase(),
            datacenter: None,
        };
        (self.meaning(&name, rtype::SRV)? == meant).then_some(name)
    }

    fn of_node(&self, node: &str) -> Option<String> {
        let name = format!("{node}.node.{}", self.domain());
        let meant = Meaning::Node { node: node.to_lowercase(), datacenter: None };
        (self.meaning(&name, rtype::ANY)? == meant).then_some(name)
    }

    fn meaning(&self, name: &str, qtype: u16) -> Option<Meaning> {
        let zone = self.settings.load();
        let name = parse(name)?;
        let suffix = match zone.place(&name) {
            Place::Inside(suffix) => suffix,
            Place::Reverse { .. } => return Some(Meaning::Reverse),
            Place::Foreign => return None,
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_lowercase();
        Some(match consul::parse(&name, suffix.before, qtype) {
            Lookup::Service { service, tag, datacenter } => Meaning::Service {
                service: text(service),
                tag: text(tag),
                datacenter: datacenter.map(text),
            },
            Lookup::Node { node, datacenter } => {
                Meaning::Node { node: text(node), datacenter: datacenter.map(text) }
            }
            _ => Meaning::Other,
        })
    }

    fn explain(&self, view: &View, asked: &NameQuestion<'_>) -> Option<NameAnswer> {
        let packet = packet(asked)?;
        let question = Question::parse(&packet).ok()?;
        let zone = self.settings.load();
        let encoder = self.table.encoder();
        let stricter = asked.passing.then(|| encoder.only_passing());
        let encoder = stricter.as_ref().unwrap_or(&encoder);
        let lookup = match zone.place(&question.name) {
            Place::Inside(suffix) => consul::parse(&question.name, suffix.before, asked.qtype),
            _ => Lookup::Nothing,
        };
        let picture = match lookup {
            // What a host name leads to stands in other rows.
            Lookup::Service { service, .. } if asked.passing => encoder
                .one_service(view, &String::from_utf8_lossy(service))
                .map_or_else(|_| Arc::new(encoder.empty()), Arc::new),
            _ => Arc::clone(&self.table.load()),
        };
        let (reply, out) = compose(&zone, &picture, &question, asked.tcp);
        let instances = match lookup {
            Lookup::Service { service, tag, datacenter }
                if datacenter.is_none_or(|named| *named == *picture.datacenter)
                    && reply.why != Why::Absent(Absence::Unreachable) =>
            {
                let service = OfService { view, encoder, service, tag };
                service.instances(asked.qtype, asked.on)
            }
            _ => Vec::new(),
        };
        let absence = match reply.why {
            Why::Absent(absence) => Some(absence),
            _ => None,
        };
        Some(NameAnswer {
            code: code_name(reply.rcode),
            records: usize::from(u16::from_be_bytes([out[6], out[7]])),
            reason: (reply.why != Why::Whole).then(|| reply.why.to_string()),
            absence,
            instances,
        })
    }
}

impl Live {
    fn domain(&self) -> String {
        let zone = self.settings.load();
        Name::parse(&zone.domain).map_or(String::new(), |name| {
            format!("{}.", String::from_utf8_lossy(name.joined(0, name.labels())))
        })
    }
}

fn parse(name: &str) -> Option<Name> {
    let mut wire = Vec::new();
    if !dnswire::to_wire(name.as_bytes(), &mut wire) {
        return None;
    }
    Name::parse(&wire).ok()
}

/// The question as a packet.
fn packet(asked: &NameQuestion<'_>) -> Option<Vec<u8>> {
    let edns = u8::from(asked.edns.is_some());
    let mut packet = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, edns];
    let mut name = Vec::new();
    if !dnswire::to_wire(asked.name.as_bytes(), &mut name) {
        return None;
    }
    packet.extend(name);
    packet.extend(asked.qtype.to_be_bytes());
    packet.extend([0, 1]);
    if let Some(size) = asked.edns {
        packet.extend([0, 0, rtype::OPT as u8]);
        packet.extend(size.to_be_bytes());
        packet.extend([0; 6]);
    }
    Some(packet)
}

/// The answer; a failure where it would have to be fetched.
fn compose(zone: &Zone, picture: &Picture, question: &Question<'_>, tcp: bool) -> (Reply, Vec<u8>) {
    let channel = if tcp { Channel::Tcp } else { Channel::Udp };
    let context = Context { zone, picture, channel, now: 0 };
    let mut out = vec![0; 1 << 16];
    let mut scratch = Scratch::new();
    let reply = answer::question_into(context, question, &mut out, &mut scratch)
        .unwrap_or_else(|_| answer::failure(context, question, &mut out, &mut scratch));
    out.truncate(reply.length);
    (reply, out)
}

/// What is asked of a service.
struct OfService<'v> {
    view: &'v View,
    encoder: &'v Encoder,
    service: &'v [u8],
    tag: &'v [u8],
}

impl OfService<'_> {
    /// Every instance, perhaps only those of a node, with all that keeps it out of such an answer.
    fn instances(&self, qtype: u16, on: Option<&str>) -> Vec<(NodeName, InstanceId, Vec<Cause>)> {
        let want = Want::of(qtype);
        let (service, tag) = (String::from_utf8_lossy(self.service), self.tag());
        // Where somebody has what is wanted, host names are not told.
        let somebody = LazyCell::new(|| {
            let mut others = self.encoder.drafts(self.view, &service, None);
            others.any(|(_, draft)| {
                let is_told = draft.is_shown && self.has_tag(&draft);
                is_told && Chunk::new(vec![draft]).wanted(want) != 0
            })
        });
        let mut judged = Vec::new();
        for (instance, draft) in self.encoder.drafts(self.view, &service, on) {
            let mut causes = self.encoder.causes(self.view, instance);
            debug_assert_eq!(causes.is_empty(), draft.is_shown);
            if !self.has_tag(&draft) {
                causes.push(Cause::lacks(&tag, instance));
            }
            if want == Want::Nothing {
                // Whatever else is mended, it has no such records.
                causes.insert(0, Cause::Address(family(want, qtype)));
            } else if draft.is_shown {
                let chunk = Chunk::new(vec![draft]);
                match chunk.wanted(want) {
                    0 if chunk.host == 0 || !want.may_be_alias() => {
                        causes.push(Cause::Address(family(want, qtype)));
                    }
                    0 if *somebody => causes.push(Cause::HostName(host(&chunk))),
                    _ => {}
                }
            }
            judged.push((instance.node.clone(), instance.id.clone(), causes));
        }
        judged
    }

    fn tag(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.tag)
    }

    /// Whether it has the tag that is asked for.
    fn has_tag(&self, draft: &Draft) -> bool {
        self.tag.is_empty() || draft.tags.contains(&self.encoder.tag(&Folded::new(&self.tag())))
    }
}

/// The host name that the one row of a chunk has for its address: its own, or its node's.
fn host(chunk: &Chunk) -> Text {
    let wire = chunk.rows().first().and_then(|row| chunk.host_name(row)).unwrap_or_default();
    let name = Name::parse(wire).ok();
    let dotted =
        name.map(|name| String::from_utf8_lossy(name.joined(0, name.labels())).into_owned());
    Text::from(dotted.unwrap_or_default())
}

fn family(want: Want, qtype: u16) -> Family {
    match want {
        Want::V4 => Family::V4,
        Want::V6 => Family::V6,
        Want::Ip | Want::Srv => Family::Any,
        Want::Host => Family::Host,
        Want::Nothing if matches!(qtype, rtype::SOA | rtype::NS) => Family::Zone,
        Want::Nothing => Family::None,
    }
}

fn code_name(code: u8) -> &'static str {
    use dnswire::rcode::{BADVERS, FORMERR, NOERROR, NOTIMP, NXDOMAIN, REFUSED};
    match code {
        NOERROR => "NOERROR",
        FORMERR => "FORMERR",
        NXDOMAIN => "NXDOMAIN",
        NOTIMP => "NOTIMP",
        REFUSED => "REFUSED",
        BADVERS => "BADVERS",
        _ => "SERVFAIL",
    }
}
