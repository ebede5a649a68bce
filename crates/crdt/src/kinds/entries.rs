//! Entries of collections: which exist, in which order, and how one gets its place.
//!
//! An entry `7` of the collection `items` exists while its marker `items/7/.` is visible. Its fields stand beside the
//! marker: `items/7/prompt`. Removing the entry deletes the marker alone, so that what others wrote into it meanwhile is
//! kept, and bringing the marker back brings the entry back.

use crate::kinds::position::Position;
use crate::state::{EditError, Edits, State};
use changeset::{Path, Value};
use core::fmt;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The id of an entry: one path segment of at most 63 characters, `[a-z0-9][a-z0-9_.-]*`. Whoever makes the intent
/// chooses it: a number of a printed checklist, or random digits where two devices may add entries at once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(String);

impl EntryId {
    /// The checked id.
    pub fn new(text: &str) -> Option<Self> {
        let first = text.bytes().next().filter(u8::is_ascii_alphanumeric);
        (first.is_some() && text.len() <= 63 && !text.contains('/') && Path::new(text).is_ok())
            .then(|| Self(text.to_owned()))
    }

    /// The number in decimal digits, for checklists and lines that are numbered anyway.
    pub fn numbered(number: u64) -> Self {
        Self(number.to_string())
    }

    /// Eight bytes in hexadecimal digits. Drawn at random, two devices that add entries at once do not meet.
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(format!("{:016x}", u64::from_be_bytes(bytes)))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for EntryId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for EntryId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = EntryId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the id of an entry as a string: a letter a-z or digit, then up to 62 of a-z 0-9 _ . -")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<EntryId, E> {
                EntryId::new(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// Where an entry goes among the others of its collection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Before all others.
    First,
    /// Behind all others.
    #[default]
    Last,
    /// Behind this entry; behind all others if it is gone.
    After(EntryId),
}

impl Place {
    /// Whether it is [`Place::Last`], which intents leave out of their JSON.
    pub fn is_last(&self) -> bool {
        *self == Self::Last
    }
}

/// The ids of the existing entries of a collection such as `items`, ordered by `position`, then id. Entries without a
/// valid position come last.
pub fn entries(state: &dyn State, collection: &str) -> Vec<String> {
    placed(state, collection).into_iter().map(|(_, id)| id).collect()
}

/// Whether the entry's marker is visible.
pub fn entry_exists(state: &dyn State, collection: &str, id: &str) -> bool {
    Path::new(&format!("{collection}/{id}/.")).is_ok_and(|marker| state.value(&marker).is_some())
}

/// Writes the entry's `position`, so that it comes to stand at `place`. Positions of others are written only where they
/// leave no room: where two devices chose the same one, or where some entry has none.
///
/// # Errors
/// [`EditError`] of the transaction.
pub fn place_entry(edits: &mut dyn Edits, collection: &str, id: &str, place: &Place) -> Result<(), EditError> {
    let mut others = placed(edits, collection);
    others.retain(|(_, other)| other != id);
    let before = match place {
        Place::First => 0,
        Place::Last => others.len(),
        Place::After(other) => others.iter().position(|(_, id)| id == other.as_str()).map_or(others.len(), |at| at + 1),
    };
    let (before, behind) = others.split_at_checked(before).unwrap_or((&others, &[]));
    let mut lower: Option<Position> = None;
    for (position, other) in before {
        match position {
            Some(position) => lower = Some(position.clone()),
            None => lower = Some(put_between(edits, collection, other, lower.as_ref(), None)?),
        }
    }
    let crowded = behind.iter().take_while(|(position, _)| lower.is_some() && *position == lower);
    let crowded: Vec<&String> = crowded.map(|(_, other)| other).collect();
    let upper = behind.get(crowded.len()).and_then(|(position, _)| position.clone());
    let mut last = put_between(edits, collection, id, lower.as_ref(), upper.as_ref())?;
    for other in crowded {
        last = put_between(edits, collection, other, Some(&last), upper.as_ref())?;
    }
    Ok(())
}

fn put_between(
    edits: &mut dyn Edits,
    collection: &str,
    id: &str,
    lower: Option<&Position>,
    upper: Option<&Position>,
) -> Result<Position, EditError> {
    let path = path(&format!("{collection}/{id}/position"))?;
    // In a sorted collection `lower` is before `upper`; were it not, behind `lower` is the better place of the two.
    let position = Position::between(lower, upper).or_else(|| Position::between(lower, None));
    let position = position.ok_or_else(|| EditError::Schema {
        path: path.clone(),
        problem: "there is no room at this place".to_owned(),
        cure: "choose another place".to_owned(),
    })?;
    edits.put(&path, Value::from(position.as_str()))?;
    Ok(position)
}

/// The existing entries with their positions, in order.
fn placed(state: &dyn State, collection: &str) -> Vec<(Option<Position>, String)> {
    let prefix = format!("{collection}/");
    let mut found: Vec<(Option<Position>, String)> = Vec::new();
    for marker in state.paths(&prefix) {
        let id = marker.as_str().strip_prefix(&prefix).and_then(|rest| rest.strip_suffix("/."));
        let Some(id) = id.filter(|id| !id.contains('/')) else { continue };
        if state.value(&marker).is_some() {
            let position = Path::new(&format!("{prefix}{id}/position")).ok().and_then(|path| state.value(&path));
            let position = match &position {
                Some(Value::String(text)) => Position::parse(text),
                _ => None,
            };
            found.push((position, id.to_owned()));
        }
    }
    found.sort_by(|left, right| (left.0.is_none(), left).cmp(&(right.0.is_none(), right)));
    found
}

/// The checked path, with the error of a transaction.
pub(crate) fn path(text: &str) -> Result<Path, EditError> {
    Path::new(text).map_err(|_| EditError::BadPath { text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::fake::Fake;

    fn with(entries: &[(&str, Option<&str>)]) -> Fake {
        let mut fake = Fake::default();
        for (id, position) in entries {
            fake.set(&format!("items/{id}/."), true);
            if let Some(position) = position {
                fake.set(&format!("items/{id}/position"), *position);
            }
        }
        fake
    }

    fn after(id: &str) -> Place {
        Place::After(EntryId::new(id).unwrap())
    }

    #[test]
    fn entries_exist_by_marker_and_are_ordered_by_position_then_id() {
        let mut fake =
            with(&[("b", Some("i1")), ("a", Some("i1")), ("c", Some("i0")), ("e", None), ("d", Some("not one"))]);
        fake.set("items/removed/position", "i0");
        fake.set("items/a/parts/1/.", true);
        fake.set("items-old/x/.", true);
        assert_eq!(entries(&fake, "items"), ["c", "a", "b", "d", "e"]);
        assert!(entry_exists(&fake, "items", "a") && !entry_exists(&fake, "items", "removed"));
        assert_eq!(entries(&fake, "items/a/parts"), ["1"]);
        assert!(!entry_exists(&fake, "items", "../x y"));
    }

    #[test]
    fn an_entry_goes_first_last_or_behind_another() {
        let mut fake = with(&[("a", Some("i0")), ("b", Some("i1")), ("new", None)]);
        for (place, order) in [
            (Place::First, ["new", "a", "b"]),
            (after("a"), ["a", "new", "b"]),
            (Place::Last, ["a", "b", "new"]),
            (after("gone"), ["a", "b", "new"]),
        ] {
            place_entry(&mut fake, "items", "new", &place).unwrap();
            assert_eq!(entries(&fake, "items"), order, "{place:?}");
        }
        assert_eq!(fake.string("items/a/position"), "i0");
        assert_eq!(fake.string("items/b/position"), "i1");
    }

    #[test]
    fn equal_and_missing_positions_make_room() {
        let mut fake = with(&[("a", Some("i0")), ("b", Some("i0")), ("c", Some("i0")), ("d", Some("i1"))]);
        fake.set("items/new/.", true);
        place_entry(&mut fake, "items", "new", &after("a")).unwrap();
        assert_eq!(entries(&fake, "items"), ["a", "new", "b", "c", "d"]);
        assert_eq!((fake.string("items/a/position"), fake.string("items/d/position")), ("i0".into(), "i1".into()));

        let mut fake = with(&[("a", None), ("b", None), ("c", None), ("new", None)]);
        place_entry(&mut fake, "items", "new", &after("b")).unwrap();
        assert_eq!(entries(&fake, "items"), ["a", "b", "new", "c"]);
    }

    #[test]
    fn ids_are_one_segment() {
        for id in ["7", "0b3f", "a.b-c_d"] {
            assert!(EntryId::new(id).is_some());
        }
        assert_eq!(EntryId::numbered(7), EntryId::new("7").unwrap());
        assert_eq!(EntryId::from_bytes([0, 1, 2, 3, 4, 5, 6, 255]), EntryId::new("00010203040506ff").unwrap());
        let long = "a".repeat(64);
        for id in ["", ".", "-a", "a/b", "A", "ä", long.as_str()] {
            assert_eq!(EntryId::new(id), None, "{id}");
        }
        let error = serde_json::from_str::<EntryId>("\"A 7\"").unwrap_err().to_string();
        assert!(error.contains("A 7") && error.contains("the id of an entry"), "{error}");
        assert_eq!(serde_json::to_string(&after("7")).unwrap(), "{\"after\":\"7\"}");
        assert_eq!(serde_json::from_str::<Place>("\"first\"").unwrap(), Place::First);
    }
}
