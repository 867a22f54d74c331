//! Questions and answers as the recorded stories write them.

use domain::base::{Message, ParsedName, Rtype, iana::Class};
use domain::rdata::AllRecordData;
use serde_json::{Value, json};

const TYPES: [(&str, u16); 17] = [
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("HINFO", 13),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("SRV", 33),
    ("NAPTR", 35),
    ("DS", 43),
    ("IXFR", 251),
    ("AXFR", 252),
    ("ANY", 255),
    ("CAA", 257),
    ("SPF", 99),
];

pub fn qtype(name: &str) -> u16 {
    TYPES.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("type {name}")).1
}

/// A question with the options of the stories.
pub fn packet(query: &Value) -> Vec<u8> {
    let options = &query["options"];
    let default = json!([[query["name"], query["type"]]]);
    let asked = options.get("questions").unwrap_or(&default).as_array().expect("a list");
    let opcode = options["opcode"].as_u64().unwrap_or(0) as u16;
    let rd = u16::from(!options["norecurse"].as_bool().unwrap_or(false));
    let class: u16 = match options["class"].as_str().unwrap_or("IN") {
        "CH" => 3,
        "ANY" => 255,
        _ => 1,
    };
    let edns = options["bufsize"].as_u64();
    let words = [4242, opcode << 11 | rd << 8, asked.len() as u16, 0, 0, u16::from(edns.is_some())];
    let mut packet: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    for question in asked {
        let name = question[0].as_str().expect("a name");
        for label in name.split('.').filter(|label| !label.is_empty()) {
            packet.push(label.len() as u8);
            packet.extend_from_slice(label.as_bytes());
        }
        packet.push(0);
        packet.extend_from_slice(&qtype(question[1].as_str().expect("a type")).to_be_bytes());
        packet.extend_from_slice(&class.to_be_bytes());
    }
    if let Some(size) = edns {
        let dnssec = if options["dnssec"].as_bool().unwrap_or(false) { 0x80 } else { 0 };
        let subnet = options["ecs"].as_str().map(subnet).unwrap_or_default();
        packet.extend_from_slice(&[0, 0, 41]);
        packet.extend_from_slice(&(size as u16).to_be_bytes());
        packet.extend_from_slice(&[0, 0, dnssec, 0]);
        packet.extend_from_slice(&(subnet.len() as u16).to_be_bytes());
        packet.extend_from_slice(&subnet);
    }
    packet
}

/// A client subnet option.
fn subnet(text: &str) -> Vec<u8> {
    let (ip, bits) = text.split_once('/').expect("a prefix");
    let bits: u8 = bits.parse().expect("a length");
    let (family, octets) = match ip.parse().expect("an address") {
        std::net::IpAddr::V4(v4) => (1, v4.octets().to_vec()),
        std::net::IpAddr::V6(v6) => (2, v6.octets().to_vec()),
    };
    let octets = &octets[..usize::from(bits.div_ceil(8))];
    let length = 4 + octets.len() as u8;
    [&[0, 8, 0, length, 0, family, bits, 0], octets].concat()
}

pub fn ask(name: &str, qtype: &str) -> Vec<u8> {
    packet(&json!({"name": name, "type": qtype}))
}

