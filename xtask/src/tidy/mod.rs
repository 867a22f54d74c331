//! tidy: the rules of the house that no compiler checks, each a function of the checkout.
//!
//! A rule takes the [`House`] (what git would commit, and what cargo says of the crates) and
//! returns complaints; so a test feeds it a bad snippet and needs no disk. What is excused stands
//! in `xtask/allow.txt` with its reason. That list only shrinks: an excuse nobody needs any
//! longer is a complaint itself.

mod allow;
mod edges;
mod habits;
mod house;
mod lengths;
mod links;
mod modules;
mod protocols;
mod purity;
mod walk;
mod words;

use std::fmt;

use anyhow::{Result, bail};

use house::House;

/// The crates that do no IO, read no clock and know no `async`.
const PURE_CRATES: &[&str] = &["model", "lang", "catalog", "dnswire"];

/// One broken rule at one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Complaint {
    path: String,
    line: usize,
    rule: &'static str,
    /// The function meant, where a file is too coarse to excuse.
    item: Option<String>,
    says: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {} [{}]", self.path, self.line, self.says, self.rule)
    }
}

/// Prints what is untidy in this checkout, and fails if there is any.
pub fn refuse_the_untidy() -> Result<()> {
    let (house, unreadable) = House::load()?;
    let excuses = std::fs::read_to_string(allow::LIST)?;
    let mut complaints = allow::excuse(every_rule(&house), &excuses);
    complaints.extend(unreadable);
    complaints.sort();
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    match complaints.len() {
        0 => Ok(()),
        count => bail!("tidy: {count} complaints"),
    }
}

fn every_rule(house: &House) -> Vec<Complaint> {
    let rules: &[fn(&House) -> Vec<Complaint>] = &[
        edges::edges_as_in_the_table,
        edges::no_runtime_in_pure_crates,
        edges::lints_are_the_workspaces,
        habits::no_unwrap_outside_tests,
        habits::unsafe_in_few_places,
        lengths::short_files,
        lengths::short_functions,
        modules::files_somebody_includes,
        modules::files_say_what_they_are,
        purity::no_io_no_clock_no_chance,
        words::words_that_age,
        words::one_public_registry,
        links::links_that_lead_somewhere,
        links::decisions_in_the_index,
        walk::names_that_can_be_found,
        protocols::rows_with_a_test,
    ];
    rules.iter().flat_map(|rule| rule(house)).collect()
}
