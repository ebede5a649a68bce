//! The body of a change set: its outer layout, its hash, and redaction.
//!
//! The outer layout and the hash are frozen with the header, whatever `format` says: a relay that opens no body can
//! check that it is the one that was signed, with all its values or with some of them purged.

use crate::cbor::{Kind as Item, Reader, Writer};
use crate::error::{DecodeError, Fault};
use crate::hash::{CONTEXT_BODY, value_commitment, value_salt};
use crate::id::{GroupId, IntentName};
use crate::limits::{MAX_BODY_BYTES, MAX_GROUP, MAX_INTENT_BYTES, MAX_SKELETON_BYTES, MAX_VALUE_BYTES, MAX_VALUES};
use crate::script::Skeleton;

/// A body, with all of its values or some of them purged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The version of the kind's schema that the author had.
    pub schema_version: u32,
    /// The person's command.
    pub intent: IntentName,
    /// One intent over several documents, for show only.
    pub group: Option<Group>,
    /// The skeleton's bytes; see [`Skeleton::from_bytes`].
    pub skeleton: Vec<u8>,
    values: Values,
}

/// This change set is number `index` of `count` that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// The same in all of them.
    pub id: GroupId,
    /// From 1.
    pub index: u32,
    /// At least 1.
    pub count: u32,
}

impl Group {
    /// # Errors
    /// The [`Fault`] that every receiver would find.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        if u64::from(self.count) > MAX_GROUP {
            Err(Fault::OverLimit { limit: MAX_GROUP })
        } else if self.index == 0 || self.index > self.count {
            Err(Fault::BadReference("a member of the group"))
        } else {
            Ok(())
        }
    }
}

