//! The answer to a question: a pure function of a picture, without await, lock or allocation.
//!
//! | the name | answered by |
//! |---|---|
//! | another zone's | REFUSED |
//! | in the zone, SOA or NS asked, or there is nothing | `authority` |
//! | a service | `service` |
//! | a node, an address | `node` |
//! | an address backwards | `reverse` |
//!
//! What cannot be answered here is a [`Detour`]: the slow path takes it, with the same function.

mod authority;
mod hosts;
mod node;
mod reason;
mod reverse;
mod service;

pub use reason::{Cut, Why};

use crate::encoded::{NodeFacts, Picture};
use crate::naming::{Lookup, consul};
use crate::pick::Scratch;
use crate::zone::{Place, Suffix, Zone};
use catalog::why::Absence;
use dnswire::{Head, Mark, Owner, Question, Section, Unusual, Verdict, Writer, rcode, rtype};
use std::net::IpAddr;

/// How a question came, with what that means for its answer's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Small answers, unless EDNS says otherwise.
    Udp,
    /// As large as they are.
    Tcp,
}

/// What an answer is made of, beside the question.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub zone: &'a Zone,
    pub picture: &'a Picture,
    pub channel: Channel,
    /// Seconds since 1970: the SOA's serial.
    pub now: u32,
}

/// An answer that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// Its bytes.
    pub length: usize,
    /// Its response code.
    pub rcode: u8,
    /// The type asked; 0 where the question could not be read.
    pub qtype: u16,
    /// Records were left out because they did not fit, whether TC says so or not.
    pub truncated: bool,
    /// Why it is as it is.
    pub why: Why,
}

impl Reply {
    /// A header alone, which refuses what could not be read.
    pub(crate) fn refusal(length: usize, rcode: u8) -> Reply {
        Reply { length, rcode, qtype: 0, truncated: false, why: Why::Whole }
    }
}

/// Why there is no answer here and now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detour<'n> {
    /// Not held here.
    Service(&'n [u8]),
    /// Not held here.
    Node(&'n [u8]),
    /// Of another datacenter: the nth that the zone knows.
    Datacenter(usize),
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// To be sent.
    Reply(Reply),
    /// Not to be answered.
    Ignored,
    /// For the slow path.
    Detour(Reason),
}

/// Why a packet takes the slow path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The question's name is compressed.
    Compressed,
    /// There are records beside an OPT, or bytes after the last one.
    Extras,
    /// The name is not ASCII: folding its case takes memory.
    NotAscii,
    /// About something that is not held here.
    NotHeld,
    /// About another datacenter.
    Datacenter,
}

impl Reason {
    /// All, in order.
    pub const ALL: [Reason; 5] =
        [Reason::Compressed, Reason::Extras, Reason::NotAscii, Reason::NotHeld, Reason::Datacenter];

    /// As a label of a metric.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Compressed => "compressed",
            Reason::Extras => "extras",
            Reason::NotAscii => "not_ascii",
            Reason::NotHeld => "not_held",
            Reason::Datacenter => "datacenter",
        }
    }
}

impl From<Unusual> for Reason {
    fn from(unusual: Unusual) -> Reason {
        match unusual {
            Unusual::Compressed => Reason::Compressed,
            Unusual::Extras => Reason::Extras,
        }
    }
}

/// Answers a packet into `out`.
///
/// # Panics
/// When `out` is shorter than [`dnswire::MAX_PLAIN_QUESTION`].
pub(crate) fn packet(
    context: Context<'_>,
    packet: &[u8],
    out: &mut [u8],
    scratch: &mut Scratch,
) -> Fate {
    let question = match Question::parse(packet) {
        Ok(question) => question,
        Err(Verdict::Unusual(unusual)) => return Fate::Detour(unusual.into()),
        Err(Verdict::Refused(code)) => {
            return match dnswire::refusal(packet, code) {
                Some(header) => {
                    out[..header.len()].copy_from_slice(&header);
                    Fate::Reply(Reply::refusal(header.len(), code))
                }
                None => Fate::Ignored,
            };
        }
        Err(Verdict::Ignored) => return Fate::Ignored,
    };
    if !question.name.is_ascii() {
        return Fate::Detour(Reason::NotAscii);
    }
    match question_into(context, &question, out, scratch) {
        Ok(reply) => Fate::Reply(reply),
        Err(Detour::Service(_) | Detour::Node(_)) => Fate::Detour(Reason::NotHeld),
        Err(Detour::Datacenter(_)) => Fate::Detour(Reason::Datacenter),
    }
}

