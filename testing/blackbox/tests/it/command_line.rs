//! How the process starts, refuses to start, and ends.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use blackbox::binary::rutter;
use blackbox::http::Http;
use blackbox::server::{Launch, Server};
use blackbox::wait::{SOON, let_pass, until, until_true};
use blackbox::web::Web;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// It ends soon with a failure, and says each of these words.
#[track_caller]
fn refused(launch: &Launch, words: &[&str]) -> Result<()> {
    let (status, said) = launch.run()?;
    ensure!(!status.success(), "accepted: {launch:?}\n{said}");
    ensure!(!said.contains("panicked"), "{said}");
    for word in words {
        ensure!(said.to_lowercase().contains(&word.to_lowercase()), "no {word:?} in:\n{said}");
    }
    Ok(())
}

#[test]
fn a_signal_ends_it_at_once_and_cleanly() -> Result<()> {
    for launch in [Launch::dev(), Launch::durable()] {
        for signal in [Signal::SIGINT, Signal::SIGTERM] {
            let mut server = launch.start()?;
            let held = std::net::TcpStream::connect(server.http)?; // an idle client and a blocked one hold nobody up
            let (addr, index) = (server.http, server.client().get("/v1/catalog/nodes")?.index()?);
            let blocked = std::thread::spawn(move || {
                Http::new(addr)
                    .get(&format!("/v1/catalog/nodes?index={index}&wait=60s"))
                    .map(|a| a.status)
            });
            server.process.signal(signal)?;
            let status = server.process.wait_end(SOON)?; // and not when their time is over
            ensure!(status.success(), "{signal}: {status}\n{}", server.process.said());
            drop(held);
            ensure!(blocked.join().is_ok(), "the blocked client heard of it");
        }
    }
    Ok(())
}

