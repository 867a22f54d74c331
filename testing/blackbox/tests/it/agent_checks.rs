//! Checks that the agent runs: scripts and their ends above all, by process id.

use anyhow::{Result, ensure};
use blackbox::addresses::Dead;
use blackbox::server::{Launch, Server};
use blackbox::wait::{SOON, until};
use blackbox::web::Web;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const REFUSED: &str = "Scripts are disabled on this agent from remote calls; to enable, configure \
                       'enable_script_checks' to true";

fn with_scripts() -> Launch {
    Launch::dev().args(&["-enable-script-checks"])
}

fn check(server: &Server, body: &Value) -> Result<()> {
    server.client().put_ok("/v1/agent/check/register", body.to_string()).map(drop)
}

/// A check named `c` that runs a line of shell every second.
fn script(line: &str) -> Value {
    json!({ "Name": "c", "Args": ["sh", "-c", line], "Interval": "1s" })
}

/// Waits until the check `c` stands so, with this output.
#[track_caller]
fn wait_result(server: &Server, status: &str, output: &str) -> Result<()> {
    until(&format!("{status} with {output:?}"), SOON, || {
        let check = server.client().get_json("/v1/agent/checks")?["c"].take();
        ensure!(check["Status"] == status && check["Output"] == output, "{check}");
        Ok(())
    })
}

/// The process ids that a script wrote into a file, each on a line.
fn pids(file: &Path, count: usize) -> Result<Vec<u32>> {
    until("the script wrote its process ids", SOON, || {
        let text = std::fs::read_to_string(file)?;
        let pids: Vec<u32> = text.split_whitespace().map_while(|word| word.parse().ok()).collect();
        ensure!(text.ends_with('\n') && pids.len() == count, "{text:?}");
        Ok(pids)
    })
}

/// Whether a process still does something: one that nobody has waited for does not.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

#[track_caller]
fn wait_dead(pids: &[u32]) -> Result<()> {
    until(&format!("the end of {pids:?}"), SOON, || {
        let left: Vec<&u32> = pids.iter().filter(|pid| is_alive(**pid)).collect();
        ensure!(left.is_empty(), "{left:?} live");
        Ok(())
    })
}

/// Starts a process in the group of the script, and one that leaves it and starts another; says who they are.
fn started(file: &Path) -> String {
    let apart = r#"sleep 777 & echo $0 $$ $! "#;
    format!(
        "sleep 1000 & setsid sh -c '{apart} > {0}.new; mv {0}.new {0}; wait' $! &",
        file.display()
    )
}

/// A script that starts others and stays.
fn lingering(launch: &Launch) -> (PathBuf, Value) {
    let file = launch.dir().join("pids");
    let line = format!("{} wait", started(&file));
    (file, script(&line))
}

#[test]
fn a_script_is_refused_unless_the_agent_is_told_to_run_scripts() -> Result<()> {
    for launch in [Launch::dev(), Launch::dev().args(&["-enable-local-script-checks"])] {
        let server = launch.start()?;
        let body = script("true").to_string();
        let answer = server.client().put("/v1/agent/check/register", body)?;
        ensure!((answer.status, answer.text().as_str()) == (500, REFUSED), "{answer:?}");
        let body = json!({ "Name": "web", "Check": { "Args": ["true"], "Interval": "1s" } });
        let answer = server.client().put("/v1/agent/service/register", body.to_string())?;
        ensure!((answer.status, answer.text().as_str()) == (500, REFUSED), "{answer:?}");
        ensure!(server.client().get_json("/v1/agent/checks")? == json!({}), "nothing changed");
        ensure!(server.client().get_json("/v1/agent/services")? == json!({}), "nothing changed");
    }
    Ok(())
}

#[test]
fn the_exit_code_of_a_script_is_the_status() -> Result<()> {
    let launch = with_scripts();
    let server = launch.start()?;
    let code = launch.dir().join("code");
    let turn_to = |number: &str| std::fs::write(&code, number);
    turn_to("0")?;
    check(&server, &script(&format!("echo out; echo err >&2; exit $(cat {})", code.display())))?;
    wait_result(&server, "passing", "out\nerr\n")?;
    turn_to("1")?;
    wait_result(&server, "warning", "out\nerr\n")?;
    turn_to("2")?;
    wait_result(&server, "critical", "out\nerr\n")?;

    // Without a shell, and by the path of the agent; a changed definition is used from the next run on.
    let words = |args: &[&str]| json!({ "Name": "c", "Args": args, "Interval": "1s" });
    check(&server, &words(&["echo", "$HOME", "-n"]))?;
    wait_result(&server, "passing", "$HOME -n\n")?;
    check(&server, &words(&["no-such-program"]))?;
    let missing = "exec: \"no-such-program\": executable file not found in $PATH";
    wait_result(&server, "critical", missing)?;
    check(&server, &words(&["/no/such/program"]))?;
    wait_result(&server, "critical", "fork/exec /no/such/program: no such file or directory")?;
    check(&server, &script("kill -9 $$"))?;
    wait_result(&server, "critical", "")
}

#[test]
fn of_much_output_the_end_is_kept() -> Result<()> {
    let server = with_scripts().args(&["-check-output-max-size=10"]).start()?;
    check(&server, &script("seq 1 100000; printf 0123456789"))?;
    wait_result(&server, "passing", "Captured 10 of 588905 bytes\n...\n0123456789")?;
    let mut smaller = script("printf 0123456789");
    smaller["OutputMaxSize"] = json!(4);
    check(&server, &smaller)?;
    wait_result(&server, "passing", "Captured 4 of 10 bytes\n...\n6789")
}

