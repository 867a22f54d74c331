//! Which crate may use which: the table in `ARCHITECTURE.md` against what cargo builds.
//!
//! The table is the source. A row is `| name | what it holds | what it may use | IO, clock |`
//! under a heading row that begins `| crate | holds | may use`; the third cell holds names in
//! backticks, or the word `all`.

use std::collections::{BTreeMap, BTreeSet};

use super::house::House;
use super::{Complaint, PURE_CRATES};

const MAP: &str = "ARCHITECTURE.md";

/// Libraries that bring a runtime, a socket, a clock or chance into a crate that is pure.
const RUNTIMES: &[&str] = &[
    "tokio",
    "tokio-util",
    "futures-util",
    "hyper",
    "hyper-util",
    "tokio-rustls",
    "socket2",
    "nix",
    "libc",
    "getrandom",
    "rand",
    "tracing",
];

/// What the table allows a crate.
#[derive(Debug, PartialEq, Eq)]
enum MayUse {
    All,
    Only(BTreeSet<String>),
}

/// Each crate stands in the table, and uses only what the table allows it.
pub(super) fn edges_as_in_the_table(house: &House) -> Vec<Complaint> {
    let Some(map) = house.texts.get(MAP) else {
        return vec![complain(MAP, 1, "there is no such file, and it holds the allowed edges")];
    };
    let table = table(map);
    let mut complaints = Vec::new();
    for krate in &house.crates {
        let manifest = format!("{}/Cargo.toml", krate.directory);
        let Some((line, may_use)) = table.get(&krate.name) else {
            let says = format!("crate {} has no row in {MAP}", krate.name);
            complaints.push(complain(&manifest, 1, &says));
            continue;
        };
        let MayUse::Only(allowed) = may_use else { continue };
        for used in krate.ours.iter().filter(|used| !allowed.contains(*used)) {
            let says = format!(
                "{} may not use {used} ({MAP}:{line}); a new edge needs a decision record",
                krate.name
            );
            complaints.push(complain(&manifest, 1, &says));
        }
    }
    for (name, (line, _)) in &table {
        if !house.crates.iter().any(|krate| krate.name == *name) {
            complaints.push(complain(MAP, *line, &format!("there is no crate {name}")));
        }
    }
    complaints
}

/// A pure crate ships without the libraries that would make it impure.
pub(super) fn no_runtime_in_pure_crates(house: &House) -> Vec<Complaint> {
    let pure = house.crates.iter().filter(|krate| PURE_CRATES.contains(&krate.name.as_str()));
    pure.flat_map(|krate| {
        let manifest = format!("{}/Cargo.toml", krate.directory);
        let impure = krate.foreign.iter().filter(|name| RUNTIMES.contains(&name.as_str()));
        impure
            .map(|name| complain(&manifest, 1, &format!("{} is pure: no {name} in it", krate.name)))
            .collect::<Vec<_>>()
    })
    .collect()
}

/// Each crate takes the workspace's lints, documentation of public items among them.
pub(super) fn lints_are_the_workspaces(house: &House) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for krate in &house.crates {
        let manifest = format!("{}/Cargo.toml", krate.directory);
        let text = house.texts.get(&manifest).map_or("", String::as_str);
        if !text.contains("[lints]\nworkspace = true") {
            complaints.push(Complaint {
                rule: "lints",
                ..complain(&manifest, 1, "a crate says `[lints] workspace = true`")
            });
        }
    }
    let silenced = concat!("allow(", "missing_docs");
    for file in &house.rust {
        if let Some(line) = file.text.lines().position(|line| line.contains(silenced)) {
            complaints.push(Complaint {
                rule: "docs",
                ..complain(&file.path, line + 1, "public items are documented, not excused")
            });
        }
    }
    complaints
}

fn table(map: &str) -> BTreeMap<String, (usize, MayUse)> {
    let mut rows = BTreeMap::new();
    let mut inside = false;
    for (index, line) in map.lines().enumerate() {
        if line.starts_with("| crate | holds | may use") {
            inside = true;
        } else if !line.starts_with('|') {
            inside = false;
        } else if inside && !line.starts_with("|--") && !line.starts_with("| --") {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [name, _holds, may_use, ..] = cells[..] else { continue };
            let name = name.trim_matches('`').to_owned();
            rows.insert(name, (index + 1, MayUse::read(may_use)));
        }
    }
    rows
}

