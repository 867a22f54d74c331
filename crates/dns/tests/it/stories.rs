//! What a real Consul answered, asked again.
//!
//! Registrations go straight into a catalog; the black-box test replays the same stories by HTTP.

use crate::ask::{packet, read};
use crate::world::World;
use dns::{Channel, Config, Fate, Responder, Soa};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Known differences: (story, step, why).
const DIFFERENT: &[(&str, u64, &str)] = &[
    ("10-limits", 53, OPT_IS_KEPT),
    ("10-limits", 54, OPT_IS_KEPT),
    ("10-limits", 55, OPT_IS_KEPT),
    ("10-limits", 56, OPT_IS_KEPT),
    ("10-limits", 58, ONE_MAKES_ROOM),
    ("11-truncate", 53, OPT_IS_KEPT),
    ("11-truncate", 54, OPT_IS_KEPT),
    ("11-truncate", 56, ONE_MAKES_ROOM),
    ("16-odd-packets", 28, REASON_IS_TOLD),
    ("16-odd-packets", 30, REASON_IS_TOLD),
    ("19-a-record-limit", 9, REASON_IS_TOLD),
];

/// Consul's shortened answers lose their OPT record. RFC 6891 §6.1.1 wants one in every answer to a
/// question that has one; all else of these steps is compared.
const OPT_IS_KEPT: &str = "OPT is kept";

/// Twenty records leave five bytes: too few to say that there are more, so the last address beside
/// them goes.
const ONE_MAKES_ROOM: &str = "one address makes room for the reason";

/// Who sends EDNS is told why there is nothing, or not all (RFC 8914); all else of these steps is compared.
const REASON_IS_TOLD: &str = "the reason is told";

/// What these speak of is not there yet.
const ABSENT: &[&str] = &["06-prepared-queries", "14-recursors"];

#[test]
fn the_recorded_stories_are_told_again() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/fixtures/consul/dns");
    let mut told = 0;
    let mut differences = Vec::new();
    for story in stories(&folder) {
        differences.extend(tell(&story));
        told += 1;
    }
    assert!(told >= 10, "only {told} stories found");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn stories(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let files = std::fs::read_dir(folder).expect("a folder of stories");
    files.map(|file| file.expect("a file").path()).filter(|path| {
        let is_absent = |name: &&str| path.file_stem() == Some(OsStr::new(name));
        path.extension().is_some() && !ABSENT.iter().any(is_absent)
    })
}

fn tell(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("readable");
    let story: Value = serde_json::from_str(&text).expect("JSON");
    let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
    let world = World::new(config(&story["config"]));
    world.lines(
        "node n1 127.0.0.1 meta=consul-network-segment: meta=consul-version:1.21.0 passing
         consul consul n1:8300",
    );
    let mut responder = Responder::new(&world.config, &world.table).expect("a domain");
    let mut differences = Vec::new();
    for step in story["steps"].as_array().expect("steps") {
        if let Some(request) = step.get("request") {
            match request["path"].as_str().expect("a path") {
                "/v1/catalog/register" => world.register(request["body"].as_str().expect("a body")),
                "/v1/agent/maintenance?enable=true" => world.lines("node n1 127.0.0.1 critical meta=consul-network-segment: meta=consul-version:1.21.0"),
                other => panic!("{name}: {other}"),
            }
            continue;
        }
        let number = step["n"].as_u64().expect("a number");
        let known = DIFFERENT.iter().find(|(story, step, _)| *story == name && *step == number);
        match (answer(&mut responder, &step["query"]), known) {
            (Some(got), None) if fits(step, &got) => {}
            (Some(mut got), Some((_, _, why))) if *why == OPT_IS_KEPT => {
                let size = &step["query"]["options"]["bufsize"];
                assert_eq!(got["edns"]["udp"], *size, "{name} {number}");
                got["edns"] = Value::Null;
                assert!(fits(step, &got), "{name} {number} differs by more: {got}");
            }
            (Some(got), Some((_, _, why))) if *why == ONE_MAKES_ROOM => {
                let count = |section: &Value| section.as_array().expect("records").len();
                let wanted = &step["response"];
                assert_eq!(count(&got["answer"]), count(&wanted["answer"]), "{name} {number}");
                let beside = count(&wanted["additional"]) - 1;
                assert_eq!(count(&got["additional"]), beside, "{name} {number}");
                assert_eq!(got["edns"]["options"][0]["code"], 15, "{name} {number}");
            }
            (Some(mut got), Some((_, _, why))) if *why == REASON_IS_TOLD => {
                let options = got["edns"]["options"].as_array_mut().expect("options");
                let error = options.pop().expect("an option");
                assert_eq!(error["code"], 15, "{name} {number}");
                assert!(fits(step, &got), "{name} {number} differs by more: {got}");
            }
            (got, _) => differences.push(format!(
                "{name} {number} {}\n  wanted {}\n  got    {}",
                step["query"],
                step["response"],
                got.unwrap_or(Value::Null),
            )),
        }
    }
    differences
}

