//! Questions asked of a DNS server and what is believed of its answers.
//!
//! Of each answer the kind is counted: a server that refuses everything would be very fast.

use std::ops::RangeInclusive;

use anyhow::{Result, ensure};

/// `A`, RFC 1035 §3.2.2.
pub const A: u16 = 1;
/// `SRV`, RFC 2782.
pub const SRV: u16 = 33;
/// `OPT`, RFC 6891.
const OPT: u16 = 41;
/// What we say we can take.
const UDP_SIZE: u16 = 1232;

/// How questions are mixed, of a hundred.
const A_SHARE: u64 = 70;
const SRV_SHARE: u64 = 20;

/// Some questions, ready to send.
pub struct Questions {
    packets: Vec<Vec<u8>>,
}

/// What came back.
#[derive(Default, Debug)]
pub struct Tally {
    /// Answers with records.
    pub full: u64,
    /// Answers that the name does not exist.
    pub nx: u64,
    /// Anything else.
    pub wrong: u64,
    /// Questions without an answer in time.
    pub lost: u64,
}

impl Questions {
    /// `count` questions after so many services, in mixed case: 70 % A, 20 % SRV, 10 % absent names.
    pub fn mixed(count: u64, services: u64, name: impl Fn(u64) -> String) -> Self {
        let mut chance = Chance(1);
        let packets = (0..count).map(|number| {
            let service = chance.below(services);
            let id = (number & 0xffff) as u16;
            let (name, kind) = match chance.below(100) {
                kind if kind < A_SHARE => (name(service), A),
                kind if kind < A_SHARE + SRV_SHARE => (name(service), SRV),
                _ => (format!("absent-{service:05}"), A),
            };
            let labels = [name, "service".into(), "consul".into()];
            question(id, &labels.map(|label| chance.mix_case(label)), kind)
        });
        Self { packets: packets.collect() }
    }

    /// The next `count` of them, round and round.
    pub fn take(&self, from: usize, count: usize) -> Vec<&[u8]> {
        let all = self.packets.len();
        (from..from + count).map(|index| self.packets[index % all].as_slice()).collect()
    }
}

impl Tally {
    /// Counts one answer; one with records must have so many.
    pub fn count(&mut self, answer: &[u8], records: &RangeInclusive<u16>) {
        let head = answer.first_chunk::<12>();
        let kind = head.map(|head| (head[3] & 0x0f, u16::from_be_bytes([head[6], head[7]])));
        match kind {
            Some((0, count)) if records.contains(&count) => self.full += 1,
            Some((3, 0)) => self.nx += 1,
            _ => self.wrong += 1,
        }
    }

    /// Whether the answers were what the mix of questions asks for.
    pub fn is_plausible(&self) -> Result<()> {
        let answered = self.full + self.nx;
        let share = self.nx as f64 / answered as f64;
        ensure!(self.lost * 1000 < answered, "lost questions: {self:?}");
        ensure!(answered > 0 && self.wrong * 1000 < answered, "wrong answers: {self:?}");
        ensure!((0.08..0.12).contains(&share), "not a tenth NXDOMAIN: {self:?}");
        Ok(())
    }
}

/// The name of a service by its number.
pub fn service_name(number: u64) -> String {
    format!("svc-{number:05}")
}

/// A question with EDNS after a name of these labels.
pub fn question(id: u16, labels: &[String], kind: u16) -> Vec<u8> {
    let mut packet = Vec::with_capacity(64);
    for field in [id, 0x0100, 1, 0, 0, 1] {
        packet.extend_from_slice(&field.to_be_bytes());
    }
    for label in labels {
        packet.push(u8::try_from(label.len()).expect("labels are short"));
        packet.extend_from_slice(label.as_bytes());
    }
    packet.push(0);
    packet.extend_from_slice(&kind.to_be_bytes());
    packet.extend_from_slice(&1u16.to_be_bytes());
    packet.push(0);
    for field in [OPT, UDP_SIZE, 0, 0, 0] {
        packet.extend_from_slice(&field.to_be_bytes());
    }
    packet
}

/// The same questions in every run (Knuth's multiplier; the high bits are the good ones).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % limit
    }

    /// As resolvers ask that guard against forged answers: each letter in upper or lower case.
    fn mix_case(&mut self, label: String) -> String {
        let mixed = label.chars().map(|letter| match self.below(2) {
            0 => letter,
            _ => letter.to_ascii_uppercase(),
        });
        mixed.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_is_seventy_twenty_ten() {
        let questions = Questions::mixed(10_000, 100, service_name);
        let kind = |packet: &[u8]| packet[packet.len() - 14];
        let absent =
            questions.packets.iter().filter(|packet| packet[13..16].eq_ignore_ascii_case(b"abs"));
        let mixed = questions.packets.iter().filter(|packet| {
            packet.iter().any(u8::is_ascii_uppercase) && packet.iter().any(u8::is_ascii_lowercase)
        });
        assert!(mixed.count() > 9_900);
        let srv = questions.packets.iter().filter(|packet| kind(packet) == 33);
        assert!((900..1100).contains(&absent.count()));
        assert!((1900..2100).contains(&srv.count()));
    }

    #[test]
    fn a_server_that_refuses_everything_is_not_fast() {
        let mut tally = Tally::default();
        (0..9).for_each(|_| tally.count(&[0, 0, 0, 0, 0, 1, 0, 3, 0, 0, 0, 0], &(3..=3)));
        tally.count(&[0, 0, 0, 3, 0, 1, 0, 0, 0, 1, 0, 0], &(3..=3));
        assert!(tally.is_plausible().is_ok());
        (0..9).for_each(|_| tally.count(&[0, 0, 0, 5, 0, 1, 0, 0, 0, 0, 0, 0], &(3..=3)));
        assert!(tally.is_plausible().is_err());
    }
}
