//! The examples of the manual: read from a page, run in one shell on a machine of their own, compared.
//!
//! The machine is a network, process and host name of its own, so that ports are the printed ones and everything that
//! an example starts ends with the page. How examples are written stands in `docs/manual/README.md`.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::binary::rutter;

/// A command of a page, and what it prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// As it is typed, over as many lines as it has.
    pub command: String,
    /// The lines that it prints.
    pub prints: Vec<String>,
}

/// What can be run of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The command of the server that runs meanwhile; `None` for none.
    pub server: Option<String>,
    /// In order.
    pub examples: Vec<Example>,
    /// Lines that look like examples and are none.
    pub unrun: Vec<String>,
}

/// Between the outputs of two commands.
const MARK: &str = "-----8<-----";

/// How long a page may take, in seconds; a loaded machine included.
const LIMIT: &str = "120";

impl Page {
    /// Reads a page.
    pub fn read(text: &str) -> Page {
        let named = between(text, "<!-- server: ", " -->");
        let server = named.unwrap_or("rutter dev");
        let mut page = Page {
            server: (server != "none").then(|| server.to_owned()),
            examples: Vec::new(),
            unrun: Vec::new(),
        };
        let (mut inside, mut fenced, mut synopsis) = (false, false, false);
        for line in text.lines() {
            if let Some(fence) = line.strip_prefix("```") {
                fenced = fence == "sh" || fence == "console";
                inside = false;
                continue;
            }
            if let Some(title) = line.strip_prefix("## ") {
                synopsis = title == "Synopsis";
            }
            let code = if fenced { Some(line) } else { line.strip_prefix("    ") };
            match code {
                _ if page.goes_on() => page.go_on(code.unwrap_or(line)),
                Some(line) if line.starts_with("$ ") => {
                    let command = line[2..].to_owned();
                    page.examples.push(Example { command, prints: Vec::new() });
                    inside = true;
                }
                Some(line) if inside => {
                    let example = page.examples.last_mut().expect("a command stands above it");
                    example.prints.push(line.to_owned());
                }
                Some(line) if !synopsis && is_command(line) => page.unrun.push(line.to_owned()),
                _ => inside &= fenced,
            }
        }
        page
    }

    /// Is the last command unfinished?
    fn goes_on(&self) -> bool {
        let last = self.examples.last();
        last.is_some_and(|last| last.prints.is_empty() && is_open(&last.command))
    }

    fn go_on(&mut self, line: &str) {
        let last = self.examples.last_mut().expect("a command is unfinished");
        last.command.push('\n');
        last.command.push_str(line);
    }

    /// Runs the examples; what each printed, in order.
    pub fn run(&self) -> Result<Vec<String>> {
        let home = TempDir::with_prefix("rutter-manual-")?;
        let bin = home.path().join("bin");
        let here = home.path().join("here");
        std::fs::create_dir(&bin)?;
        std::fs::create_dir(&here)?;
        for name in ["rutter", "consul"] {
            std::os::unix::fs::symlink(std::path::absolute(rutter())?, bin.join(name))?;
        }
        // Where nobody sits at a terminal, curl would draw a progress bar.
        std::fs::write(home.path().join(".curlrc"), "silent\nshow-error\nmax-time=30\n")?;
        let script = home.path().join("script");
        std::fs::write(&script, self.script(&home.path().join("server")))?;
        let said = shell(&script, &bin, home.path(), &here)?;
        let mut said: Vec<String> = said.split(MARK).map(str::to_owned).collect();
        ensure!(
            said.len() == self.examples.len() + 2 && said.remove(0).is_empty(),
            "the server or the shell ended early:\n{}\n{}",
            said.join("\n"),
            std::fs::read_to_string(home.path().join("server")).unwrap_or_default()
        );
        said.pop();
        Ok(said)
    }

    fn script(&self, log: &Path) -> String {
        let mut script = "ip link set lo up || exit\nhostname n1 || exit\n".to_owned();
        if let Some(server) = &self.server {
            let services = match server.starts_with("rutter dev") {
                true => "consul hello",
                false => "consul",
            };
            let log = log.display();
            write!(
                script,
                "{server} > {log} 2>&1 &\nfor service in {services}; do\n\
                 until curl --fail \"http://127.0.0.1:8500/v1/health/service/$service?passing\" \
                 2>&1 | grep -q Node; do kill -0 $! || exit; sleep 0.05; done\ndone\n"
            )
            .expect("a string");
        }
        writeln!(script, "printf %s '{MARK}'").expect("a string");
        for Example { command, .. } in &self.examples {
            let status = "status=$?; test $status = 0 || echo \"(status $status)\"";
            writeln!(script, "{command}\n{status}\nprintf %s '{MARK}'").expect("a string");
        }
        script
    }
}

/// Runs a script on a machine of its own, which ends with it.
fn shell(script: &Path, bin: &Path, home: &Path, here: &Path) -> Result<String> {
    let mut paths = vec![bin.to_owned()];
    paths.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    paths.extend(["/usr/sbin", "/sbin"].map(Into::into));
    let as_root = nix::unistd::geteuid().is_root();
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", LIMIT, "unshare"]).args((!as_root).then_some("-r"));
    command.args(["--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.args(["sh", "-c", "exec sh \"$0\" 2>&1"]).arg(script);
    command.env("PATH", std::env::join_paths(paths)?).env("HOME", home).current_dir(here);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CONSUL_") {
            command.env_remove(name);
        }
    }
    command.env("NO_COLOR", "1").stdin(Stdio::null());
    let output = command.output().context("unshare, with a network of its own")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Does a command not end with this line?
