//! The snapshot's file.
//!
//! ```text
//! "rutter snapshot\n"                                                  16 bytes
//! length of the header                                                  4
//! layout, format, cluster, last position, membership's position, members
//! checksum of all of the above                                          4
//! content, written and read by the machine, which frames it itself
//! length of the content                                                 8
//! checksum of the content and its length                                4
//! "END\n"                                                               4
//! ```
//!
//! It is streamed both ways. The content's checksum is verified before any of it is believed, by
//! reading the file twice.

use std::io::{self, BufReader, BufWriter, Read, Write};

use crate::codec::{Input, decode_membership, encode_membership, invalid, put_count, put_position};
use crate::disk::{Disk, DiskFile};
use crate::error::StartError;
use crate::fsm::{Fsm, FsmSnapshot};
use crate::types::{SnapshotMeta, StoredMembership};

use super::DIRECTORY;

const MAGIC: &[u8; 16] = b"rutter snapshot\n";
const END: &[u8; 4] = b"END\n";
const LAYOUT: u32 = 1;
const TRAILER: u64 = 16;
const BUFFER: usize = 256 << 10;
const LONGEST_HEADER: usize = 1 << 20;

/// What the data directory says, and each of its snapshots must too.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub format: u32,
    pub cluster: u128,
}

/// What a snapshot says of itself before its content.
pub(crate) struct Header {
    pub meta: SnapshotMeta,
    /// The size of the whole file; known when read.
    pub bytes: u64,
}

/// Why a snapshot cannot be used.
pub(super) enum Bad {
    /// A newer program wrote it: going back to an older one would hide what it says.
    Newer(StartError),
    Damaged(String),
}

impl From<io::Error> for Bad {
    fn from(error: io::Error) -> Bad {
        Bad::Damaged(error.to_string())
    }
}

/// Writes a snapshot; returns the size of the file. `go_on` is asked now and then, and its error
/// ends the writing.
pub(super) fn write(
    disk: &dyn Disk,
    name: &str,
    header: &Header,
    facts: &Facts,
    picture: &dyn FsmSnapshot,
    go_on: &dyn Fn() -> io::Result<()>,
) -> io::Result<u64> {
    let path = format!("{DIRECTORY}/{name}");
    let temporary = format!("{path}.tmp");
    let written = write_to(disk, &temporary, header, facts, picture, go_on);
    if written.is_err() {
        // It takes space that somebody needs; if it cannot be removed now, the next start does it.
        let _left_for_the_next_start = disk.remove(&temporary);
    }
    let bytes = written?;
    disk.rename(&temporary, &path)?;
    disk.sync_directory(DIRECTORY)?;
    Ok(bytes)
}

fn write_to(
    disk: &dyn Disk,
    path: &str,
    header: &Header,
    facts: &Facts,
    picture: &dyn FsmSnapshot,
    go_on: &dyn Fn() -> io::Result<()>,
) -> io::Result<u64> {
    let head = encode_header(header, facts);
    let mut out = Summed::new(BufWriter::with_capacity(BUFFER, disk.create(path)?));
    out.inner.write_all(&head)?;
    picture.write_to(&mut Watched { inner: &mut out, since: 0, go_on })?;
    go_on()?;
    let length = out.length;
    out.write_all(&length.to_be_bytes())?;
    let sum = out.sum.finalize();
    out.inner.write_all(&sum.to_be_bytes())?;
    out.inner.write_all(END)?;
    let mut file: Box<dyn DiskFile> = out.inner.into_inner().map_err(|error| error.into_error())?;
    file.sync()?;
    Ok(head.len() as u64 + length + TRAILER)
}

fn encode_header(header: &Header, facts: &Facts) -> Vec<u8> {
    let members = &header.meta.last_membership;
    let mut body = Vec::new();
    body.extend_from_slice(&LAYOUT.to_be_bytes());
    body.extend_from_slice(&facts.format.to_be_bytes());
    body.extend_from_slice(&facts.cluster.to_be_bytes());
    put_position(&mut body, header.meta.last_log_id.as_ref());
    put_position(&mut body, members.log_id().as_ref());
    body.extend_from_slice(&encode_membership(members.membership()));
    let mut head = MAGIC.to_vec();
    put_count(&mut head, body.len());
    head.extend_from_slice(&body);
    let sum = crc32fast::hash(&head);
    head.extend_from_slice(&sum.to_be_bytes());
    head
}