/// An answer as the stories write it.
pub fn read(answer: &[u8]) -> Value {
    let message = Message::from_octets(answer).expect("a header");
    let header = message.header();
    let flags = [
        ("qr", header.qr()),
        ("aa", header.aa()),
        ("tc", header.tc()),
        ("rd", header.rd()),
        ("ra", header.ra()),
        ("ad", header.ad()),
        ("cd", header.cd()),
    ];
    let flags: Vec<&str> = flags.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect();
    let question = message.question().map(|question| {
        let question = question.expect("a sound question");
        let class = match question.qclass() {
            Class::CH => "CH",
            Class::ANY => "ANY",
            _ => "IN",
        };
        json!([dotted(question.qname()), type_name(question.qtype()), class])
    });
    let question: Vec<Value> = question.collect();
    let edns = message.opt().map_or(Value::Null, |opt| {
        let mut raw = Vec::new();
        domain::base::rdata::ComposeRecordData::compose_rdata(opt.opt(), &mut raw).expect("room");
        json!({
            "udp": opt.udp_payload_size(),
            "rcode_high": u8::try_from(opt.rcode(header).to_int() >> 4).expect("a byte"),
            "do": opt.dnssec_ok(),
            "options": options(&raw),
        })
    });
    json!({
        "rcode": rcode(header.rcode().to_int()),
        "opcode": header.opcode().to_int(),
        "flags": flags,
        "question": question,
        "edns": edns,
        "answer": section(message.answer()),
        "authority": section(message.authority()),
        "additional": section(message.additional()),
    })
}

fn options(mut raw: &[u8]) -> Vec<Value> {
    let mut options = Vec::new();
    while let [code_high, code, length_high, length, rest @ ..] = raw {
        let code = u16::from_be_bytes([*code_high, *code]);
        let length = usize::from(u16::from_be_bytes([*length_high, *length]));
        let hex: String = rest[..length].iter().map(|byte| format!("{byte:02x}")).collect();
        options.push(json!({"code": code, "hex": hex}));
        raw = &rest[length..];
    }
    options
}

fn rcode(code: u8) -> &'static str {
    ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"][usize::from(code)]
}

fn type_name(rtype: Rtype) -> String {
    let number = rtype.to_int();
    let known = TYPES.iter().find(|(_, known)| *known == number);
    known.map_or_else(|| number.to_string(), |(name, _)| (*name).to_owned())
}

type Name<'m> = ParsedName<&'m [u8]>;

fn dotted(name: &impl std::fmt::Display) -> String {
    let text = name.to_string();
    if text == "." { text } else { format!("{text}.") }
}

fn section<'m>(
    section: Result<
        domain::base::message::RecordSection<'m, &'m [u8]>,
        domain::base::wire::ParseError,
    >,
) -> Vec<Value> {
    let records = section.expect("a sound section").map(|record| record.expect("a sound record"));
    let records = records.filter(|record| record.rtype() != Rtype::OPT);
    let records = records.map(|record| {
        let owner = dotted(&record.owner());
        let record = record.into_record::<AllRecordData<_, Name<'_>>>();
        let record = record.expect("sound data").expect("any data");
        json!({
            "name": owner,
            "ttl": record.ttl().as_secs(),
            "class": "IN",
            "type": type_name(record.rtype()),
            "rdata": data(record.data()),
        })
    });
    records.collect()
}

fn data(data: &AllRecordData<&[u8], Name<'_>>) -> String {
    match data {
        AllRecordData::A(a) => a.addr().to_string(),
        AllRecordData::Aaaa(aaaa) => aaaa.addr().to_string(),
        AllRecordData::Ns(ns) => dotted(ns.nsdname()),
        AllRecordData::Cname(cname) => dotted(cname.cname()),
        AllRecordData::Ptr(ptr) => dotted(ptr.ptrdname()),
        AllRecordData::Srv(srv) => {
            let target = dotted(srv.target());
            format!("{} {} {} {target}", srv.priority(), srv.weight(), srv.port())
        }
        AllRecordData::Soa(soa) => format!(
            "{} {} {} {} {} {} {}",
            dotted(soa.mname()),
            dotted(soa.rname()),
            soa.serial(),
            soa.refresh().as_secs(),
            soa.retry().as_secs(),
            soa.expire().as_secs(),
            soa.minimum().as_secs(),
        ),
        AllRecordData::Txt(txt) => {
            let parts = txt.iter().map(|part| {
                json!(part.iter().map(|byte| char::from(*byte)).collect::<String>()).to_string()
            });
            parts.collect::<Vec<_>>().join(" ")
        }
        other => panic!("unexpected {other:?}"),
    }
}
