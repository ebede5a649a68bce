//! Keys and ids as people carry them: 52 characters, and a code to compare.

use changeset::hash::{CONTEXT_COMPARISON, statement};
use changeset::{PublicKey, WorkspaceId};
use core::fmt;
use core::str::FromStr;

/// Crockford's alphabet in lower case: without i, l, o and u.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// How many characters 256 bits take.
const LENGTH: usize = 52;

/// A public key or a workspace id as text: 52 characters of lower-case base32. [`fmt::Display`] writes them as they are,
/// [`KeyText::grouped`] in fours; parsing takes either, in upper case as well, and reads o as 0, i and l as 1.
///
/// It has no checksum: that it is the right key is seen by comparing a [`ComparisonCode`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyText([u8; 32]);

/// Why a text is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyTextError {
    /// A character that no key has.
    #[error("character {position} is `{found}`, which no key has; look at it again")]
    BadCharacter {
        /// Which, from 1, spaces and dashes not counted.
        position: usize,
        /// The character.
        found: char,
    },
    /// Too few or too many characters.
    #[error("{found} characters, a key has 52")]
    WrongLength {
        /// How many there are, spaces and dashes not counted.
        found: usize,
    },
    /// The last character stands for more bits than are left.
    #[error("the last character cannot be `{found}`; look at it again")]
    SpareBits {
        /// The character.
        found: char,
    },
}

impl KeyText {
    /// The text of a key.
    pub fn of_key(key: &PublicKey) -> Self {
        Self(*key.as_bytes())
    }

    /// The text of a workspace id.
    pub fn of_workspace(workspace: &WorkspaceId) -> Self {
        Self(*workspace.as_bytes())
    }

    /// The key that the text stands for, if it is one: nothing in the text says so.
    pub fn to_key(self) -> PublicKey {
        PublicKey::from_bytes(self.0)
    }

    /// The workspace that the text stands for, if it is one: nothing in the text says so.
    pub fn to_workspace(self) -> WorkspaceId {
        WorkspaceId::from_bytes(self.0)
    }

    /// Thirteen groups of four, for reading aloud.
    pub fn grouped(&self) -> String {
        let text = self.to_string();
        let groups: Vec<&str> = (0..LENGTH).step_by(4).filter_map(|at| text.get(at..at + 4)).collect();
        groups.join(" ")
    }
}

impl FromStr for KeyText {
    type Err = KeyTextError;

    fn from_str(text: &str) -> Result<Self, KeyTextError> {
        let mut bytes = [0; 32];
        let (mut position, mut bits, mut held, mut last) = (0, 0_u32, 0_u32, '0');
        let mut filled = bytes.iter_mut();
        for found in text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '-' | '\u{2010}'..='\u{2015}')) {
            position += 1;
            let digit = digit(found).ok_or(KeyTextError::BadCharacter { position, found })?;
            last = found;
            held = held << 5 | digit;
            bits += 5;
            if bits >= 8
                && let Some(byte) = filled.next()
            {
                bits -= 8;
                *byte = (held >> bits) as u8;
                held &= (1 << bits) - 1;
            } else {
                // Beyond the last byte nothing is kept: the count alone will refuse it.
                bits = bits.min(8);
            }
        }
        if position != LENGTH {
            Err(KeyTextError::WrongLength { found: position })
        } else if held != 0 {
            Err(KeyTextError::SpareBits { found: last })
        } else {
            Ok(Self(bytes))
        }
    }
}

fn digit(found: char) -> Option<u32> {
    let lower = match found.to_ascii_lowercase() {
        'o' => '0',
        'i' | 'l' => '1',
        other => other,
    };
    ALPHABET.iter().position(|letter| char::from(*letter) == lower).and_then(|at| u32::try_from(at).ok())
}

impl fmt::Display for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bit = |at: usize| self.0.get(at / 8).map_or(0, |byte| usize::from(byte >> (7 - at % 8) & 1));
        for at in 0..LENGTH {
            let digit = (at * 5..at * 5 + 5).fold(0, |digit, at| digit << 1 | bit(at));
            f.write_str(ALPHABET.get(digit).map_or("", |letter| char_text(letter)))?;
        }
        Ok(())
    }
}

fn char_text(letter: &u8) -> &str {
    core::str::from_utf8(core::slice::from_ref(letter)).unwrap_or_default()
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyText({self})")
    }
}

/// Six digits that two people read to each other when a device joins: equal on both sides if both have the same workspace
/// and key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComparisonCode(u32);

impl fmt::Display for ComparisonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03} {:03}", self.0 / 1000, self.0 % 1000)
    }
}

/// The code for a device that joins. `nonce` is drawn by the admitting side *after* it has the key: whoever knew it
/// before could search for a key with the same code in a second. One wrong comparison in a million passes.
pub fn comparison_code(workspace: &WorkspaceId, key: &PublicKey, nonce: &[u8; 16]) -> ComparisonCode {
    let material = [&workspace.as_bytes()[..], key.as_bytes(), nonce].concat();
    let [a, b, c, d, e, f, g, h, ..] = statement(CONTEXT_COMPARISON, &material);
    // Below 1 in 10^13 from uniform.
    ComparisonCode((u64::from_be_bytes([a, b, c, d, e, f, g, h]) % 1_000_000) as u32)
}
