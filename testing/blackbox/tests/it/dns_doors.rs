//! Every form of name, asked by `dig` over UDP and TCP, with and without EDNS.

use anyhow::{Result, ensure};
use blackbox::server::{Launch, Server};
use serde_json::json;

dev_and_durable! {
    every_form_of_name_has_its_answer
    a_large_service_fits_the_askers_size
}

fn furnish(server: &Server) -> Result<()> {
    let mut http = server.client();
    let rows = [
        json!({ "Node": "a", "Address": "10.9.0.1", "Service": { "ID": "1", "Service": "api", "Port": 80, "Tags": ["v1"] } }),
        json!({ "Node": "b", "Address": "10.9.0.2",
                "Service": { "ID": "2", "Service": "api", "Port": 81, "Tags": ["v2"], "Address": "10.9.1.2" } }),
        json!({ "Node": "six", "Address": "fd00::6", "Service": { "ID": "3", "Service": "wide", "Port": 82 } }),
        json!({ "Node": "meta", "Address": "10.9.0.4", "NodeMeta": { "rack": "r1" } }),
        json!({ "Node": "a", "Address": "10.9.0.1", "Service": { "ID": "4", "Service": "ext", "Port": 83, "Address": "www.example.test" } }),
        json!({ "Node": "a", "Address": "10.9.0.1", "Service": { "ID": "5", "Service": "alias", "Port": 84, "Address": "a.node.consul" } }),
        json!({ "Node": "a", "Address": "10.9.0.1",
                "Service": { "ID": "6", "Service": "dual", "Port": 85, "TaggedAddresses": {
                    "lan_ipv4": { "Address": "10.9.1.6", "Port": 85 }, "lan_ipv6": { "Address": "fd00::66", "Port": 85 } } } }),
        json!({ "Node": "a", "Address": "10.9.0.1",
                "Service": { "ID": "7", "Service": "heavy", "Port": 86, "Weights": { "Passing": 7, "Warning": 3 } },
                "Check": { "CheckID": "h", "Name": "h", "ServiceID": "7", "Status": "warning" } }),
        json!({ "Node": "a", "Address": "10.9.0.1",
                "Service": { "ID": "8", "Service": "sick", "Port": 87, "Address": "10.9.1.8" },
                "Check": { "CheckID": "s", "Name": "s", "ServiceID": "8", "Status": "critical" } }),
    ];
    for row in rows {
        http.put_ok("/v1/catalog/register", row.to_string())?;
    }
    Ok(())
}

