//! Deterministic CBOR (RFC 8949 §4.2.1): the one codec of every signed byte.
//!
//! Only what Fieldbook's formats use is known: unsigned and negative integers, byte and text strings, arrays of
//! definite length, `null`, `true`, `false` and 64-bit floats. [`Reader`] refuses everything that [`Writer`] would have
//! written otherwise, so that equal content has equal bytes and equal ids.

use crate::error::{DecodeError, Fault};

const UINT: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;
const FLOAT64: u8 = 0xfb;

/// Appends deterministic CBOR items to a buffer.
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty buffer that holds `bytes` without growing.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes) }
    }

    /// The bytes written so far.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// The number of bytes written so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    fn head(&mut self, major: u8, argument: u64) {
        let major = major << 5;
        let [_, _, _, _, b3, b2, b1, b0] = argument.to_be_bytes();
        if argument < 24 {
            self.out.push(major | b0);
        } else if argument <= 0xff {
            self.out.extend_from_slice(&[major | 24, b0]);
        } else if argument <= 0xffff {
            self.out.extend_from_slice(&[major | 25, b1, b0]);
        } else if argument <= 0xffff_ffff {
            self.out.extend_from_slice(&[major | 26, b3, b2, b1, b0]);
        } else {
            self.out.push(major | 27);
            self.out.extend_from_slice(&argument.to_be_bytes());
        }
    }

    /// An unsigned integer.
    pub fn uint(&mut self, value: u64) {
        self.head(UINT, value);
    }

    /// A signed integer; what is not negative is written as an unsigned one.
    pub fn int(&mut self, value: i64) {
        if value < 0 { self.head(NEGATIVE, !(value as u64)) } else { self.head(UINT, value as u64) }
    }

    /// A byte string.
    pub fn bytes(&mut self, value: &[u8]) {
        self.head(BYTES, value.len() as u64);
        self.out.extend_from_slice(value);
    }

    /// A text string.
    pub fn text(&mut self, value: &str) {
        self.head(TEXT, value.len() as u64);
        self.out.extend_from_slice(value.as_bytes());
    }

    /// The head of an array; `items` items must follow.
    pub fn array(&mut self, items: usize) {
        self.head(ARRAY, items as u64);
    }

    /// The value `null`.
    pub fn null(&mut self) {
        self.out.push(NULL);
    }

    /// A truth value.
    pub fn bool(&mut self, value: bool) {
        self.out.push(if value { TRUE } else { FALSE });
    }

    /// A 64-bit float, always in nine bytes: floats are data here, never lengths, so the shortest-float rule of
    /// RFC 8949 §4.2.2 is not applied and every reader needs only one float format.
    pub fn float(&mut self, value: f64) {
        self.out.push(FLOAT64);
        self.out.extend_from_slice(&value.to_bits().to_be_bytes());
    }

    /// Bytes that are already deterministic CBOR.
    pub fn raw(&mut self, encoded: &[u8]) {
        self.out.extend_from_slice(encoded);
    }
}