fn answer(responder: &mut Responder, query: &Value) -> Option<Value> {
    let channel = match query["options"]["tcp"].as_bool() {
        Some(true) => Channel::Tcp,
        _ => Channel::Udp,
    };
    let mut out = vec![0; 65_535];
    match responder.round().answer(channel, &packet(query), &mut out) {
        Fate::Reply(reply) => Some(read(&out[..reply.length])),
        _ => None,
    }
}

fn config(settings: &Value) -> Config {
    let dns = &settings["dns_config"];
    let seconds = |value: &Value| {
        let text = value.as_str().unwrap_or("0s");
        Duration::from_secs(text.trim_end_matches('s').parse().expect("seconds"))
    };
    let number = |value: &Value, or: u32| value.as_u64().map_or(or, |number| number as u32);
    let default = Config::default();
    let soa = Soa::default();
    let ttl = dns["service_ttl"].as_object().into_iter().flatten();
    let service_ttl: BTreeMap<String, Duration> =
        ttl.map(|(name, value)| (name.clone(), seconds(value))).collect();
    Config {
        domain: settings["domain"].as_str().unwrap_or("consul.").to_owned(),
        alt_domain: settings["alt_domain"].as_str().map(str::to_owned),
        datacenter: settings["datacenter"].as_str().unwrap_or("dc1").to_owned(),
        node_ttl: seconds(&dns["node_ttl"]),
        service_ttl,
        only_passing: dns["only_passing"].as_bool().unwrap_or(false),
        a_record_limit: number(&dns["a_record_limit"], 0) as usize,
        udp_answer_limit: number(&dns["udp_answer_limit"], 3) as usize,
        enable_truncate: dns["enable_truncate"].as_bool().unwrap_or(false),
        enable_additional_node_meta_txt: dns["enable_additional_node_meta_txt"]
            .as_bool()
            .unwrap_or(true),
        soa: Soa {
            refresh: number(&dns["soa"]["refresh"], soa.refresh),
            retry: number(&dns["soa"]["retry"], soa.retry),
            expire: number(&dns["soa"]["expire"], soa.expire),
            min_ttl: number(&dns["soa"]["min_ttl"], soa.min_ttl),
        },
        ..default
    }
}

fn fits(step: &Value, got: &Value) -> bool {
    let wanted = &step["response"];
    let heads = ["rcode", "opcode", "flags", "question", "edns"];
    let sections = ["answer", "authority", "additional"];
    heads.iter().all(|key| wanted[*key] == got[*key])
        && sections.iter().all(|key| section_fits(step, key, &wanted[*key], &got[*key]))
}

fn section_fits(step: &Value, key: &str, wanted: &Value, got: &Value) -> bool {
    let texts = |records: &Value| -> Vec<String> {
        let records = records.as_array().expect("a list");
        records.iter().map(|record| plain(record).to_string()).collect()
    };
    let (mut wanted, mut got) = (texts(wanted), texts(got));
    if let Some(pool) = step["sampled"].get(key) {
        let pool = texts(pool);
        let mut left = pool.clone();
        let drawn = got.iter().all(|record| {
            let at = left.iter().position(|other| other == record);
            at.map(|at| left.swap_remove(at)).is_some()
        });
        return drawn && got.len() == wanted.len();
    }
    let shuffled = step["shuffled"].as_array().into_iter().flatten();
    if shuffled.into_iter().any(|section| section == key) {
        wanted.sort();
        got.sort();
    }
    wanted == got
}

/// A record without what differs each time: the SOA's serial, the server's port and version.
fn plain(record: &Value) -> Value {
    let mut record = record.clone();
    let data = record["rdata"].as_str().expect("text").to_owned();
    let data = data
        .replace("{{port:server}}", "8300")
        .replace("consul-version={{version}}", "consul-version=1.21.0");
    let mut words: Vec<&str> = data.split(' ').collect();
    if record["type"] == "SOA" {
        words[2] = "SERIAL";
    }
    record["rdata"] = json!(words.join(" "));
    record
}
