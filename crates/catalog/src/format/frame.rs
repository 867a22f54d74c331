//! Frames: the pieces in which a snapshot is streamed, each of one table and with its checksum.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `RUTTERSN`, once, at the beginning |
//! | 4 | the format, once, little-endian |
//! | 1 | the table's number |
//! | 4 | the length of the payload, little-endian |
//! | 4 | CRC-32 of the nine bytes before it without itself, then of the payload |
//! | … | payload: records, each after its length as a varint |
//!
//! The last frame is the end's and says how many records stand before it; nothing may follow it. A
//! frame is closed at 64 KiB, so that neither side holds more than that and one record.

use super::FORMAT;
use super::error::{Fault, FormatError, SnapshotError};
use bytes::Buf;
use prost::Message;
use std::io::{self, Read, Write};

/// What is being read, in messages.
pub(super) const WHAT: &str = "snapshot";

const MAGIC: &[u8; 8] = b"RUTTERSN";
const FRAME_FULL: usize = 64 << 10;
/// The largest payload that is read; no entry of the log is near it.
const FRAME_LIMIT: usize = 64 << 20;

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// The tables of a snapshot, in their order.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
        pub(in crate::format) enum Table {
            $($(#[$doc])* $name = $number,)*
        }

        impl Table {
            pub(super) fn from_number(number: u8) -> Option<Table> {
                match number {
                    $($number => Some(Table::$name),)*
                    _ => None,
                }
            }
        }
    };
}

tables! {
    #[default]
    Head = 1,
    Nodes = 2,
    NodeMarks = 3,
    Instances = 4,
    Services = 5,
    Checks = 6,
    Kv = 7,
    Tombstones = 8,
    LockDelays = 9,
    Sessions = 10,
    Requests = 11,
    /// An entry of history and, after it, its rows.
    History = 12,
    PastRows = 13,
    End = 255,
}

impl Table {
    pub(super) fn number(self) -> u8 {
        self as u8
    }
}

/// Collects records into frames and writes them.
pub(super) struct FrameWriter<'w> {
    out: &'w mut dyn Write,
    table: Table,
    payload: Vec<u8>,
    records: u64,
}

impl<'w> FrameWriter<'w> {
    pub(super) fn begin(out: &'w mut dyn Write) -> io::Result<FrameWriter<'w>> {
        out.write_all(MAGIC)?;
        out.write_all(&FORMAT.to_le_bytes())?;
        let payload = Vec::with_capacity(FRAME_FULL + (FRAME_FULL >> 2));
        Ok(FrameWriter { out, table: Table::Head, payload, records: 0 })
    }

    pub(super) fn record(&mut self, table: Table, record: &impl Message) -> io::Result<()> {
        if table != self.table || self.payload.len() >= FRAME_FULL {
            self.close_frame()?;
            self.table = table;
        }
        record.encode_length_delimited(&mut self.payload).map_err(io::Error::other)?;
        self.records += 1;
        Ok(())
    }

    pub(super) fn records(&self) -> u64 {
        self.records
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.close_frame()?;
        self.out.flush()
    }

    fn close_frame(&mut self) -> io::Result<()> {
        if self.payload.is_empty() {
            return Ok(());
        }
        if self.payload.len() > FRAME_LIMIT {
            let why = format!("a record of the {:?} table is over {FRAME_LIMIT} bytes", self.table);
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let length = (self.payload.len() as u32).to_le_bytes();
        let number = self.table.number();
        self.out.write_all(&[number])?;
        self.out.write_all(&length)?;
        self.out.write_all(&checksum(number, length, &self.payload).to_le_bytes())?;
        self.out.write_all(&self.payload)?;
        self.payload.clear();
        self.payload.shrink_to(2 * FRAME_FULL);
        Ok(())
    }
}

fn checksum(number: u8, length: [u8; 4], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&[number]);
    crc.update(&length);
    crc.update(payload);
    crc.finalize()
}

/// Reads frames and checks them.
pub(super) struct FrameReader<'r> {
    source: &'r mut dyn Read,
    payload: Vec<u8>,
}

impl<'r> FrameReader<'r> {
    pub(super) fn begin(source: &'r mut dyn Read) -> Result<FrameReader<'r>, SnapshotError> {
        let mut reader = FrameReader { source, payload: Vec::with_capacity(2 * FRAME_FULL) };
        if reader.bytes::<8>()? != *MAGIC {
            return Err(damaged("it does not begin like one"));
        }
        match u32::from_le_bytes(reader.bytes()?) {
            0 => Err(damaged("it names no format")),
            found if found > FORMAT => Err(FormatError::Newer { what: WHAT, found }.into()),
            _ => Ok(reader),
        }
    }

    /// The next frame's table and records.
    pub(super) fn frame(&mut self) -> Result<(Table, &[u8]), SnapshotError> {
        let [number] = self.bytes()?;
        let length = self.bytes::<4>()?;
        let expected = u32::from_le_bytes(self.bytes()?);
        let size = u32::from_le_bytes(length) as usize;
        if size > FRAME_LIMIT {
            return Err(damaged("a frame of an impossible length"));
        }
        self.payload.clear();
        self.payload.shrink_to(2 * FRAME_FULL);
        let mut limited = (&mut *self.source).take(size as u64);
        limited.read_to_end(&mut self.payload).map_err(SnapshotError::Read)?;
        if self.payload.len() < size {
            return Err(damaged("it ends in the middle of a frame"));
        }
        if checksum(number, length, &self.payload) != expected {
            return Err(damaged("a checksum does not fit"));
        }
        let table = Table::from_number(number).ok_or(Fault::Unknown("table").of(WHAT))?;
        Ok((table, &self.payload))
    }

    /// Makes sure that nothing follows the last frame.
    pub(super) fn end(&mut self) -> Result<(), SnapshotError> {
        match self.source.read(&mut [0]).map_err(SnapshotError::Read)? {
            0 => Ok(()),
            _ => Err(damaged("something follows its end")),
        }
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        let mut bytes = [0; N];
        match self.source.read_exact(&mut bytes) {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(damaged("it has no end"))
            }
            Err(error) => Err(SnapshotError::Read(error)),
        }
    }
}

/// The first of these records, which are shortened by it.
pub(super) fn next_record<M: Message + Default>(records: &mut &[u8]) -> Result<M, Fault> {
    let length = prost::decode_length_delimiter(&mut *records)?;
    if length > records.len() {
        return Err(Fault::Damaged("a record is longer than its frame".to_owned()));
    }
    let message = M::decode(&records[..length])?;
    records.advance(length);
    Ok(message)
}

pub(super) fn damaged(why: &str) -> SnapshotError {
    Fault::Damaged(why.to_owned()).of(WHAT).into()
}
