//! Base 64 as Go's `encoding/base64` reads it: line breaks count for nothing, spare bits may be set,
//! and an error names the byte of the input where it was noticed.

/// The text is not base 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("illegal base64 data at input byte {0}")]
pub struct Illegal(usize);

/// Reads padded base 64.
pub fn decode(text: &str) -> Result<Vec<u8>, Illegal> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    // Four signs make three bytes; `held` has the signs of the group begun.
    let mut held: Vec<u8> = Vec::with_capacity(4);
    let mut signs = text.bytes().enumerate().filter(|(_, byte)| !matches!(byte, b'\r' | b'\n'));
    while let Some((at, byte)) = signs.next() {
        if byte == b'=' {
            match held.len() {
                0 | 1 => return Err(Illegal(at)),
                2 => match signs.next() {
                    Some((_, b'=')) => {}
                    Some((next, _)) => return Err(Illegal(next)),
                    None => return Err(Illegal(text.len())),
                },
                _ => {}
            }
            if let Some((after, _)) = signs.next() {
                return Err(Illegal(after));
            }
            let bytes = group(&held);
            out.extend_from_slice(&bytes[..held.len() - 1]);
            return Ok(out);
        }
        held.push(value(byte).ok_or(Illegal(at))?);
        if held.len() == 4 {
            out.extend_from_slice(&group(&held));
            held.clear();
        }
    }
    // Go names the beginning of a group that the text breaks off in.
    if held.is_empty() { Ok(out) } else { Err(Illegal(text.len() - held.len())) }
}

fn group(signs: &[u8]) -> [u8; 3] {
    let bits = signs.iter().fold(0_u32, |bits, sign| bits << 6 | u32::from(*sign));
    let [_, a, b, c] = (bits << (6 * (4 - signs.len()))).to_be_bytes();
    [a, b, c]
}

fn value(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_go_reads_is_read_and_what_it_refuses_is_refused_there() {
        for (text, expected) in [
            ("", Ok("")),
            ("MQ==", Ok("1")),
            ("MTI=", Ok("12")),
            ("MTIz", Ok("123")),
            ("M\nQ=\r=\n", Ok("1")),
            ("MR==", Ok("1")),
            ("not base64!", Err(3)),
            ("MQ", Err(0)),
            ("MTIzMQ", Err(4)),
            ("MQ=", Err(3)),
            ("MQ=x", Err(3)),
            ("MQ==x", Err(4)),
            ("M===", Err(1)),
            ("=", Err(0)),
            ("MT-_", Err(2)),
        ] {
            let read = decode(text).map_err(|Illegal(at)| at);
            assert_eq!(read, expected.map(|text| text.as_bytes().to_vec()), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn four_signs_are_three_bytes(groups in proptest::collection::vec("[A-Za-z0-9+/]{4}", 0..9)) {
            let read = decode(&groups.concat()).expect("whole groups");
            prop_assert_eq!(read.len(), groups.len() * 3);
            let apart: Vec<u8> = groups.iter().flat_map(|group| decode(group).expect("one")).collect();
            prop_assert_eq!(read, apart);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text: String) {
            let _ = decode(&text);
        }
    }
}