/// Words, code, data of the answers, records in Authority.
const ASKED: &[(&str, &str, &[&str], usize)] = &[
    ("api.service.consul A", "NOERROR", &["10.9.0.1", "10.9.1.2"], 0),
    ("api.service.dc1.consul A", "NOERROR", &["10.9.0.1", "10.9.1.2"], 0),
    ("v1.api.service.consul A", "NOERROR", &["10.9.0.1"], 0),
    ("v2.api.service.consul SRV", "NOERROR", &["0a090102.addr.dc1.consul."], 0),
    (
        "_api._tcp.service.consul SRV",
        "NOERROR",
        &["0a090102.addr.dc1.consul.", "a.node.dc1.consul."],
        0,
    ),
    ("_api._v1.service.consul SRV", "NOERROR", &["a.node.dc1.consul."], 0),
    ("_api._tcp.service.consul A", "NOERROR", &["10.9.0.1", "10.9.1.2"], 0),
    ("api.service.consul ANY", "NOERROR", &["10.9.0.1", "10.9.1.2"], 0),
    ("api.service.consul AAAA", "NOERROR", &[], 1),
    ("api.service.consul MX", "NOERROR", &[], 1),
    ("wide.service.consul AAAA", "NOERROR", &["fd00::6"], 0),
    ("wide.service.consul SRV", "NOERROR", &["six.node.dc1.consul."], 0),
    ("wide.service.consul A", "NOERROR", &[], 1),
    ("nope.service.consul A", "NXDOMAIN", &[], 1),
    ("v3.api.service.consul A", "NXDOMAIN", &[], 1),
    ("api.service.dc2.consul A", "NXDOMAIN", &[], 1),
    ("api.nope.consul A", "NXDOMAIN", &[], 1),
    ("service.consul A", "NXDOMAIN", &[], 1),
    ("a.node.consul A", "NOERROR", &["10.9.0.1"], 0),
    ("a.node.dc1.consul A", "NOERROR", &["10.9.0.1"], 0),
    ("six.node.consul AAAA", "NOERROR", &["fd00::6"], 0),
    ("a.node.consul AAAA", "NOERROR", &[], 0),
    ("meta.node.consul TXT", "NOERROR", &["\"rack=r1\""], 0),
    ("nope.node.consul A", "NXDOMAIN", &[], 1),
    ("0a000001.addr.consul A", "NOERROR", &["10.0.0.1"], 0),
    ("fd000000000000000000000000000006.addr.consul AAAA", "NOERROR", &["fd00::6"], 0),
    ("0a000001.addr.consul AAAA", "NOERROR", &[], 0),
    ("0a0000.addr.consul A", "NXDOMAIN", &[], 1),
    ("consul.service.consul A", "NOERROR", &["127.0.0.1"], 0),
    ("consul NS", "NOERROR", &["n1.node.dc1.consul."], 0),
    ("ext.service.consul A", "NOERROR", &["www.example.test."], 0),
    ("ext.service.consul CNAME", "NOERROR", &["www.example.test."], 0),
    ("ext.service.consul SRV", "NOERROR", &["www.example.test."], 0),
    ("alias.service.consul A", "NOERROR", &["10.9.0.1", "a.node.consul."], 0),
    ("dual.service.consul A", "NOERROR", &["10.9.1.6"], 0),
    ("dual.service.consul AAAA", "NOERROR", &["fd00::66"], 0),
    ("sick.service.consul A", "NXDOMAIN", &[], 1),
    ("api.service.consul TXT", "NOERROR", &["10.9.0.1", "10.9.1.2"], 0),
    ("API.Service.DC1.dc.Consul A", "NOERROR", &["10.9.0.1", "10.9.1.2"], 0),
    ("-c CH -q api.service.consul -t A", "NOERROR", &["10.9.0.1", "10.9.1.2"], 0),
    ("-x 10.9.0.1", "NOERROR", &["a.node.dc1.consul."], 0),
    ("-x 10.9.1.2", "NOERROR", &["api.service.dc1.consul."], 0),
    ("-x 10.9.1.8", "NOERROR", &["sick.service.dc1.consul."], 0),
    ("-x fd00::6", "NOERROR", &["six.node.dc1.consul."], 0),
    ("-x 10.9.9.9", "NXDOMAIN", &[], 1),
    ("api.connect.consul A", "NXDOMAIN", &[], 1),
    ("api.ingress.consul A", "NXDOMAIN", &[], 1),
    ("api.query.consul A", "NXDOMAIN", &[], 1),
    ("_._tcp.service.consul SRV", "SERVFAIL", &[], 0),
    ("example.com A", "REFUSED", &[], 0),
];

fn every_form_of_name_has_its_answer(server: &Server) -> Result<()> {
    furnish(server)?;
    for (words, status, data, authority) in ASKED {
        for way in ["+noedns", "+edns +bufsize=1232", "+tcp", "+edns +dnssec", "+norecurse"] {
            let dug = server.dig(&format!("{words} {way}"))?;
            ensure!(dug.status == *status && dug.data() == *data, "{words} {way}: {dug:?}");
            ensure!(dug.authority.len() == *authority, "{words} {way}: {dug:?}");
            let asked = way.contains("+edns") && *status != "REFUSED";
            ensure!(
                dug.edns.is_some() == asked || way == "+tcp" || way == "+norecurse",
                "{words} {way}: OPT: {dug:?}"
            );
        }
    }
    let soa = server.dig("nope.service.consul A")?.authority[0].clone();
    ensure!(soa.starts_with("consul. 0 IN SOA ns.consul. hostmaster.consul. "), "{soa}");
    ensure!(soa.ends_with(" 3600 600 86400 0"), "{soa}");
    let glue = server.dig("wide.service.consul SRV")?.additional;
    ensure!(glue == ["six.node.dc1.consul. 0 IN AAAA fd00::6"], "{glue:?}");
    let heavy = server.dig("heavy.service.consul SRV")?.answer;
    let expected = ["heavy.service.consul. 0 IN SRV 1 3 86 a.node.dc1.consul."];
    ensure!(heavy == expected, "{heavy:?}");
    ensure!(server.dig("consul SOA")?.answer.len() == 1, "SOA of the zone");
    Ok(())
}

