//! Why an answer is empty or short: told to who sent EDNS, as an extended error (RFC 8914).
//!
//! An answer is made first and explained last, with as many words as there is room for: records count
//! more than words (RFC 8914 §3). Where there is no room for the bare code, what gives way is
//!
//! | the answer | gives way |
//! |---|---|
//! | has records beside it | the last of those |
//! | does not fit anyway, so that TC is due | the last one of a choice made at random |
//! | fits | nothing: the reason is not told, and TC, where that is enabled, says that there is one |
//!
//! RFC 8914 would leave the error out in the first two cases, too. There six bytes of sixteen would often
//! decide whether the asker learns that there is more; what is lost for them is glue, or one of many that
//! were drawn. [`Answer::safe`] is the last place after which there was room.

use super::Answer;
use crate::encoded::{Chunk, ServiceRow};
use crate::pick::Want;
use catalog::why::{Absence, LONGEST_SENTENCE};
use dnswire::{ExtendedError, Mark, Section, rcode, rtype};
use std::fmt;

/// Why an answer is as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Why {
    /// All that was asked for is told.
    #[default]
    Whole,
    /// There is nothing.
    Absent(Absence),
    /// There is something, and none of it is to be told: so many instances.
    Withheld(u32),
    /// Something was left out.
    Short {
        /// By what.
        by: Cut,
        /// How many records are told.
        told: u32,
        /// Of how many instances or records; 0 where nobody counted.
        of: u32,
    },
}

/// What shortens an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// `a_record_limit`.
    Addresses,
    /// `udp_answer_limit`, for those who take no more than 512 bytes.
    SmallAnswer,
    /// What the asker takes, or what a message can hold.
    Size,
    /// One alias, at random: a name has one (RFC 1034 §3.6.2).
    OneAlias,
    /// Aliases lead further than they are followed.
    Depth,
    /// Few records of an alias's target, for those who send no EDNS.
    Target,
    /// Few name servers.
    Servers,
    /// What goes beside the answer does not fit: name servers, addresses of targets, texts of nodes.
    Beside,
}

impl Cut {
    /// In words.
    pub const fn text(self) -> &'static str {
        match self {
            Cut::Addresses => "a_record_limit",
            Cut::SmallAnswer => "udp_answer_limit",
            Cut::Size => "no room for more",
            Cut::OneAlias => "a name has one alias",
            Cut::Depth => "aliases are followed no further",
            Cut::Target => "five records of an alias's target without EDNS",
            Cut::Servers => "three name servers are named",
            Cut::Beside => "no room for all that goes with it",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Whole => f.write_str("all is told"),
            Why::Absent(absence) => f.write_str(absence.text()),
            Why::Withheld(count) => write!(f, "none of {count} is to be told"),
            Why::Short { by, of: 0, .. } => write!(f, "shortened: {}", by.text()),
            Why::Short { by, told, of } => write!(f, "{told} of {of} told: {}", by.text()),
        }
    }
}

/// What is kept free beside a shortened answer: an extended error without its text.
const SHORT_ROOM: usize = ExtendedError::FIXED;

/// The longest text: a sentence of the catalog's, and how many more there are.
const LONGEST_TEXT: usize = LONGEST_SENTENCE + 24;

impl<'a> Answer<'a, '_, '_> {
    /// Why nothing of a service, or of those instances that have a tag, is told: those first that make
    /// the records asked for.
    pub(super) fn explain_silence(
        &mut self,
        service: &'a ServiceRow,
        tag: Option<u64>,
        want: Want,
    ) {
        self.explain_type(service, tag, want);
        if self.why != Why::Whole {
            return;
        }
        self.why = match (self.note_withheld(service, |chunk| chunk.withheld(tag)), tag) {
            (0, Some(_)) => Why::Absent(Absence::NoSuchTag),
            (0, None) => Why::Absent(Absence::NoSuchService),
            (count, _) => Why::Withheld(count),
        };
    }

    /// Why nothing of what is told of a service makes the records asked for: it may be that those
    /// instances that do make them are withheld.
    pub(super) fn explain_type(&mut self, service: &'a ServiceRow, tag: Option<u64>, want: Want) {
        if service.withheld == 0 {
            return;
        }
        let count = self.note_withheld(service, |chunk| chunk.withheld_making(want, tag));
        if count > 0 {
            self.why = Why::Withheld(count);
        }
    }

    /// Counts some rows that are withheld and keeps the reason of the first.
    fn note_withheld(&mut self, service: &'a ServiceRow, withheld: impl Fn(&Chunk) -> u64) -> u32 {
        let mut count = 0;
        for chunk in &service.chunks {
            let mask = withheld(chunk);
            if let (0, Some(row)) = (count, chunk.rows().get(mask.trailing_zeros() as usize)) {
                self.sentence = chunk.reason(row);
            }
            count += mask.count_ones();
        }
        count
    }

    /// Something is left out; the first limit that was met is told.
    pub(super) fn shorten(&mut self, by: Cut) {
        self.shorten_of(by, self.candidates);
    }

    /// The same of what belongs to a target, or goes beside the answer: nobody counts that.
    pub(super) fn shorten_uncounted(&mut self, by: Cut) {
        self.shorten_of(by, 0);
    }

    fn shorten_of(&mut self, by: Cut, of: u32) {
        if self.why == Why::Whole {
            self.why = Why::Short { by, told: 0, of };
        }
    }

    /// The same, for what does not fit: TC tells of that.
    pub(super) fn overflow(&mut self, by: Cut) {
        self.over = true;
        self.shorten(by);
    }

