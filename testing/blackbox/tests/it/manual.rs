//! What the manual shows is what happens: the examples of its pages and of the README are run as they stand.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use blackbox::binary::workspace;
use blackbox::manual::Page;
use blackbox::tools::present;

/// The README and the pages of the manual, in order.
fn pages() -> Result<Vec<PathBuf>> {
    let root = workspace();
    let mut pages = vec![root.join("README.md")];
    for entry in std::fs::read_dir(root.join("docs/manual"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "md") && !path.ends_with("README.md") {
            pages.push(path);
        }
    }
    pages[1..].sort();
    Ok(pages)
}

#[test]
fn every_example_works_as_printed() -> Result<()> {
    let tools = ["curl", "dig", "ip", "sh", "timeout", "unshare"];
    if !present("every_example_works_as_printed", &tools) {
        return Ok(());
    }
    let (mut wrong, mut run) = (Vec::new(), 0);
    for path in pages()? {
        let shown = path.strip_prefix(workspace())?.display();
        let page = Page::read(&std::fs::read_to_string(&path)?);
        wrong.extend(page.unrun.iter().map(|line| format!("{shown}: not run, no `$`: {line}")));
        if page.examples.is_empty() {
            continue;
        }
        match page.run() {
            Err(error) => wrong.push(format!("{shown}: {error:#}")),
            Ok(said) => {
                for (example, said) in page.examples.iter().zip(said) {
                    run += 1;
                    if !example.fits(&said) {
                        let (command, prints) = (&example.command, example.prints.join("\n"));
                        wrong.push(format!(
                            "{shown}: {command}\n--- the page\n{prints}\n--- really\n{said}"
                        ));
                    }
                }
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    ensure!(run > 10, "only {run} examples were found");
    Ok(())
}

#[test]
fn the_index_names_every_page() -> Result<()> {
    let index = std::fs::read_to_string(workspace().join("docs/manual/README.md"))?;
    for path in pages()?.iter().skip(1) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        ensure!(index.contains(&format!("]({name})")), "docs/manual/README.md lacks {name}");
    }
    Ok(())
}
