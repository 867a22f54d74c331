//! `kill -9` in the middle of writing, on a disk that forgets what was not synced: nothing acknowledged is lost.
//!
//! `RUTTER_SOAK_KILLS` sets the number of kills; `RUTTER_SEED` repeats a run.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use blackbox::disk::{Disk, listing};
use blackbox::load::Load;
use blackbox::rng::Rng;
use blackbox::server::{Died, Launch, Server};
use blackbox::tools;
use blackbox::wait::until;

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
    let by_the_clock = Duration::from_millis(50 + rng.below(1200));
    match rng.below(3) {
        0 => (launch.env("SHIM_KILL_OPS", (200 + rng.below(3000)).to_string()), 3 * by_the_clock),
        1 => (launch.env("SHIM_KILL_META", (1 + rng.below(40)).to_string()), 2 * by_the_clock),
        _ => (launch, by_the_clock),
    }
}

/// Lets the storm rage until the process dies of itself or its time is up.
fn storm(load: &Load, mut server: Server, seed: u64, limit: Duration) -> Result<()> {
    let began = Instant::now();
    load.storm(server.http, seed, move || {
        let died =
            until("its end", limit, || server.process.ended()?.ok_or_else(|| anyhow!("it runs")));
        match died {
            Ok(status) => {
                ensure!(status.code().is_none(), "it ended: {status}\n{}", server.process.said())
            }
            Err(_) => server.kill()?,
        }
        ensure!(began.elapsed() < limit + Duration::from_secs(20), "the kill took too long");
        Ok(())
    })
}

/// One life: start, compare with the books, write, die, forget. Returns what was compared.
fn live_and_die(load: &Load, disk: &mut Disk, seed: u64) -> Result<usize> {
    let mut rng = Rng::new(seed);
    let (launch, limit) = fate(&mut rng, launch(disk)?);
    let compared = match launch.start() {
        Ok(server) => live(load, server, seed, limit)?,
        Err(error) if Died::killed(&error) => 0,
        Err(error) => return Err(error.context("it does not start")),
    };
    let forgotten = disk.forget(seed)?;
    let broken = forgotten.violations;
    ensure!(broken.is_empty(), "laws of durable files broken: {broken:#?}");
    Ok(compared)
}

fn live(load: &Load, mut server: Server, seed: u64, limit: Duration) -> Result<usize> {
    let verified = load.verify(server.http).and_then(|v| load.prepare(server.http).map(|()| v));
    match verified {
        Ok(verified) => {
            storm(load, server, seed, limit)?;
            Ok(verified.items + verified.operations)
        }
        // It may have been killed under our eyes; then this life proves nothing.
        Err(error) => match server.process.wait_end(Duration::from_secs(1)) {
            Ok(status) if status.code().is_none() => Ok(0),
            _ => Err(error.context("after the restart")),
        },
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_kills() -> Result<()> {
    if !tools::present("nothing_acknowledged_is_lost_by_kills", &["cc"]) {
        return Ok(());
    }
    let kills = setting("RUTTER_SOAK_KILLS").unwrap_or(10);
    let seed = setting("RUTTER_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let (load, mut disk) = (Load::default(), Disk::new()?);
    let mut compared = 0;
    for kill in 0..kills {
        let life = live_and_die(&load, &mut disk, seed.wrapping_add(kill));
        let refused = load.take_refused();
        compared += life.with_context(|| {
            format!(
                "kill {kill}, RUTTER_SEED={seed}; refused {refused:?}; files {:#?}",
                listing(&disk.path())
            )
        })?;
    }
    let server = launch(&disk)?.start()?;
    let last = load.verify(server.http).context("after the last kill")?;
    compared += last.items + last.operations;
    println!(
        "{kills} kills, {} writes acknowledged, {compared} items and operations compared, none lost",
        load.acknowledged()
    );
    ensure!(
        load.acknowledged() as u64 > 20 * kills,
        "only {} writes were acknowledged",
        load.acknowledged()
    );
    Ok(())
}

#[test]
fn a_first_start_cut_short_anywhere_can_be_repeated() -> Result<()> {
    if !tools::present("a_first_start_cut_short_anywhere_can_be_repeated", &["cc"]) {
        return Ok(());
    }
    for place in (1..40).step_by(3) {
        let mut disk = Disk::new()?;
        let killed = launch(&disk)?.env("SHIM_KILL_META", place.to_string()).start();
        let was_killed = killed.is_err();
        drop(killed);
        disk.forget(place)?;
        let files = listing(&disk.path());
        let server = launch(&disk)?
            .start()
            .with_context(|| format!("killed at {place}, left {files:#?}"))?;
        server.client().put_ok("/v1/kv/x", "y")?;
        server.kill()?;
        disk.forget(place)?;
        let server = launch(&disk)?.start()?;
        ensure!(server.client().get("/v1/kv/x?raw")?.text() == "y", "killed at {place}");
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
    let disk = Disk::new()?;
    let server = launch(&disk)?.start()?;
    // Tests beside this one take the processor from the writers, who then do not come together: three tries.
    let mut figures = Vec::new();
    for _ in 0..3 {
        let (syncs, writes) = crowd(&disk, &server)?;
        println!("{writes} acknowledged writes by 64 writers, {syncs} syncs");
        ensure!(syncs > 0, "no sync at all: the shim sees nothing");
        if syncs * 8 <= writes {
            return Ok(());
        }
        figures.push((syncs, writes));
    }
    bail!("syncs and writes: {figures:?}")
}
