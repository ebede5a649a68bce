//! Ids and names: one type for each, checked when it is made.

use crate::error::Fault;
use crate::limits::{MAX_INTENT_BYTES, MAX_KIND_BYTES, MAX_PARTITION_BYTES, MAX_PATH_BYTES, MAX_PATH_SEGMENTS};
use core::fmt;
use std::sync::Arc;

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// The id with these bytes.
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }

            /// The id from lower-case hexadecimal digits, two for each byte.
            pub fn from_hex(text: &str) -> Option<Self> {
                let digits = text.as_bytes();
                if digits.len() != 2 * $bytes {
                    return None;
                }
                let mut bytes = [0; $bytes];
                for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
                    *byte = pair.iter().try_fold(0, |value, digit| Some(value << 4 | hex_digit(*digit)?))?;
                }
                Some(Self(bytes))
            }

            /// The first eight hexadecimal digits: enough to tell apart what is on one screen.
            pub fn short(&self) -> String {
                let mut text = self.to_string();
                text.truncate(8);
                text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({}…)", stringify!($name), self.short())
            }
        }
    };
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

byte_id!(
    /// A workspace: one organisation's trust domain. The hash of its genesis record.
    WorkspaceId, 32
);
byte_id!(
    /// A change set: the keyed hash of its header under its actor's chain key.
    ChangeSetId, 32
);
byte_id!(
    /// An actor: one writer, that is one (workspace, partition, device key, incarnation). It is the chain key K that
    /// its change set ids are hashed under; it is public.
    ActorId, 32
);
byte_id!(
    /// A device's ed25519 public key.
    PublicKey, 32
);
byte_id!(
    /// The name of one branch of an actor's chain, and the Automerge actor id of what was written on it: the actor id
    /// itself until the chain forks.
    BranchName, 32
);
byte_id!(
    /// Eight random bytes, drawn when a store is created and again when it may have been rolled back or copied.
    Incarnation, 8
);
byte_id!(
    /// Eight random bytes, drawn when a replica's log of a partition begins.
    LogIncarnation, 8
);
byte_id!(
    /// Ties change sets of several documents into one intent, for show only.
    GroupId, 16
);
byte_id!(
    /// A document's UUID, version 7. With partition and kind it is the document's identity.
    DocumentId, 16
);

impl DocumentId {
    /// A version 7 UUID (RFC 9562 §5.7) from milliseconds since 1970 and ten random bytes.
    pub fn from_parts(time_ms: u64, random: [u8; 10]) -> Self {
        let mut bytes = [0; 16];
        let (time, rest) = bytes.split_at_mut(6);
        time.copy_from_slice(&time_ms.to_be_bytes()[2..]);
        rest.copy_from_slice(&random);
        bytes[6] = bytes[6] & 0x0f | 0x70;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// The usual form with hyphens.
    pub fn to_uuid(&self) -> String {
        let hex = self.to_string();
        let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
        [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
    }

    /// Reads the usual form, with or without hyphens.
    pub fn from_uuid(text: &str) -> Option<Self> {
        Self::from_hex(&text.replace('-', ""))
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The checked name.
            ///
            /// # Errors
            /// [`Fault::BadName`] if the text breaks the pattern or the length limit.
            pub fn new(text: &str) -> Result<Self, Fault> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.into())) } else { Err(Fault::BadName($what)) }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.as_str())
            }
        }

        impl core::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

fn lower_or_digit(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

name!(
    /// A partition: the unit of log, subscription, read access, retention and sharding. `[a-z0-9][a-z0-9._-]{0,62}`.
    Partition, "partition name ([a-z0-9][a-z0-9._-]{0,62})", |text| {
        text.len() <= MAX_PARTITION_BYTES
            && text.bytes().next().is_some_and(lower_or_digit)
            && text.bytes().all(|byte| lower_or_digit(byte) || b"._-".contains(&byte))
    }
);
name!(
    /// What a document is, for example `inspection`. `[a-z][a-z0-9_-]{0,31}`.
    Kind, "document kind ([a-z][a-z0-9_-]{0,31})", |text| {
        text.len() <= MAX_KIND_BYTES
            && text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
            && text.bytes().all(|byte| lower_or_digit(byte) || b"_-".contains(&byte))
    }
);
name!(
    /// The name of a person's command, for example `record_outcome`. `[a-z][a-z0-9_]{0,47}`.
    IntentName, "intent name ([a-z][a-z0-9_]{0,47})", |text| {
        text.len() <= MAX_INTENT_BYTES
            && text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
            && text.bytes().all(|byte| lower_or_digit(byte) || byte == b'_')
    }
);
name!(
    /// Where a value stands in a document: up to 16 segments `[a-z0-9_.-]+` joined by `/`, 255 bytes in all.
    Path, "path (segments [a-z0-9_.-]+ joined by /)", |text| {
        text.len() <= MAX_PATH_BYTES
            && text.split('/').count() <= MAX_PATH_SEGMENTS
            && text.split('/').all(|segment| {
                !segment.is_empty() && segment.bytes().all(|byte| lower_or_digit(byte) || b"_.-".contains(&byte))
            })
    }
);

impl Path {
    /// The segments, outermost first.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

/// A document's identity inside a partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentKey {
    /// What it is.
    pub kind: Kind,
    /// Its UUID.
    pub id: DocumentId,
}

impl fmt::Display for DocumentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.id.to_uuid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_patterns() {
        assert!(Partition::new("harbour-7.north_2").is_ok());
        for bad in ["", "-a", "A", "a/b", &"a".repeat(64)] {
            assert!(Partition::new(bad).is_err(), "{bad}");
        }
        assert!(Path::new("items/7/.").is_ok());
        for bad in ["", "/", "a//b", "a/", "Ä", "a b", &"a/".repeat(16), &"a".repeat(256)] {
            assert!(Path::new(bad).is_err(), "{bad}");
        }
        assert!(Kind::new("7up").is_err());
        assert!(IntentName::new("record-outcome").is_err());
    }

    #[test]
    fn a_document_id_is_a_uuid_of_version_7() {
        let id = DocumentId::from_parts(0x0123_4567_89ab, [0xff; 10]);
        assert_eq!(id.to_uuid(), "01234567-89ab-7fff-bfff-ffffffffffff");
        assert_eq!(DocumentId::from_uuid(&id.to_uuid()), Some(id));
        assert_eq!(DocumentId::from_hex("0"), None);
        assert_eq!(ActorId::from_hex(&"zz".repeat(32)), None);
    }
}
