//! The binary `rutter`; under the name `consul` it behaves the same.
//!
//! | to find | look in |
//! |---|---|
//! | what the words on the command line mean | `cli` |
//! | configuration: as typed, and resolved | `config` |
//! | who is started with whom, and ended in which order | `wiring` |
//! | leave, reload, SIGHUP | `process` |
//! | the sample service of `rutter dev` | `sample` |

mod banner;
mod cli;
mod config;
mod identity;
mod logs;
mod metrics;
mod nofile;
mod pages;
mod pid;
mod process;
mod sample;
mod signals;
mod wiring;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: net::Allocator = net::Allocator;

fn main() -> ExitCode {
    let words: Vec<std::ffi::OsString> = std::env::args_os().collect();
    cli::run(words)
}
