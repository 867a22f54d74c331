//! Seeded faults: each has one right answer, which `rutter why` gives, and DNS in short. The manual's page
//! on `why` lists them.

use anyhow::{Result, ensure};
use blackbox::commands::Cli;
use blackbox::server::{Launch, Server};
use blackbox::tools::{present, printed};
use blackbox::wait::{SOON, until};
use serde_json::{Value, json};
use std::process::Command;

/// Writes to the server.
type Seed = &'static [(&'static str, &'static str)];

const CATALOG: &str = "/v1/catalog/register";
const AGENT: &str = "/v1/agent/service/register";

struct Fault {
    what: &'static str,
    seed: Seed,
    /// Words after `rutter why`.
    asked: &'static str,
    /// What is said of it, in this order.
    says: &'static [&'static str],
    /// A question of `dig`, and the extended error it is answered with.
    dug: Option<(&'static str, &'static str)>,
    /// Then all is served.
    undo: Undo,
}

enum Undo {
    /// Nothing is wrong but the question.
    Nothing,
    /// Writes to the server.
    By(Seed),
    /// The requests that `rutter why -format=json` names.
    Remedy,
}

const FAULTS: &[Fault] = &[
    Fault {
        what: "a misspelt name",
        seed: &[(
            CATALOG,
            r#"{"Node":"m1","Address":"10.0.1.1","Service":{"Service":"payments","Port":1}}"#,
        )],
        asked: "paymetns",
        says: &["no instance is registered under this name", "did you mean payments?"],
        dug: Some(("paymetns.service.consul", "no instance is registered under this name")),
        undo: Undo::Nothing,
    },
    Fault {
        what: "a critical check",
        seed: &[(
            CATALOG,
            r#"{"Node":"m2","Address":"10.0.1.2","Service":{"ID":"a1","Service":"api"},
            "Check":{"CheckID":"mem","Status":"critical","ServiceID":"a1","Output":"97 % used"}}"#,
        )],
        asked: "-passing api",
        says: &[
            "a1 on m2",
            "through HTTP from 127.0.0.1:",
            "kept up by http",
            "left out: check \"mem\" is critical",
            "it says: 97 % used",
            "register it anew with Status passing",
            "curl -X PUT 'http://127.0.0.1:",
        ],
        dug: Some(("api.service.consul", "a1 on m2: check \"mem\" is critical")),
        undo: Undo::Remedy,
    },
    Fault {
        what: "a critical check of the node",
        seed: &[(
            CATALOG,
            r#"{"Node":"m3","Address":"10.0.1.3","Service":{"Service":"disks"},
            "Check":{"CheckID":"disk","Status":"critical"}}"#,
        )],
        asked: "-as=dns disks",
        says: &["left out: check \"disk\" of node m3 is critical"],
        dug: Some((
            "disks.service.consul SRV",
            "disks on m3: check \"disk\" of node m3 is critical",
        )),
        undo: Undo::Remedy,
    },
    Fault {
        what: "an instance in maintenance",
        seed: &[
            (AGENT, r#"{"ID":"shop 1","Name":"shop","Port":80}"#),
            ("/v1/agent/service/maintenance/shop%201?enable=true&reason=new+till", ""),
        ],
        asked: "-as=dns shop",
        says: &[
            "left out: it is in maintenance",
            "it says: new till",
            "`rutter maint -disable -service='shop 1'` on node n1",
        ],
        dug: Some(("shop.service.consul", "shop 1 on n1: it is in maintenance")),
        undo: Undo::Remedy,
    },
    Fault {
        what: "a node in maintenance",
        seed: &[(AGENT, r#"{"Name":"till","Port":80}"#), ("/v1/agent/maintenance?enable=true", "")],
        asked: "-as=dns till",
        says: &["left out: node n1 is in maintenance", "`rutter maint -disable` on node n1"],
        dug: Some(("till.service.consul", "till on n1: node n1 is in maintenance")),
        undo: Undo::Remedy,
    },
    Fault {
        what: "a warning where only what passes is told",
        seed: &[(
            CATALOG,
            r#"{"Node":"m4","Address":"10.0.1.4","Service":{"Service":"slow"},
            "Check":{"CheckID":"lag","Status":"warning","ServiceID":"slow"}}"#,
        )],
        asked: "-passing slow",
        says: &["left out: check \"lag\" warns, and only what passes is told"],
        dug: None,
        undo: Undo::Remedy,
    },
    Fault {
        what: "a tag that is lacking",
        seed: &[(
            CATALOG,
            r#"{"Node":"m5","Address":"10.0.1.5","Service":{"Service":"tagged","Tags":["blue"]}}"#,
        )],
        asked: "-tag=primary tagged",
        says: &[
            "with tag primary",
            "left out: it has no tag \"primary\"",
            "register it with the tag \"primary\"",
        ],
        dug: Some(("primary.tagged.service.consul", "no instance has this tag")),
        undo: Undo::Remedy,
    },
    Fault {
        what: "a misspelt tag",
        seed: &[(
            CATALOG,
            r#"{"Node":"m6","Address":"10.0.1.6","Service":{"Service":"spelt","Tags":["primary"]}}"#,
        )],
        asked: "prinary.spelt.service.consul",
        says: &["left out: it has no tag \"prinary\"", "ask for the tag \"primary\""],
        dug: None,
        undo: Undo::Nothing,
    },
    Fault {
        what: "an instance that somebody removed",
        seed: &[
            (
                CATALOG,
                r#"{"Node":"m7","Address":"10.0.1.7","Service":{"ID":"g1","Service":"gone"}}"#,
            ),
            ("/v1/catalog/deregister", r#"{"Node":"m7","ServiceID":"g1"}"#),
        ],
        asked: "gone",
        says: &[
            "no instance is registered",
            "g1 on m7",
            "by anonymous through HTTP from 127.0.0.1:",
        ],
        dug: Some(("gone.service.consul", "no instance is registered under this name")),
        undo: Undo::By(&[(
            CATALOG,
            r#"{"Node":"m7","Address":"10.0.1.7","Service":{"ID":"g1","Service":"gone"}}"#,
        )]),
    },
    Fault {
        what: "a report that did not come",
        seed: &[(AGENT, r#"{"Name":"beat","Port":80,"Check":{"TTL":"100ms","Status":"passing"}}"#)],
        asked: "-passing beat",
        says: &[
            "left out: check \"service:beat\" is critical",
            "it says: TTL expired",
            "a report: `PUT /v1/agent/check/pass/service:beat` to the agent on n1",
        ],
        dug: Some(("beat.service.consul", "beat on n1: check \"service:beat\" is critical")),
        undo: Undo::By(&[
            (AGENT, r#"{"Name":"beat","Port":80,"Check":{"TTL":"1h","Status":"passing"}}"#),
            ("/v1/agent/check/pass/service:beat", ""),
        ]),
    },
    Fault {
        what: "a check that follows another instance",
        seed: &[
            (AGENT, r#"{"Name":"lead","Port":80,"Check":{"TTL":"1h","Status":"critical"}}"#),
            (AGENT, r#"{"Name":"follow","Port":80,"Check":{"AliasService":"lead"}}"#),
        ],
        asked: "-as=dns follow",
        says: &[
            "left out: check \"service:follow\" is critical",
            "the checks that it follows pass",
        ],
        dug: Some(("follow.service.consul", "follow on n1: check \"service:follow\" is critical")),
        undo: Undo::By(&[("/v1/agent/check/pass/service:lead", "")]),
    },
    Fault {
        what: "an id that somebody else's row has",
        seed: &[(AGENT, r#"{"ID":"consul","Name":"squat","Port":80}"#)],
        asked: "squat",
        says: &[
            "consul on n1",
            "its id is taken in the catalog by leader, for service consul",
            "register it under another id",
        ],
        dug: Some(("squat.service.consul", "no instance is registered under this name")),
        undo: Undo::By(&[
            ("/v1/agent/service/deregister/consul", ""),
            (AGENT, r#"{"ID":"own","Name":"squat","Port":80}"#),
        ]),
    },
    Fault {
        what: "a_record_limit",
        seed: MANY,
        asked: "-as=dns -type=A many",
        says: &["serves 6 of 6 (4 of 6 told: a_record_limit)"],
        dug: Some(("many.service.consul", "4 of 6 told: a_record_limit")),
        undo: Undo::Nothing,
    },
    Fault {
        what: "udp_answer_limit",
        seed: MANY,
        asked: "-as=dns -edns=512 many",
        says: &["of 6 told: udp_answer_limit)"],
        dug: Some(("+bufsize=512 many.service.consul SRV", "of 6 told: udp_answer_limit")),
        undo: Undo::Nothing,
    },
    Fault {
        what: "an answer larger than the asker takes",
        seed: MANY,
        asked: "-as=dns -edns=560 long.many.service.consul",
        says: &["of 6 told: no room for more"],
        dug: Some(("+bufsize=560 long.many.service.consul SRV", "no room for more")),
        undo: Undo::Nothing,
    },
    Fault {
        what: "a datacenter that is not there",
        seed: &[(CATALOG, r#"{"Node":"m8","Address":"10.0.1.8","Service":{"Service":"far"}}"#)],
        asked: "far.service.dc2.consul",
        says: &["no such datacenter", "did you mean dc1?"],
        dug: Some(("far.service.dc2.consul", "no such datacenter")),
        undo: Undo::Nothing,
    },
    Fault {
        what: "an address of the other family",
        seed: &[(CATALOG, r#"{"Node":"m9","Address":"10.0.1.9","Service":{"Service":"four"}}"#)],
        asked: "-as=dns -type=AAAA four",
        says: &["left out: it has no IPv6 address"],
        dug: Some(("four.service.consul AAAA", "none of its addresses is IPv6")),
        undo: Undo::By(&[(
            CATALOG,
            r#"{"Node":"m9","Address":"10.0.1.9","Service":{"Service":"four","Address":"fd00::9"}}"#,
        )]),
    },
    Fault {
        what: "a host name beside addresses",
        seed: &[
            (CATALOG, r#"{"Node":"m10","Address":"10.0.1.10","Service":{"Service":"mixed"}}"#),
            (
                CATALOG,
                r#"{"Node":"m11","Address":"10.0.1.11","Service":{"Service":"mixed","Address":"db.example.test"}}"#,
            ),
        ],
        asked: "-as=dns -type=A mixed@m11",
        says: &["left out: its address is the host name db.example.test, and IP addresses win"],
        dug: None,
        undo: Undo::By(&[("/v1/catalog/deregister", r#"{"Node":"m10"}"#)]),
    },
    Fault {
        what: "a name that DNS cannot carry",
        seed: &[(
            CATALOG,
            r#"{"Node":"m12","Address":"10.0.1.12","Service":{"Service":"a.dotted"}}"#,
        )],
        asked: "a.dotted",
        says: &["DNS", "DNS cannot carry this name", "HTTP  serves 1 of 1"],
        dug: None,
        undo: Undo::Nothing,
    },
    Fault {
        what: "maintenance that no agent holds",
        seed: &[(
            CATALOG,
            r#"{"Node":"m13","Address":"10.0.1.13","Service":{"ID":"x1","Service":"held"},
            "Check":{"CheckID":"_service_maintenance:x1","Status":"critical","ServiceID":"x1"}}"#,
        )],
        asked: "-as=dns held",
        says: &["left out: it is in maintenance", "no agent holds it: deregister check"],
        dug: Some(("held.service.consul", "x1 on m13: it is in maintenance")),
        undo: Undo::Remedy,
    },
    Fault {
        what: "a report that something is wrong",
        seed: &[
            (
                AGENT,
                r#"{"Name":"ill","Port":80,"Check":{"CheckID":"is it?","TTL":"1h","Status":"passing"}}"#,
            ),
            ("/v1/agent/check/fail/is%20it%3F?note=no%1B%5B2J", ""),
        ],
        asked: "-passing ill",
        says: &[
            "left out: check \"is it?\" is critical",
            r"it says: no\x1b[2J",
            "a report: `PUT /v1/agent/check/pass/is%20it%3F` to the agent on n1",
        ],
        dug: None,
        undo: Undo::Remedy,
    },
    Fault {
        what: "a tag that an agent's instance lacks",
        seed: &[(
            AGENT,
            r#"{"Name":"lone","Port":80,"Tags":["a"],"Meta":{"k":"v"},"Check":{"TTL":"1h","Status":"passing"}}"#,
        )],
        asked: "-tag=edge lone.service.consul",
        says: &[
            "with tag edge",
            "edge.lone.service.consul SRV",
            "/v1/health/service/lone?tag=edge",
            "left out: it has no tag \"edge\"",
        ],
        dug: Some(("edge.lone.service.consul", "no instance has this tag")),
        undo: Undo::Remedy,
    },
    Fault {
        what: "another node than it is on",
        seed: &[(CATALOG, r#"{"Node":"m14","Address":"10.0.1.14","Service":{"Service":"there"}}"#)],
        asked: "there@n1",
        says: &["service there on n1: not registered on this node", "it is on m14"],
        dug: None,
        undo: Undo::By(&[(AGENT, r#"{"Name":"there","Port":1}"#)]),
    },
    Fault {
        what: "a form of name that the type does not have",
        seed: &[(CATALOG, r#"{"Node":"m15","Address":"10.0.1.15","Service":{"Service":"form"}}"#)],
        asked: "-type=A _form._tcp.consul",
        says: &["name _form._tcp.consul: names of this form mean nothing here", "DNS   NXDOMAIN"],
        dug: Some(("_form._tcp.consul A", "names of this form mean nothing here")),
        undo: Undo::Nothing,
    },
    Fault {
        what: "a record that only the zone has",
        seed: &[(
            CATALOG,
            r#"{"Node":"m16","Address":"10.0.1.16","Service":{"Service":"soa"},
            "Check":{"CheckID":"ill","Status":"critical"}}"#,
        )],
        asked: "-as=dns -type=SOA soa",
        says: &[
            "serves 0 of 1",
            "left out: it has no record of this type: it is the zone's own",
            "ask for A, AAAA or SRV",
            "and then: check \"ill\"",
        ],
        dug: None,
        undo: Undo::Nothing,
    },
    Fault {
        what: "an address that nobody has",
        seed: &[],
        asked: "9.8.7.6.in-addr.arpa",
        says: &["no node or service has this address", "NXDOMAIN", "9.8.7.6.in-addr.arpa PTR"],
        dug: Some(("-x 6.7.8.9", "no node or service has this address")),
        undo: Undo::Nothing,
    },
    Fault {
        what: "a host name of the node beside addresses",
        seed: &[
            (
                CATALOG,
                r#"{"Node":"m17","Address":"m17.example.test","Service":{"Service":"both"}}"#,
            ),
            (CATALOG, r#"{"Node":"m18","Address":"10.0.1.18","Service":{"Service":"both"}}"#),
        ],
        asked: "-as=dns -type=A both@m17",
        says: &["left out: its address is the host name m17.example.test, and IP addresses win"],
        dug: None,
        undo: Undo::By(&[("/v1/catalog/deregister", r#"{"Node":"m18"}"#)]),
    },
];

const MANY: Seed = &[
    (
        CATALOG,
        r#"{"Node":"o1","Address":"10.0.2.1","Service":{"Service":"many","Tags":["long"],"Port":1}}"#,
    ),
    (
        CATALOG,
        r#"{"Node":"o2","Address":"10.0.2.2","Service":{"Service":"many","Tags":["long"],"Port":1}}"#,
    ),
    (
        CATALOG,
        r#"{"Node":"o3","Address":"10.0.2.3","Service":{"Service":"many","Tags":["long"],"Port":1}}"#,
    ),
    (
        CATALOG,
        r#"{"Node":"o4","Address":"10.0.2.4","Service":{"Service":"many","Tags":["long"],"Port":1}}"#,
    ),
    (
        CATALOG,
        r#"{"Node":"o5","Address":"10.0.2.5","Service":{"Service":"many","Tags":["long"],"Port":1}}"#,
    ),
    (
        CATALOG,
        r#"{"Node":"o6","Address":"10.0.2.6","NodeMeta":{"much":"LONG"},"Service":{"Service":"many","Tags":["long"],"Port":1}}"#,
    ),
];

fn write(server: &Server, seed: Seed) -> Result<()> {
    for (path, body) in seed {
        // A long text, so that one record does not fit.
        server.client().put_ok(path, body.replace("LONG", &"x".repeat(250)))?;
    }
    Ok(())
}

/// What `rutter why` prints, and whether something is served.
fn why(cli: &Cli, asked: &str) -> Result<(String, bool)> {
    let words: Vec<&str> = ["why"].into_iter().chain(asked.split(' ')).collect();
    let ran = cli.run(&words)?;
    ensure!(ran.err.is_empty() && [0, 2].contains(&ran.code), "{asked}: {ran:?}");
    Ok((ran.out, ran.code == 0))
}

fn check(server: &Server, cli: &Cli, fault: &Fault) -> Result<()> {
    let what = fault.what;
    write(server, fault.seed)?;
    until(what, SOON, || {
        let (said, _) = why(cli, fault.asked)?;
        let mut rest = said.as_str();
        for part in fault.says {
            let Some(at) = rest.find(part) else {
                anyhow::bail!("{what}: {part:?} is not said, or not there:\n{said}")
            };
            rest = &rest[at + part.len()..];
        }
        let Some((question, expected)) = fault.dug else { return Ok(()) };
        let mut dig = Command::new("dig");
        dig.arg(format!("@{}", server.dns.ip())).args(["-p", &server.dns.port().to_string()]);
        dig.args(question.split(' '));
        let dug = printed(dig)?;
        let error = dug.lines().find(|line| line.contains("EDE: "));
        ensure!(error.is_some_and(|error| error.contains(expected)), "{what}: {error:?} in {dug}");
        Ok(())
    })?;
    match fault.undo {
        Undo::Nothing => return Ok(()),
        Undo::By(seed) => write(server, seed)?,
        Undo::Remedy => remedy(server, cli, fault)?,
    }
    until(what, SOON, || {
        let (said, served) = why(cli, fault.asked)?;
        ensure!(served && !said.contains("left out"), "{what} was undone:\n{said}");
        Ok(())
    })
}

/// Does what the explanation of a fault says, as a program would.
fn remedy(server: &Server, cli: &Cli, fault: &Fault) -> Result<()> {
    let words: Vec<&str> =
        ["why", "-format=json"].into_iter().chain(fault.asked.split(' ')).collect();
    let told: Value = serde_json::from_str(&cli.run(&words)?.out)?;
    let causes = told["Instances"][0]["Verdicts"][0]["Causes"].as_array();
    let requests = causes.into_iter().flatten().flat_map(|cause| cause["Requests"].as_array());
    let requests: Vec<&Value> = requests.flatten().collect();
    ensure!(!requests.is_empty(), "{}: {told}", fault.what);
    for request in requests {
        let text = |key: &str| request[key].as_str().unwrap_or_default();
        ensure!(["", "n1"].contains(&text("Node")), "{request}");
        let body =
            if request["Body"].is_null() { String::new() } else { request["Body"].to_string() };
        let sent = server.client().send(text("Method"), text("Path"), body.as_bytes())?;
        sent.expect_status(200)?;
    }
    Ok(())
}

#[test]
fn each_seeded_fault_has_its_right_answer() -> Result<()> {
    if !present("each_seeded_fault_has_its_right_answer", &["dig"]) {
        return Ok(());
    }
    assert!(FAULTS.len() >= 14);
    let limits = json!({ "dns_config": { "a_record_limit": 4 } });
    let server = Launch::dev().config(&limits).start()?;
    let cli = Cli::of(server.http);
    let wrong: Vec<String> = FAULTS
        .iter()
        .filter_map(|fault| check(&server, &cli, fault).err())
        .map(|error| format!("{error:#}"))
        .collect();
    ensure!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    server.stop()
}

#[test]
fn the_manual_lists_every_seeded_fault() -> Result<()> {
    let page = std::fs::read_to_string(blackbox::binary::workspace().join("docs/manual/why.md"))?;
    for fault in FAULTS {
        ensure!(
            page.contains(&format!("| {} |", fault.what)),
            "docs/manual/why.md lacks {}",
            fault.what
        );
    }
    Ok(())
}

#[test]
fn what_is_no_fault_is_said_to_be_served() -> Result<()> {
    let server = Launch::dev().start()?;
    let cli = Cli::of(server.http);
    let body =
        r#"{"Node":"m1","Address":"10.0.1.1","Service":{"Service":"web","Port":1,"Tags":["v1"]}}"#;
    server.client().put_ok(CATALOG, body)?;
    for (asked, says) in [
        ("consul", "service consul\n  DNS   serves 1 of 1"),
        ("-tag=v1 web.service.consul", "serves 1 of 1  v1.web.service.consul SRV"),
        ("-tag=V1 v1.web.service.consul", "serves 1 of 1  v1.web.service.consul SRV"),
        ("-tag=v1 _web._tcp.service.consul", "serves 1 of 1  v1.web.service.consul. SRV"),
        ("_web._tcp.consul", "serves 1 of 1  _web._tcp.consul SRV"),
        ("1.1.0.10.in-addr.arpa", "DNS   NOERROR with 1 record  1.1.0.10.in-addr.arpa PTR"),
        ("-type=ANY web", "serves 1 of 1  web.service.consul. ANY"),
        ("-type=TXT web", "serves 1 of 1  web.service.consul. TXT"),
        ("-type=SOA m1", "DNS   NOERROR with 1 record  m1.node.consul. SOA"),
        ("-type=NS @m1", "DNS   NOERROR with 1 record  m1.node.consul. NS"),
    ] {
        let (said, served) = why(&cli, asked)?;
        ensure!(served && said.contains(says), "{asked}: {says:?} is not said:\n{said}");
    }
    for (asked, says) in [
        ("-tag=v2 v1.web.service.consul", "Invalid tag: the name asks for the tag \"v1\" already"),
        ("-tag=v1 1.1.0.10.in-addr.arpa", "Invalid tag or node"),
        ("-tag=a.b _web._tcp.service.dc1.consul", "Invalid tag: DNS cannot be asked for it"),
    ] {
        let words: Vec<&str> = ["why"].into_iter().chain(asked.split(' ')).collect();
        let ran = cli.run(&words)?;
        ensure!(ran.code == 1 && ran.err.contains(says), "{asked}: {ran:?}");
    }
    server.stop()
}

#[test]
fn nobody_who_does_not_ask_with_edns_is_told_and_json_says_the_same() -> Result<()> {
    let server = Launch::dev().start()?;
    let cli = Cli::of(server.http);
    let ran = cli.run(&["why", "-format=json", "nope"])?;
    let told: Value = serde_json::from_str(&ran.out)?;
    ensure!(ran.code == 2 && told["Absence"]["Name"] == "no_such_service", "{told}");
    if present("nobody_who_does_not_ask_with_edns_is_told_and_json_says_the_same", &["dig"]) {
        let mut dig = Command::new("dig");
        dig.arg(format!("@{}", server.dns.ip())).args(["-p", &server.dns.port().to_string()]);
        dig.args(["+noedns", "nope.service.consul"]);
        let dug = printed(dig)?;
        ensure!(dug.contains("NXDOMAIN") && !dug.contains("EDE"), "{dug}");
    }
    let asked = ["why", "-as=smtp", "web"];
    ensure!(cli.run(&asked)?.code == 1);
    ensure!(cli.run(&["why"])?.code == 1);
    server.stop()
}
