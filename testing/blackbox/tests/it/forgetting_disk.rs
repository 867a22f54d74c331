//! `kill -9` in the middle of writing, on a disk that forgets what was not synced: nothing acknowledged is lost.
//!
//! `RUTTER_SOAK_KILLS` sets the number of kills; `RUTTER_SEED` repeats a run.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use blackbox::disk::{Disk, listing};
use blackbox::http::Http;
use blackbox::load::Load;
use blackbox::rng::Rng;
use blackbox::server::{Died, Launch, Listening, Server};
use blackbox::tools;
use blackbox::wait::{SOON, until};

fn launch(disk: &Disk) -> Result<Launch> {
    let mut launch = Launch::durable_at(&disk.path().join("data"));
    for (name, value) in disk.env()? {
        launch = launch.env(name, value);
    }
    Ok(launch)
}

/// A variable as a number.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// How the next process dies: by the clock, or at its n-th call of one sort.
fn fate(rng: &mut Rng, launch: Launch) -> (Launch, Duration) {
    let by_the_clock = Duration::from_millis(50 + rng.below(1000));
    match rng.below(3) {
        0 => (launch.env("SHIM_KILL_OPS", (10 + rng.below(1500)).to_string()), 2 * by_the_clock),
        1 => (launch.env("SHIM_KILL_META", (1 + rng.below(24)).to_string()), 2 * by_the_clock),
        _ => (launch, by_the_clock),
    }
}

/// What a run went through, for the last line it prints.
#[derive(Debug, Default)]
struct Run {
    compared: usize,
    killed_at_a_call: usize,
    killed_while_starting: usize,
    files_cut: usize,
    names_undone: usize,
}

impl Run {
    /// Lets the storm rage until the process dies of itself or its time is up.
    fn storm(&mut self, load: &Load, mut server: Server, seed: u64, limit: Duration) -> Result<()> {
        let died_of_itself = &mut self.killed_at_a_call;
        load.storm(server.http, seed, seed.is_multiple_of(3), move || {
            let died = until("its end", limit, || {
                server.process.ended()?.ok_or_else(|| anyhow!("it runs"))
            });
            let Ok(status) = died else { return server.kill() };
            let said = server.process.said();
            ensure!(status.code().is_none(), "it ended: {status}\n{said}");
            *died_of_itself += 1;
            Ok(())
        })
    }

    /// One life: start, compare with the books, write, die, forget.
    fn live_and_die(&mut self, load: &Load, disk: &mut Disk, seed: u64) -> Result<()> {
        let mut rng = Rng::new(seed);
        let (launch, limit) = fate(&mut rng, launch(disk)?);
        match launch.start() {
            Ok(server) => self.live(load, server, seed, limit)?,
            Err(error) if Died::killed(&error) => self.killed_while_starting += 1,
            Err(error) => return Err(error.context("it does not start")),
        }
        let forgotten = disk.forget(seed)?;
        self.files_cut += forgotten.cut;
        self.names_undone += forgotten.undone;
        let broken = forgotten.violations;
        ensure!(broken.is_empty(), "laws of durable files broken: {broken:#?}");
        Ok(())
    }