#[test]
fn output_can_be_thrown_away() -> Result<()> {
    let launch = with_scripts().config(&json!({ "discard_check_output": true }));
    let server = launch.start()?;
    check(&server, &script("echo much; exit 1"))?;
    wait_result(&server, "warning", "")
}

#[test]
fn a_script_out_of_time_dies_with_all_that_it_started() -> Result<()> {
    let launch = with_scripts();
    let server = launch.start()?;
    let (file, mut body) = lingering(&launch);
    body["Timeout"] = json!("1500ms");
    body["Args"][2] = json!(format!("echo begun; {}", body["Args"][2].as_str().unwrap_or("")));
    check(&server, &body)?;
    let first = pids(&file, 3)?;
    wait_result(&server, "critical", "Timed out (1.5s) running check\n\nbegun\n")?;
    wait_dead(&first)
}

#[test]
fn what_a_script_leaves_running_dies_when_it_ends() -> Result<()> {
    let launch = with_scripts();
    let server = launch.start()?;
    let file = launch.dir().join("pids");
    let wait = format!("until test -e {}; do sleep 0.01; done", file.display());
    check(&server, &script(&format!("{} {wait}; echo done", started(&file))))?;
    let left = pids(&file, 3)?;
    wait_result(&server, "passing", "done\n")?;
    wait_dead(&left)
}

#[test]
fn no_script_outlives_the_agent_however_it_ends() -> Result<()> {
    for ends_in_order in [true, false] {
        let launch = with_scripts();
        let server = launch.start()?;
        let (file, body) = lingering(&launch);
        check(&server, &body)?;
        let running = pids(&file, 3)?;
        ensure!(running.iter().all(|pid| is_alive(*pid)), "{running:?} wait for their end");
        if ends_in_order {
            server.stop()?
        } else {
            server.kill()?
        }
        wait_dead(&running)?;
    }
    Ok(())
}

#[test]
fn a_script_taken_while_scripts_were_enabled_is_kept_and_says_why_it_does_not_run() -> Result<()> {
    let launch = Launch::durable();
    let server = launch.clone().args(&["-enable-script-checks"]).start()?;
    check(&server, &script("echo ran"))?;
    wait_result(&server, "passing", "ran\n")?;
    server.stop()?;
    let server = launch.start()?;
    let off = "Scripts are disabled on this agent; to enable, configure 'enable_script_checks' or \
               'enable_local_script_checks' to true";
    wait_result(&server, "critical", off)?;
    server.stop()?;
    let server = launch.args(&["-enable-script-checks"]).start()?;
    wait_result(&server, "passing", "ran\n")
}

#[test]
fn a_failure_shows_once_there_were_enough_in_a_row() -> Result<()> {
    let launch = with_scripts();
    let server = launch.start()?;
    let (fails, runs) = (launch.dir().join("fails"), launch.dir().join("runs"));
    let line =
        format!("test -e {} || exit 0; echo x >> {}; exit 2", fails.display(), runs.display());
    let mut body = script(&line);
    body["FailuresBeforeCritical"] = json!(3);
    check(&server, &body)?;
    wait_result(&server, "passing", "")?;
    std::fs::write(&fails, "")?;
    wait_result(&server, "critical", "")?;
    let failed = std::fs::read_to_string(&runs)?.lines().count();
    ensure!(failed >= 3, "critical after {failed} failures");
    Ok(())
}

#[test]
fn one_check_of_each_kind_finds_a_server_and_misses_it() -> Result<()> {
    let server = Launch::dev().start()?;
    let web = Web::start()?;
    let url = format!("http://{}/", web.addr);
    check(&server, &json!({ "Name": "c", "HTTP": url, "Interval": "1s", "Method": "PUT" }))?;
    wait_result(&server, "passing", &format!("HTTP PUT {url}: 200 said Output: hi\n"))?;
    web.answer(429);
    wait_result(&server, "warning", &format!("HTTP PUT {url}: 429 said Output: hi\n"))?;
    web.answer(503);
    wait_result(&server, "critical", &format!("HTTP PUT {url}: 503 said Output: hi\n"))?;
    let https = format!("https://{}/", web.addr);
    check(&server, &json!({ "Name": "c", "HTTP": https, "Interval": "1s" }))?;
    let no_tls = "tls: first record does not look like a TLS handshake";
    wait_result(&server, "critical", &format!("Get \"{https}\": {no_tls}"))?;
    check(&server, &json!({ "Name": "c", "TCP": web.addr.to_string(), "Interval": "1s" }))?;
    wait_result(&server, "passing", &format!("TCP connect {}: Success", web.addr))?;
    let dead = Dead::take()?;
    check(&server, &json!({ "Name": "c", "TCP": dead.addr.to_string(), "Interval": "1s" }))?;
    let refused = format!("dial tcp {}: connect: connection refused", dead.addr);
    wait_result(&server, "critical", &refused)?;
    let silent = std::net::UdpSocket::bind("127.0.0.1:0")?;
    let udp = silent.local_addr()?.to_string();
    check(&server, &json!({ "Name": "c", "UDP": udp, "Interval": "1s", "Timeout": "100ms" }))?;
    wait_result(&server, "passing", &format!("UDP connect {udp}: Success"))
}
