//! Records of access, read from the script of one change set alone.

use crate::Id;
use crate::access::Verdict;
use crate::cbor::{Item, decode, decode_at};
use crate::entry::Entry;
use crate::hash::{derive, signature_holds};
use crate::names::{MAX_TIME, is_intent, is_kind, is_partition};
use crate::refused::{Need, Refused};
use crate::skeleton::Act;
use crate::value::BYTES;

const MAX_RECORD: u64 = 1 << 15;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    Genesis { roots: Vec<Id>, threshold: u64 },
    Delegation { to: Id, partitions: Option<Vec<String>>, may_delegate: bool, period: Period },
    Grant(Grant),
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) partition: String,
    pub(crate) device: Id,
    pub(crate) kinds: Option<Vec<String>>,
    pub(crate) actions: Option<Vec<String>>,
    pub(crate) period: Period,
}

/// Both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
}

/// Null, or what it lists.
type Named = Option<Vec<String>>;

impl Record {
    pub(crate) fn read(data: &[u8]) -> Result<Self, Refused> {
        (data.len() as u64 <= MAX_RECORD).need("record: too long")?;
        match first_text(data).filter(|name| is_kind(name)).need("record: type")? {
            "genesis" => read_genesis(&decode(data)?).need("genesis"),
            "delegation" => read_delegation(&decode(data)?).need("delegation"),
            "grant" => read_grant(&decode(data)?).need("grant"),
            // What follows an unknown type is not looked at.
            _ => Ok(Self::Unknown),
        }
    }
}

/// The first item of an array, a text, with nothing behind it looked at. The array's head is in its shortest form.
fn first_text(data: &[u8]) -> Option<&str> {
    let (count, at) = match *data.first()? {
        head @ 0x80..0x98 => (usize::from(head & 31), 1),
        0x98 => (usize::from(*data.get(1)?), 2),
        0x99 => (usize::from(u16::from_be_bytes([*data.get(1)?, *data.get(2)?])), 3),
        _ => return None,
    };
    let least = [0, 0, 24, 256][at];
    (count >= least && 0 < count && count <= data.len() - at).then_some(())?;
    // An item of another type is not read: it may be of a form that nothing here has.
    (data.get(at)? >> 5 == 3).then_some(())?;
    decode_at(data, at).ok()?.0.text()
}

fn read_genesis(item: &Item<'_>) -> Option<Record> {
    let [_, name, roots, threshold, nonce, time] = item.array()?;
    let roots: Vec<Id> = roots.list()?.iter().map(Item::fixed).collect::<Option<_>>()?;
    let threshold = threshold.uint(roots.len() as u64)?;
    let holds = is_shown(name)
        && (1..=16).contains(&roots.len())
        && roots.windows(2).all(|pair| pair[0] < pair[1])
        && threshold >= 1
        && nonce.fixed::<16>().is_some()
        && time.uint(MAX_TIME).is_some();
    holds.then_some(Record::Genesis { roots, threshold })
}

fn read_delegation(item: &Item<'_>) -> Option<Record> {
    let [_, to, label, partitions, may_delegate, not_before, not_after] = item.array()?;
    is_shown(label).then_some(Record::Delegation {
        to: to.fixed()?,
        partitions: read_named(partitions, 256, is_partition)?,
        may_delegate: may_delegate.uint(1)? == 1,
        period: read_period(not_before, not_after)?,
    })
}

fn read_grant(item: &Item<'_>) -> Option<Record> {
    let [_, partition, device, person, role, kinds, actions, not_before, not_after] = item.array()?;
    let [person, name] = person.array()?;
    let partition = partition.text()?;
    (is_partition(partition) && is_shown(person) && is_shown(name) && is_kind(role.text()?)).then_some(())?;
    Some(Record::Grant(Grant {
        partition: partition.to_owned(),
        device: device.fixed()?,
        kinds: read_named(kinds, 64, is_kind)?,
        actions: read_named(actions, 256, is_intent)?,
        period: read_period(not_before, not_after)?,
    }))
}

/// Null is everything; a list ascends without repeats.
fn read_named(item: &Item<'_>, most: usize, is_name: fn(&str) -> bool) -> Option<Named> {
    if item.is_null() {
        return Some(None);
    }
    let names = item.list()?.iter().map(|name| name.text().filter(|name| is_name(name)).map(str::to_owned));
    let names: Vec<String> = names.collect::<Option<_>>()?;
    let holds = (1..=most).contains(&names.len()) && names.windows(2).all(|pair| pair[0] < pair[1]);
    holds.then_some(Some(names))
}

