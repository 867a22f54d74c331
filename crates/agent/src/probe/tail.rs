//! The last bytes of what a check said: no check can fill this node's memory.

use std::collections::VecDeque;

/// A buffer that forgets its oldest bytes.
#[derive(Debug)]
pub struct Tail {
    limit: usize,
    kept: VecDeque<u8>,
    total: u64,
}

impl Tail {
    /// One that keeps so many bytes.
    pub fn new(limit: usize) -> Tail {
        Tail { limit, kept: VecDeque::new(), total: 0 }
    }

    /// Takes more.
    pub fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let newest = &bytes[bytes.len().saturating_sub(self.limit)..];
        let forgotten = (self.kept.len() + newest.len()).saturating_sub(self.limit);
        self.kept.drain(..forgotten);
        self.kept.extend(newest);
    }

    /// How many bytes it was given.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// What is kept.
    pub fn text(&self) -> String {
        let (front, back) = self.kept.as_slices();
        String::from_utf8_lossy(&[front, back].concat()).into_owned()
    }

    /// What is kept, and how much is not, as Consul says it of a script.
    pub fn captured(&self) -> String {
        if self.total <= self.limit as u64 {
            return self.text();
        }
        format!("Captured {} of {} bytes\n...\n{}", self.limit, self.total, self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(limit: usize, pushed: &[&str], text: &str, captured: &str) {
        let mut tail = Tail::new(limit);
        pushed.iter().for_each(|bytes| tail.push(bytes.as_bytes()));
        assert_eq!((tail.text().as_str(), tail.captured().as_str()), (text, captured));
        assert!(tail.kept.len() <= limit);
    }

    #[test]
    fn the_last_bytes_are_kept_and_what_is_lost_is_said() {
        check(5, &[], "", "");
        check(5, &["ab", "cde"], "abcde", "abcde");
        check(5, &["ab", "cdef"], "bcdef", "Captured 5 of 6 bytes\n...\nbcdef");
        check(3, &["a", "bcdefgh", "i"], "ghi", "Captured 3 of 9 bytes\n...\nghi");
        check(0, &["abc"], "", "Captured 0 of 3 bytes\n...\n");
    }
}