/// Answers a question into `out`.
pub(crate) fn question_into<'q, 'b>(
    context: Context<'q>,
    question: &'q Question<'_>,
    out: &'b mut [u8],
    scratch: &'b mut Scratch,
) -> Result<Reply, Detour<'q>> {
    let place = context.zone.place(&question.name);
    let suffix = match place {
        Place::Inside(suffix) => Some(suffix),
        _ => None,
    };
    let limit = Limit::of(question, context, out.len());
    let mut writer = Writer::new(out, question, limit.bytes);
    writer.set_limit(limit.bytes - question.edns.map_or(0, |edns| edns.answer_length()));
    if !context.zone.compresses {
        writer.spell_out();
    }
    let answer = Answer::new(context, question, suffix, limit, writer, scratch);
    if question.edns.is_some_and(|edns| edns.version != 0) {
        return Ok(answer.finish(rcode::BADVERS, false));
    }
    match place {
        Place::Foreign => Ok(answer.refuse()),
        Place::Reverse { before, six } => Ok(answer.reverse(before, six)),
        Place::Inside(_) if question.qtype == rtype::AXFR => {
            Ok(answer.nothing(rcode::NOTIMP, Absence::NoTransfer))
        }
        Place::Inside(suffix) => answer.inside(suffix),
    }
}

/// A SERVFAIL to a question that the slow path could not answer.
pub(crate) fn failure(
    context: Context<'_>,
    question: &Question<'_>,
    out: &mut [u8],
    scratch: &mut Scratch,
) -> Reply {
    let limit = Limit::of(question, context, out.len());
    let writer = Writer::new(out, question, limit.bytes);
    let answer = Answer::new(context, question, None, limit, writer, scratch);
    answer.nothing(rcode::SERVFAIL, Absence::Unreachable)
}

/// How large an answer may be.
#[derive(Debug, Clone, Copy)]
struct Limit {
    bytes: usize,
    /// UDP without EDNS, or with no more than 512 bytes: fewer records, and these must fit
    /// uncompressed (Consul's caution for those that unpack and pack again).
    is_small: bool,
    addresses: usize,
    targets: usize,
}

const SMALL: usize = 512;
/// Consul's bounds for TCP.
const TCP_BYTES: usize = 65_523;
const TCP_ADDRESSES: usize = 4096;
const TCP_TARGETS: usize = 1024;

impl Limit {
    fn of(question: &Question<'_>, context: Context<'_>, room: usize) -> Limit {
        let asked = question.edns.map_or(SMALL, |edns| usize::from(edns.udp_size).max(SMALL));
        let is_small = context.channel == Channel::Udp && asked == SMALL;
        let bytes = match context.channel {
            Channel::Udp => asked,
            Channel::Tcp => TCP_BYTES,
        };
        let (addresses, targets) = match is_small {
            true => (context.zone.udp_answer_limit, context.zone.udp_answer_limit),
            false => (TCP_ADDRESSES, TCP_TARGETS),
        };
        Limit { bytes: bytes.min(room), is_small, addresses, targets }
    }
}

/// An answer in the making.
struct Answer<'a, 'p, 'b> {
    context: Context<'a>,
    question: &'a Question<'p>,
    /// Where the domain stands in the question; `None` outside the zone.
    suffix: Option<Suffix>,
    limit: Limit,
    writer: Writer<'b>,
    scratch: &'b mut Scratch,
    /// Something did not fit.
    over: bool,
    /// How many instances or records there are to choose from.
    candidates: u32,
    /// Why the answer is as it is, as far as that is known.
    why: Why,
    /// Of the first instance that is withheld.
    sentence: &'a [u8],
    /// Up to where there is room for a reason.
    safe: Option<Mark>,
    /// There is a reason and no room for it.
    is_silent: bool,
}

impl<'a, 'p, 'b> Answer<'a, 'p, 'b> {
    fn new(
        context: Context<'a>,
        question: &'a Question<'p>,
        suffix: Option<Suffix>,
        limit: Limit,
        writer: Writer<'b>,
        scratch: &'b mut Scratch,
    ) -> Self {
        Answer {
            context,
            question,
            suffix,
            limit,
            writer,
            scratch,
            over: false,
            candidates: 0,
            why: Why::Whole,
            sentence: &[],
            safe: None,
            is_silent: false,
        }
    }
}

