//! A name as asked: lower-cased, dotted, with the start of each label.
//!
//! Length bytes become dots, so that a run of labels is one slice (`a.b` of `a.b.web.service.…`
//! is a tag) and a label's place on the wire is its place here minus one.

use crate::MAX_NAME;

/// A lower-cased name, taken apart.
#[derive(Clone)]
pub struct Name {
    /// The wire bytes, lower-cased, each length byte replaced by a dot.
    text: [u8; MAX_NAME],
    /// Where each label begins in `text`; one more than there are labels, the last is the root's.
    starts: [u8; 129],
    labels: u8,
    /// Length on the wire, the root label included.
    length: u8,
    has_dotted_label: bool,
    is_ascii: bool,
}

/// Why bytes are not a plain name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The bytes end inside the name, or it is longer than 255, or a label type is unknown.
    #[error("malformed name")]
    Malformed,
    /// A compression pointer: fine in an answer, odd in a question.
    #[error("compressed name")]
    Compressed,
}

impl Name {
    /// Reads an uncompressed name at the start of `wire`.
    pub fn parse(wire: &[u8]) -> Result<Name, NameError> {
        let mut name = Name {
            text: [0; MAX_NAME],
            starts: [0; 129],
            labels: 0,
            length: 0,
            has_dotted_label: false,
            is_ascii: true,
        };
        let mut at = 0;
        loop {
            let length = *wire.get(at).ok_or(NameError::Malformed)?;
            match length {
                0 => break,
                1..=63 => {}
                0xC0.. => return Err(NameError::Compressed),
                _ => return Err(NameError::Malformed),
            }
            let end = at + 1 + usize::from(length);
            // One byte must remain for the root.
            if end >= MAX_NAME || end > wire.len() {
                return Err(NameError::Malformed);
            }
            name.text[at] = b'.';
            for (to, from) in name.text[at + 1..end].iter_mut().zip(&wire[at + 1..end]) {
                *to = from.to_ascii_lowercase();
                name.has_dotted_label |= *from == b'.';
                name.is_ascii &= from.is_ascii();
            }
            // 254 bytes hold at most 127 labels, so that the index and the casts fit.
            name.starts[usize::from(name.labels)] = (at + 1) as u8;
            name.labels += 1;
            at = end;
        }
        name.starts[usize::from(name.labels)] = (at + 1) as u8;
        name.length = (at + 1) as u8;
        Ok(name)
    }

    /// How many labels, the root not counted.
    pub fn labels(&self) -> usize {
        usize::from(self.labels)
    }

    /// Length on the wire, the root label included.
    pub fn wire_length(&self) -> usize {
        usize::from(self.length)
    }

    /// Whether a label holds a dot, so that [`Name::joined`] reads as more labels than there are.
    pub fn has_dotted_label(&self) -> bool {
        self.has_dotted_label
    }

    /// Whether all of it is ASCII: else its case is folded only in part.
    pub fn is_ascii(&self) -> bool {
        self.is_ascii
    }

    /// Label `index` from the left.
    ///
    /// # Panics
    /// When there is no such label.
    pub fn label(&self, index: usize) -> &[u8] {
        self.joined(index, index + 1)
    }

    /// Labels `from..to` with dots between; empty when there are none.
    ///
    /// # Panics
    /// When the range reaches beyond the labels.
    pub fn joined(&self, from: usize, to: usize) -> &[u8] {
        assert!(to <= self.labels());
        if from >= to {
            return &[];
        }
        &self.text[usize::from(self.starts[from])..usize::from(self.starts[to]) - 1]
    }

    /// Where label `index` begins on the wire, its length byte first, counted from the name's start.
    ///
    /// `index` may be the number of labels: the root.
    pub fn offset(&self, index: usize) -> usize {
        usize::from(self.starts[index]) - 1
    }

