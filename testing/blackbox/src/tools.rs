//! The clients a user has at hand, `curl` and `dig`, and what happens when one is missing.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};

/// Are all these programs here? If not, the test that asks is skipped: a line in the file `RUTTER_SKIP_LOG`, or a
/// failure under `REQUIRE_ALL=1`.
pub fn present(test: &str, programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|p| !is_installed(p)).copied().collect();
    missing.is_empty() || !skip(test, &format!("{} not installed", missing.join(", ")))
}

/// Notes that a test could not run, and why; always true. Panics under `REQUIRE_ALL=1`.
pub fn skip(test: &str, why: &str) -> bool {
    let line = format!("SKIPPED: {test}: {why}");
    assert!(std::env::var("REQUIRE_ALL").as_deref() != Ok("1"), "{line}");
    eprintln!("{line}");
    if let Some(path) = std::env::var_os("RUTTER_SKIP_LOG") {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(path);
        let written = log.and_then(|mut log| writeln!(log, "{line}"));
        written.expect("the file of RUTTER_SKIP_LOG can be written");
    }
    true
}

fn is_installed(program: &str) -> bool {
    find(program).is_some()
}

/// Where a program is: in `PATH`, or in the administrator's directory, which a user's `PATH` often lacks.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    dirs.map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// What a program printed, when it ended with status 0.
pub fn printed(mut command: Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let Output { status, stdout, stderr } = output;
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    ensure!(status.success(), "{command:?}: {status}\n{out}\n{err}");
    Ok(out.into_owned())
}

/// The body that `curl` got, followed by a line with the status code alone.
pub fn curl(server: SocketAddr, path: &str, args: &[&str]) -> Result<(String, u16)> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "20", "--write-out", "\n%{http_code}"]);
    command.args(args).arg(format!("http://{server}{path}"));
    let text = printed(command)?;
    let (body, status) = text.rsplit_once('\n').context("curl wrote no status")?;
    Ok((body.to_owned(), status.parse()?))
}

/// What `dig` made of an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dug {
    /// The response code's name.
    pub status: String,
    /// The flags, as dig writes them.
    pub flags: Vec<String>,
    /// Records of the answer section, fields joined by one space.
    pub answer: Vec<String>,
    /// Records of the authority section.
    pub authority: Vec<String>,
    /// Records of the additional section, without OPT.
    pub additional: Vec<String>,
    /// The UDP size of an OPT record.
    pub edns: Option<u16>,
}

impl Dug {
    /// The last field of each answer record, sorted: addresses, or targets.
    pub fn data(&self) -> Vec<&str> {
        let mut data: Vec<_> = self.answer.iter().filter_map(|r| r.rsplit(' ').next()).collect();
        data.sort_unstable();
        data
    }
}

/// Asks with `dig`; `words` are the name, the type and options as on its command line.
pub fn dig(server: SocketAddr, words: &str) -> Result<Dug> {
    let mut command = Command::new("dig");
    command.arg(format!("@{}", server.ip())).arg("-p").arg(server.port().to_string());
    command.args(["+tries=1", "+time=5", "+nocookie"]).args(words.split_whitespace());
    Ok(read_dig(&printed(command)?))
}

fn read_dig(text: &str) -> Dug {
    let mut dug = Dug::default();
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix(";; ->>HEADER<<-") {
            dug.status = between(rest, "status: ", ",").unwrap_or_default().to_owned();
        } else if let Some(flags) = between(line, ";; flags: ", ";") {
            dug.flags = flags.split_whitespace().map(str::to_owned).collect();
        } else if line.starts_with("; EDNS:") {
            dug.edns = line.rsplit(' ').next().and_then(|size| size.parse().ok());
        } else if let Some(name) =
            line.strip_prefix(";; ").and_then(|l| l.strip_suffix(" SECTION:"))
        {
            section = if name == "ANSWER" {
                "answer"
            } else if name == "AUTHORITY" {
                "authority"
            } else {
                "additional"
            };
        } else if !line.is_empty() && !line.starts_with(';') {
            let record = line.split_whitespace().collect::<Vec<_>>().join(" ");
            match section {
                "answer" => dug.answer.push(record),
                "authority" => dug.authority.push(record),
                _ => dug.additional.push(record),
            }
        }
    }
    dug
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    let rest = &text[text.find(before)? + before.len()..];
    Some(&rest[..rest.find(after)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sections_of_dig_are_told_apart() {
        let dug = read_dig(
            ";; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 1\n;; flags: qr aa rd; QUERY: 1\n\
             ;; OPT PSEUDOSECTION:\n; EDNS: version: 0, flags:; udp: 1232\n;; QUESTION SECTION:\n;web. IN A\n\
             ;; ANSWER SECTION:\nweb.service.consul.\t0 IN\tA 10.0.0.1\n",
        );
        assert_eq!((dug.status.as_str(), dug.edns), ("NOERROR", Some(1232)));
        assert_eq!(dug.flags, ["qr", "aa", "rd"]);
        assert_eq!(dug.data(), ["10.0.0.1"]);
        assert_eq!(dug.additional, [] as [&str; 0]);
    }
}
