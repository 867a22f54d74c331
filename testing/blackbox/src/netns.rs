//! Hosts of a private network: each a namespace of its own, with a name, addresses and a `resolv.conf` that nobody else
//! sees, so that fixed ports cannot clash and names are resolved as on a real machine.
//!
//! Like the small disk, a host lives as long as its keeper, a shell that waits for its stdin to end; programs join it by
//! `nsenter`. Without root all hosts of a network share one user namespace, their switch's.

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::tools::printed;

/// Gives the host its name, its loopback and its own files of name resolution, and then waits.
///
/// `/etc/resolv.conf` may be a link, so what it leads to is covered. A cache of the machine's (nscd) would answer for
/// another network, so it is hidden.
const KEEP: &str = r#"
set -e
hostname "$1"
ip link set lo up
for file in resolv.conf nsswitch.conf hosts; do
    mount --bind "$2/$file" "$(readlink -f /etc/$file)"
done
if [ -d /run/nscd ]; then mount -t tmpfs tmpfs /run/nscd; fi
echo kept
read line
"#;

/// One host; dropped, its namespaces go once the last program in them has ended.
#[derive(Debug)]
pub struct Host {
    keeper: Child,
    files: TempDir,
    as_root: bool,
}

impl Host {
    /// A host with nothing but its loopback. Fails where namespaces are not allowed.
    pub fn alone(name: &str) -> Result<Host> {
        let as_root = nix::unistd::geteuid().is_root();
        let mut command = Command::new("unshare");
        command.arg(if as_root { "-nmu" } else { "-Urnmu" });
        Host::keep(command, name, as_root)
    }

    fn keep(mut unshare: Command, name: &str, as_root: bool) -> Result<Host> {
        let files = TempDir::with_prefix("rutter-host-")?;
        std::fs::write(files.path().join("resolv.conf"), "")?;
        std::fs::write(files.path().join("nsswitch.conf"), "passwd: files\nhosts: files dns\n")?;
        std::fs::write(files.path().join("hosts"), format!("127.0.0.1 localhost {name}\n"))?;
        unshare.args(["sh", "-c", KEEP, "sh", name]).arg(files.path());
        let mut keeper = unshare.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let said = keeper.stdout.take().context("stdout is piped")?;
        let host = Host { keeper, files, as_root };
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line)?;
        ensure!(line == "kept\n", "the host {name} was not made");
        Ok(host)
    }

    /// From now on its resolver reads this.
    pub fn resolv_conf(&self, text: &str) -> Result<()> {
        // Written in place: what is mounted is this very file.
        Ok(std::fs::write(self.files.path().join("resolv.conf"), text)?)
    }

    /// Words to set before a program so that it runs on this host, beginning in `/`.
    pub fn enter(&self) -> Vec<String> {
        let pid = self.keeper.id().to_string();
        let how: &[&str] =
            if self.as_root { &["-n", "-m", "-u"] } else { &["-U", "-n", "-m", "-u"] };
        let mut words = vec!["nsenter".to_owned(), "-t".to_owned(), pid];
        words.extend(how.iter().map(|&w| w.to_owned()));
        if !self.as_root {
            words.push("--preserve-credentials".to_owned());
        }
        words.push("--".to_owned());
        words
    }

    /// A program on this host.
    pub fn command(&self, words: &[&str]) -> Command {
        let enter = self.enter();
        let mut command = Command::new(&enter[0]);
        command.args(&enter[1..]).args(words);
        command
    }

    /// What a program on this host printed, when it ended with status 0.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        printed(self.command(words))
    }

    /// The body that `curl` got on this host with status 200.
    pub fn curl(&self, args: &[&str]) -> Result<String> {
        let curl = ["curl", "--noproxy", "*", "--silent", "--show-error", "--fail-with-body"];
        self.run(&[&curl[..], &["--max-time", "20"], args].concat())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// A switch with hosts on it.
#[derive(Debug)]
pub struct Network {
    switch: Host,
}

impl Network {
    /// An empty network. Fails where namespaces or bridges are not allowed.
    pub fn new() -> Result<Network> {
        let switch = Host::alone("switch")?;
        switch.run(&["ip", "link", "add", "br0", "type", "bridge"])?;
        switch.run(&["ip", "link", "set", "br0", "up"])?;
        Ok(Network { switch })
    }

    /// A host with an address in its /24.
    pub fn host(&self, name: &str, address: Ipv4Addr) -> Result<Host> {
        let mut unshare = Command::new("unshare");
        if !self.switch.as_root {
            let pid = self.switch.keeper.id().to_string();
            unshare = Command::new("nsenter");
            unshare.args(["-t", &pid, "-U", "--preserve-credentials", "unshare"]);
        }
        unshare.arg("-nmu");
        let host = Host::keep(unshare, name, self.switch.as_root)?;
        let pid = host.keeper.id().to_string();
        let port = format!("to-{name}");
        let pair = ["ip", "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns"];
        self.switch.run(&[&pair[..], &[&pid]].concat())?;
        self.switch.run(&["ip", "link", "set", &port, "master", "br0", "up"])?;
        host.run(&["ip", "address", "add", &format!("{address}/24"), "dev", "eth0"])?;
        host.run(&["ip", "link", "set", "eth0", "up"])?;
        Ok(host)
    }
}
