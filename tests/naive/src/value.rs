//! Values by type.

use crate::cbor::decode;
use crate::names::{is_kind, is_partition};

pub(crate) const SIMPLE: u64 = 0;
pub(crate) const STRING: u64 = 4;
pub(crate) const BYTES: u64 = 5;
pub(crate) const COUNTER: u64 = 7;
pub(crate) const NULL: [u8; 1] = [0xf6];

/// Whether the bytes decode without rest as the type.
pub(crate) fn fits(code: u64, value: &[u8]) -> bool {
    match code {
        SIMPLE => matches!(value, [0xf4..=0xf6]),
        3 => is_float(value),
        STRING => std::str::from_utf8(value).is_ok(),
        BYTES => true,
        _ => is_item(code, value).unwrap_or(false),
    }
}

fn is_float(value: &[u8]) -> bool {
    let [0xfb, bits @ ..] = value else { return false };
    let Ok(bits) = bits.try_into() else { return false };
    let number = f64::from_be_bytes(bits);
    number.is_finite() && !(number == 0.0 && number.is_sign_negative())
}

fn is_item(code: u64, value: &[u8]) -> Option<bool> {
    let item = decode(value).ok()?;
    match code {
        1 | 6 => item.int().map(|_| true),
        2 => {
            let [mantissa, scale] = item.array()?;
            Some(mantissa.int().is_some() && scale.uint(18).is_some())
        }
        COUNTER => item.int().map(|n| n.unsigned_abs() < 1 << 31),
        8 => {
            let [partition, kind, document] = item.array()?;
            Some(is_partition(partition.text()?) && is_kind(kind.text()?) && document.fixed::<16>().is_some())
        }
        9 => {
            let [hash, length, media_type] = item.array()?;
            Some(hash.fixed::<32>().is_some() && length.uint(u64::MAX).is_some() && media_type.text()?.len() <= 127)
        }
        _ => None,
    }
}

/// The number of a counter or of an increment that fits.
pub(crate) fn number(value: &[u8]) -> i64 {
    decode(value).ok().and_then(|item| item.int()).unwrap_or(0)
}
