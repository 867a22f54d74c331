//! Commands of the binary, run to their end against a server: what they print and how they exit.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};

use crate::binary::rutter;
use crate::wait::until;

/// The longest a command may take; a busy machine included.
const LIMIT: Duration = Duration::from_secs(60);

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code; -1 if a signal ended it.
    pub code: i32,
    /// What it printed.
    pub out: String,
    /// What it complained of.
    pub err: String,
}

/// How commands are run: where the agent is, and what stands in the environment.
#[derive(Debug, Clone)]
pub struct Cli {
    program: std::path::PathBuf,
    env: Vec<(String, String)>,
}

impl Cli {
    /// Commands that know of no agent.
    pub fn new() -> Cli {
        Cli { program: rutter().into(), env: Vec::new() }
    }

    /// Commands that ask this server, told by the environment.
    pub fn of(server: SocketAddr) -> Cli {
        Cli::new().env("CONSUL_HTTP_ADDR", &server.to_string())
    }

    /// The same under another path of the program.
    pub fn program(mut self, path: &Path) -> Cli {
        self.program = path.to_owned();
        self
    }

    /// The same with a variable more.
    pub fn env(mut self, name: &str, value: &str) -> Cli {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The command, not started; variables of Consul's that the test was started with are gone.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CONSUL_")) {
            command.env_remove(name);
        }
        command.env_remove("SHELL").args(words).stdin(Stdio::null());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command.
    pub fn run(&self, words: &[&str]) -> Result<Ran> {
        self.end(words, None)
    }

    /// Runs a command with this on its stdin.
    pub fn run_with(&self, words: &[&str], stdin: &str) -> Result<Ran> {
        self.end(words, Some(stdin))
    }

    /// Runs it to its end, which must come within a while; what comes later is killed.
    fn end(&self, words: &[&str], stdin: Option<&str>) -> Result<Ran> {
        let mut command = self.command(words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if stdin.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().with_context(|| format!("{words:?}"))?;
        let (out, err) = (all_of(child.stdout.take()), all_of(child.stderr.take()));
        if let Some(text) = stdin {
            child.stdin.take().context("stdin is piped")?.write_all(text.as_bytes())?;
        }
        let ended = until("the end of the command", LIMIT, || {
            child.try_wait()?.ok_or_else(|| anyhow!("it still runs"))
        });
        let status = match ended {
            Ok(status) => status,
            Err(error) => {
                child.kill()?;
                child.wait()?;
                return Err(error.context(format!("{words:?}")));
            }
        };
        let text = |reader: Reader| match reader.join() {
            Ok(bytes) => Ok(String::from_utf8(bytes)?),
            Err(_) => Err(anyhow!("a reader panicked")),
        };
        Ok(Ran { code: status.code().unwrap_or(-1), out: text(out)?, err: text(err)? })
    }

    /// What a command prints that succeeds and complains of nothing.
    pub fn says(&self, words: &[&str]) -> Result<String> {
        let ran = self.run(words)?;
        ensure!(ran.code == 0 && ran.err.is_empty(), "{words:?}: {ran:?}");
        Ok(ran.out)
    }

    /// It exits with 0 and prints exactly this.
    pub fn prints(&self, words: &[&str], expected: &str) -> Result<()> {
        let said = self.says(words)?;
        ensure!(said == expected, "{words:?} printed\n{said}\ninstead of\n{expected}");
        Ok(())
    }

    /// It exits with this code, prints nothing, and complains exactly so.
    pub fn fails(&self, words: &[&str], code: i32, complaint: &str) -> Result<()> {
        let ran = self.run(words)?;
        let expected = Ran { code, out: String::new(), err: complaint.to_owned() };
        ensure!(ran == expected, "{words:?}: {ran:?}\ninstead of {expected:?}");
        Ok(())
    }
}

impl Default for Cli {
    fn default() -> Cli {
        Cli::new()
    }
}

type Reader = std::thread::JoinHandle<Vec<u8>>;

/// Reads a pipe to its end beside everything else.
fn all_of(pipe: Option<impl Read + Send + 'static>) -> Reader {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What could be read is shown; a pipe that breaks is the program's end.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// The same text with each UUID as `<uuid>`.
pub fn without_ids(text: &str) -> String {
    let shape = |at: usize, c: char| match at {
        8 | 13 | 18 | 23 => c == '-',
        _ => c.is_ascii_hexdigit(),
    };
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::new();
    let mut at = 0;
    while at < chars.len() {
        let is_id = chars.len() >= at + 36 && (0..36).all(|n| shape(n, chars[at + n]));
        if is_id {
            out.push_str("<uuid>");
            at += 36;
        } else {
            out.push(chars[at]);
            at += 1;
        }
    }
    out
}

/// A server that keeps the head of each request and always answers the same.
#[derive(Debug)]
pub struct Recorder {
    /// Where it listens.
    pub addr: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Recorder {
    /// Answers with this status and body.
    pub fn start(status: &'static str, body: &'static str) -> Result<Recorder> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let heads = Arc::new(Mutex::new(Vec::new()));
        let recorder = Recorder { addr: listener.local_addr()?, heads: heads.clone() };
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                    head.push(byte[0]);
                }
                let text = String::from_utf8_lossy(&head).into_owned();
                heads.lock().expect("no thread panics while it holds this").push(text);
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Ok(recorder)
    }

    /// The head of the last request.
    pub fn last(&self) -> String {
        let heads = self.heads.lock().expect("no thread panics while it holds this");
        heads.last().cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_taken_out_of_a_text() {
        let text = "a 11111111-2222-3333-4444-55555555abcd b 1111-";
        assert_eq!(without_ids(text), "a <uuid> b 1111-");
    }
}
