//! DNS messages, by the hot path and by the slow one.

use crate::world;
use dns::{Channel, Config, Fate, Reply, Responder};
use domain::base::Message;
use std::cell::RefCell;

/// The first byte of an input chooses among these: how a message comes, and the settings.
const TCP: u8 = 1;
const TRUNCATE: u8 = 2;
const UNCOMPRESSED: u8 = 4;

struct Rig {
    responder: Responder,
    out: Vec<u8>,
}

thread_local! {
    /// One for each of the settings.
    static RIGS: RefCell<[Option<Rig>; 4]> = const { RefCell::new([const { None }; 4]) };
}

fn rig(choice: u8) -> Rig {
    let config = Config {
        enable_truncate: choice & TRUNCATE != 0,
        disable_compression: choice & UNCOMPRESSED != 0,
        alt_domain: Some("alt.test".to_owned()),
        ..Config::default()
    };
    let table = world::table(&config, &world::view());
    let responder = Responder::new(&config, &table).expect("the domain is one");
    Rig { responder, out: vec![0; 1 << 16] }
}

/// A message after a byte that says how it comes.
pub fn packet(bytes: &[u8]) {
    let Some((&choice, packet)) = bytes.split_first() else { return };
    let place = usize::from((choice & (TRUNCATE | UNCOMPRESSED)) >> 1);
    let channel = if choice & TCP != 0 { Channel::Tcp } else { Channel::Udp };
    RIGS.with_borrow_mut(|rigs| {
        let rig = rigs[place].get_or_insert_with(|| rig(choice));
        let plain = dns::plain(packet);
        match answer(rig, channel, packet) {
            Fate::Reply(hot) => {
                sound(&rig.out[..hot.length], packet);
                fits(&hot, channel, packet);
                let header_only = hot.length == dnswire::HEADER;
                if let (Ok(plain), false) = (&plain, header_only) {
                    let Fate::Reply(slow) = answer(rig, channel, plain) else {
                        panic!("the slow path has no answer")
                    };
                    assert_eq!((slow.rcode, slow.qtype), (hot.rcode, hot.qtype), "slow, hot");
                }
            }
            Fate::Detour(_) => {
                if let Ok(plain) = &plain
                    && let Fate::Reply(slow) = answer(rig, channel, plain)
                {
                    sound(&rig.out[..slow.length], packet);
                    fits(&slow, channel, plain);
                }
            }
            Fate::Ignored => {}
        }
    });
}

fn answer(rig: &mut Rig, channel: Channel, packet: &[u8]) -> Fate {
    rig.responder.round().answer(channel, packet, &mut rig.out)
}

/// An answer can be read whole, and answers this question.
fn sound(answer: &[u8], packet: &[u8]) {
    let message = Message::from_octets(answer).expect("an answer has a header");
    assert!(message.header().qr(), "an answer is none");
    assert_eq!(answer[..2], packet[..2], "an answer has another id");
    for record in message.iter() {
        record.expect("a record can be read");
    }
}

/// An answer over UDP is as small as was asked.
fn fits(reply: &Reply, channel: Channel, packet: &[u8]) {
    let opt = Message::from_octets(packet).ok().and_then(|message| message.opt());
    let limit = match channel {
        Channel::Tcp => 65_535,
        Channel::Udp => opt.map_or(512, |opt| usize::from(opt.udp_payload_size()).max(512)),
    };
    assert!(reply.length <= limit, "{} bytes where {limit} fit", reply.length);
}
