//! EDNS0: the asker's OPT record, of which we keep what an answer needs.
//!
//! Only the client subnet option is echoed; cookies and the like are skipped, as Consul does.

/// An extended error (RFC 8914): why an answer is as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtendedError<'t> {
    /// What kind of thing it is.
    pub code: u16,
    /// For people: UTF-8.
    pub text: &'t [u8],
}

impl ExtendedError<'_> {
    /// What the text alone says.
    pub const OTHER: u16 = 0;
    /// The server cannot answer yet.
    pub const NOT_READY: u16 = 14;
    /// The zone is not the server's.
    pub const NOT_AUTHORITATIVE: u16 = 20;
    /// What was asked is not done here.
    pub const NOT_SUPPORTED: u16 = 21;

    /// Bytes of the option without its text.
    pub const FIXED: usize = 6;

    /// The beginning of its text that takes at most so many bytes and ends between characters.
    pub(crate) fn cut(&self, most: usize) -> &[u8] {
        let mut length = self.text.len().min(most);
        while length > 0 && self.text.get(length).is_some_and(|byte| byte & 0xC0 == 0x80) {
            length -= 1;
        }
        &self.text[..length]
    }
}

/// What an OPT record asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns {
    /// The largest UDP answer that the asker takes, as sent (it may be below 512).
    pub udp_size: u16,
    /// EDNS version; only 0 is known.
    pub version: u8,
    /// The client subnet option, when there is one.
    pub subnet: Option<Subnet>,
}

/// A client subnet option (RFC 7871), as bytes ready to be echoed with scope 0.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    bytes: [u8; 20],
    length: u8,
}

const SUBNET: u16 = 8;

impl Edns {
    /// Reads an OPT record that fills `record` from its owner on. `None`: not a sound OPT.
    pub(crate) fn parse(record: &[u8]) -> Option<(Edns, usize)> {
        let (fixed, rest) = record.split_at_checked(11)?;
        if fixed[0] != 0 || u16::from_be_bytes([fixed[1], fixed[2]]) != crate::rtype::OPT {
            return None;
        }
        let length = usize::from(u16::from_be_bytes([fixed[9], fixed[10]]));
        let mut options = rest.get(..length)?;
        let udp_size = u16::from_be_bytes([fixed[3], fixed[4]]);
        let mut edns = Edns { udp_size, version: fixed[6], subnet: None };
        while !options.is_empty() {
            let (head, rest) = options.split_at_checked(4)?;
            let code = u16::from_be_bytes([head[0], head[1]]);
            let size = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let (option, rest) = rest.split_at_checked(size)?;
            if code == SUBNET {
                edns.subnet = Some(Subnet::parse(option)?);
            }
            options = rest;
        }
        Some((edns, 11 + length))
    }

    /// Length of the OPT record that answers this one, without an extended error.
    pub fn answer_length(&self) -> usize {
        11 + self.subnet.map_or(0, |subnet| 4 + usize::from(subnet.length))
    }
}

impl Subnet {
    fn parse(option: &[u8]) -> Option<Subnet> {
        let [family_high, family_low, source, _, address @ ..] = option else { return None };
        let longest = match u16::from_be_bytes([*family_high, *family_low]) {
            1 => 32,
            2 => 128,
            _ => return None,
        };
        if *source > longest || address.len() != usize::from(source.div_ceil(8)) {
            return None;
        }
        let mut subnet = Subnet { bytes: [0; 20], length: option.len() as u8 };
        subnet.bytes[..option.len()].copy_from_slice(option);
        // Scope 0: the answer is the same for everybody.
        subnet.bytes[3] = 0;
        Some(subnet)
    }

    /// The option's data as it is echoed.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl std::fmt::Debug for Subnet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Subnet({:02x?})", self.bytes())
    }
}
