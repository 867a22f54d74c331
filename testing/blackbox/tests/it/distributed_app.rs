//! The example `distributed_app` under uWSGI on two hosts, and its client on a third that runs no instance.
//!
//! There is one server, on host1, and no agent elsewhere yet: the element on host2 registers with host1's agent under an
//! id and an address of its own, as the example's README says.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use blackbox::binary::workspace;
use blackbox::netns::{Host, Network};
use blackbox::server::{Launch, Process};
use blackbox::tools::{find, present, printed, skip};
use blackbox::wait::{SOON, until};
use nix::sys::signal::Signal;
use serde_json::Value;

const TEST: &str = "elements_under_uwsgi_register_themselves_and_the_client_finds_them";
const TOOLS: &[&str] =
    &["uwsgi", "uwsgi_python3", "python3", "getent", "curl", "ip", "unshare", "nsenter"];
const REGISTERED: &str = "[consul] service distributed_app registered successfully\n";

fn hosts() -> Result<(Network, [Host; 3])> {
    let network = Network::new()?;
    let host = |name, last| network.host(name, Ipv4Addr::new(10, 0, 77, last));
    let hosts = [host("host1", 22)?, host("host2", 16)?, host("host3", 33)?];
    Ok((network, hosts))
}

/// uWSGI with one of the example's elements.
fn element(host: &Host, name: &str, env: &[(&str, &str)]) -> Result<Process> {
    let ini = workspace().join("examples/distributed_app/uwsgi.ini");
    let launch = Launch::bare(&["--ini", &format!("{}:{name}", ini.display())])
        .program(&find("uwsgi").context("it was there")?)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let launch = env.iter().fold(launch, |launch, (name, value)| launch.env(name, value));
    launch.under(&host.enter()).spawn()
}

fn registered(element: &Process) -> Result<()> {
    until("the element's registration", SOON, || {
        let said = element.said();
        ensure!(said.contains(REGISTERED), "{said}");
        Ok(())
    })
}

/// What the client prints on a host whose resolver asks host1.
fn client(host: &Host, words: &[&str]) -> Result<String> {
    let client = workspace().join("examples/distributed_app/distributed_client.py");
    let python = ["python3", "-B", &client.to_string_lossy()];
    let mut command = host.command(&[&python, words].concat());
    command.env("CONSUL_HTTP_ADDR", "10.0.77.22:8500");
    printed(command)
}

/// The tutorial's line, and what the element answers.
fn lines(element: &str, port: u16, address: &str, resolved: &str, said: &str) -> String {
    format!(
        "Application distributed_app with element {element} on port {port} found on node host1 ({address}). \
         We can also resolve DNS - distributed_app resolves to {resolved}.\nHello from {said}\n"
    )
}

/// Waits until the client prints exactly this on the host; addresses may come in either order.
fn prints(host: &Host, words: &[&str], expected: impl FnOnce(&str) -> String) -> Result<()> {
    let (one, other) = ("10.0.77.22 and 10.0.77.16", "10.0.77.16 and 10.0.77.22");
    let expected = expected(one);
    until("the client's lines", SOON, || {
        let printed = client(host, words)?.replace(other, one);
        ensure!(printed == expected, "{printed}\ninstead of\n{expected}");
        Ok(())
    })
}

fn passing(host: &Host, count: usize) -> Result<()> {
    until("elements that pass", SOON, || {
        let url = "http://10.0.77.22:8500/v1/health/service/distributed_app?passing";
        let rows: Value = serde_json::from_str(&host.curl(&[url])?)?;
        ensure!(rows.as_array().is_some_and(|rows| rows.len() == count), "{rows}");
        Ok(())
    })
}

#[test]
fn elements_under_uwsgi_register_themselves_and_the_client_finds_them() -> Result<()> {
    if !present(TEST, TOOLS) {
        return Ok(());
    }
    let (_network, [host1, host2, host3]) = match hosts() {
        Ok(made) => made,
        Err(error) => {
            skip(TEST, &format!("no private network: {error:#}"));
            return Ok(());
        }
    };
    host3.resolv_conf("nameserver 10.0.77.22\nsearch service.consul\n")?;
    // The elements come first: they wait for their agent.
    let (server1, server2) = (element(&host1, "server1", &[])?, element(&host1, "server2", &[])?);
    let agent = Launch::bare(&["agent", "-server", "-bootstrap-expect=1"]);
    let data = agent.dir().join("data"); // entering a host leads to its root directory
    let agent = agent
        .args(&["-data-dir".as_ref(), data.as_os_str()])
        .args(&["-bind=10.0.77.22", "-client=0.0.0.0", "-dns-port=53"])
        .under(&host1.enter());
    let rutter = agent.spawn()?;
    registered(&server1)?;
    registered(&server2)?;
    let both = |resolved: &str| {
        lines("server1", 2001, "10.0.77.22", resolved, "server1 on port 2001 of host1")
            + &lines("server2", 2002, "10.0.77.22", resolved, "server2 on port 2002 of host1")
    };
    prints(&host3, &[], |_| both("10.0.77.22"))?;
    prints(&host3, &["--dns", "10.0.77.22:53"], |_| both("10.0.77.22"))?;
    passing(&host3, 2)?;
    let found = host3.run(&["getent", "hosts", "distributed_app"])?;
    ensure!(found.contains("10.0.77.22"), "{found}");

    let elsewhere = [
        ("CONSUL_HTTP_ADDR", "10.0.77.22:8500"),
        ("CONSUL_SERVICE_ID", "server3"),
        ("CONSUL_SERVICE_ADDRESS", "10.0.77.16"),
    ];
    let mut server3 = element(&host2, "server1", &elsewhere)?;
    registered(&server3)?;
    let third = |resolved: &str| {
        lines("server3", 2001, "10.0.77.16", resolved, "server1 on port 2001 of host2")
    };
    prints(&host3, &[], |resolved| both(resolved) + &third(resolved))?;

    // The agent restarts: nobody registers anew, and everybody goes on passing.
    let mut rutter = rutter;
    rutter.signal(Signal::SIGTERM)?;
    rutter.wait_end(SOON)?;
    let _rutter = agent.spawn()?;
    prints(&host3, &[], |resolved| both(resolved) + &third(resolved))?;
    passing(&host3, 3)?;
    for element in [&server1, &server2, &server3] {
        let said = element.said();
        ensure!(said.matches(REGISTERED).count() == 1, "{said}");
    }

    // One leaves in order and is forgotten; one is killed and its check runs out.
    server3.signal(Signal::SIGTERM)?;
    server3.wait_end(SOON)?;
    prints(&host3, &[], |_| both("10.0.77.22"))?;
    drop(server2);
    until("the killed element's check to run out", 2 * SOON, || passing(&host3, 1))
}
