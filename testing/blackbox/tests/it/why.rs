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
    /// Undoes it; then something is served. Nothing where the question was wrong.
    undo: Seed,
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
        undo: &[],
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
        ],
        dug: Some(("api.service.consul", "a1 on m2: check \"mem\" is critical")),
        undo: &[(
            CATALOG,
            r#"{"Node":"m2","Address":"10.0.1.2","Check":{"CheckID":"mem","Status":"passing","ServiceID":"a1"}}"#,
        )],
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
        undo: &[(
            CATALOG,
            r#"{"Node":"m3","Address":"10.0.1.3","Check":{"CheckID":"disk","Status":"passing"}}"#,
        )],
    },
    Fault {
        what: "an instance in maintenance",
        seed: &[
            (AGENT, r#"{"Name":"shop","Port":80}"#),
            ("/v1/agent/service/maintenance/shop?enable=true&reason=new+till", ""),
        ],
        asked: "-as=dns shop",
        says: &[
            "left out: it is in maintenance",
            "it says: new till",
            "`rutter maint -disable -service=shop` on node n1",
        ],
        dug: Some(("shop.service.consul", "shop on n1: it is in maintenance")),
        undo: &[("/v1/agent/service/maintenance/shop?enable=false", "")],
    },
    Fault {
        what: "a node in maintenance",
        seed: &[(AGENT, r#"{"Name":"till","Port":80}"#), ("/v1/agent/maintenance?enable=true", "")],
        asked: "-as=dns till",
        says: &["left out: node n1 is in maintenance", "`rutter maint -disable` on node n1"],
        dug: Some(("till.service.consul", "till on n1: node n1 is in maintenance")),
        undo: &[("/v1/agent/maintenance?enable=false", "")],
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
        undo: &[(
            CATALOG,
            r#"{"Node":"m4","Address":"10.0.1.4","Check":{"CheckID":"lag","Status":"passing","ServiceID":"slow"}}"#,
        )],
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
        undo: &[(
            CATALOG,
            r#"{"Node":"m5","Address":"10.0.1.5","Service":{"Service":"tagged","Tags":["Primary"]}}"#,
        )],
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
        undo: &[],
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
        undo: &[(
            CATALOG,
            r#"{"Node":"m7","Address":"10.0.1.7","Service":{"ID":"g1","Service":"gone"}}"#,
        )],
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
        undo: &[
            (AGENT, r#"{"Name":"beat","Port":80,"Check":{"TTL":"1h","Status":"passing"}}"#),
            ("/v1/agent/check/pass/service:beat", ""),
        ],
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
        undo: &[("/v1/agent/check/pass/service:lead", "")],
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
        undo: &[
            ("/v1/agent/service/deregister/consul", ""),
            (AGENT, r#"{"ID":"own","Name":"squat","Port":80}"#),
        ],
    },
    Fault {
        what: "a_record_limit",
        seed: MANY,
        asked: "-as=dns -type=A many",
        says: &["serves 6 of 6 (4 of 6 told: a_record_limit)"],
        dug: Some(("many.service.consul", "4 of 6 told: a_record_limit")),
        undo: &[],
    },
    Fault {
        what: "udp_answer_limit",
        seed: MANY,
        asked: "-as=dns -edns=512 many",
        says: &["of 6 told: udp_answer_limit)"],
        dug: Some(("+bufsize=512 many.service.consul SRV", "of 6 told: udp_answer_limit")),
        undo: &[],
    },
    Fault {
        what: "an answer larger than the asker takes",
        seed: MANY,
        asked: "-as=dns -edns=560 long.many.service.consul",
        says: &["of 6 told: no room for more"],
        dug: Some(("+bufsize=560 long.many.service.consul SRV", "no room for more")),
        undo: &[],
    },
    Fault {
        what: "a datacenter that is not there",
        seed: &[(CATALOG, r#"{"Node":"m8","Address":"10.0.1.8","Service":{"Service":"far"}}"#)],
        asked: "far.service.dc2.consul",
        says: &["no such datacenter", "did you mean dc1?"],
        dug: Some(("far.service.dc2.consul", "no such datacenter")),
        undo: &[],
    },
    Fault {
        what: "an address of the other family",
        seed: &[(CATALOG, r#"{"Node":"m9","Address":"10.0.1.9","Service":{"Service":"four"}}"#)],
        asked: "-as=dns -type=AAAA four",
        says: &["left out: it has no IPv6 address"],
        dug: Some(("four.service.consul AAAA", "none of its addresses is IPv6")),
        undo: &[(
            CATALOG,
            r#"{"Node":"m9","Address":"10.0.1.9","Service":{"Service":"four","Address":"fd00::9"}}"#,
        )],
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
        undo: &[("/v1/catalog/deregister", r#"{"Node":"m10"}"#)],
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
        undo: &[],
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
    if fault.undo.is_empty() {
        return Ok(());
    }
    write(server, fault.undo)?;
    until(what, SOON, || {
        let (said, served) = why(cli, fault.asked)?;
        ensure!(served && !said.contains("left out"), "{what} was undone:\n{said}");
        Ok(())
    })
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
