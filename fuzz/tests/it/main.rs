//! The committed inputs, given to their targets as a plain test: no fuzzer, no instrumentation.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).expect("a directory that can be read");
    entries
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect()
}

#[test]
fn every_committed_input_is_survived() {
    for (name, target) in fuzz::TARGETS {
        let directory = corpus().join(name);
        let inputs = names(&directory);
        assert!(inputs.len() >= 4, "{name} has {} inputs", inputs.len());
        for input in inputs {
            eprintln!("fuzz/corpus/{name}/{input}");
            fuzz::run(*target, &std::fs::read(directory.join(&input)).expect("it can be read"));
        }
    }
}

#[test]
fn every_directory_of_inputs_is_a_targets() {
    let targets = fuzz::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&corpus()), targets);
}

#[test]
fn a_target_that_takes_too_much_memory_is_caught() {
    fn greedy(bytes: &[u8]) {
        drop(std::hint::black_box(Vec::<u8>::with_capacity(bytes.len() + (32 << 20))));
    }
    assert!(std::panic::catch_unwind(|| fuzz::run(greedy, b"")).is_err());
}
