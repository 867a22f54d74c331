//! The fuzzer: libFuzzer's loop around the target that `RUTTER_FUZZ_TARGET` names.
//!
//! `main` is libFuzzer's own, and so are the arguments; `cargo xtask fuzz` builds and calls it.

#![no_main]

use std::sync::OnceLock;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

fn named() -> fn(&[u8]) {
    let name = std::env::var("RUTTER_FUZZ_TARGET").unwrap_or_default();
    fuzz::find(&name).unwrap_or_else(|| panic!("RUTTER_FUZZ_TARGET names no target: {name:?}"))
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::run(*TARGET.get_or_init(named), bytes));