#[test]
fn a_process_that_stood_still_goes_on_where_it_was() -> Result<()> {
    for launch in [Launch::dev(), Launch::durable()] {
        let server = launch.start()?;
        let mut http = server.client();
        http.put_ok("/v1/session/create", r#"{"TTL":"60s"}"#)?;
        http.put_ok("/v1/kv/before", "x")?;
        server.process.signal(Signal::SIGSTOP)?;
        until_true("it stands still", SOON, || server.process.stands_still())?;
        let_pass(Duration::from_secs(6)); // longer than any lease; shorter than the session's time
        server.process.signal(Signal::SIGCONT)?;
        http.put_ok("/v1/kv/after", "x")?;
        ensure!(http.get("/v1/kv/before?consistent")?.status == 200, "a consistent read");
        ensure!(http.get_json("/v1/health/service/consul?passing")?[0].is_object(), "itself");
        let sessions = http.get_json("/v1/session/list")?;
        ensure!(sessions.as_array().is_some_and(|s| s.len() == 1), "the session: {sessions}");
    }
    Ok(())
}

#[test]
fn a_second_process_on_the_same_ports_is_refused() -> Result<()> {
    let first = Launch::dev().start()?;
    let (http, dns) = (first.http.port().to_string(), first.dns.port().to_string());
    let second = Launch::bare(&["agent", "-dev", "-bind", "127.0.0.1", "-server-port", "0"]);
    refused(&second.clone().args(&["-http-port", &http, "-dns-port", "0"]), &[&http, "in use"])?;
    refused(&second.args(&["-http-port", "0", "-dns-port", &dns]), &[&dns, "in use"])?;
    ensure!(first.client().get("/v1/status/leader")?.status == 200, "the first goes on");
    Ok(())
}

#[test]
fn a_second_process_on_the_same_data_directory_is_refused() -> Result<()> {
    let launch = Launch::durable();
    let first = launch.start()?;
    let data = launch.dir().join("data");
    refused(&Launch::durable_at(&data), &[&data.display().to_string()])?;
    first.stop()?;
    launch.start()?.stop()
}

#[test]
fn everything_is_there_again_after_a_restart_on_other_ports() -> Result<()> {
    let web = Web::start()?;
    let launch = Launch::durable();
    let first = launch.start()?;
    let mut http = first.client();
    http.put_ok("/v1/kv/kept", "value")?;
    http.put_ok("/v1/session/create", json!({ "Name": "kept" }).to_string())?;
    let checks = json!([{ "CheckID": "beat", "TTL": "1h" }, { "CheckID": "probe", "Interval": "1s",
                          "HTTP": format!("http://{}/", web.addr) }]);
    let body = json!({ "Name": "web", "Port": 1, "Checks": checks });
    http.put_ok("/v1/agent/service/register", body.to_string())?;
    http.put_ok("/v1/agent/check/pass/beat", "")?;
    let index = http.get("/v1/kv/kept")?.index()?;
    first.stop()?;

    let second = launch.start()?;
    let kept = second.client().get("/v1/kv/kept?raw")?;
    ensure!(kept.text() == "value" && kept.index()? == index, "{kept:?}");
    ensure!(second.client().get_json("/v1/session/list")?[0]["Name"] == "kept", "the session");
    // The beat was heard before and counts while its time lasts; the probe runs again.
    let passing = |expected: usize| {
        until("web in DNS", SOON, || {
            let found = second.dig("web.service.consul SRV")?.answer.len();
            ensure!(
                found == expected,
                "{found} instances, {}",
                second.client().get("/v1/agent/checks")?.text()
            );
            Ok(())
        })
    };
    passing(1)?;
    web.answer(500);
    passing(0)?;
    web.answer(200);
    passing(1)
}

#[test]
fn the_same_binary_called_consul_takes_the_same_words() -> Result<()> {
    let words: [&[&str]; 3] = [&["agent", "-dev"], &["agent", "--dev"], &["agent", "-dev=true"]];
    for words in words {
        let launch = Launch::bare(words);
        let link = launch.dir().join("consul");
        std::os::unix::fs::symlink(rutter(), &link)?;
        let ports = [
            "--http-port=0",
            "-dns-port",
            "0",
            "-server-port=0",
            "-node",
            "box",
            "-datacenter=east",
        ];
        let server = launch
            .program(&link)
            .args(&ports)
            .args(&["-client", "127.0.0.1", "-log-level=warn"])
            .start()?;
        let own = server.client().get_json("/v1/agent/self")?;
        ensure!(
            own["Config"]["NodeName"] == "box" && own["Config"]["Datacenter"] == "east",
            "{}",
            own["Config"]
        );
        ensure!(server.dig("box.node.east.consul A")?.answer.len() == 1, "its name in DNS");
        server.stop()?;
    }
    Ok(())
}

#[test]
fn a_file_gives_what_the_words_leave_open() -> Result<()> {
    let config = json!({
        "node_name": "from-file", "datacenter": "west", "node_id": "11111111-1111-1111-1111-111111111111",
        "ports": { "http": 0, "dns": 0, "server": 0, "serf_lan": 0, "serf_wan": 0, "grpc": -1, "grpc_tls": -1, "https": -1 },
        "performance": { "raft_multiplier": 1 }, "disable_update_check": true, "log_level": "warn",
        "dns_config": { "node_ttl": "5s" }, "limits": { "http_max_conns_per_client": 100, "kv_max_value_size": 100 },
    });
    for words in
        [&["agent", "-dev"][..], &["agent", "-server", "-bootstrap-expect", "1", "-data-dir", "d"]]
    {
        let server = Launch::bare(words).config(&config).start()?;
        let own = server.client().get_json("/v1/agent/self")?;
        ensure!(own["Config"]["NodeName"] == "from-file", "{}", own["Config"]);
        ensure!(
            own["Config"]["NodeID"] == "11111111-1111-1111-1111-111111111111",
            "{}",
            own["Config"]
        );
        ensure!(
            server.client().put("/v1/kv/x", vec![b'x'; 101])?.status == 413,
            "kv_max_value_size"
        );
        ensure!(server.dig("from-file.node.consul A")?.answer[0].contains(" 5 IN A "), "node_ttl");
    }
    Ok(())
}

#[test]
fn what_cannot_be_meant_is_refused_with_a_reason() -> Result<()> {
    let ports = ["-http-port", "0", "-dns-port", "0", "-server-port", "0"];
    let launch = |words: &[&str]| Launch::bare(words).args(&ports);
    refused(&launch(&["agent"]), &["-server", "-dev"])?;
    refused(&launch(&["agent", "-data-dir", "d"]), &["-server"])?;
    refused(&launch(&["agent", "-server", "-bootstrap-expect=1"]), &["data"])?;
    refused(
        &launch(&["agent", "-server", "-bootstrap-expect=3", "-data-dir", "d"]),
        &["bootstrap"],
    )?;
    refused(&launch(&["agent", "-dev", "-no-such-word"]), &["no-such-word"])?;
    refused(&launch(&["agent", "-dev", "-config-file", "missing.json"]), &["missing.json"])?;
    refused(&Launch::bare(&["agent", "-dev", "-http-port", "70000"]), &["70000"])?;
    refused(&Launch::bare(&["nonsense"]), &["nonsense"])
}

#[test]
fn a_file_that_asks_for_protection_we_do_not_give_is_refused() -> Result<()> {
    let cases: [(Value, &str); 8] = [
        (json!({ "acl": { "enabled": true } }), "acl"),
        (json!({ "encrypt": "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=" }), "encrypt"),
        (json!({ "verify_incoming": true }), "verify_incoming"),
        (json!({ "verify_outgoing": true }), "verify_outgoing"),
        (json!({ "tls": { "defaults": { "verify_incoming": true } } }), "tls"),
        (json!({ "cert_file": "a.pem", "key_file": "b.pem" }), "cert_file"),
        (json!({ "auto_encrypt": { "allow_tls": true } }), "auto_encrypt"),
        (json!({ "acl": { "default_policy": "deny" } }), "acl"),
    ];
    for (config, word) in cases {
        let launch = Launch::dev().config(&config);
        refused(&launch, &[word])?;
    }
    Ok(())
}

#[test]
fn a_file_that_is_not_understood_is_refused_with_its_place() -> Result<()> {
    let launch = Launch::dev().config(&json!({ "node_nmae": "x" }));
    refused(&launch, &["node_nmae", "node_name"])?;
    std::fs::write(launch.dir().join("config.json"), "{\"node_name\": \n  12, }")?;
    refused(&launch, &["config.json:2:7: expected a key in double quotes"])?;
    let hcl = launch.dir().join("second.hcl");
    std::fs::write(&hcl, "ports {\n  dns = 0\n  dsn = 1\n}\nencrypt = \"x\"\n")?;
    let launch = Launch::dev().args(&["-config-file", &hcl.display().to_string()]);
    refused(&launch, &["second.hcl:3: invalid config key ports.dsn", "second.hcl:5: encrypt"])
}

#[test]
fn a_file_in_hcl_is_taken() -> Result<()> {
    let launch = Launch::dev();
    let file = launch.dir().join("agent.hcl");
    std::fs::write(&file, "# where\ndatacenter = \"north\"\nnode_meta { rack = \"r1\" }\n")?;
    let server = launch.args(&["-config-file", &file.display().to_string()]).start()?;
    let own = server.client().get_json("/v1/agent/self")?;
    ensure!(own["Config"]["Datacenter"] == "north" && own["Meta"]["rack"] == "r1", "{own}");
    server.stop()
}

#[test]
fn what_has_no_effect_yet_is_said_and_does_not_stop_it() -> Result<()> {
    let config = json!({ "ports": { "grpc": 8502, "https": 8501 }, "retry_join": ["a"], "ui_config": { "enabled": true } });
    let server = Launch::dev().config(&config).start()?;
    until("the warnings", SOON, || {
        let said = server.process.said();
        for key in ["ports.grpc", "ports.https", "retry_join", "ui_config"] {
            let warned = said.lines().any(|line| line.contains("WARN") && line.contains(key));
            ensure!(warned, "no warning of {key}:\n{said}");
        }
        Ok(())
    })?;
    server.stop()
}

#[test]
fn a_single_server_may_be_asked_for_in_consuls_ways() -> Result<()> {
    for words in [
        &["-server", "-bootstrap"][..],
        &["-server", "-bootstrap-expect", "1"],
        &["-dev", "-server"],
    ] {
        let launch =
            Launch::bare(&["agent"]).args(words).args(&["-data-dir", "d", "-bind", "127.0.0.1"]);
        let server: Server =
            launch.args(&["-http-port", "0", "-dns-port", "0", "-server-port", "0"]).start()?;
        let leader = server.client().get_json("/v1/status/leader")?;
        if leader.as_str().is_none_or(str::is_empty) {
            bail!("{words:?}: no leader: {leader}");
        }
        server.stop()?;
    }
    Ok(())
}