/// The salt of a body without values. Any other could be changed by whoever carries it, under the same id and signature.
const NO_SALT: [u8; 16] = [0; 16];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Values {
    /// One salt for all, from which each value's own follows.
    Whole { salt: [u8; 16], values: Vec<Vec<u8>> },
    /// At least one purged; every survivor carries the salt of its own, so that those of the purged ones stay unknown.
    Purged(Vec<Slot>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Slot {
    Kept { salt: [u8; 32], value: Vec<u8> },
    Purged { commitment: [u8; 32] },
}

impl Body {
    /// A body with all its values. `salt` is 16 bytes from a secure random source, new for each body; a body without
    /// values has none, since no commitment would cover it.
    pub fn new(
        schema_version: u32,
        intent: IntentName,
        group: Option<Group>,
        skeleton: Vec<u8>,
        salt: [u8; 16],
        values: Vec<Vec<u8>>,
    ) -> Self {
        let salt = if values.is_empty() { NO_SALT } else { salt };
        Self { schema_version, intent, group, skeleton, values: Values::Whole { salt, values } }
    }

    /// How many values it has, purged ones included.
    pub fn value_count(&self) -> usize {
        match &self.values {
            Values::Whole { values, .. } => values.len(),
            Values::Purged(slots) => slots.len(),
        }
    }

    /// Value `index`, or none if it was purged or does not exist.
    pub fn value(&self, index: usize) -> Option<&[u8]> {
        match &self.values {
            Values::Whole { values, .. } => values.get(index).map(Vec::as_slice),
            Values::Purged(slots) => match slots.get(index)? {
                Slot::Kept { value, .. } => Some(value),
                Slot::Purged { .. } => None,
            },
        }
    }

    /// Whether a value was purged.
    pub fn is_purged(&self) -> bool {
        matches!(self.values, Values::Purged(_))
    }

    /// The same body without the values at `purged`; id and signature of the change set stay valid. Indices that do
    /// not exist are passed over.
    #[must_use]
    pub fn redact(&self, purged: &[usize]) -> Self {
        if !purged.iter().any(|index| *index < self.value_count()) {
            return self.clone();
        }
        let slots = match &self.values {
            Values::Whole { salt, values } => values
                .iter()
                .enumerate()
                .map(|(index, value)| Slot::Kept { salt: value_salt(salt, index as u32), value: value.clone() })
                .collect(),
            Values::Purged(slots) => slots.clone(),
        };
        let redact = |(index, slot): (usize, Slot)| match slot {
            Slot::Kept { salt, value } if purged.contains(&index) => {
                Slot::Purged { commitment: value_commitment(&salt, &value) }
            }
            other @ (Slot::Kept { .. } | Slot::Purged { .. }) => other,
        };
        Self { values: Values::Purged(slots.into_iter().enumerate().map(redact).collect()), ..self.clone() }
    }

    fn commitments(&self) -> Vec<[u8; 32]> {
        match &self.values {
            Values::Whole { salt, values } => values
                .iter()
                .enumerate()
                .map(|(index, value)| value_commitment(&value_salt(salt, index as u32), value))
                .collect(),
            Values::Purged(slots) => slots
                .iter()
                .map(|slot| match slot {
                    Slot::Kept { salt, value } => value_commitment(salt, value),
                    Slot::Purged { commitment } => *commitment,
                })
                .collect(),
        }
    }

    fn write_head(&self, out: &mut Writer) {
        out.uint(u64::from(self.schema_version));
        out.text(self.intent.as_str());
        match &self.group {
            None => out.null(),
            Some(Group { id, index, count }) => {
                out.array(3);
                out.bytes(id.as_bytes());
                out.uint(u64::from(*index));
                out.uint(u64::from(*count));
            }
        }
        out.bytes(&self.skeleton);
    }

    /// The hash that a header names: over the head, the skeleton and one commitment for each value.
    pub fn hash(&self) -> [u8; 32] {
        let commitments = self.commitments();
        let mut out = Writer::with_capacity(64 + self.skeleton.len() + 34 * commitments.len());
        out.array(5);
        self.write_head(&mut out);
        out.array(commitments.len());
        commitments.iter().for_each(|commitment| out.bytes(commitment));
        blake3::derive_key(CONTEXT_BODY, &out.into_bytes())
    }

    /// Appends the body's bytes.
    pub fn write(&self, out: &mut Writer) {
        out.array(6);
        self.write_head(out);
        match &self.values {
            Values::Whole { salt, values } => {
                out.bytes(salt);
                out.array(values.len());
                values.iter().for_each(|value| out.bytes(value));
            }
            Values::Purged(slots) => {
                out.null();
                out.array(slots.len());
                for slot in slots {
                    match slot {
                        Slot::Kept { salt, value } => {
                            out.array(2);
                            out.bytes(salt);
                            out.bytes(value);
                        }
                        Slot::Purged { commitment } => out.bytes(commitment),
                    }
                }
            }
        }
    }

    /// The body's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(128 + self.skeleton.len());
        self.write(&mut out);
        out.into_bytes()
    }

    /// Reads a body strictly. Whether it is the one that a header names is seen by [`Body::hash`].
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.place("body");
        let start = reader.position();
        reader.array_of(6)?;
        let schema_version = reader.uint32()?;
        let at = reader.position();
        let intent = IntentName::new(reader.text(MAX_INTENT_BYTES)?).map_err(|fault| reader.fault_at(at, fault))?;
        let group = if reader.null() { None } else { Some(read_group(reader)?) };
        let skeleton = reader.bytes(MAX_SKELETON_BYTES)?.to_vec();
        let values = if reader.null() { read_slots(reader)? } else { read_whole(reader)? };
        let limit = match &values {
            Values::Whole { .. } => MAX_BODY_BYTES,
            // A commitment can be longer than the value that it stands for.
            Values::Purged(_) => MAX_BODY_BYTES + 64 * MAX_VALUES,
        };
        if reader.position() - start > limit {
            return Err(reader.fault_at(start, Fault::OverLimit { limit: limit as u64 }));
        }
        Ok(Self { schema_version, intent, group, skeleton, values })
    }

    /// The length that the body has with all its values, which follows from its skeleton even when some were purged.
    pub fn whole_length(&self, skeleton: &Skeleton) -> u64 {
        let mut out = Writer::with_capacity(64 + self.skeleton.len());
        out.array(6);
        self.write_head(&mut out);
        out.bytes(&[0; 16]);
        let lengths: Vec<u64> = skeleton.value_lengths().map(u64::from).collect();
        out.array(lengths.len());
        let head = |length: u64| match length {
            0..=23 => 1,
            24..=0xff => 2,
            0x100..=0xffff => 3,
            _ => 5,
        };
        out.len() as u64 + lengths.iter().map(|length| head(*length) + length).sum::<u64>()
    }
}

