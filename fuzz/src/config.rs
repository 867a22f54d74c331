//! `cmd`'s reading of configuration files, by its own sources: `cmd` is a program and no library, and
//! all that it links would be built for the fuzzer too.

#[path = "../../crates/cmd/src/config/definitions.rs"]
pub mod definitions;
#[path = "../../crates/cmd/src/config/keys.rs"]
pub mod keys;
#[path = "../../crates/cmd/src/config/protection.rs"]
pub mod protection;
#[allow(dead_code, reason = "what is read is applied in `cmd`")]
#[path = "../../crates/cmd/src/config/raw.rs"]
pub mod raw;
#[path = "../../crates/cmd/src/config/sort.rs"]
pub mod sort;

use lang::tree::Tree;

/// Sorts a file as `cmd` does, with all that may be complained of in it.
pub fn sort(tree: Tree) -> Vec<String> {
    let sorted = sort::sort_out(tree);
    let mut complaints: Vec<String> =
        sorted.complaints.into_iter().map(|is| format!("{}: {}", is.place, is.what)).collect();
    let known = serde_json::Value::Object(sorted.known);
    if let Err(error) = serde_json::from_value::<raw::Raw>(known) {
        complaints.push(error.to_string());
    }
    for definition in sorted.definitions {
        complaints.extend(
            defined(definition.defined).err().map(|why| format!("{}: {why}", definition.place)),
        );
    }
    let guards = sorted.guards.into_iter();
    let guard = |(key, place, tree): (String, lang::tree::Place, Tree)| protection::Guard {
        key,
        place: place.to_string(),
        tree,
    };
    complaints.extend(protection::refusals(&guards.map(guard).collect::<Vec<_>>()));
    complaints
}

/// What a definition comes to where it is registered.
fn defined(defined: definitions::Defined) -> Result<(), String> {
    match defined {
        definitions::Defined::Service(service) => service.sidecar(&[]).map(drop),
        definitions::Defined::Check(check) => {
            assert!(!check.name.is_empty(), "a check without a name is taken");
            Ok(())
        }
    }
}
