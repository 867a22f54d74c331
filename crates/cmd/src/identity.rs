//! This node's id: configured, or random and kept in the data directory.

use crate::config::Config;
use anyhow::Context;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use uuid::Uuid;

/// The file in the data directory, as Consul names it.
const FILE: &str = "node-id";

/// The id to run under: as configured, else as kept, else the random one; what it is, is kept.
///
/// Safe beside a second process on the same new directory: both end up with the id of the first.
pub fn node_id(config: &Config) -> anyhow::Result<Uuid> {
    let Some(data) = config.data.as_deref() else { return Ok(config.node_id) };
    let file = data.join(FILE);
    let shown = file.display();
    consensus::make_directories(data).with_context(|| format!("cannot make {}", data.display()))?;
    if config.node_id_given {
        keep(data, &file, config.node_id, |new| fs::rename(new, &file))
            .with_context(|| format!("cannot write {shown}"))?;
        return Ok(config.node_id);
    }
    if !file.exists() {
        keep(data, &file, config.node_id, |new| give_name(new, &file))
            .with_context(|| format!("cannot write {shown}"))?;
    }
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {shown}"))?;
    Uuid::parse_str(text.trim())
        .with_context(|| format!("{shown} holds no UUID; remove it to get a new id"))
}

/// Written anew, synced, given its name, and the directory synced: after a crash it is there or not.
fn keep(
    data: &Path,
    file: &Path,
    id: Uuid,
    name: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let new = file.with_extension(format!("{}.new", std::process::id()));
    let mut writing = File::create(&new)?;
    writeln!(writing, "{id}")?;
    writing.sync_all()?;
    name(&new)?;
    File::open(data)?.sync_all()
}

/// Gives a file its name unless another process was first.
fn give_name(new: &Path, file: &Path) -> io::Result<()> {
    match fs::hard_link(new, file) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs::remove_file(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Raw, Use, resolve};

    #[test]
    fn an_id_is_kept_unless_it_is_configured() {
        let directory = tempfile::tempdir().expect("a directory");
        let config = || {
            let data_dir = Some(directory.path().to_owned());
            let raw = Raw { data_dir, bind_addr: Some("127.0.0.1".into()), ..Raw::default() };
            let raw = Raw { server: Some(true), bootstrap: Some(true), ..raw };
            resolve(raw, Use::Serve).expect("is taken")
        };
        let first = node_id(&config()).expect("is kept");
        assert_eq!(node_id(&config()).expect("is read"), first);
        let mut given = config();
        given.node_id_given = true;
        assert_eq!(node_id(&given).expect("is taken"), given.node_id);
        assert_eq!(node_id(&config()).expect("is read"), given.node_id);
        fs::write(directory.path().join(FILE), "nonsense").expect("written");
        assert!(node_id(&config()).is_err());
    }
}
