//! Consul's words for what happened: called as `consul`, a line in them stands before our own, since
//! scripts wait for it.

use super::line::Line;

/// What we say, the field that it is about, and what Consul says.
const WORDS: &[(&str, &str, &[&str])] = &[
    ("leadership taken up", "node", &["cluster leadership acquired", "New leader elected: {}"]),
    ("member alive", "node", &["member '{}' joined, marking health alive"]),
    ("service synced", "service", &["Synced service '{}'"]),
    ("check synced", "check", &["Synced check '{}'"]),
    ("service deregistered", "service", &["Deregistered service '{}'"]),
    ("check deregistered", "check", &["Deregistered check '{}'"]),
];

/// The lines in Consul's words; none for what it does not say.
pub fn of_consul(line: &Line<'_>) -> Vec<String> {
    let known = WORDS.iter().find(|(ours, ..)| *ours == line.message());
    let Some((_, field, theirs)) = known else { return Vec::new() };
    let value = line.field(field).unwrap_or_default();
    theirs.iter().map(|words| words.replace("{}", &value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_says_something_else_than_we_do() {
        for (ours, _, theirs) in WORDS {
            assert!(!theirs.is_empty() && !theirs.contains(ours), "{ours}");
        }
    }
}