fn read_period(not_before: &Item<'_>, not_after: &Item<'_>) -> Option<Period> {
    let (not_before, not_after) = (not_before.uint(MAX_TIME)?, not_after.uint(MAX_TIME)?);
    (not_before <= not_after).then_some(Period { not_before, not_after })
}

/// A name that may stand on a screen.
fn is_shown(item: &Item<'_>) -> bool {
    let Some(text) = item.text() else { return false };
    let is_unshown = |char: char| matches!(u32::from(char), 0..=0x1f | 0x7f..=0x9f | 0x200b | 0x200e | 0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff);
    (1..=128).contains(&text.len()) && text.trim_matches(' ') == text && !text.chars().any(is_unshown)
}

/// A change set of kind `access`.
#[derive(Clone, Debug)]
pub(crate) struct Carried {
    pub(crate) id: Id,
    pub(crate) author: Id,
    pub(crate) partition: String,
    pub(crate) time: u64,
    /// Its record, or the verdict on what carries none.
    pub(crate) record: Result<Record, Verdict>,
    /// For what workspace it is the genesis, if it is one.
    pub(crate) founds: Id,
    /// The keys whose endorsements hold.
    pub(crate) endorsed_by: Vec<Id>,
}

impl Carried {
    pub(crate) fn read(workspace: &Id, partition: &str, entry: &Entry) -> Self {
        let read = read_values(entry).and_then(|(data, endorsements)| {
            let record = Record::read(data).map_err(|_| Verdict::Masked("bad-record"))?;
            Ok((data, endorsements, record))
        });
        let mut carried = Self {
            id: entry.id,
            author: entry.author,
            partition: partition.to_owned(),
            time: entry.time,
            record: Ok(Record::Unknown),
            founds: [0; 32],
            endorsed_by: Vec::new(),
        };
        match read {
            Err(verdict) => carried.record = Err(verdict),
            Ok((data, endorsements, record)) => {
                let statement = derive("fieldbook v1 endorsement", &[&workspace[..], data].concat());
                let holds = |(root, signature): &(Id, [u8; 64])| signature_holds(root, &statement, signature);
                carried.endorsed_by = endorsements.into_iter().filter(holds).map(|(root, _)| root).collect();
                carried.founds = derive("fieldbook v1 genesis", data);
                carried.record = Ok(record);
            }
        }
        carried
    }
}

type Endorsements = Vec<(Id, [u8; 64])>;

/// The bytes of the record and its endorsements. In this order: header, skeleton, ops, values.
fn read_values(entry: &Entry) -> Result<(&[u8], Endorsements), Verdict> {
    const BAD: Verdict = Verdict::Masked("bad-record");
    if entry.format > 1 {
        return Err(Verdict::Pending("newer-format"));
    }
    if !entry.parents.is_empty() {
        return Err(BAD);
    }
    let skeleton = entry.skeleton.as_ref().ok_or(Verdict::Invalid("bad-record"))?;
    let mut numbers = Vec::new();
    for (number, op) in skeleton.ops.iter().enumerate() {
        let Act::Put { code: BYTES, value } = op.act else { return Err(BAD) };
        let (path, most) =
            if number == 0 { ("record".into(), MAX_RECORD) } else { (format!("endorsements/{number}"), 96) };
        if op.path != path || number > 16 || skeleton.lengths[value] > most {
            return Err(BAD);
        }
        numbers.push(value);
    }
    let mut record: Option<&[u8]> = None;
    let mut endorsements = Endorsements::new();
    for number in numbers {
        let value = entry.value(number).ok_or(Verdict::Pending("value-missing"))?;
        if value.len() as u64 != skeleton.lengths[number] {
            return Err(BAD);
        }
        if record.is_none() {
            record = Some(value);
            continue;
        }
        let read =
            value.split_at_checked(32).and_then(|(root, rest)| Some((root.try_into().ok()?, rest.try_into().ok()?)));
        let (root, signature): (Id, [u8; 64]) = read.ok_or(BAD)?;
        if endorsements.last().is_some_and(|(last, _)| *last >= root) {
            return Err(BAD);
        }
        endorsements.push((root, signature));
    }
    record.map(|record| (record, endorsements)).ok_or(BAD)
}