impl MayUse {
    fn read(cell: &str) -> Self {
        if cell == "all" {
            return MayUse::All;
        }
        // Names stand between backticks: every second piece.
        let names = cell.split('`').skip(1).step_by(2);
        MayUse::Only(names.map(str::to_owned).collect())
    }
}

fn complain(path: &str, line: usize, says: &str) -> Complaint {
    Complaint { path: path.into(), line, rule: "edges", item: None, says: says.into() }
}

#[cfg(test)]
mod tests {
    use super::super::house::{Crate, heard, house_of};
    use super::*;

    const TABLE: &str = "\
# Map
| crate | holds | may use | IO, clock |
|---|---|---|---|
| `model` | nouns | – | no |
| `dns` | the face | `model`, `net` | yes |
| `cmd` | the program | all | yes |
";

    fn house(crates: &[(&str, &[&str])], map: &str) -> House {
        let mut house = house_of("model", &[(MAP, map)]);
        house.crates = crates
            .iter()
            .map(|(name, ours)| Crate {
                name: (*name).into(),
                directory: format!("crates/{name}"),
                ours: ours.iter().map(|used| (*used).to_owned()).collect(),
                ..Crate::default()
            })
            .collect();
        house
    }

    #[test]
    fn the_table_is_read_row_by_row() {
        let table = table(TABLE);
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(table["model"], (4, MayUse::Only(names(&[]))));
        assert_eq!(table["dns"], (5, MayUse::Only(names(&["model", "net"]))));
        assert_eq!(table["cmd"], (6, MayUse::All));
        assert_eq!(table.len(), 3);
    }

    #[test]
    fn an_edge_that_the_table_lacks_is_refused() {
        let good: &[(&str, &[&str])] =
            &[("model", &[]), ("dns", &["net", "model"]), ("cmd", &["dns", "model"])];
        assert_eq!(heard(&edges_as_in_the_table(&house(good, TABLE))), [""; 0]);
        let bad: &[(&str, &[&str])] = &[("model", &["dns"]), ("dns", &[]), ("cmd", &[])];
        assert_eq!(
            heard(&edges_as_in_the_table(&house(bad, TABLE))),
            ["crates/model/Cargo.toml:1: model may not use dns (ARCHITECTURE.md:4); \
              a new edge needs a decision record [edges]"]
        );
    }

    #[test]
    fn the_table_and_the_workspace_name_the_same_crates() {
        let crates: &[(&str, &[&str])] = &[("model", &[]), ("cmd", &[]), ("extra", &[])];
        assert_eq!(
            heard(&edges_as_in_the_table(&house(crates, TABLE))),
            [
                "crates/extra/Cargo.toml:1: crate extra has no row in ARCHITECTURE.md [edges]",
                "ARCHITECTURE.md:5: there is no crate dns [edges]",
            ]
        );
        assert_eq!(edges_as_in_the_table(&House::default()).len(), 1);
    }

    #[test]
    fn a_pure_crate_takes_no_runtime_along() {
        let mut house = house(&[("model", &[]), ("dns", &[])], TABLE);
        house.crates[0].foreign = vec!["thiserror".into(), "tokio".into()];
        house.crates[1].foreign = vec!["tokio".into()];
        assert_eq!(
            heard(&no_runtime_in_pure_crates(&house)),
            ["crates/model/Cargo.toml:1: model is pure: no tokio in it [edges]"]
        );
    }

    #[test]
    fn lints_are_taken_from_the_workspace_and_not_silenced() {
        let manifest = ("crates/model/Cargo.toml", "[package]\n\n[lints]\nworkspace = true\n");
        let silent = format!("//! Doc.\n#![{}s)]\n", concat!("allow(", "missing_doc"));
        let good = house_of("model", &[manifest, ("crates/model/src/lib.rs", "//! Doc.\n")]);
        assert_eq!(heard(&lints_are_the_workspaces(&good)), [""; 0]);
        let bad = house_of("model", &[("crates/model/src/lib.rs", &silent)]);
        let rules: Vec<_> = lints_are_the_workspaces(&bad).iter().map(|c| c.rule).collect();
        assert_eq!(rules, ["lints", "docs"]);
    }
}
