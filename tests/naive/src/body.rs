//! Bodies: values or their commitments, and the hash over them.

use crate::Id;
use crate::cbor::{Item, cbor, head_length};
use crate::hash::{derive, keyed};
use crate::names::{MAX_BODY, MAX_U32, MAX_VALUE, MAX_VALUES, is_intent};
use crate::refused::{Need, Refused};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Body {
    schema_version: u64,
    pub(crate) intent: String,
    group: Option<([u8; 16], u64, u64)>,
    pub(crate) skeleton: Vec<u8>,
    /// Of the whole form.
    salt: Option<[u8; 16]>,
    pub(crate) slots: Vec<Slot>,
}

/// One value, or what is left of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// With its own salt; none if it was purged.
    pub(crate) kept: Option<(Id, Vec<u8>)>,
    pub(crate) commitment: Id,
}

impl Slot {
    fn kept(salt: Id, value: &[u8]) -> Self {
        Self { kept: Some((salt, value.to_vec())), commitment: keyed(&salt, value) }
    }

    fn read(item: &Item<'_>) -> Option<Self> {
        if let Some([salt, value]) = item.array() {
            return Some(Self::kept(salt.fixed()?, short(value)?));
        }
        Some(Self { kept: None, commitment: item.fixed()? })
    }
}

fn short<'a>(value: &Item<'a>) -> Option<&'a [u8]> {
    value.bytes().filter(|value| value.len() as u64 <= MAX_VALUE)
}

fn own_salt(salt: &[u8; 16], number: usize) -> Id {
    let mut key = [0; 32];
    key[..16].copy_from_slice(salt);
    keyed(&key, &(number as u32).to_le_bytes())
}

impl Body {
    pub(crate) fn read(item: &Item<'_>) -> Result<Self, Refused> {
        let [schema_version, intent, group, skeleton, salt, slots] = item.array().need("body: not an array of 6")?;
        let schema_version = schema_version.uint(MAX_U32).need("body: schema version")?;
        let intent = intent.text().filter(|intent| is_intent(intent)).need("body: intent")?.to_owned();
        let group = if group.is_null() { None } else { Some(read_group(group).need("body: group")?) };
        let skeleton = skeleton.bytes().filter(|it| it.len() <= 1 << 19).need("body: skeleton")?.to_vec();
        let items = slots.list().filter(|slots| slots.len() <= MAX_VALUES).need("body: values")?;
        let (salt, slots, most) = if salt.is_null() {
            let slots: Option<Vec<Slot>> = items.iter().map(Slot::read).collect();
            let slots = slots.need("body: slot")?;
            slots.iter().any(|slot| slot.kept.is_none()).need("body: purged form without a purged value")?;
            (None, slots, MAX_BODY + 64 * MAX_VALUES as u64)
        } else {
            let salt: [u8; 16] = salt.fixed().need("body: salt")?;
            (!items.is_empty() || salt == [0; 16]).need("body: a salt without values")?;
            let values: Option<Vec<&[u8]>> = items.iter().map(short).collect();
            let values = values.need("body: value")?.into_iter().enumerate();
            (Some(salt), values.map(|(number, value)| Slot::kept(own_salt(&salt, number), value)).collect(), MAX_BODY)
        };
        (item.encode().len() as u64 <= most).need("body: too long")?;
        Ok(Self { schema_version, intent, group, skeleton, salt, slots })
    }

    /// The items that both forms and the hash begin with.
    fn head(&self) -> [Item<'_>; 4] {
        let group = self.group.as_ref().map(|(id, index, count)| vec![id.into(), (*index).into(), (*count).into()]);
        let skeleton = self.skeleton.as_slice().into();
        [self.schema_version.into(), self.intent.as_str().into(), group.into(), skeleton]
    }

    pub(crate) fn hash(&self) -> Id {
        let [version, intent, group, skeleton] = self.head();
        let commitments: Vec<Item<'_>> = self.slots.iter().map(|slot| (&slot.commitment).into()).collect();
        derive("fieldbook v1 body", &cbor([version, intent, group, skeleton, commitments.into()]))
    }

    /// The length of the whole form, from the lengths of values that the skeleton names.
    pub(crate) fn whole_length(&self, lengths: &[u64]) -> u64 {
        let head: usize = self.head().iter().map(|item| item.encode().len()).sum();
        let values: u64 = lengths.iter().map(|length| head_length(*length) + length).sum();
        1 + head as u64 + 17 + head_length(lengths.len() as u64) + values
    }
}

fn read_group(item: &Item<'_>) -> Option<([u8; 16], u64, u64)> {
    let [id, index, count] = item.array()?;
    let (index, count) = (index.uint(1 << 16)?, count.uint(1 << 16)?);
    (1 <= index && index <= count).then_some((id.fixed()?, index, count))
}

#[cfg(test)]
impl Body {
    /// The purged form without these values.
    pub(crate) fn redacted(&self, numbers: &[usize]) -> Self {
        let mut body = Self { salt: None, ..self.clone() };
        numbers.iter().for_each(|number| body.slots[*number].kept = None);
        body
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let [version, intent, group, skeleton] = self.head();
        let slots: Vec<Item<'_>> = self.slots.iter().map(|slot| self.slot_item(slot)).collect();
        cbor([version, intent, group, skeleton, self.salt.as_ref().into(), slots.into()])
    }

    fn slot_item<'a>(&self, slot: &'a Slot) -> Item<'a> {
        match &slot.kept {
            None => (&slot.commitment).into(),
            Some((_, value)) if self.salt.is_some() => value.as_slice().into(),
            Some((salt, value)) => vec![salt.into(), value.as_slice().into()].into(),
        }
    }
}
