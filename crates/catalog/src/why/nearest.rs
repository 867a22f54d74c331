//! The nearest spelling of a name that nobody has.

/// Names longer than this are compared by their beginning: the effort grows with the square.
const LONGEST: usize = 128;

/// The known name that looks most like `name`, if any looks enough like it to have been meant.
///
/// Of equally near ones the first. Case does not matter; a name with a slip in it or two counts, and
/// the longer it is the more slips.
pub fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let asked = shortened(name);
    let most = (asked.chars().count() / 3).clamp(1, 4);
    let mut best: Option<(usize, &str)> = None;
    for other in known {
        let compared = shortened(other);
        let apart = asked.chars().count().abs_diff(compared.chars().count());
        if apart > most || other.is_empty() {
            continue;
        }
        let distance = strsim::damerau_levenshtein(&asked, &compared);
        if distance <= most && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, other));
        }
    }
    best.map(|(_, name)| name)
}

fn shortened(name: &str) -> String {
    name.chars().take(LONGEST).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_or_two_are_seen_through_and_strangers_are_not_named() {
        let known = ["web", "web-admin", "payments", "db", "Billing"];
        for (typed, meant) in [
            ("wbe", Some("web")),
            ("WEB", Some("web")),
            ("webb", Some("web")),
            ("payment", Some("payments")),
            ("paymetns", Some("payments")),
            ("biling", Some("Billing")),
            ("web-amdin", Some("web-admin")),
            ("cache", None),
            ("", None),
            ("xy", None),
        ] {
            assert_eq!(nearest(typed, known), meant, "{typed}");
        }
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
    }
}
