//! Dialogues in `tests/golden`: lines of the catalog, questions, the answers to them.
//!
//! A block begins with a word at the margin: `config`, `catalog`, `ask`, `answer`, `authority`,
//! `extra`. Records are compared without their order. Empty sections may be left out.

use crate::ask::{packet, read};
use crate::world::World;
use dns::{Channel, Config, Fate, Responder};
use serde_json::{Value, json};
use std::path::Path;

#[test]
fn the_golden_dialogues_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut told = 0;
    for file in std::fs::read_dir(folder).expect("a folder") {
        let path = file.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("readable");
        tell(&path.display().to_string(), &text);
        told += 1;
    }
    assert!(told > 0);
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

fn tell(file: &str, text: &str) {
    let mut config = Config::default();
    let mut world = World::new(config.clone());
    let mut got = Value::Null;
    for (line, word, content) in blocks(text) {
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
                check_head(&here, &content[0], &got);
                check(&here, "answer", &content[1..], &mut got);
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
    match key {
        "enable_truncate" => config.enable_truncate = true,
        "only_passing" => config.only_passing = true,
        "udp_answer_limit" => config.udp_answer_limit = value.parse().expect("a number"),
        "a_record_limit" => config.a_record_limit = value.parse().expect("a number"),
        other => panic!("unknown setting {other}"),
    }
}

fn ask(world: &World, question: &str) -> Value {
    let words: Vec<&str> = question.split_whitespace().collect();
    let mut query = json!({"name": words[0], "type": words[1], "options": {}});
    let mut channel = Channel::Udp;
    for word in &words[2..] {
        match word.split_once('=') {
            Some(("edns", size)) => query["options"]["bufsize"] = size.parse().expect("a number"),
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

fn check_head(here: &str, expected: &str, got: &Value) {
    let flags = got["flags"].as_array().expect("flags").iter();
    let flags = flags.filter_map(Value::as_str).filter(|flag| !["qr", "rd"].contains(flag));
    let edns = got["edns"]["udp"].as_u64().map(|size| format!("edns={size}"));
    let rcode = got["rcode"].as_str().expect("a code").to_owned();
    let words: Vec<String> =
        std::iter::once(rcode).chain(flags.map(str::to_owned)).chain(edns).collect();
    assert_eq!(words.join(" "), expected, "{here}");
}

/// Compares a section and takes it away.
fn check(here: &str, section: &str, expected: &[String], got: &mut Value) {
    let mut expected: Vec<String> =
        expected.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let mut records: Vec<String> =
        got[section].as_array().expect("records").iter().map(line).collect();
    // `N of NAME TYPE` stands for so many records drawn at random.
    if let [some] = &expected[..]
        && let Some((count, what)) = some.split_once(" of ")
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
    for section in ["answer", "authority", "additional"] {
        let left = got.get(section).and_then(Value::as_array).map_or(0, Vec::len);
        assert_eq!(left, 0, "{here}: before it, {section} has more than was said: {got}");
    }
}
