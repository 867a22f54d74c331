//! The nearest spelling of a name that nobody has.
//!
//! There may be a hundred thousand names, and whoever mistypes waits. So most are put aside by their length
//! and their letters, which costs one look at each, and only few are compared letter by letter.

/// Names longer than this are compared by their beginning: the effort grows with their length.
const LONGEST: usize = 128;

/// How many names are looked at; what comes after them is not suggested.
const MOST_NAMES: usize = 250_000;

/// How many of them are compared letter by letter; what comes after them is not suggested.
const MOST_COMPARED: usize = 4_096;

/// The most slips that are seen through.
const MOST_SLIPS: usize = 4;

/// The known name that looks most like `name`, if any looks enough like it to have been meant.
///
/// Never the name itself, and of equally near ones the first. Case does not matter; a name with a slip in it or two counts, and
/// the longer it is the more slips. A slip is a letter too many, too few or another, or two that
/// changed places.
pub fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let mut asked = Asked::new(name);
    let mut best = None;
    let mut compared = 0;
    for other in known.into_iter().take(MOST_NAMES).filter(|other| !other.is_empty()) {
        if !asked.may_be_near(other) {
            continue;
        }
        compared += 1;
        match asked.slips() {
            Some(0) if other.to_lowercase() == name.to_lowercase() => {}
            Some(slips) => {
                best = Some(other);
                let Some(fewer @ 1..) = slips.checked_sub(1) else { break };
                asked.most = fewer;
            }
            None => {}
        }
        if compared == MOST_COMPARED {
            break;
        }
    }
    best
}

/// The name that was asked for, and room for the one that it is compared with.
struct Asked {
    letters: Vec<char>,
    /// How often each letter occurs; some share a place.
    counts: [i16; PLACES],
    /// A name counts with at most so many slips: fewer than the best so far.
    most: usize,
    other: Vec<char>,
    rows: [Vec<usize>; 3],
}

/// Places for the counts of letters.
const PLACES: usize = 64;

fn place(letter: char) -> usize {
    letter as usize % PLACES
}

/// More slips than anything has.
const FAR: usize = usize::MAX / 2;

impl Asked {
    fn new(name: &str) -> Asked {
        let mut letters = Vec::new();
        shorten(name, &mut letters);
        let mut counts = [0; PLACES];
        letters.iter().for_each(|letter| counts[place(*letter)] += 1);
        let most = (letters.len() / 3).clamp(1, MOST_SLIPS);
        let other = Vec::with_capacity(LONGEST);
        Asked { letters, counts, most, other, rows: [const { Vec::new() }; 3] }
    }

    /// Whether a name has about as many letters, and about the same ones: each that is another is a
    /// slip, wherever it stands. It is then ready to be compared.
    fn may_be_near(&mut self, other: &str) -> bool {
        // No letter is shorter than a byte.
        if other.len() + self.most < self.letters.len() {
            return false;
        }
        shorten(other, &mut self.other);
        let (own, others) = (self.letters.len(), self.other.len());
        if own.abs_diff(others) > self.most {
            return false;
        }
        let mut counts = self.counts;
        let mut strange = 0;
        for letter in &self.other {
            let left = &mut counts[place(*letter)];
            *left -= 1;
            strange += usize::from(*left < 0);
        }
        strange.max(own + strange - others) <= self.most
    }

    /// The slips between the two, unless there are more than count (optimal string alignment,
    /// within the diagonals that can be near enough).
    fn slips(&mut self) -> Option<usize> {
        let Asked { letters, other, most, rows, .. } = self;
        let most = *most;
        for row in rows.iter_mut() {
            row.clear();
            row.resize(other.len() + 2, FAR);
        }
        let [before, last, row] = rows;
        last.iter_mut().take(most + 1).enumerate().for_each(|(at, slips)| *slips = at);
        for (i, letter) in letters.iter().enumerate() {
            let (from, to) = (i.saturating_sub(most), (i + most + 1).min(other.len()));
            row.fill(FAR);
            row[0] = i + 1;
            let mut least = row[from];
            for j in from..to {
                let swapped =
                    i > 0 && j > 0 && *letter == other[j - 1] && letters[i - 1] == other[j];
                row[j + 1] = (last[j] + usize::from(*letter != other[j]))
                    .min(last[j + 1] + 1)
                    .min(row[j] + 1)
                    .min(if swapped { before[j - 1] + 1 } else { FAR });
                least = least.min(row[j + 1]);
            }
            let least_before = last.iter().min().copied().unwrap_or(FAR);
            if least > most && least_before >= most {
                return None;
            }
            std::mem::swap(before, last);
            std::mem::swap(last, row);
        }
        Some(last[other.len()]).filter(|slips| *slips <= most)
    }
}

/// The beginning of a name in lower case.
fn shorten(name: &str, letters: &mut Vec<char>) {
    letters.clear();
    match name.is_ascii() {
        true => {
            let bytes = name.bytes().take(LONGEST);
            letters.extend(bytes.map(|byte| char::from(byte.to_ascii_lowercase())));
        }
        false => letters.extend(name.chars().take(LONGEST).flat_map(char::to_lowercase)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_slip_or_two_are_seen_through_and_strangers_are_not_named() {
        let known = ["web", "web-admin", "payments", "db", "Billing", "Ärger"];
        for (typed, meant) in [
            ("wbe", Some("web")),
            ("WEB", None),
            ("dB", None),
            ("webb", Some("web")),
            ("payment", Some("payments")),
            ("paymetns", Some("payments")),
            ("biling", Some("Billing")),
            ("web-amdin", Some("web-admin")),
            ("ärgre", Some("Ärger")),
            ("cache", None),
            ("", None),
            ("xy", None),
        ] {
            assert_eq!(nearest(typed, known), meant, "{typed}");
        }
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
    }

    #[test]
    fn only_so_many_names_are_looked_at_and_fewer_compared() {
        // All letters of these are right, and all places wrong.
        let far = vec!["xignn"; MOST_COMPARED - 1];
        let with = |more: &[&'static str]| [far.as_slice(), more].concat();
        assert_eq!(nearest("nginx", with(&["ngin"])), Some("ngin"));
        assert_eq!(nearest("nginx", with(&["xignn", "ngin"])), None);
        let others = vec!["something-else"; MOST_NAMES - 1];
        let with = |more: &[&'static str]| [others.as_slice(), more].concat();
        assert_eq!(nearest("nginx", with(&["ngin"])), Some("ngin"));
        assert_eq!(nearest("nginx", with(&["other", "ngin"])), None);
    }

    /// The same without any of the haste.
    fn plainly<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
        let letters = name.to_lowercase();
        let most = (letters.chars().count() / 3).clamp(1, MOST_SLIPS);
        let slips = known
            .iter()
            .map(|other| (strsim::osa_distance(&letters, &other.to_lowercase()), *other));
        let near = slips.filter(|(slips, other)| (1..=most).contains(slips) && !other.is_empty());
        near.min_by_key(|(slips, _)| *slips).map(|(_, other)| other)
    }

    proptest! {
        #[test]
        fn haste_changes_nothing(
            name in "[abcÄ-]{0,14}",
            known in proptest::collection::vec("[abcäB-]{0,14}", 0..12),
        ) {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            prop_assert_eq!(nearest(&name, known.iter().copied()), plainly(&name, &known));
        }
    }
}