fn a_large_service_fits_the_askers_size(server: &Server) -> Result<()> {
    let mut http = server.client();
    for n in 1..=100 {
        let row = json!({ "Node": format!("node{n}"), "Address": format!("10.8.0.{n}"),
                          "Service": { "Service": "big", "Port": 80 } });
        http.put_ok("/v1/catalog/register", row.to_string())?;
    }
    // words, least and most answers
    let table = [
        ("big.service.consul A +noedns +ignore", 3, 3),
        ("big.service.consul A +bufsize=1232 +ignore", 60, 76),
        ("big.service.consul A +bufsize=4096", 100, 100),
        ("big.service.consul A +tcp", 100, 100),
        ("big.service.consul SRV +tcp", 100, 100),
        ("big.service.consul SRV +noedns +ignore", 1, 4),
    ];
    for (words, least, most) in table {
        let dug = server.dig(words)?;
        ensure!(
            (least..=most).contains(&dug.answer.len()),
            "{words}: {} answers",
            dug.answer.len()
        );
        ensure!(!dug.flags.iter().any(|f| f == "tc"), "{words}: TC is off by default");
    }
    let mut firsts = std::collections::BTreeSet::new();
    for _ in 0..50 {
        firsts.extend(server.dig("big.service.consul A +noedns")?.answer.first().cloned());
    }
    ensure!(firsts.len() > 5, "fifty questions began with the same {} records", firsts.len());
    Ok(())
}

#[test]
fn settings_reach_the_answers() -> Result<()> {
    let config = json!({
        "domain": "corp.example", "alt_domain": "alt.test", "datacenter": "dc-x",
        "dns_config": {
            "node_ttl": "10s", "service_ttl": { "*": "5s", "api": "20s" }, "only_passing": true,
            "a_record_limit": 2, "udp_answer_limit": 1, "enable_truncate": true,
            "disable_compression": true, "enable_additional_node_meta_txt": false,
            "allow_stale": false, "max_stale": "1h", "use_cache": true, "cache_max_age": "1s",
            "soa": { "refresh": 11, "retry": 12, "expire": 13, "min_ttl": 14 },
        },
    });
    let server = Launch::dev().config(&config).start()?;
    let mut http = server.client();
    for (node, status) in [("a", "passing"), ("b", "passing"), ("c", "passing"), ("d", "warning")] {
        let row = json!({
            "Node": node, "Address": format!("10.9.0.{}", node.as_bytes()[0] - b'a' + 1),
            "NodeMeta": { "rack": "r1" }, "Service": { "Service": "api", "Port": 80 },
            "Check": { "CheckID": "c", "Name": "c", "ServiceID": "api", "Status": status },
        });
        http.put_ok("/v1/catalog/register", row.to_string())?;
    }
    // words, answers, the first of them without its data, records besides, TC
    let table = [
        (
            "api.service.corp.example A +noedns +ignore",
            1,
            "api.service.corp.example. 20 IN A",
            0,
            true,
        ),
        (
            "api.service.corp.example A +bufsize=1232",
            2,
            "api.service.corp.example. 20 IN A",
            0,
            false,
        ),
        ("api.service.alt.test A +tcp", 2, "api.service.alt.test. 20 IN A", 0, false),
        ("api.service.alt.test SRV +bufsize=4096", 3, "api.service.alt.test. 20 IN SRV", 3, false),
        ("a.node.dc-x.alt.test A", 1, "a.node.dc-x.alt.test. 10 IN A", 0, false),
        ("a.node.corp.example TXT", 1, "a.node.corp.example. 10 IN TXT", 0, false),
        ("-x 10.9.0.1", 1, "1.0.9.10.in-addr.arpa. 0 IN PTR a.node.dc-x.corp.example.", 0, false),
    ];
    for (words, answers, first, besides, truncated) in table {
        let dug = server.dig(words)?;
        ensure!(dug.status == "NOERROR" && dug.answer.len() == answers, "{words}: {dug:?}");
        ensure!(dug.answer[0].starts_with(first), "{words}: {dug:?}");
        ensure!(dug.additional.len() == besides, "{words}: {dug:?}");
        ensure!(dug.flags.iter().any(|flag| flag == "tc") == truncated, "{words}: {dug:?}");
    }
    let soa = server.dig("nope.service.alt.test A")?.authority;
    ensure!(
        soa[0].starts_with("alt.test. 14 IN SOA ns.alt.test. hostmaster.alt.test. "),
        "{soa:?}"
    );
    ensure!(soa[0].ends_with(" 11 12 13 14"), "{soa:?}");
    ensure!(server.dig("a.node.consul A")?.status == "REFUSED", "the usual domain is another's");
    Ok(())
}