    fn live(&mut self, load: &Load, mut server: Server, seed: u64, limit: Duration) -> Result<()> {
        let verified = load.verify(server.http).and_then(|v| load.prepare(server.http).map(|()| v));
        match verified {
            Ok(verified) => {
                self.compared += verified.items + verified.operations;
                self.storm(load, server, seed, limit)
            }
            // It may have been killed under our eyes; then this life proves nothing.
            Err(error) => match server.process.wait_end(SOON) {
                Ok(status) if status.code().is_none() => {
                    self.killed_while_starting += 1;
                    Ok(())
                }
                _ => Err(error.context("after the restart")),
            },
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_kills() -> Result<()> {
    if !tools::present("nothing_acknowledged_is_lost_by_kills", &["cc"]) {
        return Ok(());
    }
    let kills = setting("RUTTER_SOAK_KILLS").unwrap_or(10);
    let seed = setting("RUTTER_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let (load, mut disk, mut run) = (Load::default(), Disk::new()?, Run::default());
    // Where the lives are short, as on a slow machine, more of them are lived until there is enough to lose.
    let enough = 20 * kills;
    let mut kill = 0;
    while kill < kills || (load.acknowledged() as u64) <= enough && kill < 10 * kills {
        let life = run.live_and_die(&load, &mut disk, seed.wrapping_add(kill));
        let refused = load.take_refused();
        life.with_context(|| {
            let files = listing(&disk.path());
            format!("kill {kill}, RUTTER_SEED={seed}; refused {refused:?}; files {files:#?}")
        })?;
        kill += 1;
        if kill % 100 == 0 {
            println!("{kill} kills so far; {run:?}");
        }
    }
    let server = launch(&disk)?.start()?;
    let last = load.verify(server.http).context("after the last kill")?;
    run.compared += last.items + last.operations;
    let acknowledged = load.acknowledged();
    println!("{kill} kills, {acknowledged} writes acknowledged, none lost; {run:?}");
    ensure!(acknowledged as u64 > enough, "only {acknowledged} writes were acknowledged");
    Ok(())
}

#[test]
fn a_first_start_cut_short_anywhere_can_be_repeated() -> Result<()> {
    if !tools::present("a_first_start_cut_short_anywhere_can_be_repeated", &["cc"]) {
        return Ok(());
    }
    for place in 1..40 {
        // Every other kill leaves the disk as it is; what that life did not sync is still not synced later.
        let power_cut = place % 2 == 1;
        let mut disk = Disk::new()?;
        let killed = launch(&disk)?.env("SHIM_KILL_META", place.to_string()).start();
        let was_killed = killed.is_err();
        drop(killed);
        if power_cut {
            disk.forget(place)?;
        }
        let how = format!("killed at {place}, left {:#?}", listing(&disk.path()));
        let server = launch(&disk)?.start().context(how.clone())?;
        server.client().put_ok("/v1/kv/x", "y")?;
        server.client().put_ok("/v1/agent/service/register", r#"{"Name":"web"}"#)?;
        server.kill()?;
        disk.forget(0)?;
        let server = launch(&disk)?.start().context(how.clone())?;
        ensure!(server.client().get("/v1/kv/x?raw")?.text() == "y", "the key is lost; {how}");
        let services = server.client().get_json("/v1/agent/services")?;
        ensure!(services["web"].is_object(), "the service is lost; {how}");
        if !was_killed {
            break; // it has fewer calls than that
        }
    }
    Ok(())
}

/// Hundred writes by each of 64 writers: the syncs they took, and the writes.
fn crowd(disk: &Disk, server: &Server) -> Result<(usize, usize)> {
    let before = disk.syncs()?;
    let done = AtomicUsize::new(0);
    let write = &|writer: usize| -> Result<()> {
        let mut http = server.client();
        for n in 0..100 {
            http.put_ok(&format!("/v1/kv/writer{writer}"), format!("{before} {n}"))?;
            done.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..64).map(|writer| scope.spawn(move || write(writer))).collect();
        writers.into_iter().try_for_each(|w| w.join().expect("a writer does not panic"))
    })?;
    Ok((disk.syncs()? - before, done.load(Ordering::SeqCst)))
}

#[test]
fn sixty_four_writers_share_their_syncs() -> Result<()> {
    if !tools::present("sixty_four_writers_share_their_syncs", &["cc"]) {
        return Ok(());
    }
    // On a fast disk a batch is as large as the processor, shared with other tests, lets it be; on one whose sync takes
    // 4 ms, as of many an SSD, it is what the log makes of those who wait.
    for (sync_us, least) in [("0", 4), ("4000", 8)] {
        let disk = Disk::new()?;
        let server = launch(&disk)?.env("SHIM_SYNC_US", sync_us).start()?;
        let (syncs, writes) = crowd(&disk, &server)?;
        println!(
            "{writes} acknowledged writes by 64 writers, {syncs} syncs, each {sync_us} µs longer"
        );
        ensure!(syncs > 0, "no sync at all: the shim sees nothing");
        ensure!(
            syncs * least <= writes,
            "{syncs} syncs for {writes} writes, each {sync_us} µs longer"
        );
    }
    Ok(())
}

#[test]
fn a_log_that_cannot_be_synced_ends_the_process_and_loses_nothing() -> Result<()> {
    if !tools::present("a_log_that_cannot_be_synced_ends_the_process_and_loses_nothing", &["cc"]) {
        return Ok(());
    }
    for place in [1, 5, 9, 12, 13, 20, 41] {
        let mut disk = Disk::new()?;
        let mut process = launch(&disk)?.env("SHIM_FAIL_SYNC", place.to_string()).spawn()?;
        let ports = until("ports or an end", 4 * SOON, || {
            let said = process.said();
            ensure!(process.ended()?.is_some() || said.contains("ports:"), "neither");
            Ok(said)
        })?;
        let written = Listening::read(&ports).map_or(0, |server| write_until_refused(server.http));
        ensure!(written < 1000, "place {place}: nothing failed");
        let status = process.wait_end(SOON).with_context(|| format!("place {place}"))?;
        let said = process.said();
        ensure!(!status.success() && status.code().is_some(), "place {place}: {status}\n{said}");
        ensure!(said.contains("Input/output error"), "place {place}: no word of it:\n{said}");
        ensure!(!said.contains("panicked"), "place {place}: {said}");
        disk.forget(place)?;
        let server = launch(&disk)?.start().with_context(|| format!("place {place}"))?;
        let mut http = server.client();
        let services = http.get_json("/v1/agent/services")?;
        for n in 0..written {
            let kept = match n % 2 {
                0 => http.get(&format!("/v1/kv/key{n}?raw"))?.text() == n.to_string(),
                _ => services[format!("service{n}")].is_object(),
            };
            ensure!(kept, "place {place}: write {n} of {written} is lost: {services}");
        }
    }
    Ok(())
}

/// Sets keys and registers services by turns; how many of them were acknowledged.
fn write_until_refused(addr: SocketAddr) -> usize {
    let mut http = Http::new(addr);
    let mut write = |n: usize| match n % 2 {
        0 => http.put(&format!("/v1/kv/key{n}"), n.to_string()),
        _ => http.put("/v1/agent/service/register", format!(r#"{{"Name":"service{n}"}}"#)),
    };
    (0..1000).take_while(|n| write(*n).is_ok_and(|answer| answer.status == 200)).count()
}
