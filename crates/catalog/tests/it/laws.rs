//! Laws that hold for every log.

use crate::answers::{Answer, answer, check_lookups, watches};
use crate::bytes::{load, save, table};
use crate::logs::{Dice, Writer, log, steps};
use catalog::{Applied, Entry, Outcome, Touched, ValuePrint, View, Watch, apply};
use model::{Index, Tenant};
use std::collections::BTreeSet;

pub const SEEDS: u64 = 12;
pub const LENGTH: usize = 500;

#[test]
fn the_same_log_makes_the_same_bytes_however_it_is_cut() {
    for seed in 0..SEEDS {
        let (log, _) = log(seed, LENGTH);
        let at_once = apply(&View::default(), log.clone());
        let mut dice = Dice::new(seed);
        let (mut view, mut outcomes, mut rest) = (View::default(), Vec::new(), log.as_slice());
        while !rest.is_empty() {
            let (batch, later) = rest.split_at((1 + dice.below(40)).min(rest.len()));
            let applied = apply(&view, batch.to_vec());
            outcomes.extend(applied.outcomes);
            view = applied.view;
            if dice.one_in(3) {
                let restored = load(&save(&view)).expect("what was written is read");
                assert_eq!(&restored, view.state(), "seed {seed}: derived tables too");
                view = View::default().replaced_by(restored);
            }
            rest = later;
        }
        assert_eq!(outcomes, at_once.outcomes, "seed {seed}");
        assert_eq!(view.state(), at_once.view.state(), "seed {seed}");
        assert!(save(&view) == save(&at_once.view), "seed {seed}: the bytes differ");
    }
}

#[test]
fn undoing_history_to_an_index_gives_the_view_at_that_index() {
    let mut compared = 0;
    for seed in 0..SEEDS {
        let mut writer = Writer::new(seed);
        let mut views = vec![writer.view.clone()];
        for _ in 0..LENGTH / 2 {
            writer.step();
            views.push(writer.view.clone());
            if !writer.dice.one_in(60) {
                continue;
            }
            for then in &views {
                compared += usize::from(check_past(&writer.view, then, seed));
            }
        }
    }
    assert!(compared > 1_000, "only {compared} views of the past could be compared");
}

/// Whether `then` still lies in the window of `now`; if so it must be found again.
fn check_past(now: &View, then: &View, seed: u64) -> bool {
    let window = now.state().window();
    let past = match now.state().as_of(then.index()) {
        Ok(past) => past,
        Err(told) => {
            assert_eq!(told, window);
            assert!(then.index() < window.oldest || then.index() > window.newest);
            return false;
        }
    };
    let shown = View::default().replaced_by(past.state);
    assert_eq!(shown.index(), then.index());
    assert_eq!(shown.tables(), then.tables(), "seed {seed} at {}", then.index());
    let (was, is) = (save(then), save(&shown));
    for number in [2, 3, 4, 5, 6, 8, 9, 10] {
        assert!(table(&was, number) == table(&is, number), "seed {seed}: table {number}");
    }
    for tenant in [Tenant(0), Tenant(1)] {
        let prefix = catalog::KvRowKey::new(tenant, b"");
        let rows = then.kv_list(&prefix).expect("held").value;
        let shown_rows = shown.kv_list(&prefix).expect("held").value;
        assert_eq!(rows.len(), shown_rows.len());
        for ((key, row), (shown_key, shown_row)) in rows.into_iter().zip(shown_rows) {
            assert_eq!(key, shown_key);
            assert_eq!(
                (row.created, row.modified, &row.owner),
                (shown_row.created, shown_row.modified, &shown_row.owner)
            );
            assert_eq!(
                (row.flags, row.lock_index, row.session),
                (shown_row.flags, shown_row.lock_index, shown_row.session)
            );
            match past.prints.get(&catalog::KvRowKey::new(tenant, key.as_bytes())) {
                Some(print) => assert_eq!(*print, ValuePrint::of(&row.value)),
                None => assert_eq!(row.value, shown_row.value),
            }
        }
    }
    true
}