/// Reads deterministic CBOR strictly; every error names the place and the byte offset.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    data: &'a [u8],
    position: usize,
    place: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads `data` from its start; `place` names it in errors, for example `"header"`.
    pub fn new(data: &'a [u8], place: &'static str) -> Self {
        Self { data, position: 0, place }
    }

    /// The offset of the next byte.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The bytes between two offsets that this reader has passed.
    pub fn slice(&self, from: usize, to: usize) -> &'a [u8] {
        self.data.get(from..to).unwrap_or_default()
    }

    /// Names the part that is read next, for errors.
    pub fn place(&mut self, place: &'static str) {
        self.place = place;
    }

    /// An error at the next byte.
    pub fn fault(&self, fault: Fault) -> DecodeError {
        self.fault_at(self.position, fault)
    }

    /// An error at `offset`.
    pub fn fault_at(&self, offset: usize, fault: Fault) -> DecodeError {
        DecodeError { place: self.place, offset, fault }
    }

    /// Whether every byte was read.
    pub fn is_done(&self) -> bool {
        self.position >= self.data.len()
    }

    /// Refuses bytes after the last item.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.is_done() { Ok(()) } else { Err(self.fault(Fault::TrailingBytes)) }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.position.checked_add(length).ok_or_else(|| self.fault(Fault::Truncated))?;
        let bytes = self.data.get(self.position..end).ok_or_else(|| self.fault(Fault::Truncated))?;
        self.position = end;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        let byte = *self.data.get(self.position).ok_or_else(|| self.fault(Fault::Truncated))?;
        self.position += 1;
        Ok(byte)
    }

    /// Reads an item's head and gives its major type and argument.
    fn head(&mut self) -> Result<(u8, u64), DecodeError> {
        let start = self.position;
        let first = self.byte()?;
        let (major, info) = (first >> 5, first & 31);
        let (argument, smallest) = match info {
            0..=23 => (u64::from(info), 0),
            24 => (u64::from(self.byte()?), 24),
            25 => (big_endian(self.take(2)?), 0x100),
            26 => (big_endian(self.take(4)?), 0x1_0000),
            27 => (big_endian(self.take(8)?), 0x1_0000_0000),
            _ => return Err(self.fault_at(start, Fault::IndefiniteLength)),
        };
        if argument < smallest {
            return Err(self.fault_at(start, Fault::NotShortest));
        }
        Ok((major, argument))
    }

    fn expect(&mut self, major: u8, wanted: &'static str) -> Result<u64, DecodeError> {
        let start = self.position;
        let (found, argument) = self.head()?;
        if found == major { Ok(argument) } else { Err(self.fault_at(start, Fault::Expected(wanted))) }
    }

    /// An unsigned integer of at most `max`.
    pub fn uint(&mut self, max: u64) -> Result<u64, DecodeError> {
        let start = self.position;
        let value = self.expect(UINT, "an unsigned integer")?;
        if value > max { Err(self.fault_at(start, Fault::OverLimit { limit: max })) } else { Ok(value) }
    }

    /// An unsigned integer that fits 32 bits.
    pub fn uint32(&mut self) -> Result<u32, DecodeError> {
        Ok(self.uint(u64::from(u32::MAX))? as u32)
    }

    /// A signed 64-bit integer.
    pub fn int(&mut self) -> Result<i64, DecodeError> {
        let start = self.position;
        let (major, argument) = self.head()?;
        let value =
            i64::try_from(argument).map_err(|_| self.fault_at(start, Fault::OverLimit { limit: i64::MAX as u64 }))?;
        match major {
            UINT => Ok(value),
            NEGATIVE => Ok(!value),
            _ => Err(self.fault_at(start, Fault::Expected("an integer"))),
        }
    }

    fn string(&mut self, major: u8, wanted: &'static str, max: usize) -> Result<&'a [u8], DecodeError> {
        let start = self.position;
        let length = self.expect(major, wanted)?;
        if length > max as u64 {
            return Err(self.fault_at(start, Fault::OverLimit { limit: max as u64 }));
        }
        self.take(length as usize)
    }

    /// A byte string of at most `max` bytes.
    pub fn bytes(&mut self, max: usize) -> Result<&'a [u8], DecodeError> {
        self.string(BYTES, "a byte string", max)
    }

    /// A byte string of exactly `N` bytes.
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let start = self.position;
        let bytes = self.bytes(N)?;
        <[u8; N]>::try_from(bytes).map_err(|_| self.fault_at(start, Fault::WrongLength { wanted: N }))
    }

    /// A text string of at most `max` bytes.
    pub fn text(&mut self, max: usize) -> Result<&'a str, DecodeError> {
        let start = self.position;
        let bytes = self.string(TEXT, "a text string", max)?;
        core::str::from_utf8(bytes).map_err(|_| self.fault_at(start, Fault::NotUtf8))
    }

    /// The head of an array of at most `max` items.
    pub fn array(&mut self, max: usize) -> Result<usize, DecodeError> {
        let start = self.position;
        let items = self.expect(ARRAY, "an array")?;
        if items > max as u64 {
            return Err(self.fault_at(start, Fault::OverLimit { limit: max as u64 }));
        }
        // Every item takes a byte at least: a count beyond the input is refused before anything is reserved for it.
        if items > (self.data.len() - self.position) as u64 {
            return Err(self.fault_at(start, Fault::Truncated));
        }
        Ok(items as usize)
    }

    /// The head of an array of exactly `items` items.
    pub fn array_of(&mut self, items: usize) -> Result<(), DecodeError> {
        let start = self.position;
        let found = self.array(items)?;
        if found == items { Ok(()) } else { Err(self.fault_at(start, Fault::WrongLength { wanted: items })) }
    }

    /// Passes a `null` if it is next.
    pub fn null(&mut self) -> bool {
        let found = self.data.get(self.position) == Some(&NULL);
        self.position += usize::from(found);
        found
    }

    /// A truth value.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        let start = self.position;
        match self.byte()? {
            TRUE => Ok(true),
            FALSE => Ok(false),
            _ => Err(self.fault_at(start, Fault::Expected("true or false"))),
        }
    }

    /// A finite 64-bit float; negative zero and not-a-number are refused.
    pub fn float(&mut self) -> Result<f64, DecodeError> {
        let start = self.position;
        if self.byte()? != FLOAT64 {
            return Err(self.fault_at(start, Fault::Expected("a 64-bit float")));
        }
        let value = f64::from_bits(big_endian(self.take(8)?));
        if value.is_finite() && (value != 0.0 || value.is_sign_positive()) {
            Ok(value)
        } else {
            Err(self.fault_at(start, Fault::NotFinite))
        }
    }

    /// What the next item is, without passing it.
    pub fn peek(&self) -> Option<Kind> {
        let first = *self.data.get(self.position)?;
        match first >> 5 {
            UINT => Some(Kind::Uint),
            NEGATIVE => Some(Kind::Negative),
            BYTES => Some(Kind::Bytes),
            TEXT => Some(Kind::Text),
            ARRAY => Some(Kind::Array),
            _ if first == NULL => Some(Kind::Null),
            _ => Some(Kind::Other),
        }
    }
}

