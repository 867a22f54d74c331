//! This node's id: configured, or random and kept in the data directory.

use crate::config::Config;
use anyhow::Context;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use uuid::Uuid;

/// The file in the data directory, as Consul names it.
const FILE: &str = "node-id";

/// The id to run under: as configured, else as kept, else the random one, which is then kept.
pub fn node_id(config: &Config) -> anyhow::Result<Uuid> {
    let Some(data) = config.data.as_deref().filter(|_| !config.node_id_given) else {
        return Ok(config.node_id);
    };
    let file = data.join(FILE);
    match fs::read_to_string(&file) {
        Ok(text) => Uuid::parse_str(text.trim()).with_context(|| {
            format!("{} holds no UUID; remove it to get a new id", file.display())
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            keep(data, &file, config.node_id)
                .with_context(|| format!("cannot write {}", file.display()))?;
            Ok(config.node_id)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

/// Written anew, synced, renamed, and the directory synced: after a crash it is there or not.
fn keep(data: &Path, file: &Path, id: Uuid) -> io::Result<()> {
    fs::create_dir_all(data)?;
    sync_what_leads_to(data)?;
    let fresh = file.with_extension("new");
    let mut writing = File::create(&fresh)?;
    writeln!(writing, "{id}")?;
    writing.sync_all()?;
    fs::rename(&fresh, file)?;
    File::open(data)?.sync_all()
}

/// A directory is kept once its own name is, in the directory above, and so on up.
fn sync_what_leads_to(directory: &Path) -> io::Result<()> {
    for above in directory.ancestors().skip(1) {
        let named = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        File::open(named)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Raw, resolve};

    #[test]
    fn an_id_is_kept_unless_it_is_configured() {
        let directory = tempfile::tempdir().expect("a directory");
        let config = || {
            let data_dir = Some(directory.path().to_owned());
            let raw = Raw { data_dir, bind_addr: Some("127.0.0.1".into()), ..Raw::default() };
            let raw = Raw { server: Some(true), bootstrap: Some(true), ..raw };
            resolve(raw, false).expect("is taken")
        };
        let first = node_id(&config()).expect("is kept");
        assert_eq!(node_id(&config()).expect("is read"), first);
        let mut given = config();
        given.node_id_given = true;
        assert_eq!(node_id(&given).expect("is taken"), given.node_id);
        fs::write(directory.path().join(FILE), "nonsense").expect("written");
        assert!(node_id(&config()).is_err());
    }
}
