//! Dialogues in `tests/golden`: lines of the catalog, questions, the answers to them.
//!
//! A block begins with a word at the margin: `config`, `catalog`, `ask`, `answer`, `authority`,
//! `error` (an extended error's code and text), `extra`. Records are compared without their order. Empty sections may be left out.

use crate::ask::{packet, read};
use crate::world::World;
use dns::{Channel, Config, Fate, Responder};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[test]
fn addresses_are_spelled_in_names() {
    tell("addresses");
}

#[test]
fn aliases_are_followed_within_the_zone() {
    tell("aliases");
}

#[test]
fn the_zone_has_an_soa_and_name_servers() {
    tell("authority");
}

#[test]
fn names_may_be_spelled_out() {
    tell("compression");
}

#[test]
fn the_zone_may_have_another_name() {
    tell("domains");
}

#[test]
fn edns_is_echoed_as_consul_echoes_it() {
    tell("edns");
}

#[test]
fn who_sends_edns_is_told_why_an_answer_is_empty_or_short() {
    tell("reasons");
}

#[test]
fn short_answers_are_a_random_part() {
    tell("limits");
}

#[test]
fn unknown_and_foreign_names_are_refused_as_consul_does() {
    tell("names");
}

#[test]
fn nodes_have_addresses_and_texts() {
    tell("nodes");
}

#[test]
fn addresses_have_names() {
    tell("reverse");
}

#[test]
fn instances_are_shown_as_they_are_well() {
    tell("services");
}

#[test]
fn tags_choose_instances() {
    tell("tags");
}

#[test]
fn tagged_addresses_answer_for_their_family() {
    tell("tagged-addresses");
}

#[test]
fn ttls_are_as_configured() {
    tell("ttl");
}

#[test]
fn weights_follow_health() {
    tell("weights");
}