    /// Whether the last labels are `suffix`, given lower-cased, dotted and without a leading dot.
    /// Gives the number of labels before it.
    pub fn before_suffix(&self, suffix: &[u8], suffix_labels: usize) -> Option<usize> {
        let before = self.labels().checked_sub(suffix_labels)?;
        (self.joined(before, self.labels()) == suffix).then_some(before)
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.", self.joined(0, self.labels()).escape_ascii())
    }
}

/// Appends a dotted name in wire form, its case kept, with the root; a trailing dot is allowed.
///
/// False, and nothing appended, when a label is empty or over 63 bytes or the whole over 255.
pub fn to_wire(dotted: &[u8], out: &mut Vec<u8>) -> bool {
    let dotted = dotted.strip_suffix(b".").unwrap_or(dotted);
    if dotted.len() + 2 > MAX_NAME || dotted.is_empty() {
        return false;
    }
    let before = out.len();
    for label in dotted.split(|byte| *byte == b'.') {
        if label.is_empty() || label.len() > 63 {
            out.truncate(before);
            return false;
        }
        out.push(label.len() as u8);
        out.extend_from_slice(label);
    }
    out.push(0);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wire: &[u8], expected: Result<&str, NameError>) {
        let got = Name::parse(wire);
        assert_eq!(
            got.as_ref().map(|name| format!("{name:?}")).map_err(|e| *e),
            expected.map(String::from)
        );
    }

    #[test]
    fn names_are_lower_cased_and_dotted() {
        check(b"\0", Ok("."));
        check(b"\x03WeB\x06CONSUL\0rest", Ok("web.consul."));
        check(b"\x03We", Err(NameError::Malformed));
        check(b"", Err(NameError::Malformed));
        check(b"\x01a", Err(NameError::Malformed));
        check(b"\xC0\x0C", Err(NameError::Compressed));
        check(b"\x01a\xC0\x0C", Err(NameError::Compressed));
        check(b"\x40aaaa", Err(NameError::Malformed));
        check(&[&[63u8; 64][..]; 4].concat(), Err(NameError::Malformed));
    }

    #[test]
    fn the_longest_name_fits_and_one_more_byte_does_not() {
        let label = |n: u8| [&[n][..], &vec![b'x'; usize::from(n)]].concat();
        let longest = [label(63), label(63), label(63), label(61), vec![0]].concat();
        assert_eq!(longest.len(), 255);
        assert_eq!(Name::parse(&longest).expect("fits").wire_length(), 255);
        let over = [label(63), label(63), label(63), label(62), vec![0]].concat();
        check(&over, Err(NameError::Malformed));
    }

    #[test]
    fn labels_can_be_taken_apart_and_joined() {
        let name = Name::parse(b"\x01A\x01b\x03web\x07service\x06consul\0").expect("plain");
        assert_eq!((name.labels(), name.label(2)), (5, &b"web"[..]));
        assert_eq!(name.joined(0, 2), b"a.b");
        assert_eq!(name.joined(2, 2), b"");
        assert_eq!((name.offset(0), name.offset(2), name.offset(5)), (0, 4, 23));
        assert_eq!(name.before_suffix(b"consul", 1), Some(4));
        assert_eq!(name.before_suffix(b"service.consul", 2), Some(3));
        assert_eq!(name.before_suffix(b"onsul", 1), None);
        let dotted = Name::parse(b"\x05b.web\x06consul\0").expect("plain");
        assert_eq!((name.has_dotted_label(), dotted.has_dotted_label()), (false, true));
    }

    #[test]
    fn text_becomes_wire_or_is_refused() {
        let wire = |text: &str| {
            let mut out = Vec::new();
            to_wire(text.as_bytes(), &mut out).then_some(out)
        };
        assert_eq!(wire("www.Example").as_deref(), Some(&b"\x03www\x07Example\0"[..]));
        assert_eq!(wire("a.").as_deref(), Some(&b"\x01a\0"[..]));
        assert_eq!((wire(""), wire("a..b"), wire(".a")), (None, None, None));
        assert_eq!(wire(&"x".repeat(64)), None);
        assert_eq!(wire(&"x.".repeat(200)), None);
    }
}
