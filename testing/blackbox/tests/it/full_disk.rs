//! A disk that is full: writes are refused, reads go on; when the log itself meets the end, the process says so and goes.

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use blackbox::server::{Launch, Server};
use blackbox::tmpfs::Tmpfs;
use blackbox::tools;
use blackbox::wait::{SOON, until};
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;

fn small(test: &str) -> Result<Option<Tmpfs>> {
    if !tools::present(test, &["unshare", "nsenter", "dig"]) {
        return Ok(None);
    }
    match Tmpfs::mount(48 * MIB) {
        Ok(small) => Ok(Some(small)),
        Err(error) => {
            Ok(tools::skip(test, &format!("no small disk: {error:#}")).then_some(()).and(None))
        }
    }
}

/// A durable server on the small disk that wants so many bytes left free.
fn launch(small: &Tmpfs, reserve: u64) -> Launch {
    let config: Value = json!({ "disk_reserve_bytes": reserve });
    Launch::durable_at(&small.inside().join("data")).config(&config).under(&small.enter())
}

/// Writes until one is refused: what was acknowledged, and the refusal.
fn write_until_refused(server: &Server, prefix: &str, size: usize) -> Result<(usize, u16, String)> {
    let mut http = server.client();
    for n in 0..10_000 {
        let answer = http.put(&format!("/v1/kv/{prefix}/{n}"), vec![b'x'; size])?;
        if answer.status != 200 {
            return Ok((n, answer.status, answer.text()));
        }
    }
    Err(anyhow!("nothing was refused"))
}

fn present(server: &Server, prefix: &str, count: usize, size: usize) -> Result<()> {
    let mut http = server.client();
    for n in 0..count {
        let answer = http.get(&format!("/v1/kv/{prefix}/{n}?raw"))?;
        ensure!(
            answer.status == 200 && answer.body.len() == size,
            "{prefix}/{n}: {} {}",
            answer.status,
            answer.body.len()
        );
    }
    Ok(())
}

#[test]
fn below_the_reserve_writes_are_refused_and_reads_go_on() -> Result<()> {
    let Some(small) = small("below_the_reserve_writes_are_refused_and_reads_go_on")? else {
        return Ok(());
    };
    let server = launch(&small, 8 * MIB).start()?;
    let mut http = server.client();
    http.put_ok("/v1/agent/service/register", json!({ "Name": "web", "Port": 1 }).to_string())?;
    small.fill(10 * MIB)?;
    let (written, status, text) = write_until_refused(&server, "filling", 100_000)?;
    ensure!(status == 500, "{status} {text}");
    ensure!(text.contains("disk"), "the sentence does not say what is wrong: {text}");
    ensure!(small.free()? >= 4 * MIB, "the reserve was used up: {} left", small.free()?);
    ensure!(
        http.get(&format!("/v1/kv/filling/{written}"))?.status == 404,
        "a refused write changed something"
    );
    for (path, body) in [
        ("/v1/catalog/register", json!({ "Node": "x", "Address": "10.0.0.1" })),
        ("/v1/session/create", json!({})),
    ] {
        let answer = http.put(path, body.to_string())?;
        ensure!(answer.status == 500, "{path}: {} {}", answer.status, answer.text());
    }
    present(&server, "filling", written, 100_000)?;
    ensure!(server.dig("web.service.consul A")?.answer.len() == 1, "DNS goes on");

    small.fill(0)?; // others took the rest as well
    // More than what may be left in the last block of the store.
    let large = (0..10).map(|n| (format!("large{n}"), json!("x".repeat(500))));
    let large = large.collect::<serde_json::Map<_, _>>();
    let late = json!({ "Name": "late", "Port": 1, "Meta": large }).to_string();
    let agent = (0..100).try_for_each(|_| {
        http.put("/v1/agent/service/register", &late)?.expect_status(200).map(drop)
    });
    let refused = agent.expect_err("an agent's store cannot grow on a full disk").to_string();
    ensure!(refused.contains("500"), "the agent: {refused}");
    ensure!(http.put("/v1/kv/none", "x")?.status == 500, "not even a small one");
    ensure!(server.dig("web.service.consul A")?.answer.len() == 1, "DNS goes on");
    small.empty()?;
    until("writes to be accepted again", SOON, || {
        server.client().put_ok("/v1/kv/again", "x").map(drop)
    })?;
    server.kill()?;
    let server = launch(&small, 8 * MIB).start()?;
    present(&server, "filling", written, 100_000)?;
    ensure!(server.client().get("/v1/kv/again")?.status == 200, "the last write");
    Ok(())
}

#[test]
fn a_log_that_meets_the_end_of_the_disk_ends_the_process_and_loses_nothing() -> Result<()> {
    let name = "a_log_that_meets_the_end_of_the_disk_ends_the_process_and_loses_nothing";
    let Some(small) = small(name)? else { return Ok(()) };
    let mut server = launch(&small, 0).start()?;
    small.fill(MIB)?;
    let mut http = server.client().patient(Duration::from_secs(10));
    let mut written = 0;
    while http
        .put(&format!("/v1/kv/end/{written}"), vec![b'x'; 50_000])
        .is_ok_and(|a| a.status == 200)
    {
        written += 1;
        ensure!(written < 5000, "the disk does not fill");
    }
    let status = server.process.wait_end(SOON)?;
    let said = server.process.said();
    ensure!(!status.success() && status.code().is_some(), "it ended: {status}\n{said}");
    ensure!(said.to_lowercase().contains("space"), "no word of what happened:\n{said}");
    ensure!(!said.contains("panicked"), "{said}");
    small.empty()?;
    let server = launch(&small, 0).start()?;
    present(&server, "end", written, 50_000)?;
    server.client().put_ok("/v1/kv/after", "x").map(drop)
}

#[test]
fn the_small_disk_is_private_and_can_be_filled() -> Result<()> {
    let Some(small) = small("the_small_disk_is_private_and_can_be_filled")? else { return Ok(()) };
    ensure!(!small.inside().join("ballast").exists(), "it is seen outside");
    small.fill(3 * MIB)?;
    ensure!(small.free()? <= 3 * MIB && small.free()? > 2 * MIB, "{} free", small.free()?);
    ensure!(!small.inside().join("ballast").exists(), "it is seen outside");
    let words = small.enter();
    let mut seen = std::process::Command::new(&words[0]);
    seen.args(&words[1..]).arg("ls").arg(small.inside());
    ensure!(tools::printed(seen)? == "ballast\n", "it is not seen inside");
    small.empty()?;
    ensure!(small.free()? > 40 * MIB, "{} free", small.free()?);
    Ok(())
}
