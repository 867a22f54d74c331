//! The codec against another one: what `domain` composes we parse, what we write it reads.

use dnswire::{Head, Owner, Question, Section, Verdict, Writer, rcode, rtype};
use domain::base::iana::{Class, Opcode};
use domain::base::message_builder::MessageBuilder;
use domain::base::{Message, Name, Rtype};
use domain::rdata::AllRecordData;
use proptest::prelude::*;

const NAME: &str = "([A-Za-z0-9_-]{1,20}\\.){1,8}";

struct Asked {
    name: String,
    qtype: u16,
    id: u16,
    rd: bool,
    edns: Option<u16>,
}

fn asked() -> impl Strategy<Value = Asked> {
    let edns = proptest::option::of(any::<u16>());
    (NAME, any::<u16>(), any::<u16>(), any::<bool>(), edns)
        .prop_map(|(name, qtype, id, rd, edns)| Asked { name, qtype, id, rd, edns })
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} edns={:?}", self.name, self.qtype, self.edns)
    }
}

fn compose(asked: &Asked) -> Vec<u8> {
    let name: Name<Vec<u8>> = asked.name.parse().expect("a name");
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_id(asked.id);
    builder.header_mut().set_rd(asked.rd);
    let mut builder = builder.question();
    builder.push((name, Rtype::from_int(asked.qtype), Class::IN)).expect("room");
    let mut builder = builder.additional();
    if let Some(size) = asked.edns {
        builder
            .opt(|opt| {
                opt.set_udp_payload_size(size);
                opt.set_dnssec_ok(true);
                opt.push_raw_option(10.into(), 8, |target| {
                    domain::dep::octseq::OctetsBuilder::append_slice(target, b"12345678")
                })
            })
            .expect("room");
    }
    builder.finish()
}