    /// What was shortened to a number of records is still too large.
    pub(super) fn overflow_again(&mut self) {
        if let Why::Short { by: by @ Cut::SmallAnswer, .. } = &mut self.why {
            *by = Cut::Size;
        }
    }

    /// Whether something was left out so far.
    pub(super) fn is_short(&self) -> bool {
        matches!(self.why, Why::Short { .. })
    }

    /// A record was written: here is a place to go back to, if there is room for a reason.
    pub(super) fn note_safe(&mut self) {
        if self.question.edns.is_some() && self.writer.room() >= SHORT_ROOM {
            self.safe = Some(self.writer.mark());
        }
    }

    /// The same of the place before the last record, where there is none yet.
    pub(super) fn note_safe_before(&mut self, mark: Mark) {
        if self.question.edns.is_some() {
            self.safe.get_or_insert(mark);
        }
    }

    /// Sees to the room for a reason that takes `room` bytes with its OPT record.
    fn make_room(&mut self, room: usize) {
        if self.writer.room() >= room {
            return;
        }
        let told = self.writer.count(Section::Answer);
        match self.safe.filter(|safe| safe.length() < self.writer.length()) {
            Some(safe) if self.over || safe.count(Section::Answer) == told => {
                self.writer.back_to(safe);
            }
            // RFC 8914 §3: who leaves an extended error out says so by TC.
            _ => self.is_silent = true,
        }
    }

    /// Settles why the answer is as it is, and writes the OPT record that tells.
    pub(super) fn put_opt(&mut self, code: u8) {
        let Some(edns) = self.question.edns else {
            self.why = self.settled(code);
            return;
        };
        self.writer.set_limit(self.limit.bytes);
        self.why = self.settled(code);
        if self.why != Why::Whole {
            self.make_room(edns.answer_length() + SHORT_ROOM);
            self.why = self.settled(code);
        }
        let mut text = Text { bytes: [0; LONGEST_TEXT], length: 0 };
        let room = self.writer.room().saturating_sub(edns.answer_length() + ExtendedError::FIXED);
        let error = self.extended_error(&mut text, room);
        // Its room was kept free; only a question that fills the limit alone leaves none.
        let _ = self.writer.opt(&edns, code, error);
    }

    fn told(&self) -> u32 {
        u32::from(self.writer.count(Section::Answer))
    }

    fn settled(&self, code: u8) -> Why {
        let told = self.told();
        match self.why {
            Why::Short { by: Cut::OneAlias, of, .. } => {
                Why::Short { by: Cut::OneAlias, told: 1, of }
            }
            // That there is nothing counts more than that not all goes with it.
            Why::Short { by, of, .. } if told > 0 || by != Cut::Beside => {
                Why::Short { by, told, of }
            }
            Why::Whole | Why::Short { .. } if told == 0 && code == rcode::NOERROR => {
                Why::Absent(match self.question.qtype {
                    rtype::A => Absence::NoIpv4,
                    rtype::AAAA => Absence::NoIpv6,
                    rtype::NS => Absence::NoNameServer,
                    _ => Absence::NoSuchType,
                })
            }
            why => why,
        }
    }

    /// What is told, with a text that fits where there are several.
    fn extended_error<'t>(&self, text: &'t mut Text, room: usize) -> Option<ExtendedError<'t>>
    where
        'a: 't,
    {
        let (code, text) = match self.why {
            Why::Whole => return None,
            Why::Absent(absence) => (info_code(absence), absence.text().as_bytes()),
            Why::Withheld(1) => (ExtendedError::OTHER, self.sentence),
            Why::Withheld(count) => {
                text.put(self.sentence);
                text.put(b" (and ");
                text.put_number(count - 1);
                text.put(b" more)");
                (ExtendedError::OTHER, text.written())
            }
            Why::Short { by, told, of } => {
                if of > 0 {
                    text.put_number(told);
                    text.put(b" of ");
                    text.put_number(of);
                    text.put(b" told: ");
                } else {
                    text.put(b"shortened: ");
                }
                text.put(by.text().as_bytes());
                let texts = [text.written(), by.text().as_bytes()];
                let fitting = texts.into_iter().find(|text| text.len() <= room);
                (ExtendedError::OTHER, fitting.unwrap_or_default())
            }
        };
        Some(ExtendedError { code, text })
    }
}

fn info_code(absence: Absence) -> u16 {
    match absence {
        Absence::NoTransfer => ExtendedError::NOT_SUPPORTED,
        Absence::Unreachable => ExtendedError::NOT_READY,
        Absence::ForeignZone => ExtendedError::NOT_AUTHORITATIVE,
        _ => ExtendedError::OTHER,
    }
}

/// A text made without allocation.
struct Text {
    bytes: [u8; LONGEST_TEXT],
    length: usize,
}

impl Text {
    fn put(&mut self, part: &[u8]) {
        let length = part.len().min(LONGEST_TEXT - self.length);
        self.bytes[self.length..self.length + length].copy_from_slice(&part[..length]);
        self.length += length;
    }

    fn put_number(&mut self, mut number: u32) {
        let mut digits = [0; 10];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.put(&digits[at..]);
    }

    fn written(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_put_together_without_allocation_and_has_a_bound() {
        let mut text = Text { bytes: [0; LONGEST_TEXT], length: 0 };
        for number in [0, 7, 1000, u32::MAX] {
            text.put_number(number);
            text.put(b" ");
        }
        assert_eq!(text.written(), b"0 7 1000 4294967295 ");
        text.put(&[b'x'; 1000]);
        assert_eq!(text.written().len(), LONGEST_TEXT);
    }
}
