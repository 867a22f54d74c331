//! Commands that look at an agent or steer it: `members`, `info`, `version`, `leave`, `reload` and others.

use anyhow::{Result, ensure};
use blackbox::commands::{Cli, without_ids};
use blackbox::server::{Launch, Server};
use blackbox::wait::SOON;
use serde_json::{Value, json};

fn start() -> Result<(Server, Cli)> {
    let server = Launch::dev().start()?;
    let cli = Cli::of(server.http);
    Ok((server, cli))
}

#[test]
fn members_are_a_table() -> Result<()> {
    let (server, cli) = start()?;
    let expected = "Node  Address         Status  Type    Build   Protocol  DC   Partition  Segment\n\
                    n1    127.0.0.1:8301  alive   server  1.22.0  2         dc1  default    <all>\n";
    cli.prints(&["members"], expected)?;
    cli.prints(&["members", "-status=^al"], expected)?;
    cli.fails(&["members", "-status=failed"], 2, "")?;
    let ran = cli.run(&["members", "-status=("])?;
    ensure!(ran.code == 1 && ran.err.starts_with("Failed to compile status regexp: "), "{ran:?}");
    let wide = cli.says(&["members", "-wan"])?;
    ensure!(
        wide.lines().nth(1).is_some_and(|l| l.starts_with("n1.dc1  127.0.0.1:8302  ")),
        "{wide}"
    );
    let said = without_ids(&cli.says(&["members", "-detailed"])?);
    let second =
        "n1    127.0.0.1:8301  alive   acls=0,ap=default,bootstrap=1,build=1.22.0:,dc=dc1,";
    ensure!(said.starts_with("Node  Address         Status  Tags\n"), "{said}");
    ensure!(said.lines().nth(1).is_some_and(|l| l.starts_with(second)), "{said}");
    ensure!(said.contains("id=<uuid>,") && said.contains("segment=<all>,"), "{said}");
    let rows: Value = serde_json::from_str(&cli.says(&["members", "-format", "json"])?)?;
    ensure!(rows[0]["Name"] == "n1", "{rows}");
    server.stop()
}

#[test]
fn numbers_of_the_agent_stand_in_groups() -> Result<()> {
    let (server, cli) = start()?;
    let said = cli.says(&["info"])?;
    let groups: Vec<&str> = said.lines().filter(|l| !l.starts_with('\t')).collect();
    let mut sorted = groups.clone();
    sorted.sort_unstable();
    ensure!(groups == sorted && groups.contains(&"raft:") && groups[0] == "agent:", "{said}");
    for line in ["\tleader = true", "\tserver = true", "\tstate = Leader", "\tservices = 0"] {
        ensure!(said.lines().any(|l| l == line), "no {line:?} in\n{said}");
    }
    server.stop()
}

#[test]
fn the_version_is_told_under_both_names() -> Result<()> {
    let own = env!("CARGO_PKG_VERSION");
    let cli = Cli::new();
    let expected = format!("rutter v{own}\nspeaks the API of Consul v1.22.0\n");
    for words in [&["version"][..], &["-v"], &["--version"], &["-version"]] {
        cli.prints(words, &expected)?;
    }
    let dir = tempfile::tempdir()?;
    let link = dir.path().join("consul");
    std::os::unix::fs::symlink(blackbox::binary::rutter(), &link)?;
    let expected = format!(
        "Consul v1.22.0\nRevision rutter-{own}\nBuild Date 1970-01-01T00:00:00Z\nProtocol 2 spoken by \
         default, understands 2 to 3 (agent will automatically use protocol >2 when speaking to \
         compatible agents)\n"
    );
    let consul = cli.clone().program(&link);
    consul.prints(&["version"], &expected)?;
    consul.prints(&["--version"], &expected)?;
    let told: Value = serde_json::from_str(&cli.says(&["version", "-format=json"])?)?;
    ensure!(
        told["Version"] == "1.22.0" && told["RPC"] == json!({"Default": 2, "Min": 2, "Max": 3}),
        "{told}"
    );
    Ok(())
}

#[test]
fn a_key_for_gossip_is_32_bytes() -> Result<()> {
    use base64::Engine;
    let decode = |text: &str| base64::engine::general_purpose::STANDARD.decode(text.trim_end());
    let (one, other) = (Cli::new().says(&["keygen"])?, Cli::new().says(&["keygen"])?);
    ensure!(
        decode(&one)?.len() == 32 && decode(&other)?.len() == 32 && one != other,
        "{one}{other}"
    );
    Ok(())
}

