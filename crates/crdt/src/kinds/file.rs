//! Attachments as intents name them.

use changeset::limits::MAX_MEDIA_TYPE_BYTES;
use changeset::{Attachment, Value};
use core::fmt;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The blake3 hash of a file's content. In JSON: 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentHash([u8; 32]);

/// A file that travels apart from the change sets: what an intent says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRef {
    /// The hash of its content.
    pub hash: ContentHash,
    /// Its length in bytes.
    pub length: u64,
    /// For example `image/jpeg`.
    pub media_type: String,
}

impl ContentHash {
    /// The hash with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The first 16 hexadecimal digits: what the attachment is called below its entry, so that attaching one file twice
    /// attaches it once.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(16);
        text
    }
}

impl FileRef {
    /// Whether the media type looks like one.
    pub fn has_media_type(&self) -> bool {
        let part = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
        let parts = self.media_type.split_once('/');
        self.media_type.len() <= MAX_MEDIA_TYPE_BYTES && parts.is_some_and(|(kind, rest)| part(kind) && part(rest))
    }
}

impl From<FileRef> for Value {
    fn from(file: FileRef) -> Self {
        Self::Attachment(Attachment { hash: file.hash.0, length: file.length, media_type: file.media_type })
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for ContentHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ContentHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = ContentHash;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the blake3 hash of a file: 64 lower-case hexadecimal digits")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ContentHash, E> {
                // Any 32-byte id reads its digits alike.
                let id = changeset::ChangeSetId::from_hex(text);
                let hash = id.map(|id| ContentHash(*id.as_bytes()));
                hash.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_back_from_json() {
        let json = format!(r#"{{"hash":"{}","length":5,"media_type":"image/jpeg"}}"#, "0a".repeat(32));
        let file: FileRef = serde_json::from_str(&json).unwrap();
        assert_eq!(file.hash.short(), "0a0a0a0a0a0a0a0a");
        assert_eq!(serde_json::to_string(&file).unwrap(), json);
        let attachment = Attachment { hash: [10; 32], length: 5, media_type: "image/jpeg".into() };
        assert_eq!(Value::from(file), Value::Attachment(attachment));
        assert!(serde_json::from_str::<ContentHash>("\"0a\"").unwrap_err().to_string().contains("64 lower-case"));
    }

    #[test]
    fn media_types_have_two_parts() {
        let has = |media_type: &str| {
            FileRef { hash: ContentHash::from_bytes([0; 32]), length: 0, media_type: media_type.into() }
                .has_media_type()
        };
        assert!(has("image/jpeg") && has("text/plain;charset=utf-8"));
        let long = format!("a/{}", "b".repeat(126));
        for bad in ["", "jpeg", "/jpeg", "image/", "image/a b", "a/b/c", long.as_str()] {
            assert!(!has(bad), "{bad}");
        }
    }
}
