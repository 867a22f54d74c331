//! What is kept is what would be made anew, after every change.

use super::*;
use catalog::{Acl, KvRowKey, Touched, View};
use model::{Index, Owner, Tenant};
use seams::fakes::touched_by_put;

fn authorizer(acl: Acl) -> Authorizer {
    View::new(acl).authorizer(&catalog::Token::default())
}

fn watch(key: &str) -> Watch {
    Watch::Kv(KvRowKey::new(Tenant::DEFAULT, key.as_bytes()))
}

struct Rig {
    kept: Kept,
    marks: Marks,
}

impl Rig {
    fn of(budget: usize) -> Rig {
        Rig { kept: Kept::new(budget, Meters::default()), marks: Marks::default() }
    }

    fn keep(&self, path: &str, query: &str, acl: Acl, key: &str, body: &str) {
        let (query, auth) = (Query::parse(query).unwrap(), authorizer(acl));
        let key_of = ReadKey { path, query: &query, auth: &auth };
        let (body, watches) = (Bytes::from(body.to_owned()), vec![watch(key)]);
        let since = self.marks.shown();
        self.kept
            .keep_read(&key_of, KeptRead { body, watches, filtered: false, since, at: Index(1) });
    }

    fn read(&self, path: &str, query: &str, acl: Acl) -> Option<Bytes> {
        let (query, auth) = (Query::parse(query).unwrap(), authorizer(acl));
        let key = ReadKey { path, query: &query, auth: &auth };
        self.kept.read(&key, &self.marks, Index(1)).map(|read| read.body.clone())
    }
}

#[test]
fn an_answer_is_kept_under_all_that_decides_it() {
    let rig = Rig::of(1 << 20);
    rig.keep("/a", "tag=x&passing", Acl::Off, "k", "one");
    for (path, query, acl, kept) in [
        ("/a", "tag=x&passing", Acl::Off, true),
        ("/a", "tag=x&index=7&wait=1s&passing&pretty&stale&token=t", Acl::Off, true),
        ("/a", "tag=x&passing", Acl::DenyAll, false),
        ("/a", "passing&tag=x", Acl::Off, false),
        ("/a", "tag=y&passing", Acl::Off, false),
        ("/a", "tag=x", Acl::Off, false),
        ("/b", "tag=x&passing", Acl::Off, false),
    ] {
        assert_eq!(rig.read(path, query, acl).is_some(), kept, "{path}?{query} {acl:?}");
    }
}

#[test]
fn an_answer_is_gone_when_a_key_of_it_is_touched_and_not_before() {
    let rig = Rig::of(1 << 20);
    rig.keep("/a", "", Acl::Off, "k", "one");
    rig.marks.publish(&touched_by_put("k"), || {
        assert_eq!(rig.read("/a", "", Acl::Off), None, "before the view is shown");
    });
    assert_eq!(rig.read("/a", "", Acl::Off), None);
    rig.keep("/a", "", Acl::Off, "k", "two");
    assert_eq!(rig.read("/a", "", Acl::Off).as_deref(), Some(&b"two"[..]));
    rig.marks.publish(&Touched::everything(), || {});
    assert_eq!(rig.read("/a", "", Acl::Off), None);
}

#[test]
fn what_is_kept_stays_within_its_bytes_and_what_is_asked_for_stays_longest() {
    let rig = Rig::of(100_000);
    let body = "x".repeat(5_000);
    for number in 0..200 {
        rig.keep(&format!("/{number}"), "", Acl::Off, "k", &body);
        assert!(rig.kept.bytes() <= 100_000, "{}", rig.kept.bytes());
        assert!(number == 0 || rig.read("/0", "", Acl::Off).is_some(), "{number}");
    }
    let held = (0..200).filter(|n| rig.read(&format!("/{n}"), "", Acl::Off).is_some()).count();
    assert!((10..20).contains(&held), "{held}");
    rig.keep("/large", "", Acl::Off, "k", &"x".repeat(30_000));
    assert_eq!(rig.read("/large", "", Acl::Off), None, "more than a quarter is not kept");
    assert!(rig.kept.meters.dropped.get() > 0);
}

fn row_of<T>(claim: T) -> Row<T> {
    Row { claim, owner: Owner::http(), created: Index(1), modified: Index(1) }
}

#[test]
fn a_row_is_rendered_once_and_another_of_the_same_name_again() {
    let kept = Kept::new(1 << 20, Meters::default());
    let row = || AnyRow::Node(Arc::new(row_of(Node::default())));
    let (first, second) = (row(), row());
    let mut out = Vec::new();
    for (row, text) in [(&first, "a"), (&first, "b"), (&second, "c"), (&first, "d")] {
        kept.append(&mut out, row, |out| out.extend_from_slice(text.as_bytes()));
    }
    assert_eq!(String::from_utf8(out).unwrap(), "aaca");
}
