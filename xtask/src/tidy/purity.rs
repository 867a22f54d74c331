//! What a pure crate does not touch: sockets, files, clocks, `async`, and maps whose order is
//! chance. All servers must compute the same bytes from the same log, so nothing that differs
//! between two machines may be reachable from `catalog::apply`.
//!
//! `clippy.toml` in each of these crates bans the same by type; this rule also sees what clippy
//! cannot: `async`, modules, names inside macros.

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::house::{House, RustFile};
use super::lengths::has_cfg_test;
use super::{Complaint, PURE_CRATES};

/// Path endings that are refused, and why. A longer path that contains one is refused too.
const BANNED: &[(&[&str], &str)] = &[
    (&["Instant"], "reads a clock; take a Moment or Timestamp as a parameter"),
    (&["SystemTime"], "reads a clock; take a Timestamp as a parameter"),
    (&["collections", "HashMap"], "has another order on each machine; use BTreeMap or imbl"),
    (&["collections", "HashSet"], "has another order on each machine; use BTreeSet or imbl"),
    (&["collections", "hash_map"], "has another order on each machine; use BTreeMap or imbl"),
    (&["collections", "*"], "hides HashMap; name what is used"),
    (&["RandomState"], "is chance; two servers would differ"),
    (&["std", "fs"], "touches files; a shell does that"),
    (&["std", "env"], "reads the surroundings; a shell does that"),
    (&["std", "process"], "touches processes; a shell does that"),
    (&["std", "thread"], "starts threads; a shell does that"),
    (&["TcpStream"], "is a socket; a shell owns those"),
    (&["TcpListener"], "is a socket; a shell owns those"),
    (&["UdpSocket"], "is a socket; a shell owns those"),
    (&["UnixStream"], "is a socket; a shell owns those"),
    (&["ToSocketAddrs"], "asks a resolver; a shell does that"),
    (&["new_v4"], "is chance; take the id as a parameter"),
    (&["tokio"], "is a runtime; pure crates have not heard of it"),
    (&["Mutex"], "is a lock; views are immutable"),
    (&["RwLock"], "is a lock; views are immutable"),
];

/// Words that are refused inside a macro's tokens, where there are no paths to read.
const BANNED_IN_MACROS: &[&str] =
    &["async", "await", "tokio", "Instant", "SystemTime", "HashMap", "HashSet", "RandomState"];

/// No IO, no clock, no chance, no `async` in the pure crates, their tests excepted.
pub(super) fn no_io_no_clock_no_chance(house: &House) -> Vec<Complaint> {
    let pure = house.crates.iter().filter(|krate| PURE_CRATES.contains(&krate.name.as_str()));
    let mut complaints = Vec::new();
    for krate in pure {
        let inside = format!("{}/", krate.directory);
        let files = house.rust.iter().filter(|file| file.path.starts_with(&inside));
        for file in files.filter(|file| !file.is_test) {
            complaints.extend(of_file(file));
        }
    }
    complaints
}

fn of_file(file: &RustFile) -> Vec<Complaint> {
    let mut purity = Purity { path: &file.path, complaints: Vec::new() };
    purity.visit_file(&file.syntax);
    purity.complaints
}

struct Purity<'a> {
    path: &'a str,
    complaints: Vec<Complaint>,
}

impl Purity<'_> {
    fn refuse(&mut self, span: proc_macro2::Span, says: String) {
        self.complaints.push(Complaint {
            path: self.path.into(),
            line: span.start().line,
            rule: "purity",
            item: None,
            says,
        });
    }

    fn check_path(&mut self, span: proc_macro2::Span, path: &[String]) {
        for (banned, why) in BANNED {
            let held = path.windows(banned.len()).any(|part| part == *banned);
            if held {
                self.refuse(span, format!("{} {why}", banned.join("::")));
            }
        }
    }

    fn check_use(&mut self, tree: &syn::UseTree, before: &[String]) {
        let with = |name: String| [before, &[name]].concat();
        match tree {
            syn::UseTree::Path(path) => {
                self.check_use(&path.tree, &with(path.ident.to_string()));
            }
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.check_use(tree, before));
            }
            syn::UseTree::Name(name) => self.check_path(name.span(), &with(name.ident.to_string())),
            syn::UseTree::Rename(name) => {
                self.check_path(name.span(), &with(name.ident.to_string()));
            }
            syn::UseTree::Glob(star) => self.check_path(star.span(), &with("*".into())),
        }
    }

    fn check_tokens(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.check_tokens(group.stream()),
                TokenTree::Ident(ident) => {
                    let name = ident.to_string();
                    if BANNED_IN_MACROS.contains(&name.as_str()) {
                        self.refuse(ident.span(), format!("{name} inside a macro"));
                    }
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }

    fn check_signature(&mut self, signature: &syn::Signature) {
        if let Some(word) = &signature.asyncness {
            self.refuse(word.span, format!("{} is async", signature.ident));
        }
    }
}

