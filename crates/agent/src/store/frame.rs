//! The bytes of the agent's store: a header and frames, each written by one write.
//!
//! A frame says where it stands and up to where the file was synced when it was written. So a torn
//! tail, which was never acknowledged, is told from damage to what was: only behind the latter
//! stands a whole frame that knows it was synced.
//!
//! | bytes | frame |
//! |---|---|
//! | 4 | `rfr1` |
//! | 4 | length of the payload |
//! | 8 | position of this frame in the file |
//! | 8 | the file was synced up to here |
//! | 4 | CRC-32 of the three numbers and the payload |
//! | … | payload; empty where the frame only marks what was synced |

/// The first bytes of a store; the digit is the version of the frames.
pub const HEADER: &[u8; 16] = b"rutter agent 1\n\0";

const MAGIC: &[u8; 4] = b"rfr1";
const FRAME_HEADER: usize = 28;

/// What a store holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Contents<'b> {
    /// The payloads in order, without the empty ones.
    pub payloads: Vec<&'b [u8]>,
    /// How many bytes are whole; what follows is a torn tail.
    pub whole: usize,
}

/// Why a store cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// It does not begin as one.
    Foreign,
    /// A newer version wrote it.
    Newer,
    /// What was acknowledged is damaged here.
    Corrupt(usize),
}

/// Appends a frame to `out`; `position` is where it will stand in the file.
pub fn write(out: &mut Vec<u8>, position: u64, synced: u64, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("batches are cut far below 4 GiB");
    let start = out.len() + MAGIC.len();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&position.to_le_bytes());
    out.extend_from_slice(&synced.to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&out[start..]);
    crc.update(payload);
    out.extend_from_slice(&crc.finalize().to_le_bytes());
    out.extend_from_slice(payload);
}

/// Reads a whole store.
pub fn read(bytes: &[u8]) -> Result<Contents<'_>, Damage> {
    check_header(bytes)?;
    let mut contents = Contents { payloads: Vec::new(), whole: HEADER.len() };
    while contents.whole < bytes.len() {
        let Some(frame) = frame_at(bytes, contents.whole) else {
            return torn_tail(bytes, contents);
        };
        contents.whole += FRAME_HEADER + frame.payload.len();
        if !frame.payload.is_empty() {
            contents.payloads.push(frame.payload);
        }
    }
    Ok(contents)
}

fn check_header(bytes: &[u8]) -> Result<(), Damage> {
    let digit = HEADER.len() - 3;
    match bytes.get(..HEADER.len()) {
        Some(header) if header == HEADER => Ok(()),
        Some(header)
            if header[..digit] == HEADER[..digit]
                && header[digit + 1..] == HEADER[digit + 1..]
                && header[digit].is_ascii_digit() =>
        {
            Err(Damage::Newer)
        }
        _ => Err(Damage::Foreign),
    }
}

/// Refuses if a later frame knows that what is damaged was synced.
fn torn_tail<'b>(bytes: &'b [u8], contents: Contents<'b>) -> Result<Contents<'b>, Damage> {
    let damaged = contents.whole;
    let acknowledged = (damaged + 1..bytes.len())
        .filter(|at| bytes[*at..].starts_with(MAGIC))
        .filter_map(|at| frame_at(bytes, at))
        .any(|frame| frame.synced > damaged as u64);
    if acknowledged { Err(Damage::Corrupt(damaged)) } else { Ok(contents) }
}

struct Frame<'b> {
    synced: u64,
    payload: &'b [u8],
}

fn frame_at(bytes: &[u8], at: usize) -> Option<Frame<'_>> {
    let header = bytes.get(at..at.checked_add(FRAME_HEADER)?)?;
    let number =
        |from: usize| u64::from_le_bytes(header[from..from + 8].try_into().expect("8 bytes"));
    let word =
        |from: usize| u32::from_le_bytes(header[from..from + 4].try_into().expect("4 bytes"));
    if !header.starts_with(MAGIC) || number(8) != at as u64 {
        return None;
    }
    let start = at + FRAME_HEADER;
    let payload = bytes.get(start..start.checked_add(word(4) as usize)?)?;
    let mut crc = crc32fast::Hasher::new();
    crc.update(&header[4..24]);
    crc.update(payload);
    (crc.finalize() == word(24)).then_some(Frame { synced: number(16), payload })
}
