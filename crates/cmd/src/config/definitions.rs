//! Services and checks as configuration files define them.
//!
//! A file says what a request says, in `snake_case` or in `CamelCase`, and a block may stand twice or
//! be a list of one. Here keys come to the spelling of requests; then the reader of requests reads
//! them, so that a file and a request that say the same register the same.
//!
//! Source: Consul, "Define services", "Define health checks".

use super::sort::{Complaint, members, unknown};
use httpapi::definitions::{self, Service};
use lang::json::Json;
use lang::tree::{Member, Place, Tree, Value};
use model::Check;

/// What a file defines.
#[derive(Debug)]
pub enum Defined {
    /// A service with its checks, and with its sidecar where it asks for one.
    Service(Box<Service>),
    /// A check by itself.
    Check(Box<Check>),
}

/// A definition, and where it stands.
#[derive(Debug)]
pub struct Definition {
    /// Where.
    pub place: Place,
    /// What.
    pub defined: Defined,
}

/// What becomes of a key.
enum Rule {
    /// It is kept under this name.
    Kept(&'static str),
    /// Its members have names of their own.
    Names(&'static str),
    /// An object with these keys.
    Object(&'static str, &'static Shape),
    /// A list of such objects.
    List(&'static str, &'static Shape),
    /// It means nothing here.
    Ignored,
}

/// The keys of an object, in the spelling of the manual.
type Shape = [(&'static str, Rule)];

use Rule::{Ignored, Kept, List, Names, Object};

static SERVICE: [(&str, Rule); 19] = [
    ("id", Kept("id")),
    ("name", Kept("name")),
    ("tags", Kept("tags")),
    ("address", Kept("address")),
    ("tagged_addresses", Names("taggedaddresses")),
    ("meta", Names("meta")),
    ("port", Kept("port")),
    ("socket_path", Kept("socketpath")),
    ("kind", Kept("kind")),
    ("enable_tag_override", Kept("enabletagoverride")),
    ("token", Kept("token")),
    ("weights", Object("weights", &WEIGHTS)),
    ("locality", Object("locality", &LOCALITY)),
    ("check", List("checks", &EMBEDDED)),
    ("checks", List("checks", &EMBEDDED)),
    ("proxy", Object("proxy", &PROXY)),
    ("connect", Object("connect", &CONNECT)),
    // Consul Enterprise's: there is one of each here.
    ("namespace", Ignored),
    ("partition", Ignored),
];

static WEIGHTS: [(&str, Rule); 2] = [("passing", Kept("passing")), ("warning", Kept("warning"))];

static LOCALITY: [(&str, Rule); 2] = [("region", Kept("region")), ("zone", Kept("zone"))];

static CONNECT: [(&str, Rule); 2] =
    [("native", Kept("native")), ("sidecar_service", Object("sidecarservice", &SERVICE))];

static PROXY: [(&str, Rule); 14] = [
    ("access_logs", Kept("access_logs")),
    ("config", Names("config")),
    ("destination_service_id", Kept("destination_service_id")),
    ("destination_service_name", Kept("destination_service_name")),
    ("envoy_extensions", Kept("envoy_extensions")),
    ("expose", Kept("expose")),
    ("local_service_address", Kept("local_service_address")),
    ("local_service_port", Kept("local_service_port")),
    ("local_service_socket_path", Kept("local_service_socket_path")),
    ("mesh_gateway", Kept("mesh_gateway")),
    ("mode", Kept("mode")),
    ("mutual_tls_mode", Kept("mutual_tls_mode")),
    ("transparent_proxy", Kept("transparent_proxy")),
    ("upstreams", Kept("upstreams")),
];

/// The keys that both kinds of checks have, by the two names of the id.
macro_rules! check {
    ($id:literal, $instance:expr) => {
        [
            ("id", Kept($id)),
            ("check_id", Kept($id)),
            ("service_id", $instance),
            ("name", Kept("name")),
            ("notes", Kept("notes")),
            ("status", Kept("status")),
            ("token", Ignored),
            ("args", Kept("args")),
            ("script_args", Kept("args")),
            ("http", Kept("http")),
            ("header", Names("header")),
            ("method", Kept("method")),
            ("body", Kept("body")),
            ("disable_redirects", Kept("disableredirects")),
            ("output_max_size", Kept("outputmaxsize")),
            ("tcp", Kept("tcp")),
            ("tcp_use_tls", Kept("tcpusetls")),
            ("udp", Kept("udp")),
            ("interval", Kept("interval")),
            ("docker_container_id", Kept("dockercontainerid")),
            ("shell", Kept("shell")),
            ("grpc", Kept("grpc")),
            ("grpc_use_tls", Kept("grpcusetls")),
            ("tls_server_name", Kept("tlsservername")),
            ("tls_skip_verify", Kept("tlsskipverify")),
            ("alias_node", Kept("aliasnode")),
            ("alias_service", Kept("aliasservice")),
            ("timeout", Kept("timeout")),
            ("ttl", Kept("ttl")),
            ("h2ping", Kept("h2ping")),
            ("h2ping_use_tls", Kept("h2pingusetls")),
            ("os_service", Kept("osservice")),
            ("success_before_passing", Kept("successbeforepassing")),
            ("failures_before_warning", Kept("failuresbeforewarning")),
            ("failures_before_critical", Kept("failuresbeforecritical")),
            ("deregister_critical_service_after", Kept("deregistercriticalserviceafter")),
        ]
    };
}

static ALONE: [(&str, Rule); 36] = check!("id", Kept("serviceid"));
static EMBEDDED: [(&str, Rule); 36] = check!("checkid", Ignored);

/// Reads what stands under `key`, which is `service`, `services`, `check` or `checks`.
pub fn read(key: &str, tree: Tree, complaints: &mut Vec<Complaint>) -> Vec<Definition> {
    let is_service = key.starts_with("service");
    let shape: &Shape = if is_service { &SERVICE } else { &ALONE };
    let mut read = Vec::new();
    for block in blocks(tree) {
        let place = block.place;
        let before = complaints.len();
        let json = object(key, block, shape, complaints);
        if complaints.len() > before {
            continue;
        }
        let defined = match is_service {
            true => definitions::service(&json).map(|service| Defined::Service(Box::new(service))),
            false => definitions::check(&json).map(|check| Defined::Check(Box::new(check))),
        };
        match defined {
            Ok(defined) => read.push(Definition { place, defined }),
            Err(why) => {
                complaints.push(Complaint { place, what: format!("{}: {why}", named(key, &json)) })
            }
        }
    }
    read
}

/// How people will know the definition that is wrong.
fn named(key: &str, json: &Json) -> String {
    let Json::Object(members) = json else { return key.to_owned() };
    let given = |wanted: &str| {
        members.iter().rev().find_map(|(key, value)| match value {
            Json::String(text) if key == wanted => Some(text),
            _ => None,
        })
    };
    let kind = key.trim_end_matches('s');
    match given("name").or_else(|| given("id")) {
        Some(name) => format!("{kind} {name:?}"),
        None => kind.to_owned(),
    }
}

/// One block, or each of a list of them.
fn blocks(tree: Tree) -> Vec<Tree> {
    match tree.value {
        Value::List(items) => items,
        _ => vec![tree],
    }
}

/// An object under the spelling of requests.
fn object(path: &str, tree: Tree, shape: &Shape, complaints: &mut Vec<Complaint>) -> Json {
    let place = tree.place;
    let Some(members) = members(tree) else {
        complaints.push(Complaint { place, what: format!("{path} must be an object") });
        return Json::Null;
    };
    let mut out = Vec::new();
    for Member { key, place, tree } in members {
        if tree.value == Value::Null {
            continue;
        }
        let Some((name, rule)) = shape.iter().find(|(name, _)| same(name, &key)) else {
            let what = unknown(&format!("{path}.{key}"), shape.iter().map(|(name, _)| name));
            complaints.push(Complaint { place, what });
            continue;
        };
        let inner = format!("{path}.{name}");
        match rule {
            Ignored => {}
            Kept(name) => put(&mut out, name, tree.json()),
            Names(name) => put(&mut out, name, names(tree)),
            Object(name, shape) => put(&mut out, name, object(&inner, tree, shape, complaints)),
            List(name, shape) => {
                let all = blocks(tree).into_iter();
                let all = all.map(|tree| object(&inner, tree, shape, complaints)).collect();
                put(&mut out, name, Json::Array(all));
            }
        }
    }
    Json::Object(out)
}

/// Whether both spell one key: `enable_tag_override`, `EnableTagOverride`.
fn same(name: &str, key: &str) -> bool {
    let letters = |text: &str| {
        text.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).collect::<String>()
    };
    letters(name) == letters(key)
}

/// An object whose keys are names, joined where it stands twice.
fn names(tree: Tree) -> Json {
    let blocks = matches!(&tree.value, Value::List(all)
        if !all.is_empty() && all.iter().all(|one| matches!(one.value, Value::Object(_))));
    if !blocks && !matches!(tree.value, Value::Object(_)) {
        return tree.json();
    }
    let mut out = Vec::new();
    for Member { key, tree, .. } in members(tree).unwrap_or_default() {
        let value = match tree.value {
            Value::List(ref all) if matches!(all[..], [Tree { value: Value::Object(_), .. }]) => {
                names(tree)
            }
            _ => tree.json(),
        };
        put(&mut out, &key, value);
    }
    Json::Object(out)
}

/// Of a key given twice lists and objects are joined; else the last counts.
fn put(out: &mut Vec<(String, Json)>, key: &str, value: Json) {
    let held = out.iter_mut().find(|(held, _)| held == key).map(|(_, value)| value);
    match (held, value) {
        (Some(Json::Array(list)), Json::Array(more)) => list.extend(more),
        (Some(Json::Object(object)), Json::Object(more)) => {
            more.into_iter().for_each(|(key, value)| put(object, &key, value));
        }
        (Some(held), value) => *held = value,
        (None, value) => out.push((key.to_owned(), value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_text(key: &str, text: &str) -> (Vec<Definition>, Vec<String>) {
        let Value::Object(members) = lang::hcl::parse(text).expect(text).value else {
            panic!("{text} has members")
        };
        let mut complaints = Vec::new();
        let all = members.into_iter().flat_map(|is| read(key, is.tree, &mut complaints)).collect();
        let told = complaints.iter().map(|is| format!("{}: {}", is.place.line, is.what));
        (all, told.collect())
    }

    fn registration(text: &str) -> model::Registration {
        let (mut all, told) = read_text("service", text);
        assert_eq!(told, Vec::<String>::new(), "{text}");
        match all.pop().expect(text).defined {
            Defined::Service(service) => service.registration,
            Defined::Check(_) => panic!("{text} is a service"),
        }
    }

    fn by_api(body: &str) -> model::Registration {
        let json = lang::json::parse(body.as_bytes()).expect(body);
        definitions::service(&json).expect(body).registration
    }

    #[test]
    fn a_file_and_a_request_that_say_the_same_register_the_same() {
        let file = r#"service {
            name = "web" id = "w1" tags = ["a", "b"] port = 80 address = "10.0.0.1"
            enable_tag_override = true
            tagged_addresses { lan { address = "10.0.0.2" port = 81 } }
            meta { Some_Key = "v" } meta { other = "w" }
            weights { passing = 5 warning = 2 }
            check { id = "c1" http = "http://x" interval = "10s" header { Host = ["h"] }
                    success_before_passing = 3 deregister_critical_service_after = "90m" }
            checks = [{ CheckID = "c2", TTL = "30s", status = "passing", service_id = "w1" }]
            check { args = ["true"] interval = "5s" token = "t" }
            proxy { local_service_port = 9 }
            connect { native = true } }"#;
        let request = r#"{"Name":"web","ID":"w1","Tags":["a","b"],"Port":80,"Address":"10.0.0.1",
            "EnableTagOverride":true,
            "TaggedAddresses":{"lan":{"Address":"10.0.0.2","Port":81}},
            "Meta":{"Some_Key":"v","other":"w"},"Weights":{"Passing":5,"Warning":2},
            "Checks":[
              {"CheckID":"c1","HTTP":"http://x","Interval":"10s","Header":{"Host":["h"]},
               "SuccessBeforePassing":3,"DeregisterCriticalServiceAfter":"90m"},
              {"CheckID":"c2","TTL":"30s","Status":"passing"},
              {"Args":["true"],"Interval":"5s"}],
            "Proxy":{"LocalServicePort":9},"Connect":{"Native":true}}"#;
        assert_eq!(registration(file), by_api(request));
    }

    proptest! {
        #[test]
        fn any_definition_by_file_equals_the_same_by_request(
            name in "[a-z]{1,8}", id in proptest::option::of("[a-z0-9-]{1,6}"), port in 0..70_000i64,
            tags in proptest::collection::vec("[a-zA-Z_.]{1,6}", 0..3), tagged: bool,
            meta in proptest::collection::btree_map("[a-zA-Z_]{1,6}", "[ -!#-Z]{0,5}", 0..3),
            ttls in proptest::collection::vec(1..90u32, 0..3), camel: bool,
        ) {
            let key = |snake: &'static str, other: &'static str| if camel { other } else { snake };
            let quoted = |text: &String| format!("{text:?}");
            let tags = tags.iter().map(quoted).collect::<Vec<_>>().join(",");
            let meta = meta.iter().map(|(k, v)| format!("{k:?}:{v:?}")).collect::<Vec<_>>().join(",");
            let body = |own: bool| {
                let pick = |snake, other| if own { key(snake, other) } else { other };
                let id = id.as_ref().map(|id| format!("{:?}:{id:?},", pick("id", "ID")));
                let checks = ttls.iter().map(|ttl| format!("{{{:?}:\"{ttl}s\",{:?}:2}}",
                    pick("ttl", "TTL"), pick("failures_before_critical", "FailuresBeforeCritical")));
                format!("{{{}{:?}:{name:?},{:?}:{port},{:?}:[{tags}],{:?}:{{{meta}}},{:?}:{tagged},{:?}:[{}]}}",
                    id.unwrap_or_default(), pick("name", "Name"), pick("port", "Port"),
                    pick("tags", "Tags"), pick("meta", "Meta"),
                    pick("enable_tag_override", "EnableTagOverride"), pick("checks", "Checks"),
                    checks.collect::<Vec<_>>().join(","))
            };
            let file = format!("{{\"service\":{}}}", body(true));
            prop_assert_eq!(registration(&file), by_api(&body(false)));
        }
    }

    #[test]
    fn a_definition_that_is_wrong_is_told_with_its_line() {
        for (key, text, told) in [
            (
                "service",
                "service {\n nmae = \"x\" }",
                "2: invalid config key service.nmae; did you mean name?",
            ),
            ("service", "service {\n port = 1 }", "1: service: Missing service name"),
            (
                "service",
                "service { name = \"web\"\n check {\n htpp = \"x\" } }",
                "3: invalid config key service.check.htpp; did you mean http?",
            ),
            (
                "service",
                "services = [{ name = \"a\" },\n { name = \"b\" port = \"80\" }]",
                "2: service \"b\": json: cannot unmarshal string into Go struct field .Alias.Port of type int",
            ),
            (
                "check",
                "check { name = \"c\" }",
                "1: check \"c\": Invalid check: TTL must be > 0 for TTL checks",
            ),
            (
                "check",
                "check { id = \"c\" http = \"x\" }",
                "1: check \"c\": Invalid check: Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks",
            ),
            ("check", "check = 5", "1: check must be an object"),
        ] {
            let (_, complaints) = read_text(key, text);
            assert_eq!(complaints, [told], "{text}");
        }
    }

    #[test]
    fn a_sidecar_is_a_service_inside_of_one() {
        let text = r#"service { name = "web" port = 80 connect { sidecar_service { port = 7
            check { name = "own" ttl = "1s" } proxy { upstreams = [{ destination_name = "db" }] } } } }"#;
        let (all, told) = read_text("service", text);
        assert_eq!(told, Vec::<String>::new());
        let Defined::Service(service) = &all[0].defined else { panic!("it is one") };
        let sidecar = service.sidecar(&[]).expect("it is taken").expect("it is asked for");
        assert_eq!((sidecar.instance.port, sidecar.checks.len()), (7, 1));
        let (_, told) = read_text(
            "service",
            "service { name = \"a\" connect { sidecar_service { prot = 1 } } }",
        );
        assert_eq!(
            told,
            ["1: invalid config key service.connect.sidecar_service.prot; did you mean port?"]
        );
    }
}
