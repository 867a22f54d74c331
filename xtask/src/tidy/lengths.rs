//! Lengths of files and functions. They do not make code good; they keep it from growing worse.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::Complaint;
use super::house::{House, RustFile};

/// Lines of a file that are not tests.
const PRODUCTION_LINES: usize = 600;

/// Lines of a file that is nothing but tests.
const TEST_LINES: usize = 1000;

/// Lines of a function from its signature to its brace.
const FUNCTION_LINES: usize = 70;

/// A file fits in one head.
pub(super) fn short_files(house: &House) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in &house.rust {
        let (lines, limit, what) = match file.is_test {
            true => (file.text.lines().count(), TEST_LINES, "lines of tests"),
            false => (production_lines(file), PRODUCTION_LINES, "production lines"),
        };
        if lines > limit {
            complaints.push(Complaint {
                path: file.path.clone(),
                line: limit,
                rule: "file-length",
                item: None,
                says: format!("{lines} {what}; the limit is {limit}"),
            });
        }
    }
    complaints
}

/// A function fits on one screen.
pub(super) fn short_functions(house: &House) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in &house.rust {
        let mut seen = Functions { path: &file.path, complaints: &mut complaints };
        seen.visit_file(&file.syntax);
    }
    complaints
}

fn production_lines(file: &RustFile) -> usize {
    let tests = file.syntax.items.iter().filter(|item| is_for_tests(item));
    let tests: usize = tests.map(|item| lines_of(item.span())).sum();
    file.text.lines().count().saturating_sub(tests)
}

fn is_for_tests(item: &syn::Item) -> bool {
    let attributes = match item {
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => return false,
    };
    has_cfg_test(attributes)
}

/// Whether one of the attributes is exactly `#[cfg(test)]`.
pub(super) fn has_cfg_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else { return false };
        list.path.is_ident("cfg") && list.tokens.to_string() == "test"
    })
}

fn lines_of(span: proc_macro2::Span) -> usize {
    span.end().line - span.start().line + 1
}

/// Collects functions over the limit, methods and nested ones too.
struct Functions<'a> {
    path: &'a str,
    complaints: &'a mut Vec<Complaint>,
}

impl Functions<'_> {
    fn measure(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let start = signature.span().start().line;
        let lines = body.span().end().line - start + 1;
        if lines > FUNCTION_LINES {
            self.complaints.push(Complaint {
                path: self.path.into(),
                line: start,
                rule: "function-length",
                item: Some(signature.ident.to_string()),
                says: format!(
                    "{} has {lines} lines; the limit is {FUNCTION_LINES}",
                    signature.ident
                ),
            });
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(body) = &function.default {
            self.measure(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

#[cfg(test)]
mod tests {
    use super::super::house::{heard, house_of};
    use super::*;

    const LIB: &str = "crates/model/src/lib.rs";

    fn lines(count: usize, each: &str) -> String {
        format!("{each}\n").repeat(count)
    }

    #[track_caller]
    fn check(path: &str, text: &str, expected: &[&str]) {
        let house = house_of("model", &[(path, text)]);
        let mut complaints = short_files(&house);
        complaints.extend(short_functions(&house));
        assert_eq!(heard(&complaints), expected);
    }

    #[test]
    fn a_file_has_at_most_600_lines_that_are_not_tests() {
        let long = lines(PRODUCTION_LINES, "// why");
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", lines(900, "// case"));
        check(LIB, &(long.clone() + &tests), &[]);
        let says = "crates/model/src/lib.rs:600: 601 production lines; the limit is 600 \
                    [file-length]";
        check(LIB, &(long + "// one more\n" + &tests), &[says]);
    }

    #[test]
    fn a_file_of_tests_has_at_most_1000_lines() {
        let path = "crates/model/tests/it/main.rs";
        check(path, &lines(TEST_LINES, "// case"), &[]);
        let says = "crates/model/tests/it/main.rs:1000: 1001 lines of tests; the limit is 1000 \
                    [file-length]";
        check(path, &lines(TEST_LINES + 1, "// case"), &[says]);
    }

    #[test]
    fn a_function_or_method_has_at_most_70_lines() {
        let body = lines(FUNCTION_LINES - 2, "    g();");
        check(LIB, &format!("/// Doc.\n#[inline]\nfn f() {{\n{body}}}\n"), &[]);
        let longer = format!("fn f() {{\n    g();\n{body}}}\n");
        let says = "crates/model/src/lib.rs:1: f has 71 lines; the limit is 70 [function-length]";
        check(LIB, &longer, &[says]);
        let says = "crates/model/src/lib.rs:2: f has 71 lines; the limit is 70 [function-length]";
        check(LIB, &format!("impl A {{\n{longer}}}\n"), &[says]);
        check(LIB, &format!("trait A {{\n{longer}}}\n"), &[says]);
    }
}
