//! Bits flipped in a stopped server's files: refused with a message, or harmless.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use blackbox::disk::files;
use blackbox::rng::Rng;
use blackbox::server::{Launch, Server};
use blackbox::wait::{SOON, until};

const KEYS: usize = 40;

fn complete(server: &Server) -> Result<()> {
    let mut http = server.client();
    for n in 0..KEYS {
        let answer = http.get(&format!("/v1/kv/key{n}?raw"))?;
        ensure!(
            answer.text() == format!("value {n}"),
            "key{n}: {} {}",
            answer.status,
            answer.text()
        );
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    for (path, _, _) in files(from)? {
        let target = to.join(path.strip_prefix(from)?);
        std::fs::create_dir_all(target.parent().context("a file has a directory")?)?;
        std::fs::copy(&path, &target)?;
    }
    Ok(())
}

/// Starts on damaged files. Either it refuses and says why, or everything acknowledged is there.
fn survives(data: &Path) -> Result<bool> {
    let mut process = Launch::durable_at(data).spawn()?;
    let ready = until("ports or an end", 4 * SOON, || {
        let said = process.said();
        ensure!(process.ended()?.is_some() || said.contains("ports:"), "neither");
        Ok(())
    });
    ready.with_context(|| process.said())?;
    if process.ended()?.is_none() {
        drop(process);
        let server = Launch::durable_at(data).start()?;
        complete(&server)?;
        return Ok(true);
    }
    let status = process.wait_end(SOON)?;
    let said = process.said();
    ensure!(!status.success() && status.code().is_some(), "{status}: {said}");
    ensure!(!said.contains("panicked") && said.len() > 20, "no clear message: {said}");
    Ok(false)
}

#[test]
fn a_flipped_bit_is_refused_or_harmless() -> Result<()> {
    let launch = Launch::durable();
    let data = launch.dir().join("data");
    let server = launch.start()?;
    for n in 0..KEYS {
        server.client().put_ok(&format!("/v1/kv/key{n}"), format!("value {n}"))?;
    }
    server.stop()?;
    launch.start()?.stop()?; // the mark of what was synced is written lazily, at the latest now
    let all: Vec<_> = files(&data)?.into_iter().filter(|(_, _, length)| *length > 0).collect();
    let mut rng = Rng::new(3);
    let (mut refused, mut harmless) = (0, 0);
    for round in 0..3 {
        for (path, _, length) in &all {
            let damaged = tempfile::TempDir::with_prefix("rutter-flip-")?;
            copy(&data, damaged.path())?;
            let target = damaged.path().join(path.strip_prefix(&data)?);
            let mut bytes = std::fs::read(&target)?;
            let (at, bit) = (rng.below(*length) as usize, rng.below(8));
            bytes[at] ^= 1 << bit;
            std::fs::write(&target, bytes)?;
            let outcome = survives(damaged.path());
            let survived = outcome.with_context(|| {
                format!("round {round}: bit {bit} of byte {at} of {length} in {}", path.display())
            })?;
            *(if survived { &mut harmless } else { &mut refused }) += 1;
        }
    }
    println!("{refused} flips refused, {harmless} harmless");
    ensure!(refused > 0, "not one flip was noticed");
    Ok(())
}
