//! An answer, written front to back into a fixed buffer.
//!
//! A record either fits as a whole or leaves nothing behind, and [`Writer::back_to`] goes back to
//! a mark; so an answer is never cut inside a record. Owner names are pointers into the question,
//! or to a name written before.

use crate::{Edns, ExtendedError, HEADER, Question, opcode, rtype};

/// Where a record goes. Sections are written in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// Answer.
    Answer = 0,
    /// Authority.
    Authority = 1,
    /// Additional.
    Additional = 2,
}

/// A record's owner name.
#[derive(Debug, Clone, Copy)]
pub enum Owner<'a> {
    /// The name asked for.
    Question,
    /// The question's name from this offset of its wire form on (see [`crate::Name::offset`]).
    Suffix(usize),
    /// These labels, in wire form without a root, then the question's name from an offset on.
    Prefixed(&'a [u8], usize),
    /// A whole name in wire form.
    Whole(&'a [u8]),
    /// A name that stands in the message at `at` and is `length` long uncompressed; it is repeated
    /// there as `copy` when a pointer does not reach so far.
    Earlier {
        /// Offset in the message.
        at: usize,
        /// The name's labels, in wire form without a root where `suffix` continues it.
        copy: &'a [u8],
        /// Offset in the question's name that continues `copy`; `None` when `copy` is whole.
        suffix: Option<usize>,
    },
}

/// The record did not fit. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record does not fit the answer")]
pub struct Full;

/// The number of the option (RFC 8914 §2).
const EXTENDED_ERROR: u16 = 15;

/// A place to go back to.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    at: usize,
    plain: usize,
    counts: [u16; 3],
}

impl Mark {
    /// Bytes written before it.
    pub fn length(&self) -> usize {
        self.at
    }

    /// Records of a section before it.
    pub fn count(&self, section: Section) -> u16 {
        self.counts[section as usize]
    }
}

/// What the header says in the end.
#[derive(Debug, Clone, Copy, Default)]
pub struct Head {
    /// AA.
    pub authoritative: bool,
    /// TC.
    pub truncated: bool,
    /// RCODE; its bits above the fourth go into the OPT record.
    pub rcode: u8,
}

/// Pointers have fourteen bits.
const POINTER_REACH: usize = 0x4000;

/// Writes one answer.
#[derive(Debug)]
pub struct Writer<'b> {
    buffer: &'b mut [u8],
    at: usize,
    limit: usize,
    /// Length that the message would have without compression of owner names.
    plain: usize,
    question_name: usize,
    counts: [u16; 3],
    compresses: bool,
}