/// The kind of the next item, for formats that allow more than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Unsigned integer.
    Uint,
    /// Negative integer.
    Negative,
    /// Byte string.
    Bytes,
    /// Text string.
    Text,
    /// Array.
    Array,
    /// `null`.
    Null,
    /// Truth value, float, or something these formats do not use.
    Other,
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut writer = Writer::new();
        write(&mut writer);
        writer.into_bytes()
    }

    proptest! {
        #[test]
        fn integers_come_back(value: i64) {
            let bytes = written(|w| w.int(value));
            let mut reader = Reader::new(&bytes, "test");
            prop_assert_eq!(reader.int(), Ok(value));
            prop_assert!(reader.finish().is_ok());
        }

        #[test]
        fn what_reads_as_an_integer_is_written_back_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..10)) {
            let mut reader = Reader::new(&bytes, "test");
            if let Ok(value) = reader.int() {
                prop_assert_eq!(written(|w| w.int(value)), reader.slice(0, reader.position()));
            }
        }
    }

    #[test]
    fn longer_forms_are_refused() {
        for bytes in
            [&[0x18, 23][..], &[0x19, 0, 255], &[0x1a, 0, 0, 255, 255], &[0x1b, 0, 0, 0, 0, 255, 255, 255, 255]]
        {
            let error = Reader::new(bytes, "test").uint(u64::MAX).unwrap_err();
            assert_eq!(error, DecodeError { place: "test", offset: 0, fault: Fault::NotShortest });
        }
        assert_eq!(Reader::new(&[0x9f, 0xff], "test").array(9).unwrap_err().fault, Fault::IndefiniteLength);
    }

    #[test]
    fn a_count_beyond_the_input_reserves_nothing() {
        let bytes = [0x9a, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(Reader::new(&bytes, "test").array(usize::MAX).unwrap_err().fault, Fault::Truncated);
    }

    #[test]
    fn only_plain_finite_floats_are_read() {
        for value in [f64::NAN, f64::INFINITY, -0.0] {
            let bytes = written(|w| w.float(value));
            assert_eq!(Reader::new(&bytes, "test").float().unwrap_err().fault, Fault::NotFinite);
        }
        assert_eq!(Reader::new(&written(|w| w.float(-1.5)), "test").float(), Ok(-1.5));
    }
}
