//! Two habits: no `unwrap` outside tests, and `unsafe` in few places that people know of.
//!
//! `expect("why it cannot fail")` is the other way to say `unwrap`; the reader at three in the
//! morning gets the reason instead of a line number.

use syn::visit::{self, Visit};

use super::Complaint;
use super::house::House;
use super::lengths::has_cfg_test;

/// Where `unsafe` may stand: system calls that no library wraps as we need them.
const UNSAFE_PLACES: &[&str] = &[
    "crates/net/src/",
    "crates/dns/src/serve",
    "bench/src/load.rs",
    "bench/src/packets.rs",
    "fuzz/src/memory.rs",
];

/// No `unwrap` in what ships.
pub(super) fn no_unwrap_outside_tests(house: &House) -> Vec<Complaint> {
    of_all(house).into_iter().filter(|complaint| complaint.rule == "unwrap").collect()
}

/// `unsafe` only in the places listed.
pub(super) fn unsafe_in_few_places(house: &House) -> Vec<Complaint> {
    let known = |path: &str| UNSAFE_PLACES.iter().any(|place| path.starts_with(place));
    let unsafes = of_all(house).into_iter().filter(|complaint| complaint.rule == "unsafe");
    unsafes.filter(|complaint| !known(&complaint.path)).collect()
}

fn of_all(house: &House) -> Vec<Complaint> {
    let mut habits = Habits::default();
    for file in house.rust.iter().filter(|file| !file.is_test) {
        habits.path.clone_from(&file.path);
        habits.visit_file(&file.syntax);
    }
    habits.complaints
}

#[derive(Default)]
struct Habits {
    path: String,
    complaints: Vec<Complaint>,
}

impl Habits {
    fn complain(&mut self, rule: &'static str, span: proc_macro2::Span, says: &str) {
        let line = span.start().line;
        let path = self.path.clone();
        self.complaints.push(Complaint { path, line, rule, item: None, says: says.into() });
    }
}

impl<'ast> Visit<'ast> for Habits {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !has_cfg_test(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        if !has_cfg_test(&function.attrs) {
            visit::visit_item_fn(self, function);
        }
    }

    fn visit_item_impl(&mut self, block: &'ast syn::ItemImpl) {
        if let Some(word) = &block.unsafety {
            self.complain("unsafe", word.span, "an unsafe impl outside the places for it");
        }
        if !has_cfg_test(&block.attrs) {
            visit::visit_item_impl(self, block);
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if call.method == "unwrap" {
            self.complain("unwrap", call.method.span(), "`expect` says why it cannot fail");
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.complain("unsafe", block.unsafe_token.span, "unsafe outside the places for it");
        visit::visit_expr_unsafe(self, block);
    }
}

#[cfg(test)]
mod tests {
    use super::super::house::house_of;
    use super::*;

    #[track_caller]
    fn check(path: &str, text: &str, expected: &[(&str, usize)]) {
        let house = house_of("net", &[(path, text)]);
        let mut complaints = no_unwrap_outside_tests(&house);
        complaints.extend(unsafe_in_few_places(&house));
        let heard: Vec<_> = complaints.iter().map(|one| (one.rule, one.line)).collect();
        assert_eq!(heard, expected);
    }

    #[test]
    fn unwrap_is_for_tests() {
        let path = "crates/net/src/lib.rs";
        check(path, "fn f() {\n    g().unwrap();\n}\n", &[("unwrap", 2)]);
        check(path, "fn f() {\n    g().unwrap_or(1);\n}\n", &[]);
        check(path, "#[cfg(test)]\nmod tests {\n    fn f() { g().unwrap(); }\n}\n", &[]);
        check("crates/net/tests/it/main.rs", "fn f() { g().unwrap(); }\n", &[]);
    }

    #[test]
    fn unsafe_has_its_places() {
        let text = "fn f() {\n    unsafe { g() }\n}\nunsafe impl Send for A {}\n";
        check("crates/net/src/lib.rs", text, &[]);
        check("crates/agent/src/lib.rs", text, &[("unsafe", 2), ("unsafe", 4)]);
    }
}