/// Reads the header, and that the file is as long as it must be.
pub(super) fn read_header(disk: &dyn Disk, name: &str, facts: &Facts) -> Result<Header, Bad> {
    let path = format!("{DIRECTORY}/{name}");
    let mut file = disk.open(&path)?;
    let body = header_body(&mut file)?;
    let mut input = Input(&body);
    let newer = |what, found, known| {
        Err(Bad::Newer(StartError::NewerFormat { directory: disk.locate(""), what, found, known }))
    };
    let layout = input.u32()?;
    if layout > LAYOUT {
        return newer("snapshot layout", layout, LAYOUT);
    }
    let format = input.u32()?;
    if format > facts.format {
        return newer("snapshot format", format, facts.format);
    }
    if input.take(16)? != facts.cluster.to_be_bytes() {
        return Err(Bad::Damaged("it belongs to another cluster".into()));
    }
    let last_log_id = input.position()?;
    let members_at = input.position()?;
    let members = decode_membership(&mut input)?;
    let last_membership = StoredMembership::new(members_at, members);
    let meta = SnapshotMeta { last_log_id, last_membership };
    Ok(Header { meta, bytes: disk.size(&path)? })
}

/// The header's body, after its checksum was found right.
fn header_body(file: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut head = vec![0; MAGIC.len() + 4];
    file.read_exact(&mut head)?;
    if &head[..MAGIC.len()] != MAGIC {
        return Err(invalid("it does not begin like a snapshot"));
    }
    let length = Input(&head[MAGIC.len()..]).u32()? as usize;
    if length > LONGEST_HEADER {
        return Err(invalid("its header cannot be that long"));
    }
    let mut body = vec![0; length];
    let mut sum = [0; 4];
    file.read_exact(&mut body)?;
    file.read_exact(&mut sum)?;
    head.extend_from_slice(&body);
    if crc32fast::hash(&head) != u32::from_be_bytes(sum) {
        return Err(invalid("the checksum of its header does not match"));
    }
    Ok(body)
}

/// Reads the content, handing it to `sink`, and checks it against the trailer.
fn read_content(
    disk: &dyn Disk,
    name: &str,
    sink: impl FnOnce(&mut dyn Read) -> io::Result<()>,
) -> io::Result<()> {
    let path = format!("{DIRECTORY}/{name}");
    let size = disk.size(&path)?;
    let mut file = BufReader::with_capacity(BUFFER, disk.open(&path)?);
    let head = MAGIC.len() as u64 + 4 + header_body(&mut file)?.len() as u64 + 4;
    let Some(length) = size.checked_sub(head + TRAILER) else {
        return Err(invalid("it is too short"));
    };
    let mut content = Summed::new((&mut file).take(length));
    sink(&mut content)?;
    io::copy(&mut content, &mut io::sink())?;
    let mut sum = content.sum;
    let (read, mut trailer) = (content.length, [0; TRAILER as usize]);
    file.read_exact(&mut trailer)?;
    sum.update(&trailer[..8]);
    let mut input = Input(&trailer);
    if read != length || input.u64()? != length || &trailer[12..] != END {
        return Err(invalid("it does not end like a snapshot"));
    }
    if input.u32()? != sum.finalize() {
        return Err(invalid("the checksum of its content does not match"));
    }
    Ok(())
}

/// Whether every byte is what was written.
pub(super) fn verify(disk: &dyn Disk, name: &str) -> io::Result<()> {
    read_content(disk, name, |_| Ok(()))
}

/// Gives the content to the machine.
pub(super) fn restore(disk: &dyn Disk, name: &str, fsm: &mut dyn Fsm) -> Result<(), StartError> {
    let mut refused = None;
    let read = read_content(disk, name, |content| {
        fsm.restore(content).map_err(|error| {
            refused = Some(error);
            invalid("the machine refused it")
        })
    });
    if let Some(refused) = refused {
        return Err(refused.into());
    }
    let path = disk.locate(&format!("{DIRECTORY}/{name}"));
    read.map_err(|source| StartError::Io { doing: "restore", path, source })
}

/// A stream that ends when it is told not to go on.
struct Watched<'a, T> {
    inner: T,
    since: usize,
    go_on: &'a dyn Fn() -> io::Result<()>,
}

impl<T: Write> Write for Watched<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.since >= BUFFER {
            (self.go_on)()?;
            self.since = 0;
        }
        // In parts, so that a picture written in one call is watched too.
        let written = self.inner.write(&bytes[..bytes.len().min(BUFFER)])?;
        self.since += written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A stream that is counted and summed on its way.
struct Summed<T> {
    inner: T,
    sum: crc32fast::Hasher,
    length: u64,
}

impl<T> Summed<T> {
    fn new(inner: T) -> Summed<T> {
        Summed { inner, sum: crc32fast::Hasher::new(), length: 0 }
    }
}

impl<T: Write> Write for Summed<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sum.update(&bytes[..written]);
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Summed<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.sum.update(&bytes[..read]);
        self.length += read as u64;
        Ok(read)
    }
}
