//! How commands find an agent, what they say when there is none, and how they exit.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixListener;

use anyhow::{Result, ensure};
use blackbox::addresses::Dead;
use blackbox::commands::{Cli, Recorder};
use blackbox::server::Launch;

#[test]
fn a_refused_connection_is_told_in_gos_words() -> Result<()> {
    let dead = Dead::take()?;
    let at = dead.addr.to_string();
    let cli = Cli::new().env("CONSUL_HTTP_ADDR", &at);
    let refused = format!("dial tcp {at}: connect: connection refused\n");
    let cases: [(&[&str], &str); 8] = [
        (&["kv", "get", "a"], "Error querying Consul agent: Get \"http://{}/v1/kv/a\": "),
        (&["kv", "put", "a", "b"], "Error! Failed writing data: Put \"http://{}/v1/kv/a\": "),
        (&["kv", "delete", "a"], "Error deleting key a: Delete \"http://{}/v1/kv/a\": "),
        (
            &["kv", "get", "-recurse", "-stale", "a"],
            "Error querying Consul agent: Get \"http://{}/v1/kv/a?recurse=&stale=\": ",
        ),
        (
            &["members"],
            "Error retrieving members: Get \"http://{}/v1/agent/members?segment=_all\": ",
        ),
        (&["catalog", "nodes"], "Error listing nodes: Get \"http://{}/v1/catalog/nodes\": "),
        (&["maint"], "Error querying Consul agent: Get \"http://{}/v1/agent/self\": "),
        (&["info"], "Error querying agent: Get \"http://{}/v1/agent/self\": "),
    ];
    for (words, text) in cases {
        cli.fails(words, 1, &(text.replace("{}", &at) + &refused))?;
    }
    Ok(())
}

#[test]
fn what_the_agent_refuses_is_quoted_with_its_status() -> Result<()> {
    let broken = Recorder::start("500 Internal Server Error", "No cluster leader\n")?;
    let cli = Cli::of(broken.addr);
    let quoted = "Unexpected response code: 500 (No cluster leader)\n";
    cli.fails(&["kv", "get", "a"], 1, &format!("Error querying Consul agent: {quoted}"))?;
    cli.fails(&["leave"], 1, &format!("Error leaving: {quoted}"))?;
    cli.fails(
        &["operator", "raft", "list-peers"],
        1,
        &format!("Error getting peers: Failed to retrieve raft configuration: {quoted}"),
    )
}

#[test]
fn a_flag_counts_over_the_environment() -> Result<()> {
    let (one, other) =
        (Recorder::start("200 OK", "[\"one\"]")?, Recorder::start("200 OK", "[\"two\"]")?);
    let cli = Cli::of(one.addr);
    cli.prints(&["catalog", "datacenters"], "one\n")?;
    let flag = format!("-http-addr={}", other.addr);
    cli.prints(&["catalog", "datacenters", &flag], "two\n")?;
    cli.prints(&["catalog", "datacenters", &format!("-http-addr=http://{}", other.addr)], "two\n")?;
    let complaint = "Error connecting to Consul agent: Unknown protocol scheme: ftp\n";
    cli.fails(&["catalog", "datacenters", "-http-addr=ftp://x"], 1, complaint)
}

#[test]
fn who_asks_is_told_by_headers_and_parameters() -> Result<()> {
    let seen = Recorder::start("200 OK", "[]")?;
    let cli = Cli::of(seen.addr)
        .env("CONSUL_HTTP_TOKEN", "from-env")
        .env("CONSUL_HTTP_AUTH", "user:pass")
        .env("CONSUL_NAMESPACE", "team");
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("token");
    std::fs::write(&file, "from-file\n")?;
    let token_file = format!("-token-file={}", file.display());
    let cases: [(&[&str], &str); 3] =
        [(&[], "from-env"), (&["-token=from-flag"], "from-flag"), (&[&token_file], "from-file")];
    for (flags, token) in cases {
        let words = [&["catalog", "datacenters"], flags].concat();
        cli.says(&words)?;
        let head = seen.last().to_lowercase();
        ensure!(head.contains(&format!("x-consul-token: {token}\r\n")), "{head}");
        ensure!(head.contains("authorization: basic dxnlcjpwyxnz\r\n"), "{head}");
    }
    cli.says(&["catalog", "datacenters", "-datacenter=dc2", "-stale"])?;
    let head = seen.last();
    ensure!(
        head.starts_with("GET /v1/catalog/datacenters?dc=dc2&ns=team&stale= HTTP/1.1\r\n"),
        "{head}"
    );
    Ok(())
}