impl<'ast> Visit<'ast> for Purity<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes: &[syn::Attribute] = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            _ => &[],
        };
        if !has_cfg_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.check_use(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> =
            path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.check_path(path.span(), &names);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.check_tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        self.check_signature(signature);
        visit::visit_signature(self, signature);
    }

    fn visit_expr_async(&mut self, block: &'ast syn::ExprAsync) {
        self.refuse(block.async_token.span, "an async block".into());
        visit::visit_expr_async(self, block);
    }

    fn visit_expr_await(&mut self, expression: &'ast syn::ExprAwait) {
        self.refuse(expression.await_token.span, "an await".into());
        visit::visit_expr_await(self, expression);
    }
}

#[cfg(test)]
mod tests {
    use super::super::house::house_of;
    use super::*;

    #[track_caller]
    fn check(code: &str, expected: &[&str]) {
        let text = format!("//! Doc.\n{code}\n");
        let house = house_of("catalog", &[("crates/catalog/src/lib.rs", &text)]);
        let complaints = no_io_no_clock_no_chance(&house);
        let firsts: Vec<&str> =
            complaints.iter().map(|one| one.says.split(';').next().unwrap_or("")).collect();
        assert_eq!(firsts, expected, "{code}");
    }

    #[test]
    fn clocks_are_refused_however_they_are_named() {
        check("use std::time::Instant;", &["Instant reads a clock"]);
        check("use std::time::{Duration, SystemTime as T};", &["SystemTime reads a clock"]);
        check("fn f() -> u64 { std::time::Instant::now().x() }", &["Instant reads a clock"]);
        check("fn f() { assert!(g(Instant::now())); }", &["Instant inside a macro"]);
        check("use std::time::Duration;", &[]);
    }

    #[test]
    fn maps_whose_order_is_chance_are_refused() {
        let says = "collections::HashMap has another order on each machine";
        check("use std::collections::HashMap;", &[says]);
        check("use std::collections::{BTreeMap, HashMap};", &[says]);
        check("type T = std::collections::HashMap<u8, u8>;", &[says]);
        check("use std::collections::*;", &["collections::* hides HashMap"]);
        check("use std::collections::{BTreeMap, BTreeSet};", &[]);
    }

    #[test]
    fn files_sockets_and_threads_are_refused() {
        check("use std::fs::File;", &["std::fs touches files"]);
        check("fn f() { std::fs::read(\"x\"); }", &["std::fs touches files"]);
        check("use std::net::{IpAddr, UdpSocket};", &["UdpSocket is a socket"]);
        check("use std::net::{IpAddr, Ipv4Addr, SocketAddr};", &[]);
        check("fn f() { std::thread::spawn(g); }", &["std::thread starts threads"]);
        check("use tokio::sync::watch;", &["tokio is a runtime"]);
        check("fn f() -> Uuid { Uuid::new_v4() }", &["new_v4 is chance"]);
    }

    #[test]
    fn async_is_refused() {
        check("async fn f() {}", &["f is async"]);
        check("impl A { async fn f() {} }", &["f is async"]);
        check("fn f() -> impl Future { async { 1 } }", &["an async block"]);
        check("fn f() { g(async move { h().await }) }", &["an async block", "an await"]);
    }

    #[test]
    fn tests_may_do_as_they_like() {
        check("#[cfg(test)]\nmod tests { use std::collections::HashMap; }", &[]);
        check("#[cfg(test)]\nuse std::time::Instant;", &[]);
    }

    #[test]
    fn other_crates_may_do_as_they_like() {
        let text = "//! Doc.\nuse std::time::Instant;\nasync fn f() {}\n";
        let house = house_of("agent", &[("crates/agent/src/lib.rs", text)]);
        assert_eq!(no_io_no_clock_no_chance(&house), []);
    }
}