/// Steps through a log and shows each step with the answers before and after it.
fn each_step(seed: u64, mut check: impl FnMut(&Entry, &Applied, &[(Watch, Answer, Answer)])) {
    let mut writer = Writer::new(seed);
    let watches = watches();
    let mut before: Vec<Answer> = watches.iter().map(|w| answer(&writer.view, w)).collect();
    for _ in 0..LENGTH {
        let ((_, entry), applied) = writer.step();
        let after: Vec<Answer> = watches.iter().map(|w| answer(&writer.view, w)).collect();
        let both = watches.iter().cloned().zip(before).zip(after.iter().cloned());
        let answers: Vec<_> = both.map(|((watch, old), new)| (watch, old, new)).collect();
        check(&entry, &applied, &answers);
        before = after;
    }
    check_lookups(&writer.view);
}

#[test]
fn no_index_that_a_reader_sees_ever_falls() {
    for seed in 0..SEEDS {
        each_step(seed, |entry, applied, answers| {
            for (watch, old, new) in answers {
                for (was, is) in old.indexes.iter().zip(&new.indexes) {
                    assert!(is >= was, "seed {seed}: {watch:?} fell from {was} to {is}: {entry:?}");
                    assert!(*is >= Index(1) && *is <= applied.view.index());
                }
            }
        });
    }
}

#[test]
fn an_answer_that_changed_moves_its_index() {
    for seed in 0..SEEDS {
        each_step(seed, |entry, _, answers| {
            for (watch, old, new) in answers.iter().filter(|(_, old, new)| !old.same(new)) {
                let moved = old.indexes.iter().zip(&new.indexes).any(|(was, is)| is > was);
                assert!(moved, "seed {seed}: {watch:?} stood still: {entry:?}");
            }
        });
    }
}

#[test]
fn whatever_changed_is_touched_and_nothing_else() {
    for seed in 0..SEEDS {
        each_step(seed, |entry, applied, answers| {
            for (watch, old, new) in answers {
                let (changed, touched) = (!old.same(new), applied.touched.concerns(watch));
                assert!(touched || !changed, "seed {seed}: {watch:?} not touched: {entry:?}");
                // Several may undo each other; one alone touches what it changed.
                if steps(entry) <= 1 {
                    assert!(changed || !touched, "seed {seed}: {watch:?} touched: {entry:?}");
                }
            }
            if answers.iter().all(|(_, old, new)| old.same(new)) && steps(entry) <= 1 {
                assert!(applied.touched.is_empty(), "seed {seed}: {:?}", applied.touched);
            }
        });
    }
}

#[test]
fn a_batch_touches_what_its_entries_touched() {
    for seed in 0..SEEDS {
        let (log, _) = log(seed, 60);
        let (mut view, mut one_by_one) = (View::default(), BTreeSet::new());
        for entry in log.clone() {
            let applied = apply(&view, [entry]);
            one_by_one.extend(applied.touched.keys().cloned());
            view = applied.view;
        }
        let applied = apply(&View::default(), log);
        assert!(applied.touched.keys().eq(&one_by_one));
        assert!(!applied.touched.is_everything());
        assert!(Touched::everything().concerns(&Watch::Nodes(Tenant(7))));
    }
}

#[test]
fn a_refused_entry_changes_nothing_but_the_position() {
    let mut refused = 0;
    for seed in 0..SEEDS {
        let mut writer = Writer::new(seed);
        for _ in 0..LENGTH {
            let before = writer.view.clone();
            let (_, applied) = writer.step();
            if !matches!(applied.outcomes[0], Outcome::Refused(_)) {
                continue;
            }
            refused += 1;
            assert!(applied.touched.is_empty());
            assert_eq!(before.tables(), applied.view.tables());
            let (was, is) = (save(&before), save(&applied.view));
            for number in 2..=10 {
                assert!(table(&was, number) == table(&is, number), "seed {seed}: table {number}");
            }
        }
    }
    assert!(refused > 200, "only {refused} refusals");
}
