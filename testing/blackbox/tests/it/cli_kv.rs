//! `kv`: every output of Consul's commands, and their exit codes.

use anyhow::{Result, ensure};
use blackbox::commands::Cli;
use blackbox::server::{Launch, Server};
use serde_json::json;

fn start() -> Result<(Server, Cli)> {
    let server = Launch::dev().start()?;
    let cli = Cli::of(server.http);
    Ok((server, cli))
}

#[test]
fn a_value_is_put_and_got_as_it_is() -> Result<()> {
    let (server, cli) = start()?;
    cli.prints(&["kv", "put", "a/b", "some value"], "Success! Data written to: a/b\n")?;
    cli.prints(&["kv", "get", "a/b"], "some value\n")?;
    cli.prints(&["kv", "get", "/a/b"], "some value\n")?;
    cli.prints(&["kv", "get", "-base64", "a/b"], "c29tZSB2YWx1ZQ==\n")?;
    cli.prints(&["kv", "put", "empty"], "Success! Data written to: empty\n")?;
    cli.prints(&["kv", "get", "empty"], "\n")?;
    cli.prints(&["kv", "put", "odd", "-cas"], "Success! Data written to: odd\n")?;
    cli.prints(&["kv", "get", "odd"], "-cas\n")?;
    cli.prints(
        &["kv", "put", "-base64", "decoded", "aGk="],
        "Success! Data written to: decoded\n",
    )?;
    cli.prints(&["kv", "get", "decoded"], "hi\n")?;
    cli.prints(&["kv", "put", "a b?c#d", "x"], "Success! Data written to: a b?c#d\n")?;
    cli.prints(&["kv", "get", "a b?c#d"], "x\n")?;
    let ran = cli.run_with(&["kv", "put", "from-stdin", "-"], "line 1\nline 2\n")?;
    ensure!(ran.out == "Success! Data written to: from-stdin\n", "{ran:?}");
    cli.prints(&["kv", "get", "from-stdin"], "line 1\nline 2\n\n")?;
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("value");
    std::fs::write(&file, "of a file")?;
    let word = format!("@{}", file.display());
    cli.prints(&["kv", "put", "from-file", &word], "Success! Data written to: from-file\n")?;
    cli.prints(&["kv", "get", "from-file"], "of a file\n")?;
    server.stop()
}

#[test]
fn what_cannot_be_got_or_put_is_told() -> Result<()> {
    let (server, cli) = start()?;
    cli.fails(&["kv", "get", "none"], 1, "Error! No key exists at: none\n")?;
    cli.fails(&["kv", "get"], 1, "Error! Missing KEY argument\n")?;
    cli.fails(&["kv", "get", "a", "b"], 1, "Too many arguments (expected 1, got 2)\n")?;
    cli.fails(&["kv", "put"], 1, "Error! Missing KEY argument\n")?;
    let words = ["kv", "put", "a", "b", "c"];
    cli.fails(&words, 1, "Error! Too many arguments (expected 1 or 2, got 3)\n")?;
    let words = ["kv", "put", "a", "@missing"];
    let complaint = "Error! Failed to read file: open missing: no such file or directory\n";
    cli.fails(&words, 1, complaint)?;
    let ran = cli.run(&["kv", "put", "-base64", "odd", "not base 64"])?;
    let begins = "Error! Cannot base 64 decode data: ";
    ensure!(ran.code == 1 && ran.err.starts_with(begins), "{ran:?}");
    cli.fails(&["kv", "get", "odd"], 1, "Error! No key exists at: odd\n")?;
    cli.fails(&["kv", "put", "-cas", "a", "b"], 1, "Must specify -modify-index with -cas!\n")?;
    let complaint = "Error! Missing -session (required with -acquire and -release)\n";
    cli.fails(&["kv", "put", "-acquire", "a", "b"], 1, complaint)?;
    let complaint =
        "Error! Failed writing data: Unexpected response code: 500 (No path to datacenter)\n";
    cli.fails(&["kv", "put", "-datacenter=nowhere", "a", "b"], 1, complaint)?;
    server.stop()
}

#[test]
fn a_prefix_is_listed_whole_or_by_name() -> Result<()> {
    let (server, cli) = start()?;
    for (key, value) in [("a/b/c", "1"), ("a/b/d", "2"), ("a/e", "3"), ("f", "4")] {
        cli.says(&["kv", "put", key, value])?;
    }
    cli.prints(&["kv", "get", "-recurse", "a/"], "a/b/c:1\na/b/d:2\na/e:3\n")?;
    cli.prints(&["kv", "get", "-recurse", "-base64", "a/e"], "a/e:Mw==\n")?;
    cli.prints(&["kv", "get", "-keys", "a/"], "a/b/\na/e\n")?;
    cli.prints(&["kv", "get", "-keys"], "a/\nf\n")?;
    cli.prints(&["kv", "get", "-keys", "-separator=", "a/"], "a/b/c\na/b/d\na/e\n")?;
    cli.prints(&["kv", "get", "-recurse", "none"], "")?;
    cli.prints(&["kv", "get", "-keys", "none"], "")?;
    let said = cli.says(&["kv", "get", "-recurse", "-detailed", "a/b/"])?;
    ensure!(
        said.matches("CreateIndex      ").count() == 2 && said.contains("\n\nCreate"),
        "{said}"
    );
    server.stop()
}

