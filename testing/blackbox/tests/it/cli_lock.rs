//! `lock`: a program runs while its lock is held, and only then.

use std::process::{Child, Stdio};

use anyhow::{Result, ensure};
use blackbox::commands::Cli;
use blackbox::server::{Launch, Server};
use blackbox::wait::{SOON, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

fn start() -> Result<(Server, Cli)> {
    let server = Launch::dev().start()?;
    let cli = Cli::of(server.http);
    Ok((server, cli))
}

fn keys(server: &Server, prefix: &str) -> Result<Value> {
    let answer = server.client().get(&format!("/v1/kv/{prefix}?keys"))?;
    if answer.status == 404 { Ok(json!([])) } else { answer.json() }
}

fn sessions(server: &Server) -> Result<Value> {
    server.client().get_json("/v1/session/list")
}

/// A command in the background, killed at the end.
struct Running(Child);

impl Running {
    fn start(cli: &Cli, words: &[&str]) -> Result<Running> {
        let mut command = cli.command(words);
        Ok(Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?))
    }

    fn end(&mut self) -> Result<i32> {
        let status = until("the end of the command", SOON, || {
            self.0.try_wait()?.ok_or_else(|| anyhow::anyhow!("it still runs"))
        })?;
        Ok(status.code().unwrap_or(-1))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until a file is there.
fn appears(path: &std::path::Path) -> Result<()> {
    until("a file of the program", SOON, || {
        ensure!(path.exists(), "no {}", path.display());
        Ok(())
    })
}

#[test]
fn a_program_runs_with_the_lock_and_leaves_nothing_behind() -> Result<()> {
    let (server, cli) = start()?;
    let said = cli.says(&["lock", "a/b", "echo held=$CONSUL_LOCK_HELD"])?;
    ensure!(said == "held=true\n", "{said}");
    let said = cli.says(&["lock", "-shell=false", "a/b", "echo", "-n", "$HOME"])?;
    ensure!(said == "$HOME", "{said}");
    ensure!(keys(&server, "a")? == json!([]) && sessions(&server)? == json!([]), "cleaned up");
    let ran = cli.run_with(&["lock", "-pass-stdin", "a", "cat"], "given")?;
    ensure!(ran.out == "given" && ran.code == 0, "{ran:?}");
    let ran = cli.run_with(&["lock", "a", "cat"], "not given")?;
    ensure!(ran.out.is_empty() && ran.code == 0, "{ran:?}");
    let said = cli.says(&["lock", "-verbose", "a", "true"])?;
    let expected = "Setting up lock at path: a/.lock\nAttempting lock acquisition\nStarting handler\n\
                    Child terminated, releasing lock\nCleanup succeeded\n";
    ensure!(said == expected, "{said}");
    server.stop()
}

#[test]
fn the_exit_code_tells_of_the_program_only_if_asked() -> Result<()> {
    let (server, cli) = start()?;
    let complaint = "Error running handler: exit status 3\n";
    cli.fails(&["lock", "a", "exit 3"], 0, complaint)?;
    cli.fails(&["lock", "-child-exit-code", "a", "exit 3"], 2, complaint)?;
    cli.fails(&["lock", "-child-exit-code", "a", "exit 0"], 0, "")?;
    let missing = "Key prefix and child command must be specified\n";
    cli.fails(&["lock", "a"], 1, missing)?;
    cli.fails(&["lock", "-n=0", "a", "true"], 1, "Lock holder limit must be positive\n")?;
    cli.fails(&["lock", "-timeout=-1s", "a", "true"], 1, "Timeout must be positive\n")?;
    cli.fails(
        &["lock", "-monitor-retry=-1", "a", "true"],
        1,
        "Number for 'monitor-retry' must be >= 0\n",
    )?;
    server.stop()
}

#[test]
fn a_second_holder_waits_or_gives_up() -> Result<()> {
    let (server, cli) = start()?;
    let dir = tempfile::tempdir()?;
    let (held, go) = (dir.path().join("held"), dir.path().join("go"));
    let wait =
        format!("touch {}; until test -e {}; do sleep 0.05; done", held.display(), go.display());
    let mut first = Running::start(&cli, &["lock", "a", &wait])?;
    appears(&held)?;
    let row = server.client().get_json("/v1/kv/a/.lock")?[0].clone();
    ensure!(
        row["Flags"] == json!(0x2ddc_cbc0_58a5_0c18_u64),
        "marked as Consul's clients do: {row}"
    );
    let session = row["Session"].as_str().unwrap_or_default();
    let session = server.client().get_json(&format!("/v1/session/info/{session}"))?;
    ensure!(session[0]["TTL"] == "15s", "{session}");
    let name = session[0]["Name"].as_str().unwrap_or_default();
    ensure!(name.starts_with("Consul lock for 'touch ") && name.ends_with("' at 'a'"), "{name}");
    let gave_up = "Shutdown triggered or timeout during lock acquisition\n";
    for flag in ["-timeout=300ms", "-try=300ms"] {
        cli.fails(&["lock", flag, "a", "true"], 1, gave_up)?;
    }
    let conflict = "Lock acquisition failed: Existing key does not match semaphore use\n";
    cli.fails(&["lock", "-n=2", "a", "true"], 1, conflict)?;
    let second_ran = dir.path().join("second");
    let touch = format!("touch {}", second_ran.display());
    let mut second = Running::start(&cli, &["lock", "a", &touch])?;
    ensure!(!second_ran.exists(), "the second waits");
    std::fs::write(&go, "")?;
    ensure!(first.end()? == 0 && second.end()? == 0 && second_ran.exists(), "one after the other");
    ensure!(keys(&server, "a")? == json!([]), "cleaned up");
    server.stop()
}

#[test]
fn a_semaphore_lets_as_many_in_as_asked() -> Result<()> {
    let (server, cli) = start()?;
    let dir = tempfile::tempdir()?;
    let go = dir.path().join("go");
    let wait = |n: &str| {
        let held = dir.path().join(n);
        format!("touch {}; until test -e {}; do sleep 0.05; done", held.display(), go.display())
    };
    let mut first = Running::start(&cli, &["lock", "-n=2", "s", &wait("1")])?;
    let mut second = Running::start(&cli, &["lock", "-n", "2", "s", &wait("2")])?;
    appears(&dir.path().join("1"))?;
    appears(&dir.path().join("2"))?;
    let row = server.client().get("/v1/kv/s/.lock?raw")?.json()?;
    ensure!(row["Limit"] == 2 && row["Holders"].as_object().is_some_and(|h| h.len() == 2), "{row}");
    let gave_up = "Shutdown triggered or timeout during lock acquisition\n";
    cli.fails(&["lock", "-n=2", "-timeout=300ms", "s", "true"], 1, gave_up)?;
    let conflict = "Lock acquisition failed: semaphore limit conflict (lock: 2, local: 3)\n";
    cli.fails(&["lock", "-n=3", "s", "true"], 1, conflict)?;
    std::fs::write(&go, "")?;
    ensure!(first.end()? == 0 && second.end()? == 0, "both end");
    ensure!(keys(&server, "s")? == json!([]), "cleaned up: {}", keys(&server, "s")?);
    server.stop()
}

#[test]
fn a_lost_lock_ends_the_program() -> Result<()> {
    let (server, cli) = start()?;
    let dir = tempfile::tempdir()?;
    let (held, told) = (dir.path().join("held"), dir.path().join("told"));
    let program = format!(
        "trap 'touch {}; exit 0' TERM; touch {}; while true; do sleep 0.05; done",
        told.display(),
        held.display()
    );
    for way in ["destroyed", "interrupted"] {
        let _ = std::fs::remove_file(&told);
        let _ = std::fs::remove_file(&held);
        let mut running = Running::start(&cli, &["lock", "-child-exit-code", way, &program])?;
        appears(&held)?;
        if way == "destroyed" {
            let row = server.client().get_json("/v1/kv/destroyed/.lock")?;
            let session = row[0]["Session"].as_str().unwrap_or_default().to_owned();
            server.client().put_ok(&format!("/v1/session/destroy/{session}"), "")?;
        } else {
            kill(Pid::from_raw(running.0.id().try_into()?), Signal::SIGTERM)?;
        }
        appears(&told)?;
        running.end()?;
    }
    server.stop()
}

#[test]
fn an_agent_that_is_gone_ends_the_program() -> Result<()> {
    let (server, cli) = start()?;
    let dir = tempfile::tempdir()?;
    let (held, told) = (dir.path().join("held"), dir.path().join("told"));
    let program = format!(
        "trap 'touch {}; exit 0' TERM; touch {}; while true; do sleep 0.05; done",
        told.display(),
        held.display()
    );
    let mut running = Running::start(&cli, &["lock", "-monitor-retry=1", "a", &program])?;
    appears(&held)?;
    server.kill()?;
    appears(&told)?;
    ensure!(running.end()? == 1, "the lock could not be given back");
    Ok(())
}

#[test]
fn a_program_that_does_not_heed_the_loss_is_killed() -> Result<()> {
    let (server, cli) = start()?;
    let dir = tempfile::tempdir()?;
    let held = dir.path().join("held");
    let program =
        format!("trap '' TERM; echo $$ > {}; while true; do sleep 0.1; done", held.display());
    let mut running = Running::start(&cli, &["lock", "a", &program])?;
    appears(&held)?;
    let pid =
        until("the program's id", SOON, || Ok(std::fs::read_to_string(&held)?.trim().parse()?))?;
    kill(Pid::from_raw(running.0.id().try_into()?), Signal::SIGTERM)?;
    running.end()?;
    ensure!(kill(Pid::from_raw(pid), None).is_err(), "the program is gone");
    server.stop()
}
