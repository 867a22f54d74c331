//! Work of a fixed size, whose instructions callgrind counts: `cargo xtask budgets`.
//!
//! A count of instructions has no noise, so that 3 % more show where a clock on a shared machine shows
//! nothing. Everything is counted within [`measured`] and nothing outside of it; one thread, inputs that are
//! always the same. The hash tables' seeds differ from run to run, which many rounds even out.
//!
//! `budgets` lists the tasks, `budgets TASK` carries one out and says how many rounds it had.

mod answer;
mod read;
mod register;
mod wake;
mod world;

use anyhow::{Context, Result};

/// What the program itself allocates with.
#[global_allocator]
static ALLOCATOR: net::Allocator = net::Allocator;

/// A task: prepares, calls [`measured`] once, and says how many rounds that had.
type Task = (&'static str, fn() -> Result<usize>);

const TASKS: &[Task] = &[
    ("dns_answer", answer::run),
    ("registration_applied", register::run),
    ("health_read_3", read::three),
    ("health_read_100", read::hundred),
    ("health_read_100_after_a_change", read::changed),
    ("wake_up", wake::run),
];

/// What is counted: callgrind is told this name.
#[unsafe(no_mangle)]
#[inline(never)]
pub fn budgets_measured(work: &mut dyn FnMut()) {
    work();
}

/// Does the work where it is counted.
fn measured(mut work: impl FnMut()) {
    budgets_measured(&mut work);
}

fn main() -> Result<()> {
    let Some(wanted) = std::env::args().nth(1) else {
        TASKS.iter().for_each(|(name, _)| println!("{name}"));
        return Ok(());
    };
    let task = TASKS.iter().find(|(name, _)| *name == wanted);
    let (_, run) = task.with_context(|| format!("no task {wanted}"))?;
    println!("{}", run()?);
    Ok(())
}