#[test]
fn an_agent_behind_a_socket_in_the_file_system_is_asked() -> Result<()> {
    let server = Launch::dev().start()?;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("http.sock");
    let listener = UnixListener::bind(&path)?;
    let http = server.http;
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let Ok(mut agent) = TcpStream::connect(http) else { return };
            let (Ok(mut back), Ok(mut reply)) = (agent.try_clone(), client.try_clone()) else {
                return;
            };
            std::thread::spawn(move || std::io::copy(&mut back, &mut reply));
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(n @ 1..) = client.read(&mut bytes) {
                    if agent.write_all(&bytes[..n]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    let cli = Cli::new().env("CONSUL_HTTP_ADDR", &format!("unix://{}", path.display()));
    cli.prints(&["kv", "put", "a", "b"], "Success! Data written to: a\n")?;
    cli.prints(&["kv", "get", "a"], "b\n")?;
    let ran = Cli::new().run(&["kv", "get", "-http-addr=unix:///nowhere.sock", "a"])?;
    let ends = "dial unix /nowhere.sock: connect: no such file or directory\n";
    ensure!(ran.code == 1 && ran.err.ends_with(ends), "{ran:?}");
    server.stop()
}

#[test]
fn tls_that_is_not_spoken_or_not_believed_is_told() -> Result<()> {
    let server = Launch::dev().start()?;
    let at = server.http.to_string();
    let text = format!(
        "Error querying Consul agent: Get \"https://{at}/v1/kv/a\": http: server gave HTTP response \
         to HTTPS client\n"
    );
    let cli = Cli::new();
    cli.fails(&["kv", "get", &format!("-http-addr=https://{at}"), "a"], 1, &text)?;
    let cli = cli.env("CONSUL_HTTP_ADDR", &at).env("CONSUL_HTTP_SSL", "true");
    cli.fails(&["kv", "get", "a"], 1, &text)?;
    let ran = cli.run(&["kv", "get", "-ca-file=missing.pem", "a"])?;
    let begins = "Error connecting to Consul agent: Error loading missing.pem: ";
    ensure!(ran.code == 1 && ran.err.starts_with(begins), "{ran:?}");
    let ran = cli.run(&["kv", "get", "-client-cert=a.pem", "a"])?;
    let wanted = "-client-cert and -client-key must be given together";
    ensure!(ran.code == 1 && ran.err.contains(wanted), "{ran:?}");
    server.stop()
}

#[test]
fn an_unknown_command_exits_with_127_and_help_with_0() -> Result<()> {
    let cli = Cli::new();
    for words in [&["nonsense"][..], &[]] {
        let ran = cli.run(words)?;
        ensure!(
            ran.code == 127 && ran.out.is_empty() && ran.err.contains("Usage: rutter"),
            "{ran:?}"
        );
    }
    for words in [&["kv", "nonsense"][..], &["kv"], &["kv", "get", "-no-such-flag", "a"]] {
        let ran = cli.run(words)?;
        ensure!(
            ran.code == 1 && ran.out.is_empty() && ran.err.contains("Usage: rutter"),
            "{ran:?}"
        );
    }
    for words in [&["-h"][..], &["-help"], &["--help"], &["kv", "-h"], &["kv", "get", "-help"]] {
        let ran = cli.run(words)?;
        ensure!(
            ran.code == 0 && ran.err.is_empty() && ran.out.contains("Usage: rutter"),
            "{ran:?}"
        );
    }
    let help = cli.says(&["kv", "get", "-h"])?;
    ensure!(help.contains("Examples:\n  $ rutter kv get "), "{help}");
    Ok(())
}

#[test]
fn commands_of_absent_features_are_unknown() -> Result<()> {
    let absent = [
        "monitor",
        "rtt",
        "exec",
        "keyring",
        "snapshot",
        "debug",
        "acl",
        "login",
        "logout",
        "config",
        "connect",
        "intention",
        "peering",
        "tls",
    ];
    for command in absent {
        let ran = Cli::new().run(&[command, "-h"])?;
        ensure!(ran.code == 127 && ran.out.is_empty(), "{command}: {ran:?}");
    }
    for below in ["autopilot", "usage"] {
        let ran = Cli::new().run(&["operator", below])?;
        ensure!(ran.code == 1 && ran.out.is_empty(), "operator {below}: {ran:?}");
    }
    Ok(())
}

#[test]
fn a_shell_is_given_a_script_that_completes() -> Result<()> {
    let cli = Cli::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = cli.says(&["completion", shell])?;
        ensure!(script.contains("force-leave") && script.contains("modify-index"), "{shell}");
    }
    let home = tempfile::tempdir()?;
    let at_home = cli.env("HOME", &home.path().display().to_string());
    at_home.fails(&["-autocomplete-install"], 1, "Did not find any shells to install\n")?;
    let file = home.path().join(".bashrc");
    std::fs::write(&file, "x=y\n")?;
    at_home.prints(&["-autocomplete-install"], "")?;
    ensure!(
        std::fs::read_to_string(&file)? == "x=y\nsource <(rutter completion bash)\n",
        "installed"
    );
    at_home.prints(&["-autocomplete-uninstall"], "")?;
    ensure!(std::fs::read_to_string(&file)? == "x=y\n", "uninstalled");
    Ok(())
}
