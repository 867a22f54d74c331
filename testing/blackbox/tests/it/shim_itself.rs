//! The forgetting disk forgets what it should, and nothing else.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Result, ensure};
use blackbox::disk::{Disk, files};
use blackbox::tools;

/// Runs a shell script in a forgetting directory, cuts the power, and compares what is left.
#[track_caller]
fn check(script: &str, left: &[(&str, &str)]) -> Result<()> {
    if !tools::present("shim_itself", &["cc", "bash"]) {
        return Ok(());
    }
    let expected: BTreeMap<String, String> =
        left.iter().map(|(n, t)| (n.to_string(), t.to_string())).collect();
    let mut outcomes = Vec::new();
    for seed in 0..12 {
        let mut disk = Disk::new()?;
        let mut bash = Command::new("bash");
        bash.args(["-c", script]).current_dir(disk.path()).envs(disk.env()?);
        tools::printed(bash)?;
        disk.forget(seed)?;
        let mut found = BTreeMap::new();
        for (path, _, _) in files(&disk.path())? {
            let name = path.strip_prefix(disk.path())?.display().to_string();
            found.insert(name, std::fs::read_to_string(&path)?.trim().to_owned());
        }
        outcomes.push(found);
    }
    // What was not synced may survive; the worst that can happen must be among the outcomes.
    ensure!(outcomes.contains(&expected), "{script}: {outcomes:?} instead of {expected:?}");
    if script.ends_with("# all") {
        ensure!(
            outcomes.iter().all(|o| *o == expected),
            "{script}: {outcomes:?} instead of {expected:?}"
        );
    }
    Ok(())
}

#[test]
fn a_program_that_does_not_sync_loses_its_data() -> Result<()> {
    check("echo one > f", &[])?;
    check("echo one > f; sync f", &[])?; // the file is on disk, its name is not
    check("echo one > f; sync .", &[("f", "")])?; // and the other way round
    check("mkdir d; echo one > d/f; sync d/f; sync d", &[])
}

#[test]
fn a_program_that_syncs_keeps_its_data() -> Result<()> {
    check("echo one > f; sync f; sync . # all", &[("f", "one")])?;
    check("mkdir d; sync .; echo one > d/f; sync d/f; sync d # all", &[("d/f", "one")])?;
    check("echo one > f; sync f; mv f g; sync . # all", &[("g", "one")])?;
    check("echo one > f; sync f; sync .; rm f; sync . # all", &[])
}

#[test]
fn a_tail_that_was_not_synced_is_cut() -> Result<()> {
    check("echo one > f; sync f; sync .; echo two >> f", &[("f", "one")])?;
    check("echo one > f; sync f; sync .; echo two >> f; sync f # all", &[("f", "one\ntwo")])
}

#[test]
fn a_rename_whose_directory_was_not_synced_is_undone() -> Result<()> {
    let write = "echo old > f; sync f; sync .; echo new > t; sync t; ";
    check(&format!("{write} mv t f"), &[("f", "old")])?;
    check(&format!("{write} sync .; mv t f"), &[("f", "old"), ("t", "new")])?;
    check(&format!("{write} mv t f; sync . # all"), &[("f", "new")])
}

#[test]
fn a_removal_whose_directory_was_not_synced_is_undone() -> Result<()> {
    check("echo one > f; sync f; sync .; rm f", &[("f", "one")])
}