fn is_open(command: &str) -> bool {
    if let Some((_, after)) = command.split_once("<<") {
        let word = after.split_whitespace().next().unwrap_or_default();
        let end = word.trim_start_matches('-').trim_matches(['\'', '"']);
        return command.lines().last() != Some(end);
    }
    command.ends_with('\\') || quote_is_open(command)
}

/// Is a quote of a shell's open at the end?
fn quote_is_open(text: &str) -> bool {
    let (mut open, mut escaped) = (None, false);
    for sign in text.chars() {
        match (open, sign) {
            _ if escaped => escaped = false,
            (None | Some('"'), '\\') => escaped = true,
            (None, '\'' | '"') => open = Some(sign),
            (Some(quote), _) if quote == sign => open = None,
            _ => {}
        }
    }
    open.is_some()
}

fn is_command(line: &str) -> bool {
    let first = line.split_whitespace().next().unwrap_or_default();
    let name = first.rsplit('/').next().unwrap_or_default();
    !line.starts_with(' ') && ["curl", "dig", "rutter", "consul"].contains(&name)
}

impl Example {
    /// Is this what the page shows? Blanks within lines aside; records of `dig` in any order.
    pub fn fits(&self, printed: &str) -> bool {
        let squeezed = |line: &str| line.split_whitespace().collect::<String>();
        let wanted: Vec<String> = self.prints.iter().map(|line| squeezed(line)).collect();
        let wanted: Vec<&String> = wanted.iter().filter(|line| !line.is_empty()).collect();
        let whole: String = wanted.iter().map(|line| line.as_str()).collect();
        if fits(&whole, &squeezed(printed)) {
            return true;
        }
        let mut lines: Vec<String> = printed.lines().map(squeezed).collect();
        lines.retain(|line| !line.is_empty());
        let found = wanted.iter().all(|wanted| {
            let at = lines.iter().position(|line| fits(wanted, line));
            at.map(|at| lines.remove(at)).is_some()
        });
        self.command.starts_with("dig ") && found && lines.is_empty()
    }
}

/// Does the text have the pieces between `…`, in order, and nothing before, between or after them but there?
fn fits(wanted: &str, text: &str) -> bool {
    let pieces: Vec<&str> = wanted.split('…').collect();
    let [first, rest @ ..] = &pieces[..] else { return false };
    let Some(mut left) = text.strip_prefix(first) else { return false };
    let Some((last, middle)) = rest.split_last() else { return left.is_empty() };
    for piece in middle {
        let Some(at) = left.find(piece) else { return false };
        left = &left[at + piece.len()..];
    }
    left.ends_with(last)
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    let rest = &text[text.find(before)? + before.len()..];
    Some(&rest[..rest.find(after)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(command: &str, prints: &[&str]) -> Example {
        let prints = prints.iter().map(|&line| line.to_owned()).collect();
        Example { command: command.to_owned(), prints }
    }

    #[test]
    fn a_page_is_read_into_commands_and_what_they_print() {
        let page = Page::read(
            "<!-- server: rutter agent -dev -->\nText.\n\n    not an example\n\n    $ a b\n    x y\n    z\n    $ c \\\n      \
             -d '{\n    }'\n    true\n\n    curl forgotten\n```sh\n$ cat > f <<'END'\n$ not\n\nEND\n$ d\n\nout\n```\n\
             ```json\n$ e\n```\n## Synopsis\n\n    curl known\n",
        );
        assert_eq!(page.server.as_deref(), Some("rutter agent -dev"));
        assert_eq!(
            page.examples,
            [
                example("a b", &["x y", "z"]),
                example("c \\\n  -d '{\n}'", &["true"]),
                example("cat > f <<'END'\n$ not\n\nEND", &[]),
                example("d", &["", "out"]),
            ]
        );
        assert_eq!(page.unrun, ["curl forgotten"]);
        assert_eq!(Page::read("<!-- server: none -->").server, None);
        assert_eq!(Page::read("").server.as_deref(), Some("rutter dev"));
    }

    #[test]
    fn an_example_is_compared_but_for_what_the_page_leaves_out() {
        for (wanted, text, fit) in [
            ("true", "true", true),
            ("true", "truer", false),
            ("[…\"a\": 1,…]", "[{\"z\":0,\"a\":1,\"b\":2}]", true),
            ("[…\"a\":1,…]", "[{\"a\":2}]", false),
            ("a…a", "a", false),
            ("", "error", false),
        ] {
            assert_eq!(example("curl x", &[wanted]).fits(text), fit, "{wanted} {text}");
        }
    }

    #[test]
    fn records_of_dig_come_in_any_order_and_all_of_them() {
        let two = example("dig x", &["a.  0 IN A …", "b. 0 IN A 2"]);
        assert!(two.fits("b. 0 IN A 2\na. 0 IN A 1\n"));
        assert!(!two.fits("b. 0 IN A 2\n"));
        assert!(!two.fits("b. 0 IN A 2\na. 0 IN A 1\nc. 0 IN A 3\n"));
        let other = example("curl x", &["a", "b"]);
        assert!(!other.fits("b\na\n"));
    }
}