impl<'b> Writer<'b> {
    /// Begins an answer to `question` that grows to at most `limit` bytes, or `buffer`'s length.
    ///
    /// # Panics
    /// When `buffer` is shorter than [`crate::MAX_PLAIN_QUESTION`].
    pub fn new(buffer: &'b mut [u8], question: &Question<'_>, limit: usize) -> Writer<'b> {
        let at = HEADER + question.section.len();
        buffer[..2].copy_from_slice(&question.id.to_be_bytes());
        let rd = question.recursion_desired && question.opcode == opcode::QUERY;
        buffer[2] = 0x80 | question.opcode << 3 | u8::from(rd);
        buffer[3..HEADER].copy_from_slice(&[0, 0, 1, 0, 0, 0, 0, 0, 0]);
        buffer[HEADER..at].copy_from_slice(question.section);
        let limit = limit.min(buffer.len()).max(at);
        let question_name = question.name.wire_length();
        Writer { buffer, at, limit, plain: at, question_name, counts: [0; 3], compresses: true }
    }

    /// Writes owner names whole from here on: no record points back into the message.
    pub fn spell_out(&mut self) {
        self.compresses = false;
    }

    /// Bytes written so far.
    pub fn length(&self) -> usize {
        self.at
    }

    /// Bytes that the message would have so far without compression.
    pub fn plain_length(&self) -> usize {
        self.plain
    }

    /// Bytes that may still be written.
    pub fn room(&self) -> usize {
        self.limit - self.at
    }

    /// Keeps `bytes` free at the end, or gives them back with a later call: the limit is set anew.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.min(self.buffer.len()).max(self.at);
    }

    /// Records in a section so far.
    pub fn count(&self, section: Section) -> u16 {
        self.counts[section as usize]
    }

    /// A mark here.
    pub fn mark(&self) -> Mark {
        Mark { at: self.at, plain: self.plain, counts: self.counts }
    }

    /// Takes back all that was written since `mark`.
    pub fn back_to(&mut self, mark: Mark) {
        (self.at, self.plain, self.counts) = (mark.at, mark.plain, mark.counts);
    }

    /// Writes a record whose data is the concatenation of `parts`; gives the offset of the data.
    pub fn record(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        rtype: u16,
        ttl: u32,
        parts: &[&[u8]],
    ) -> Result<usize, Full> {
        debug_assert!(self.counts[section as usize + 1..].iter().all(|count| *count == 0));
        let data: usize = parts.iter().map(|part| part.len()).sum();
        let (head, tail) = self.owner(owner);
        let length = head.len() + tail.length() + 10 + data;
        if length > self.room() || data > usize::from(u16::MAX) {
            return Err(Full);
        }
        let data_at = self.at + length - data;
        self.put(head);
        match tail {
            Tail::Nothing => {}
            Tail::Pointer(at) => self.put(&(0xC000 | at as u16).to_be_bytes()),
            Tail::Typed { from, length } => {
                self.buffer.copy_within(from..from + length, self.at);
                self.at += length;
            }
        }
        self.put(&rtype.to_be_bytes());
        self.put(&1u16.to_be_bytes());
        self.put(&ttl.to_be_bytes());
        self.put(&(data as u16).to_be_bytes());
        for part in parts {
            self.put(part);
        }
        self.plain += self.plain_owner(owner) + 10 + data;
        self.counts[section as usize] += 1;
        Ok(data_at)
    }

    /// How an owner is written: bytes, then what continues them.
    fn owner<'a>(&self, owner: Owner<'a>) -> (&'a [u8], Tail) {
        match owner {
            Owner::Question => (&[], self.question_from(0)),
            Owner::Suffix(offset) => (&[], self.question_from(offset)),
            Owner::Prefixed(labels, offset) => (labels, self.question_from(offset)),
            Owner::Whole(name) => (name, Tail::Nothing),
            Owner::Earlier { at, .. } if self.compresses && at < POINTER_REACH => {
                (&[], Tail::Pointer(at))
            }
            Owner::Earlier { copy, suffix: Some(offset), .. } => (copy, self.question_from(offset)),
            Owner::Earlier { copy, suffix: None, .. } => (copy, Tail::Nothing),
        }
    }

    /// The question's name from an offset on.
    fn question_from(&self, offset: usize) -> Tail {
        let from = HEADER + offset;
        match self.compresses {
            true => Tail::Pointer(from),
            false => Tail::Typed { from, length: self.question_name - offset },
        }
    }

    /// The owner's length without compression.
    fn plain_owner(&self, owner: Owner<'_>) -> usize {
        let after = |offset: usize| self.question_name - offset;
        match owner {
            Owner::Question => self.question_name,
            Owner::Suffix(offset) => after(offset),
            Owner::Prefixed(labels, offset) => labels.len() + after(offset),
            Owner::Whole(name) => name.len(),
            Owner::Earlier { copy, suffix, .. } => copy.len() + suffix.map_or(0, after),
        }
    }

    /// Writes the OPT record that answers `edns`: the asker's size again, DO cleared, its subnet, and
    /// an extended error as far as there is room for its text, or for it.
    pub fn opt(
        &mut self,
        edns: &Edns,
        code: u8,
        error: Option<ExtendedError<'_>>,
    ) -> Result<(), Full> {
        if edns.answer_length() > self.room() {
            return Err(Full);
        }
        let size = edns.udp_size.to_be_bytes();
        let option = edns.subnet.as_ref().map_or(&[][..], |subnet| subnet.bytes());
        let before = self.at;
        self.put(&[0, 0, rtype::OPT as u8, size[0], size[1], code >> 4, 0, 0, 0]);
        let left = self.limit - before - edns.answer_length();
        let error = error.filter(|_| left >= ExtendedError::FIXED);
        let text = error.as_ref().map_or(&[][..], |error| error.cut(left - ExtendedError::FIXED));
        let told = error.map_or(0, |_| ExtendedError::FIXED + text.len());
        let data = edns.answer_length() - 11 + told;
        self.put(&(data as u16).to_be_bytes());
        if !option.is_empty() {
            self.put(&[0, 8, 0, option.len() as u8]);
            self.put(option);
        }
        if let Some(ExtendedError { code, .. }) = error {
            let length = (2 + text.len()) as u16;
            for word in [EXTENDED_ERROR, length, code] {
                self.put(&word.to_be_bytes());
            }
            self.put(text);
        }
        self.plain += self.at - before;
        self.counts[Section::Additional as usize] += 1;
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) {
        self.buffer[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    /// Writes the header and gives the message's length.
    pub fn finish(self, head: Head) -> usize {
        self.buffer[2] |= u8::from(head.authoritative) << 2 | u8::from(head.truncated) << 1;
        self.buffer[3] = head.rcode & 0xF;
        for (index, count) in self.counts.iter().enumerate() {
            self.buffer[6 + 2 * index..8 + 2 * index].copy_from_slice(&count.to_be_bytes());
        }
        self.at
    }
}

/// What follows an owner's own labels.
#[derive(Clone, Copy)]
enum Tail {
    Nothing,
    Pointer(usize),
    /// A part of the question's name, written again.
    Typed {
        from: usize,
        length: usize,
    },
}

impl Tail {
    fn length(self) -> usize {
        match self {
            Tail::Nothing => 0,
            Tail::Pointer(_) => 2,
            Tail::Typed { length, .. } => length,
        }
    }
}
