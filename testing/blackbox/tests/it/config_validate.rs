//! `rutter validate`, and what an agent says of configuration that it does not take.

use anyhow::{Result, ensure};
use blackbox::server::Launch;

#[test]
fn files_that_are_well_are_said_to_be_well() -> Result<()> {
    let launch = Launch::bare(&["validate"]);
    let file = launch.dir().join("a.hcl");
    std::fs::write(
        &file,
        "node_name = \"n\"\ndata_dir = \"/x\"\nbind_addr = \"10.0.0.1\"\nservice { name = \"web\" }",
    )?;
    let (status, said) = launch.clone().args(&[&file]).run()?;
    ensure!(status.success() && said == "Configuration is valid!\n", "{said}");
    let (status, said) = launch.clone().args(&["-quiet"]).args(&[&file]).run()?;
    ensure!(status.success() && said.is_empty(), "{said}");
    let other = launch.dir().join("a.conf");
    std::fs::write(&other, r#"{"node_name": "n", "data_dir": "/x", "bind_addr": "10.0.0.1"}"#)?;
    let (status, said) = launch.clone().args(&["-config-format=json"]).args(&[&other]).run()?;
    ensure!(status.success() && said == "Configuration is valid!\n", "{said}");
    Ok(())
}

#[test]
fn everything_wrong_is_said_at_once() -> Result<()> {
    let launch = Launch::bare(&["validate", "."]);
    std::fs::write(launch.dir().join("a.hcl"), "datacentre = \"x\"\nlog_level = \"loud\"\n")?;
    std::fs::write(
        launch.dir().join("b.json"),
        "{\"service\": {\n \"name\": \"w\", \"prot\": 1}}",
    )?;
    let (status, said) = launch.run()?;
    ensure!(status.code() == Some(1), "{status}");
    let lines: Vec<&str> = said.lines().collect();
    ensure!(
        lines
            == [
                "Config validation failed: ./a.hcl:1: invalid config key datacentre; did you mean datacenter?",
                "./b.json:2: invalid config key service.prot; did you mean port?",
                "data_dir cannot be empty",
                "./a.hcl:2: log_level \"loud\" is none of trace, debug, info, warn, err",
            ],
        "{said}"
    );
    let (status, said) = Launch::bare(&["validate"]).run()?;
    ensure!(status.code() == Some(1), "{status}");
    ensure!(said.contains("Must specify at least one config file or directory"), "{said}");
    Ok(())
}

#[test]
fn every_flag_of_consul_is_taken() -> Result<()> {
    let flags = [
        "-ui",
        "-syslog=false",
        "-rejoin",
        "-retry-join=10.0.0.1",
        "-retry-interval=5s",
        "-retry-max=3",
        "-recursor=10.0.0.2",
        "-serf-lan-port=0",
        "-serf-wan-port=-1",
        "-grpc-port=-1",
        "-https-port=-1",
        "-raft-protocol=3",
        "-protocol=2",
        "-disable-host-node-id",
        "-domain=corp.",
        "-alt-domain=alt.",
        "-node-meta=rack:7",
        "-default-query-time=1s",
        "-max-query-time=2s",
        "-log-json",
        "-advertise=10.9.9.9",
        "-bootstrap-expect=1",
        "-primary-datacenter=dc1",
        "-ui-content-path=/x/",
    ];
    let launch = Launch::dev().args(&flags);
    let pid = launch.dir().join("pid");
    let server = launch.args(&["-pid-file"]).args(&[&pid]).start()?;
    let own = server.client().get_json("/v1/agent/self")?;
    ensure!(own["Meta"]["rack"] == "7" && own["Member"]["Addr"] == "10.9.9.9", "{own}");
    ensure!(std::fs::read_to_string(&pid)? == server.process.pid().to_string(), "the pid file");
    let said = server.process.said();
    ensure!(said.contains("retry_join is accepted but has no effect"), "{said}");
    ensure!(said.lines().any(|line| line.starts_with("{\"@level\"")), "{said}");
    server.stop()?;
    ensure!(!pid.exists(), "the pid file is gone");
    for (flag, key) in [
        ("-encrypt=pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=", "encrypt"),
        ("-serf-lan-allowed-cidrs=10.0.0.0/8", "serf_lan_allowed_cidrs"),
    ] {
        let (status, said) = Launch::dev().args(&[flag]).run()?;
        ensure!(!status.success() && said.contains(key), "{flag}: {said}");
        ensure!(said.contains("refuses to start"), "{flag}: {said}");
    }
    Ok(())
}
