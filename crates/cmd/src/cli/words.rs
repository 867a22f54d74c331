//! Words as Go reads them, given to clap.
//!
//! A long flag takes one dash or two. Its value is the next word, whatever that looks like. A boolean
//! takes a value only behind `=`. Where a command's last words may be anything (a value to store, a
//! program to run), the first word that is no flag ends the flags.

use clap::{Arg, ArgAction, Command};
use std::ffi::OsString;

/// Rewrites the words for clap: `-bind x` becomes `--bind=x`; what ends the flags gets `--` before it.
pub fn prepare(tree: &Command, words: Vec<OsString>) -> Vec<OsString> {
    let mut words = words.into_iter();
    let mut prepared: Vec<OsString> = words.next().into_iter().collect();
    let mut here = tree;
    let mut named = false;
    while let Some(word) = words.next() {
        let Some(text) = word.to_str() else {
            prepared.push(word);
            continue;
        };
        if text == "--" {
            prepared.push(word);
            break;
        }
        if prepared.len() == 1 && matches!(text, "-v" | "-version" | "--version") {
            prepared.push("version".into());
            return prepared;
        }
        if let Some(flag) = long_flag(here, text) {
            let takes_next = !flag.contains('=') && find(here, flag).is_some_and(takes_a_word);
            let mut rewritten = OsString::from(format!("--{flag}"));
            if takes_next && let Some(value) = words.next() {
                rewritten.push("=");
                rewritten.push(value);
            }
            prepared.push(rewritten);
            continue;
        }
        if text.len() > 1 && text.starts_with('-') {
            prepared.push(word);
        } else if let Some(below) = here.find_subcommand(text).filter(|_| !named) {
            here = below;
            prepared.push(word);
        } else if here.get_positionals().any(Arg::is_allow_hyphen_values_set) {
            prepared.push("--".into());
            prepared.push(word);
            break;
        } else {
            named = true;
            prepared.push(word);
        }
    }
    prepared.extend(words);
    prepared
}

/// The flag without its dashes; `-h` and `-1` are none, `-n` is where the command has one of that name.
fn long_flag<'w>(command: &Command, word: &'w str) -> Option<&'w str> {
    let flag = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
    let name = flag.split('=').next().unwrap_or_default();
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic());
    (begins && (name.len() > 1 || find(command, flag).is_some())).then_some(flag)
}

fn find<'c>(command: &'c Command, flag: &str) -> Option<&'c Arg> {
    let name = flag.split('=').next().unwrap_or_default();
    let aliases = |arg: &Arg| arg.get_all_aliases().unwrap_or_default().contains(&name);
    command.get_arguments().find(|arg| arg.get_long() == Some(name) || aliases(arg))
}

fn takes_a_word(flag: &Arg) -> bool {
    flag.get_action().takes_values() && !flag.is_require_equals_set()
}

/// Makes booleans take `=false`, lets the last of a flag given twice count, and has the examples call
/// the program by its name.
pub fn as_go_reads(command: Command, name: &str) -> Command {
    let command = command.args_override_self(true).mut_args(|arg| match arg.get_action() {
        // The heading of the flags before it is not its own.
        _ if arg.is_positional() => arg.help_heading(None),
        ArgAction::SetTrue => boolean(arg),
        _ => arg,
    });
    let help = command.get_after_help().map(ToString::to_string);
    let command = match help {
        Some(help) => command.after_help(help.replace("rutter", name)),
        None => command,
    };
    command.mut_subcommands(|below| as_go_reads(below, name))
}

fn boolean(arg: Arg) -> Arg {
    arg.action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .default_value("false")
        .default_missing_value("true")
        .hide_default_value(true)
        .value_parser(go_bool)
        .value_name("BOOL")
}

/// Help as hands that know Consul write flags: with one dash.
pub fn one_dash(help: &str) -> String {
    let line = |line: &str| {
        let flag = line.trim_start();
        match flag.starts_with("--") || flag.starts_with("-h, --") {
            true => line.replacen("--", "-", 1),
            false => line.to_owned(),
        }
    };
    help.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Reads a boolean flag's value as Go does (`1`, `t`, `TRUE` …).
pub fn go_bool(text: &str) -> Result<bool, String> {
    lang::number::parse_bool(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::tree;
    use super::*;

    #[track_caller]
    fn check(typed: &str, understood: &str) {
        let words = typed.split(' ').map(OsString::from).collect();
        let joined = prepare(&tree("rutter"), words).join(std::ffi::OsStr::new(" "));
        assert_eq!(joined.to_str(), Some(understood));
    }

    #[test]
    fn a_long_flag_takes_one_dash_or_two() {
        check("rutter agent -dev -bind=127.0.0.1", "rutter agent --dev --bind=127.0.0.1");
        check("rutter agent --dev", "rutter agent --dev");
        check("rutter agent -h", "rutter agent -h");
        check("rutter agent -help", "rutter agent --help");
    }

    #[test]
    fn a_flags_value_is_the_next_word_whatever_it_looks_like() {
        check("rutter agent -dns-port -1", "rutter agent --dns-port=-1");
        check("rutter kv get -token -x a", "rutter kv get --token=-x a");
        check("rutter kv get -recurse a", "rutter kv get --recurse a");
        check("rutter kv get -stale=false a", "rutter kv get --stale=false a");
        check("rutter lock -n 2 p sleep -5", "rutter lock --n=2 -- p sleep -5");
    }

    #[test]
    fn words_of_a_program_or_a_value_are_left_alone() {
        check("rutter lock p sh -ec x", "rutter lock -- p sh -ec x");
        check("rutter lock -- p -x", "rutter lock -- p -x");
        check("rutter kv put a -cas", "rutter kv put -- a -cas");
        check("rutter watch -type key -key a cat -n", "rutter watch --type=key --key=a -- cat -n");
    }

    #[test]
    fn help_names_flags_with_one_dash() {
        let help = "      --stale  Say --stale\n  -h, --help   Print help\n  $ x --y";
        let expected = "      -stale  Say --stale\n  -h, -help   Print help\n  $ x --y";
        assert_eq!(one_dash(help), expected);
    }

    #[test]
    fn flags_may_follow_the_words_of_other_commands() {
        check("rutter kv get a -detailed", "rutter kv get a --detailed");
    }
}