fn read_group(reader: &mut Reader<'_>) -> Result<Group, DecodeError> {
    reader.array_of(3)?;
    let id = GroupId::from_bytes(reader.fixed()?);
    let at = reader.position();
    let group = Group { id, index: reader.uint(MAX_GROUP)? as u32, count: reader.uint(MAX_GROUP)? as u32 };
    group.check().map_err(|fault| reader.fault_at(at, fault))?;
    Ok(group)
}

fn read_whole(reader: &mut Reader<'_>) -> Result<Values, DecodeError> {
    let at = reader.position();
    let salt = reader.fixed()?;
    let count = reader.array(MAX_VALUES)?;
    if count == 0 && salt != NO_SALT {
        return Err(reader.fault_at(at, Fault::NotCanonical("a body without values has a salt of zeros")));
    }
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        values.push(reader.bytes(MAX_VALUE_BYTES)?.to_vec());
    }
    Ok(Values::Whole { salt, values })
}

fn read_slots(reader: &mut Reader<'_>) -> Result<Values, DecodeError> {
    let at = reader.position();
    let count = reader.array(MAX_VALUES)?;
    let mut slots = Vec::with_capacity(count);
    for _ in 0..count {
        slots.push(if reader.peek() == Some(Item::Array) {
            reader.array_of(2)?;
            Slot::Kept { salt: reader.fixed()?, value: reader.bytes(MAX_VALUE_BYTES)?.to_vec() }
        } else {
            Slot::Purged { commitment: reader.fixed()? }
        });
    }
    if slots.iter().any(|slot| matches!(slot, Slot::Purged { .. })) {
        Ok(Values::Purged(slots))
    } else {
        Err(reader.fault_at(at, Fault::NotCanonical("a body without purged values has one salt")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body() -> Body {
        let values = vec![b"because".to_vec(), b"passed".to_vec(), vec![7; 300]];
        let intent = IntentName::new("record_outcome").unwrap();
        let group = Some(Group { id: GroupId::from_bytes([3; 16]), index: 1, count: 2 });
        Body::new(1, intent, group, b"skeleton".to_vec(), [5; 16], values)
    }

    #[test]
    fn redaction_keeps_the_hash_and_hides_the_value() {
        let whole = body();
        let redacted = whole.redact(&[1]);
        assert_eq!(redacted.hash(), whole.hash());
        assert_eq!(redacted.value(1), None);
        assert_eq!(redacted.value(2), whole.value(2));
        assert_eq!(redacted.redact(&[1, 2]).hash(), whole.hash());
        assert!(!redacted.to_bytes().windows(6).any(|window| window == b"passed"));
        assert_eq!(whole.redact(&[9]), whole);
    }

    #[test]
    fn both_forms_come_back() {
        for body in [body(), body().redact(&[0]), body().redact(&[0, 1, 2])] {
            let bytes = body.to_bytes();
            let mut reader = Reader::new(&bytes, "body");
            assert_eq!(Body::read(&mut reader), Ok(body));
            assert_eq!(reader.finish(), Ok(()));
        }
    }

    #[test]
    fn another_value_gives_another_hash() {
        let mut other = body();
        let Values::Whole { values, .. } = &mut other.values else { panic!("whole") };
        values[1] = b"failed".to_vec();
        assert_ne!(other.hash(), body().hash());
    }
}