#[test]
fn every_dialogue_is_told() {
    for file in std::fs::read_dir(folder()).expect("a folder") {
        let name = file.expect("a file").file_name().into_string().expect("a name");
        let told = format!("tell({:?});", name.trim_end_matches(".txt"));
        assert!(include_str!("dialogue.rs").contains(&told), "nobody tells {name}");
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The blocks of a text: first words and the lines that belong to them.
fn blocks(text: &str) -> Vec<(usize, String, Vec<String>)> {
    let mut blocks: Vec<(usize, String, Vec<String>)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let content = line.trim();
        if content.is_empty() || line.starts_with('#') {
            continue;
        }
        match (line.starts_with(' '), blocks.last_mut()) {
            (true, Some(block)) => block.2.push(content.to_owned()),
            _ => {
                let (word, rest) = content.split_once(' ').unwrap_or((content, ""));
                blocks.push((number + 1, word.to_owned(), vec![rest.trim().to_owned()]));
            }
        }
    }
    blocks
}

fn tell(file: &str) {
    let text = std::fs::read_to_string(folder().join(file).with_extension("txt"));
    let text = text.expect("readable");
    let mut config = Config::default();
    let mut world = World::new(config.clone());
    let mut got = Value::Null;
    for (line, word, content) in blocks(&text) {
        let here = format!("{file}:{line}");
        match word.as_str() {
            "config" => {
                config = Config::default();
                content[0].split_whitespace().for_each(|setting| set(&mut config, setting));
                world = World::new(config.clone());
            }
            "catalog" => world.lines(&content.join("\n")),
            "ask" => {
                unexpected(&here, &got);
                got = ask(&world, &content[0]);
            }
            "answer" => {
                check_head(&here, &content[0], &mut got);
                check(&here, "answer", &content[1..], &mut got);
            }
            "error" => {
                let error = got["error"].take();
                assert_eq!(error.as_str(), Some(content[0].as_str()), "{here}");
            }
            "authority" => check(&here, "authority", &content, &mut got),
            "extra" => check(&here, "additional", &content, &mut got),
            other => panic!("{here}: unknown word {other}"),
        }
    }
    unexpected(file, &got);
}

fn set(config: &mut Config, setting: &str) {
    let (key, value) = setting.split_once('=').unwrap_or((setting, "true"));
    let number = || value.parse::<u32>().expect("a number");
    let seconds = || Duration::from_secs(u64::from(number()));
    match key {
        "enable_truncate" => config.enable_truncate = true,
        "only_passing" => config.only_passing = true,
        "disable_compression" => config.disable_compression = true,
        "no_meta_txt" => config.enable_additional_node_meta_txt = false,
        "udp_answer_limit" => config.udp_answer_limit = number() as usize,
        "a_record_limit" => config.a_record_limit = number() as usize,
        "node_ttl" => config.node_ttl = seconds(),
        "domain" => config.domain = value.to_owned(),
        "alt_domain" => config.alt_domain = Some(value.to_owned()),
        "datacenter" => config.datacenter = value.to_owned(),
        "soa" => {
            let numbers: Vec<u32> =
                value.split(',').map(|n| n.parse().expect("a number")).collect();
            let [refresh, retry, expire, min_ttl] = numbers[..] else { panic!("four numbers") };
            config.soa = dns::Soa { refresh, retry, expire, min_ttl };
        }
        other => match other.strip_prefix("service_ttl.") {
            Some(service) => _ = config.service_ttl.insert(service.to_owned(), seconds()),
            None => panic!("unknown setting {other}"),
        },
    }
}

fn ask(world: &World, question: &str) -> Value {
    let words: Vec<&str> = question.split_whitespace().collect();
    let mut query = json!({"name": words[0], "type": words[1], "options": {}});
    let mut channel = Channel::Udp;
    for word in &words[2..] {
        match word.split_once('=') {
            Some(("edns", size)) => query["options"]["bufsize"] = size.parse().expect("a number"),
            Some((option @ ("ecs" | "class"), value)) => query["options"][option] = json!(value),
            _ if ["dnssec", "norecurse"].contains(word) => query["options"][word] = json!(true),
            _ if *word == "tcp" => channel = Channel::Tcp,
            _ => panic!("unknown option {word}"),
        }
    }
    let mut responder = Responder::new(&world.config, &world.table).expect("a domain");
    let mut out = vec![0; 65_535];
    match responder.round().answer(channel, &packet(&query), &mut out) {
        Fate::Reply(reply) => read(&out[..reply.length]),
        other => panic!("{question}: {other:?}"),
    }
}

/// The code and flags; `edns=SIZE` and `ecs=HEX` as echoed; `soa` stands for the usual one in
/// Authority, which is taken away.
fn check_head(here: &str, expected: &str, got: &mut Value) {
    take_error(got);
    let flags = got["flags"].as_array().expect("flags").iter();
    let flags = flags.filter_map(Value::as_str).filter(|flag| !["qr", "rd"].contains(flag));
    let edns = got["edns"]["udp"].as_u64().map(|size| format!("edns={size}"));
    let options = got["edns"]["options"].as_array().into_iter().flatten();
    let options = options.map(|option| match option["code"].as_u64() {
        Some(8) => format!("ecs={}", option["hex"].as_str().expect("text")),
        code => panic!("{here}: option {code:?}"),
    });
    let rcode = got["rcode"].as_str().expect("a code").to_owned();
    let mut words: Vec<String> =
        std::iter::once(rcode).chain(flags.map(str::to_owned)).chain(edns).chain(options).collect();
    if expected.ends_with(" soa") {
        let usual = "consul. 0 SOA ns.consul. hostmaster.consul. SERIAL 3600 600 86400 0";
        check(here, "authority", &[usual.to_owned()], got);
        words.push("soa".to_owned());
    }
    assert_eq!(words.join(" "), expected, "{here}");
    assert!(!got["edns"]["do"].as_bool().unwrap_or(false), "{here}");
}

/// Sets an extended error aside, as text.
fn take_error(got: &mut Value) {
    let Some(options) = got["edns"]["options"].as_array_mut() else { return };
    let Some(at) = options.iter().position(|option| option["code"] == 15) else { return };
    let error = options.remove(at);
    let hex = error["hex"].as_str().expect("hex").as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16);
    let bytes: Vec<u8> = hex.map(|pair| byte(pair).expect("hex")).collect();
    let (code, text) = bytes.split_first_chunk::<2>().expect("a code");
    let text = std::str::from_utf8(text).expect("UTF-8");
    got["error"] = json!(format!("{} {text}", u16::from_be_bytes(*code)).trim_end());
}

/// Compares a section and takes it away.
fn check(here: &str, section: &str, expected: &[String], got: &mut Value) {
    let mut expected: Vec<String> =
        expected.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let mut records: Vec<String> =
        got[section].as_array().expect("records").iter().map(line).collect();
    // `N of NAME TYPE` stands for so many records drawn at random.
    if let [some] = &expected[..]
        && let Some((count, what)) = some.split_once(" of").map(|(n, what)| (n, what.trim_start()))
    {
        assert_eq!(records.len().to_string(), count, "{here}: {records:?}");
        assert!(records.iter().all(|record| record.starts_with(what)), "{here}: {records:?}");
        expected.clear();
        records.clear();
    }
    expected.sort();
    records.sort();
    assert_eq!(records, expected, "{here}");
    got[section] = json!([]);
}

fn line(record: &Value) -> String {
    let text = |key: &str| record[key].as_str().unwrap_or("").to_owned();
    let mut data = text("rdata");
    if text("type") == "SOA" {
        let words = data.split(' ').enumerate();
        let words = words.map(|(at, word)| if at == 2 { "SERIAL" } else { word });
        data = words.collect::<Vec<_>>().join(" ");
    }
    format!("{} {} {} {data}", text("name"), record["ttl"], text("type"))
}

/// Every section that was not named must have been empty.
fn unexpected(here: &str, got: &Value) {
    let error = got.get("error").unwrap_or(&Value::Null);
    assert!(error.is_null(), "{here}: before it, an error was not told of: {error}");
    for section in ["answer", "authority", "additional"] {
        let left = got.get(section).and_then(Value::as_array).map_or(0, Vec::len);
        assert_eq!(left, 0, "{here}: before it, {section} has more than was said: {got}");
    }
}