proptest! {
    #[test]
    fn what_another_codec_asks_is_understood(asked in asked()) {
        let packet = compose(&asked);
        let question = Question::parse(&packet).expect("a plain question");
        prop_assert_eq!(question.id, asked.id);
        prop_assert_eq!(question.recursion_desired, asked.rd);
        prop_assert_eq!(question.qtype, asked.qtype);
        prop_assert_eq!(format!("{:?}", question.name), asked.name.to_ascii_lowercase());
        prop_assert_eq!(question.edns.map(|edns| edns.udp_size), asked.edns);
    }

    #[test]
    fn what_we_write_another_codec_reads(
        asked in asked(),
        records in proptest::collection::vec((any::<u32>(), any::<[u8; 4]>(), 0u8..4), 0..40),
        limit in 512usize..4096,
        spelled_out in any::<bool>(),
    ) {
        let packet = compose(&asked);
        let question = Question::parse(&packet).expect("a plain question");
        let mut buffer = vec![0; 4096];
        let mut writer = Writer::new(&mut buffer, &question, limit);
        if spelled_out {
            writer.spell_out();
        }
        let mut written = Vec::new();
        for (ttl, address, owner) in records {
            let labels = question.name.labels() - 1;
            let (owner, text) = match owner {
                0 => (Owner::Question, asked.name.clone()),
                1 => {
                    let rest = asked.name.trim_end_matches('.').rsplit('.').next().unwrap_or("");
                    (Owner::Suffix(question.name.offset(labels)), format!("{rest}."))
                }
                2 => (Owner::Prefixed(b"\x02ns", 0), format!("ns.{}", asked.name)),
                _ => (Owner::Whole(b"\x01x\x04test\0"), "x.test.".to_string()),
            };
            if writer.record(Section::Answer, owner, rtype::A, ttl, &[&address]).is_ok() {
                written.push((text, ttl, address));
            }
        }
        if let Some(edns) = &question.edns {
            let _ = writer.opt(edns, 0, None);
        }
        let plain = writer.plain_length();
        let length = writer.finish(Head { authoritative: true, truncated: false, rcode: 3 });
        prop_assert!(length <= limit && length <= plain);
        prop_assert!(!spelled_out || length == plain);
        let message = Message::from_octets(&buffer[..length]).expect("a message");
        prop_assert!(message.header().aa() && message.header().qr());
        prop_assert_eq!(message.header().rd(), asked.rd);
        prop_assert_eq!(message.header().rcode().to_int(), 3);
        let read = message.answer().expect("answers").map(|record| {
            let record = record.expect("a record").into_record::<AllRecordData<_, _>>();
            let record = record.expect("sound").expect("known");
            let AllRecordData::A(a) = record.data() else { panic!("not an A") };
            (format!("{}.", record.owner()), record.ttl().as_secs(), a.addr().octets())
        });
        prop_assert_eq!(read.collect::<Vec<_>>(), written);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Question::parse(&bytes);
        let _ = dnswire::refusal(&bytes, rcode::FORMERR);
    }

    #[test]
    fn a_damaged_question_never_panics_and_what_parses_can_be_answered(
        asked in asked(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut packet = compose(&asked);
        for (at, byte) in damage {
            let at = at.index(packet.len());
            packet[at] = byte;
        }
        packet.truncate(cut.index(packet.len() * 4).min(packet.len()));
        if let Ok(question) = Question::parse(&packet) {
            let mut buffer = [0; 512];
            let mut writer = Writer::new(&mut buffer, &question, 512);
            if let Some(edns) = &question.edns {
                writer.opt(edns, 0, None).expect("the OPT fits beside any question");
            }
            let length = writer.finish(Head::default());
            prop_assert!(Message::from_octets(&buffer[..length]).is_ok());
        }
    }
}

#[track_caller]
fn check(packet: &[u8], expected: Result<(), Verdict>) {
    assert_eq!(Question::parse(packet).map(|_| ()), expected, "{packet:02x?}");
}

fn header(flags: u16, counts: [u16; 4]) -> Vec<u8> {
    let words = [7, flags, counts[0], counts[1], counts[2], counts[3]];
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

const WEB: &[u8] = b"\x03web\x06consul\0\0\x01\0\x01";

#[test]
fn verdicts_follow_the_table() {
    use dnswire::Unusual::{Compressed, Extras};
    let ask = |flags, counts, body: &[u8]| [header(flags, counts), body.to_vec()].concat();
    let opt = |data: &[u8]| {
        let length = data.len() as u8;
        [WEB, &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, length], data].concat()
    };
    let formerr = Err(Verdict::Refused(rcode::FORMERR));
    let extras = Err(Verdict::Unusual(Extras));
    check(&ask(0x0100, [1, 0, 0, 0], WEB), Ok(()));
    check(&[0; 11], Err(Verdict::Ignored));
    check(&ask(0x8000, [1, 0, 0, 0], WEB), Err(Verdict::Ignored));
    for opcode in [1, 2, 3, 5, 6, 15] {
        check(&ask(opcode << 11, [1, 0, 0, 0], WEB), Err(Verdict::Refused(rcode::NOTIMP)));
    }
    check(&ask(Opcode::NOTIFY.to_int() as u16 * 2048, [1, 0, 0, 0], WEB), Ok(()));
    check(&ask(0, [0, 0, 0, 0], b""), formerr);
    check(&ask(0, [2, 0, 0, 0], &[WEB, WEB].concat()), formerr);
    check(&ask(0, [1, 2, 0, 0], WEB), formerr);
    check(&ask(0, [1, 0, 0, 3], WEB), formerr);
    check(&ask(0, [1, 0, 0, 0], &WEB[..8]), formerr);
    check(&ask(0, [1, 0, 0, 0], &WEB[..WEB.len() - 1]), formerr);
    check(&ask(0, [1, 0, 0, 0], b"\xC0\x0C\0\x01\0\x01"), Err(Verdict::Unusual(Compressed)));
    check(&ask(0, [1, 0, 0, 0], b"\x80\x0C\0\x01\0\x01"), formerr);
    check(&ask(0, [1, 0, 0, 0], &[WEB, b"x"].concat()), extras);
    check(&ask(0, [1, 1, 0, 0], WEB), extras);
    check(&ask(0, [1, 0, 0, 1], &opt(b"")), Ok(()));
    check(&ask(0, [1, 0, 0, 1], WEB), formerr);
    check(&ask(0, [1, 0, 0, 1], &opt(b"\0\x0A\0\x09")), formerr);
    check(&ask(0, [1, 0, 0, 1], &opt(b"\0\x08\0\x07\0\x01\x18\0\x0a\x01\x02")), Ok(()));
    check(&ask(0, [1, 0, 0, 1], &opt(b"\0\x08\0\x07\0\x03\x18\0\x0a\x01\x02")), formerr);
    check(&ask(0, [1, 0, 0, 1], &opt(b"\0\x08\0\x07\0\x01\x19\0\x0a\x01\x02")), formerr);
    check(&ask(0, [1, 0, 0, 1], &[WEB, b"\0\0\x10\0\x01\0\0\0\0\0\0"].concat()), extras);
    check(&ask(0, [1, 0, 0, 2], &opt(b"")), extras);
}

#[test]
fn a_refusal_echoes_id_and_rd_and_an_unknown_opcode() {
    let update = [header(5 << 11 | 0x0100, [1, 0, 0, 0]), WEB.to_vec()].concat();
    assert_eq!(
        dnswire::refusal(&update, rcode::NOTIMP).map(|answer| answer[..4].to_vec()),
        Some(vec![0, 7, 0x80 | 5 << 3 | 1, 4])
    );
    assert_eq!(
        dnswire::refusal(&update, rcode::FORMERR).map(|answer| answer[..4].to_vec()),
        Some(vec![0, 7, 0x81, 1])
    );
    assert_eq!(dnswire::refusal(&update[..11], rcode::FORMERR), None);
}

#[test]
fn going_back_to_a_mark_leaves_no_trace() {
    let packet = [header(0, [1, 0, 0, 0]), WEB.to_vec()].concat();
    let question = Question::parse(&packet).expect("plain");
    let mut buffer = [0; 512];
    let mut writer = Writer::new(&mut buffer, &question, 512);
    let mark = writer.mark();
    let before = (writer.length(), writer.plain_length(), writer.count(Section::Answer));
    writer.record(Section::Answer, Owner::Question, rtype::A, 0, &[&[1, 2, 3, 4]]).expect("room");
    assert_eq!(writer.plain_length() - writer.length(), 10);
    writer.back_to(mark);
    assert_eq!((writer.length(), writer.plain_length(), writer.count(Section::Answer)), before);
}