impl<'a> Answer<'a, '_, '_> {
    fn inside(self, suffix: Suffix) -> Result<Reply, Detour<'a>> {
        match self.question.qtype {
            rtype::SOA => return self.soa(),
            rtype::NS => return self.name_servers(),
            _ => {}
        }
        let lookup = consul::parse(&self.question.name, suffix.before, self.question.qtype);
        match lookup {
            Lookup::Service { service, tag, datacenter } => {
                if !self.is_here(datacenter)? {
                    return Ok(self.no_such_name(Absence::NoSuchDatacenter));
                }
                self.service(service, tag)
            }
            Lookup::Node { node, datacenter } => {
                if !self.is_here(datacenter)? {
                    return Ok(self.no_such_name(Absence::NoSuchDatacenter));
                }
                self.node(node)
            }
            Lookup::Address(address) => Ok(self.address(address)),
            Lookup::Empty => Ok(self.nothing(rcode::NOERROR, Absence::NoVirtualAddress)),
            Lookup::Broken => Ok(self.nothing(rcode::SERVFAIL, Absence::Nameless)),
            Lookup::Nothing => Ok(self.no_such_name(Absence::NoSuchForm)),
        }
    }

    /// Whether the datacenter named is the picture's; the own one when none is.
    fn is_here(&self, named: Option<&[u8]>) -> Result<bool, Detour<'a>> {
        let Context { zone, picture, .. } = self.context;
        let named = named.unwrap_or(&zone.datacenter);
        if *named == *picture.datacenter {
            return Ok(true);
        }
        match zone.others.iter().position(|other| **other == *named) {
            Some(other) => Err(Detour::Datacenter(other)),
            None => Ok(false),
        }
    }

    /// The domain's place in the question, from where targets in the zone go on.
    fn domain_at(&self) -> usize {
        let before = self.suffix.map_or(0, |suffix| suffix.before);
        self.question.name.offset(before)
    }

    /// The domain as it was typed, whole; the domain itself outside the zone.
    fn typed_domain(&self) -> &'a [u8] {
        match self.suffix {
            Some(suffix) => self.question.typed_from(suffix.before),
            None => &self.context.zone.domain,
        }
    }

    /// How names in the zone go on in a record's data: a pointer to the domain as it was typed, or
    /// the domain itself. `pointer` is room for the pointer.
    fn domain_tail<'t>(&self, pointer: &'t mut [u8; 2]) -> &'t [u8]
    where
        'a: 't,
    {
        if !self.context.zone.compresses {
            return self.typed_domain();
        }
        *pointer = (0xC000 | (dnswire::HEADER + self.domain_at()) as u16).to_be_bytes();
        pointer
    }

    /// Writes an address record; false when it does not fit.
    fn put_address(&mut self, section: Section, owner: Owner<'_>, ip: IpAddr, ttl: u32) -> bool {
        let written = match ip {
            IpAddr::V4(v4) => self.writer.record(section, owner, rtype::A, ttl, &[&v4.octets()]),
            IpAddr::V6(v6) => self.writer.record(section, owner, rtype::AAAA, ttl, &[&v6.octets()]),
        };
        written.is_ok()
    }

    /// Writes a node's TXT records from a random one on, at most `most`; false when some are left.
    fn put_texts(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        node: &NodeFacts,
        ttl: u32,
        most: usize,
    ) -> bool {
        let first = self.scratch.below(node.text_count.max(1) as u32) as usize;
        let texts = node.texts().skip(first).chain(node.texts().take(first));
        for (written, text) in texts.enumerate() {
            if written == most
                || self.writer.record(section, owner, rtype::TXT, ttl, &[text]).is_err()
            {
                return false;
            }
            self.note_safe();
        }
        true
    }

    /// No such name: NXDOMAIN with the SOA.
    fn no_such_name(mut self, why: Absence) -> Reply {
        self.put_soa(Section::Authority);
        self.nothing(rcode::NXDOMAIN, why)
    }

    /// The name, but nothing of the type asked: with the SOA.
    fn no_data(mut self, why: Absence) -> Reply {
        self.put_soa(Section::Authority);
        self.nothing(rcode::NOERROR, why)
    }

    /// No records, and why; what is known already counts more.
    fn nothing(mut self, code: u8, why: Absence) -> Reply {
        if self.why == Why::Whole {
            self.why = Why::Absent(why);
        }
        self.finish(code, true)
    }

    /// Another zone's name. Consul sends no OPT here even when asked with EDNS.
    fn refuse(self) -> Reply {
        let head = Head { rcode: rcode::REFUSED, ..Head::default() };
        let length = self.writer.finish(head);
        let qtype = self.question.qtype;
        let why = Why::Absent(Absence::ForeignZone);
        Reply { length, rcode: rcode::REFUSED, qtype, truncated: false, why }
    }

    fn finish(mut self, code: u8, authoritative: bool) -> Reply {
        self.put_opt(code);
        let sets_tc = (self.over || self.is_silent) && self.context.zone.sets_tc;
        let head = Head { authoritative, truncated: sets_tc, rcode: code };
        let length = self.writer.finish(head);
        let (qtype, why) = (self.question.qtype, self.why);
        Reply { length, rcode: code, qtype, truncated: self.over, why }
    }
}
