//! The part of deterministic CBOR that the formats use. Floats and booleans stand only alone, in values of one type, and
//! are read there: no item read here can pass for another one.

use crate::refused::{Need, Refused};

/// More than any format has: bundle 2, signed form 5, page 6.
const MAX_DEPTH: u32 = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    Null,
    Uint(u64),
    /// -1 less this.
    Nint(u64),
    Bytes(&'a [u8]),
    Text(&'a str),
    Array(Vec<Self>),
}

impl<'a> Item<'a> {
    pub(crate) fn is_null(&self) -> bool {
        *self == Item::Null
    }

    /// An unsigned integer, this one at most.
    pub(crate) fn uint(&self, most: u64) -> Option<u64> {
        match self {
            Item::Uint(n) if *n <= most => Some(*n),
            _ => None,
        }
    }

    /// An integer in -2^63 … 2^63 - 1.
    pub(crate) fn int(&self) -> Option<i64> {
        match self {
            Item::Uint(n) => i64::try_from(*n).ok(),
            Item::Nint(n) => Some(-1 - i64::try_from(*n).ok()?),
            _ => None,
        }
    }

    pub(crate) fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Item::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn fixed<const N: usize>(&self) -> Option<[u8; N]> {
        self.bytes()?.try_into().ok()
    }

    pub(crate) fn text(&self) -> Option<&'a str> {
        match self {
            Item::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn list(&self) -> Option<&[Self]> {
        match self {
            Item::Array(items) => Some(items),
            _ => None,
        }
    }

    /// An array of exactly so many.
    pub(crate) fn array<const N: usize>(&self) -> Option<&[Self; N]> {
        self.list()?.try_into().ok()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Item::Null => out.push(0xf6),
            Item::Uint(n) => head(out, 0, *n),
            Item::Nint(n) => head(out, 1, *n),
            Item::Bytes(bytes) => {
                head(out, 2, bytes.len() as u64);
                out.extend_from_slice(bytes);
            }
            Item::Text(text) => {
                head(out, 3, text.len() as u64);
                out.extend_from_slice(text.as_bytes());
            }
            Item::Array(items) => {
                head(out, 4, items.len() as u64);
                items.iter().for_each(|item| item.write(out));
            }
        }
    }
}

/// The bytes of an array of these.
pub(crate) fn cbor<const N: usize>(items: [Item<'_>; N]) -> Vec<u8> {
    Item::Array(items.into()).encode()
}

pub(crate) fn integer(n: i64) -> Vec<u8> {
    let item = if n < 0 { Item::Nint(n.unsigned_abs() - 1) } else { Item::Uint(n.unsigned_abs()) };
    item.encode()
}

/// The length of the head of a string or array of this length.
pub(crate) fn head_length(n: u64) -> u64 {
    let mut out = Vec::new();
    head(&mut out, 2, n);
    out.len() as u64
}

fn head(out: &mut Vec<u8>, major: u8, n: u64) {
    let bytes = n.to_be_bytes();
    let (info, size) = match n {
        0..24 => {
            out.push(major << 5 | bytes[7]);
            return;
        }
        24..0x100 => (24, 1),
        0x100..0x1_0000 => (25, 2),
        0x1_0000..0x1_0000_0000 => (26, 4),
        _ => (27, 8),
    };
    out.push(major << 5 | info);
    out.extend_from_slice(&bytes[8 - size..]);
}

impl From<u64> for Item<'_> {
    fn from(n: u64) -> Self {
        Item::Uint(n)
    }
}

impl<'a> From<&'a [u8]> for Item<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Item::Bytes(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Item<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Item::Bytes(bytes)
    }
}

impl<'a> From<&'a str> for Item<'a> {
    fn from(text: &'a str) -> Self {
        Item::Text(text)
    }
}

impl<'a> From<Vec<Self>> for Item<'a> {
    fn from(items: Vec<Self>) -> Self {
        Item::Array(items)
    }
}

impl<'a, T: Into<Self>> From<Option<T>> for Item<'a> {
    fn from(item: Option<T>) -> Self {
        item.map_or(Item::Null, Into::into)
    }
}

/// The one item that the bytes encode; refused unless nothing follows.
pub(crate) fn decode(data: &[u8]) -> Result<Item<'_>, Refused> {
    let (item, end) = decode_at(data, 0)?;
    (end == data.len()).need("cbor: bytes after the item")?;
    Ok(item)
}

/// The item that begins here, and where it ends.
pub(crate) fn decode_at(data: &[u8], start: usize) -> Result<(Item<'_>, usize), Refused> {
    let mut reader = Reader { data, at: start };
    let item = reader.item(0)?;
    Ok((item, reader.at))
}

struct Reader<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Refused> {
        let rest = self.data.get(self.at..).need("cbor: ends early")?;
        let taken = rest.get(..count).need("cbor: ends early")?;
        self.at += count;
        Ok(taken)
    }

    fn item(&mut self, depth: u32) -> Result<Item<'a>, Refused> {
        let first = self.take(1)?[0];
        if first == 0xf6 {
            return Ok(Item::Null);
        }
        let (major, info) = (first >> 5, first & 31);
        let n = match info {
            0..24 => u64::from(info),
            24..28 => {
                let size = 1 << (info - 24);
                let n = self.take(size)?.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
                let least = if size == 1 { 24 } else { 1 << (4 * size) };
                (n >= least).need("cbor: head not shortest")?;
                n
            }
            _ => return None.need("cbor: reserved or indefinite head"),
        };
        match major {
            0 => Ok(Item::Uint(n)),
            1 => (n < 1 << 63).need("cbor: integer below -2^63").map(|()| Item::Nint(n)),
            2 => Ok(Item::Bytes(self.string(n)?)),
            3 => std::str::from_utf8(self.string(n)?).ok().need("cbor: text is not UTF-8").map(Item::Text),
            4 => {
                (n <= (self.data.len() - self.at) as u64).need("cbor: array longer than what is left")?;
                (depth < MAX_DEPTH).need("cbor: nested deeper than any format")?;
                (0..n).map(|_| self.item(depth + 1)).collect::<Result<_, _>>().map(Item::Array)
            }
            _ => None.need("cbor: nothing of this format has this head"),
        }
    }

    fn string(&mut self, length: u64) -> Result<&'a [u8], Refused> {
        self.take(usize::try_from(length).ok().need("cbor: ends early")?)
    }
}
