//! What the manual shows is what happens: the examples of its pages are run, in order, against a fresh server.
//!
//! An example is a line that begins with `    $ `; what it prints are the indented lines below it, blanks within a line
//! aside. `…` stands for anything.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use blackbox::binary::workspace;
use blackbox::server::Launch;
use blackbox::tools::{present, printed};

/// An example's command and what it prints.
fn examples(page: &str) -> Vec<(String, String)> {
    let mut examples: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match (line.strip_prefix("    $ "), line.strip_prefix("    ")) {
            (Some(command), _) => {
                examples.push((command.to_owned(), String::new()));
                inside = true;
            }
            (None, Some(output)) if inside => {
                let (_, wanted) = examples.last_mut().expect("a command stands above its output");
                wanted.extend(output.split_whitespace());
            }
            _ => inside = false,
        }
    }
    examples
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

fn run(page: &str) -> Result<()> {
    if !present(page, &["curl", "sh"]) {
        return Ok(());
    }
    let server = Launch::durable().start()?;
    let path = workspace().join("docs/manual").join(page);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let examples = examples(&text);
    ensure!(!examples.is_empty(), "{page} has no examples");
    let script: String =
        examples.iter().map(|(command, _)| format!("{command}\necho; echo =====\n")).collect();
    let mut shell = Command::new("sh");
    let script = script.replace("127.0.0.1:8500", &server.http.to_string());
    shell.arg("-c").arg(script.replace("curl ", "curl --silent --show-error --max-time 20 "));
    let said = printed(shell)?;
    for ((command, wanted), got) in examples.iter().zip(said.split("=====\n")) {
        let got: String = got.split_whitespace().collect();
        ensure!(fits(wanted, &got), "{page}: {command}\n  the page: {wanted}\n  really:   {got}");
    }
    Ok(())
}

#[test]
fn the_examples_of_keys_and_values_are_true() -> Result<()> {
    run("kv.md")
}

#[test]
fn the_examples_of_sessions_are_true() -> Result<()> {
    run("sessions.md")
}

#[test]
fn an_example_is_compared_but_for_what_the_page_leaves_out() {
    let page =
        "Text.\n\n    not an example\n\n    $ a b\n    x y\n    z\n    $ c\n\n    no output\n";
    assert_eq!(examples(page), [("a b".into(), "xyz".into()), ("c".into(), String::new())]);
    for (wanted, text, fit) in [
        ("true", "true", true),
        ("true", "truer", false),
        ("[…\"a\":1,…]", "[{\"z\":0,\"a\":1,\"b\":2}]", true),
        ("[…\"a\":1,…]", "[{\"a\":2}]", false),
        ("", "error", false),
    ] {
        assert_eq!(fits(wanted, text), fit, "{wanted} {text}");
    }
}