#[test]
fn servers_of_the_log_are_a_table() -> Result<()> {
    let (server, cli) = start()?;
    let rows = server.client().get_json("/v1/operator/raft/configuration")?;
    let own = &rows["Servers"][0];
    let address = own["Address"].as_str().unwrap_or_default();
    let said = without_ids(&cli.says(&["operator", "raft", "list-peers"])?);
    let mut lines = said.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    let expected = "Node ID Address State Voter RaftProtocol Commit Index Trails Leader By";
    ensure!(header.join(" ") == expected, "{said}");
    let row: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    ensure!(
        row[..6] == ["n1", "<uuid>", address, "leader", "true", "3"] && row[7] == "-",
        "{said}"
    );
    let index: u64 = row[6].parse()?;
    ensure!(index > 0 && lines.next().is_none(), "{said}");
    let rows: Value =
        serde_json::from_str(&cli.says(&["operator", "raft", "list-peers", "-format=json"])?)?;
    ensure!(rows[0]["Node"] == "n1", "{rows}");
    server.stop()
}

#[test]
fn an_agent_is_told_to_read_its_configuration_again() -> Result<()> {
    let launch = Launch::dev().config(&json!({ "log_level": "warn" }));
    let server = launch.start()?;
    let cli = Cli::of(server.http);
    cli.prints(&["reload"], "Configuration reload triggered\n")?;
    std::fs::write(launch.dir().join("config.json"), "{\"nonsense\": 1}")?;
    let ran = cli.run(&["reload"])?;
    let begins = "Error reloading: Unexpected response code: 500 (";
    ensure!(
        ran.code == 1 && ran.err.starts_with(begins) && ran.err.contains("nonsense"),
        "{ran:?}"
    );
    server.stop()
}

#[test]
fn an_agent_is_told_to_leave_and_ends() -> Result<()> {
    let (mut server, cli) = start()?;
    cli.prints(&["leave"], "Graceful leave complete\n")?;
    let status = server.process.wait_end(SOON)?;
    ensure!(status.success(), "{status}");
    let ran = cli.run(&["leave"])?;
    let expected = format!(
        "Error leaving: Put \"http://{0}/v1/agent/leave\": dial tcp {0}: connect: connection refused\n",
        server.http
    );
    ensure!(ran.code == 1 && ran.err == expected, "{ran:?}");
    Ok(())
}

#[test]
fn joining_tells_how_many_were_reached() -> Result<()> {
    let (server, cli) = start()?;
    let joined = "Successfully joined cluster by contacting 1 nodes.\n";
    cli.prints(&["join", "127.0.0.1:8301"], joined)?;
    let ran = cli.run(&["join", "127.0.0.1:1"])?;
    let begins = "Error joining address '127.0.0.1:1': Unexpected response code: 500 (";
    ensure!(ran.code == 1 && ran.err.starts_with(begins), "{ran:?}");
    ensure!(ran.err.ends_with("Failed to join any nodes.\n"), "{ran:?}");
    cli.fails(&["join"], 1, "At least one address to join must be specified.\n")?;
    cli.prints(&["force-leave", "n1"], "")?;
    let complaint = "Error force leaving: Unexpected response code: 500 (agent: No node found with \
                     name 'nobody')\n";
    cli.fails(&["force-leave", "nobody"], 1, complaint)?;
    let complaint = "A single node name must be specified to force leave.\n";
    cli.fails(&["force-leave"], 1, complaint)?;
    server.stop()
}

#[test]
fn an_event_is_fired_and_its_id_printed() -> Result<()> {
    let (server, cli) = start()?;
    let said = cli.says(&["event", "-name=deploy", "1.2.3"])?;
    ensure!(without_ids(&said) == "Event ID: <uuid>\n", "{said}");
    let events = server.client().get_json("/v1/event/list?name=deploy")?;
    ensure!(said.contains(events[0]["ID"].as_str().unwrap_or("none")), "{events}");
    ensure!(events[0]["Payload"] == "MS4yLjM=", "{events}");
    cli.fails(&["event"], 1, "Event name must be specified\n")?;
    let complaint = "Cannot provide tag filter without service filter.\n";
    cli.fails(&["event", "-name=x", "-tag=y"], 1, complaint)?;
    cli.fails(&["event", "-name=x", "a", "b"], 1, "Too many command line arguments.\n")?;
    server.stop()
}