#[test]
fn all_that_is_known_of_a_key_is_told_in_a_table() -> Result<()> {
    let (server, cli) = start()?;
    cli.says(&["kv", "put", "-flags=42", "a", "value"])?;
    let row = server.client().get_json("/v1/kv/a")?[0].clone();
    let (created, modified) = (&row["CreateIndex"], &row["ModifyIndex"]);
    let expected = format!(
        "CreateIndex      {created}\nFlags            42\nKey              a\nLockIndex        0\n\
         ModifyIndex      {modified}\nSession          -\nValue            value\n"
    );
    cli.prints(&["kv", "get", "-detailed", "a"], &expected)?;
    server.stop()
}

#[test]
fn a_key_is_written_and_removed_only_as_it_was() -> Result<()> {
    let (server, cli) = start()?;
    cli.says(&["kv", "put", "a", "1"])?;
    let row = server.client().get_json("/v1/kv/a")?[0].clone();
    let index = format!("-modify-index={}", row["ModifyIndex"]);
    cli.prints(&["kv", "put", "-cas", &index, "a", "2"], "Success! Data written to: a\n")?;
    let complaint = "Error! Did not write to a: CAS failed\n";
    cli.fails(&["kv", "put", "-cas", &index, "a", "3"], 1, complaint)?;
    let complaint = "Error! Did not delete key a: CAS failed\n";
    cli.fails(&["kv", "delete", "-cas", &index, "a"], 1, complaint)?;
    cli.prints(&["kv", "get", "a"], "2\n")?;
    let row = server.client().get_json("/v1/kv/a")?[0].clone();
    let index = format!("-modify-index={}", row["ModifyIndex"]);
    cli.prints(&["kv", "delete", "-cas", &index, "a"], "Success! Deleted key: a\n")?;
    server.stop()
}

#[test]
fn keys_are_removed_one_by_one_or_below_a_prefix() -> Result<()> {
    let (server, cli) = start()?;
    for key in ["a", "ab", "b"] {
        cli.says(&["kv", "put", key, "x"])?;
    }
    cli.prints(&["kv", "delete", "b"], "Success! Deleted key: b\n")?;
    cli.prints(&["kv", "delete", "b"], "Success! Deleted key: b\n")?;
    cli.prints(&["kv", "delete", "-recurse", "a"], "Success! Deleted keys with prefix: a\n")?;
    cli.prints(&["kv", "get", "-recurse", ""], "")?;
    cli.fails(&["kv", "delete"], 1, "Error! Missing KEY argument\n")?;
    cli.fails(
        &["kv", "delete", "-recurse", "-cas", "-modify-index=1", "a"],
        1,
        "Cannot specify both -cas and -recurse!\n",
    )?;
    cli.fails(
        &["kv", "delete", "-modify-index=1", "a"],
        1,
        "Cannot specify -modify-index without -cas!\n",
    )?;
    cli.fails(
        &["kv", "delete", "-cas", "a"],
        1,
        "Cannot delete a key that does not exist. Provide a -modify-index greater than than 0.\n",
    )?;
    server.stop()
}

#[test]
fn a_lock_is_taken_and_given_back_by_its_session() -> Result<()> {
    let (server, cli) = start()?;
    let session = server.client().put_ok("/v1/session/create", "{}")?;
    let id = session.json()?["ID"].as_str().unwrap_or_default().to_owned();
    let session = format!("-session={id}");
    let taken = "Success! Lock acquired on: a\n";
    cli.prints(&["kv", "put", "-acquire", &session, "a", "me"], taken)?;
    let said = cli.says(&["kv", "get", "-detailed", "a"])?;
    ensure!(said.contains(&format!("Session          {id}\n")), "{said}");
    let other = server.client().put_ok("/v1/session/create", "{}")?.json()?;
    let other = format!("-session={}", other["ID"].as_str().unwrap_or_default());
    cli.fails(&["kv", "put", "-acquire", &other, "a"], 1, "Error! Did not acquire lock\n")?;
    cli.fails(&["kv", "put", "-release", &other, "a"], 1, "Error! Did not release lock\n")?;
    let given = "Success! Lock released on: a\n";
    cli.prints(&["kv", "put", "-release", &session, "a", "me"], given)?;
    server.stop()
}

#[test]
fn what_was_exported_is_imported() -> Result<()> {
    let (server, cli) = start()?;
    cli.prints(&["kv", "export"], "[]\n")?;
    cli.says(&["kv", "put", "-flags=7", "a/b", "one"])?;
    cli.says(&["kv", "put", "a/c", ""])?;
    let exported = cli.says(&["kv", "export", "a/"])?;
    let expected = json!([
        { "key": "a/b", "flags": 7, "value": "b25l" },
        { "key": "a/c", "flags": 0, "value": "" },
    ]);
    ensure!(serde_json::from_str::<serde_json::Value>(&exported)? == expected, "{exported}");
    ensure!(
        exported.starts_with("[\n\t{\n\t\t\"key\": \"a/b\",\n\t\t\"flags\": 7,\n"),
        "{exported}"
    );
    cli.says(&["kv", "delete", "-recurse", "a/"])?;
    let ran = cli.run_with(&["kv", "import", "-"], &exported)?;
    ensure!(ran.out == "Imported: a/b\nImported: a/c\n" && ran.code == 0, "{ran:?}");
    cli.prints(&["kv", "export", "a/"], &exported)?;
    cli.prints(&["kv", "import", "-prefix=x/", &exported], "Imported: x/a/b\nImported: x/a/c\n")?;
    cli.prints(&["kv", "get", "x/a/b"], "one\n")?;
    cli.fails(&["kv", "import"], 1, "Error! Missing DATA argument\n")?;
    let ran = cli.run(&["kv", "import", "nonsense"])?;
    ensure!(ran.code == 1 && ran.err.starts_with("Cannot unmarshal data: "), "{ran:?}");
    server.stop()
}
