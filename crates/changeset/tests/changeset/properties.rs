//! For all of them: what is written is read back the same, what is read is written the same, and no bytes panic.

use crate::support::{NOW, WORKSPACE, author, document, draft, log_of, partition, path, read_page, read_signed};
use changeset::cbor::{Reader, Writer};
use changeset::limits::{MAX_COUNTER, MAX_SEQUENCE, MAX_TIME_MS};
use changeset::{
    Attachment, Body, Bundle, ChangeSetId, Decimal, DocumentId, DocumentKey, Draft, Edit, Group, GroupId, Header,
    IntentName, ItemRange, ItemRef, Kind, Line, LogIncarnation, MemoryLog, Partition, Path, Reference, Script, Signed,
    Skeleton, Value, ValueType, Verified, decode_page, encode_page, increment_from_bytes, increment_to_bytes,
    pack_page, unpack_page,
};
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;

fn change_set_ids() -> impl Strategy<Value = ChangeSetId> {
    any::<[u8; 32]>().prop_map(ChangeSetId::from_bytes)
}

fn kinds() -> impl Strategy<Value = Kind> {
    "[a-z][a-z0-9_-]{0,31}".prop_map(|text| Kind::new(&text).unwrap())
}

fn documents() -> impl Strategy<Value = DocumentKey> {
    (kinds(), any::<[u8; 16]>()).prop_map(|(kind, id)| DocumentKey { kind, id: DocumentId::from_bytes(id) })
}

fn intents() -> impl Strategy<Value = IntentName> {
    "[a-z][a-z0-9_]{0,47}".prop_map(|text| IntentName::new(&text).unwrap())
}

fn paths() -> impl Strategy<Value = Path> {
    // Few of them, so that they repeat.
    prop_oneof!["[a-c]", "[a-z0-9_.-]{1,9}(/[a-z0-9_.-]{1,6}){0,15}"].prop_map(|text| path(&text))
}

prop_compose! {
    fn headers()(
        format in prop_oneof![Just(1), 1..=u64::MAX],
        chain in prop_oneof![
            Just((1, None)),
            (2..=MAX_SEQUENCE, change_set_ids()).prop_map(|(sequence, id)| (sequence, Some(id)))
        ],
        document in documents(),
        parents in btree_set(change_set_ids(), 0..=32),
        time in prop_oneof![Just(NOW), 0..=MAX_TIME_MS],
        grant in option::of(change_set_ids()),
        body_hash: [u8; 32],
        body_length in 0..=1_048_576_u64,
    ) -> Header {
        let (sequence, previous) = chain;
        let parents = parents.into_iter().collect();
        Header { format, sequence, previous, document, parents, time, grant, body_hash, body_length }
    }
}

fn groups() -> impl Strategy<Value = Group> {
    (any::<[u8; 16]>(), 1..=65_536_u32)
        .prop_flat_map(|(id, count)| (Just(id), 1..=count, Just(count)))
        .prop_map(|(id, index, count)| Group { id: GroupId::from_bytes(id), index, count })
}

fn lines() -> impl Strategy<Value = Line> {
    // Few of them, so that they repeat.
    prop_oneof![Just(Line::Own), (0..6_u8).prop_map(|fill| Line::Named([fill; 32]))]
}

fn items() -> impl Strategy<Value = ItemRef> {
    (lines(), any::<u32>()).prop_map(|(line, clock)| ItemRef { line, clock })
}

/// Sorted, and with a gap between any two of one line.
fn ranges() -> impl Strategy<Value = Vec<ItemRange>> {
    vec((items(), 1..=u32::MAX / 8), 1..5).prop_map(|mut found| {
        found.sort_unstable();
        let mut ranges: Vec<ItemRange> = Vec::new();
        for (mut start, length) in found {
            start.clock = start.clock.min(u32::MAX - length);
            let follows = |last: &ItemRange| {
                (last.start.line, last.start.clock.saturating_add(last.length)) < (start.line, start.clock)
            };
            if ranges.last().is_none_or(follows) {
                ranges.push(ItemRange { start, length });
            }
        }
        ranges
    })
}

fn values() -> impl Strategy<Value = Value> {
    let finite = any::<f64>().prop_filter("finite, not -0", |value| value.is_finite() && value.to_bits() != 1 << 63);
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (any::<i64>(), 0..=18_u8).prop_map(|(mantissa, scale)| Value::Decimal(Decimal { mantissa, scale })),
        finite.prop_map(Value::Float),
        any::<String>().prop_map(Value::String),
        vec(any::<u8>(), 0..300).prop_map(Value::Bytes),
        any::<i64>().prop_map(Value::Timestamp),
        (-MAX_COUNTER..=MAX_COUNTER).prop_map(Value::Counter),
        ("[a-z0-9][a-z0-9._-]{0,62}", documents()).prop_map(|(partition, document)| {
            Value::Reference(Reference { partition: Partition::new(&partition).unwrap(), document })
        }),
        (any::<[u8; 32]>(), any::<u64>(), "[a-z]{1,20}/[a-z0-9.+-]{1,40}")
            .prop_map(|(hash, length, media_type)| { Value::Attachment(Attachment { hash, length, media_type }) }),
    ]
}

fn edits() -> impl Strategy<Value = Edit> {
    prop_oneof![
        4 => (paths(), values()).prop_map(|(path, value)| Edit::Put { path, value }),
        1 => paths().prop_map(|path| Edit::Delete { path }),
        1 => (paths(), -MAX_COUNTER..=MAX_COUNTER).prop_map(|(path, amount)| Edit::Increment { path, amount }),
        2 => (paths(), option::of(items()), option::of(items()), "\\PC{1,40}")
            .prop_map(|(path, left, right, text)| Edit::InsertText { path, left, right, text }),
        2 => (paths(), ranges()).prop_map(|(path, ranges)| Edit::DeleteText { path, ranges }),
    ]
}

fn scripts() -> impl Strategy<Value = Script> {
    (option::of(any::<String>()), vec(edits(), 0..12)).prop_map(|(reason, edits)| Script { reason, edits })
}

prop_compose! {
    /// Any byte strings as skeleton and values: the outer layout asks nothing of them.
    fn bodies()(
        schema_version: u32,
        intent in intents(),
        group in option::of(groups()),
        skeleton in vec(any::<u8>(), 0..80),
        salt: [u8; 16],
        values in vec(vec(any::<u8>(), 0..60), 0..8),
        purged in vec(0..8_usize, 0..4),
    ) -> (Body, Body) {
        let whole = Body::new(schema_version, intent, group, skeleton, salt, values);
        let redacted = whole.redact(&purged);
        (whole, redacted)
    }
}

prop_compose! {
    fn drafts()(
        document in (0..3_u8).prop_map(document),
        script in scripts(),
        intent in intents(),
        group in option::of(groups()),
        grant in option::of(change_set_ids()),
        schema_version: u32,
        back in option::of(1..4_usize),
        turn in (0..3_usize, 0..50_000_u64, any::<bool>()),
    ) -> (Draft, Option<usize>, (usize, u64, bool)) {
        let parents = Vec::new();
        (Draft { document, parents, grant, schema_version, intent, group, script }, back, turn)
    }
}

fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::new();
    write(&mut out);
    out.into_bytes()
}

/// Reads one thing to its end.
fn whole<T, E: From<changeset::DecodeError>>(
    bytes: &[u8],
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let mut reader = Reader::new(bytes, "test");
    let value = read(&mut reader)?;
    reader.finish()?;
    Ok(value)
}

const TYPES: [ValueType; 10] = [
    ValueType::Simple,
    ValueType::Int,
    ValueType::Decimal,
    ValueType::Float,
    ValueType::String,
    ValueType::Bytes,
    ValueType::Timestamp,
    ValueType::Counter,
    ValueType::Reference,
    ValueType::Attachment,
];

/// Gives `bytes` to every reader. Whatever one takes is written back the same, pages and bundles apart.
fn offer(bytes: &[u8]) {
    if let Ok(header) = whole(bytes, Header::read) {
        assert_eq!(header.to_bytes(), bytes);
    }
    if let Ok(body) = whole(bytes, Body::read) {
        assert_eq!(body.to_bytes(), bytes);
    }
    if let Ok(skeleton) = Skeleton::from_bytes(bytes) {
        assert_eq!(skeleton.to_bytes(), bytes);
    }
    for value_type in TYPES {
        if let Ok(value) = Value::from_bytes(value_type, bytes) {
            assert_eq!(value.value_type(), value_type);
            assert_eq!(value.to_bytes(), bytes);
        }
    }
    if let Ok(amount) = increment_from_bytes(bytes) {
        assert_eq!(increment_to_bytes(amount), bytes);
    }
    if let Ok(signed) = Signed::from_bytes(bytes, WORKSPACE, &partition()) {
        signed.verify().unwrap_err();
    }
    // A log of another author's, so that no document can be named by the author's own earlier work in other words.
    let log = log_of([&crate::support::record_signed(&mut author(9), 9, &[])]);
    if let Ok(page) = decode_page(bytes, &WORKSPACE, &partition(), &log) {
        assert!(page.claimed_ids().count() == 0 || page.verify().is_err());
    }
    let _ = unpack_page(bytes);
    assert!(Bundle::from_bytes(bytes, |_| ()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn headers_come_back(header in headers()) {
        let bytes = header.to_bytes();
        let read = whole(&bytes, Header::read);
        prop_assert_eq!(&read, &Ok(header));
        prop_assert_eq!(read.unwrap().to_bytes(), bytes);
    }

    #[test]
    fn bodies_come_back_and_redaction_keeps_their_hash((body, redacted) in bodies()) {
        prop_assert_eq!(body.hash(), redacted.hash());
        for body in [body, redacted] {
            let bytes = body.to_bytes();
            let read = whole(&bytes, Body::read);
            prop_assert_eq!(&read, &Ok(body));
            prop_assert_eq!(read.unwrap().to_bytes(), bytes);
        }
    }

    #[test]
    fn values_come_back(value in values()) {
        let bytes = value.to_bytes();
        prop_assert!(value.check().is_ok());
        let read = Value::from_bytes(value.value_type(), &bytes);
        prop_assert_eq!(read.as_ref().map(Value::to_bytes), Ok(bytes));
        prop_assert_eq!(read, Ok(value));
    }

    #[test]
    fn scripts_come_back(script in scripts()) {
        let (skeleton, values) = script.split();
        let bytes = skeleton.to_bytes();
        let read = Skeleton::from_bytes(&bytes);
        prop_assert_eq!(read.as_ref().map(Skeleton::to_bytes), Ok(bytes));
        prop_assert_eq!(&read, &Ok(skeleton));
        let lengths: Vec<u32> = read.unwrap().value_lengths().collect();
        prop_assert_eq!(lengths, values.iter().map(|value| value.len() as u32).collect::<Vec<_>>());
    }

    /// What an author records, every receiver reads: alone, and in pages on a log of what came before.
    #[test]
    fn what_is_recorded_is_read(drafts in vec(drafts(), 1..12), cut in 0..12_usize) {
        let mut authors = [author(1), author(2), author(3)];
        let mut entries: Vec<Verified> = Vec::new();
        for (mut draft, back, (who, later, purge)) in drafts {
            let parent = back.and_then(|back| entries.len().checked_sub(back)).map(|at| &entries[at]);
            if let Some(parent) = parent {
                draft.document = parent.header().document.clone();
                draft.parents = vec![parent.id()];
            }
            let recorded = authors[who].record(draft, NOW + later).unwrap();
            prop_assert_eq!(recorded.header().body_length, recorded.body().to_bytes().len() as u64);
            prop_assert!(recorded.skeleton().is_ok());
            let signed = authors[who].sign(&recorded).unwrap();
            let signed = if purge { signed.redact(&[0]) } else { signed };
            let bytes = signed.to_bytes().unwrap();
            let read = read_signed(&bytes).unwrap();
            prop_assert_eq!(read.to_bytes().unwrap(), bytes);
            prop_assert_eq!(&read, &signed);
            entries.push(signed);
        }
        let (held, new) = entries.split_at(cut.min(entries.len()));
        let log = log_of(held);
        let page = encode_page(new, &log).unwrap();
        let read = read_page(&page, &log).unwrap();
        prop_assert_eq!(read.as_slice(), new);
        for (read, entry) in read.iter().zip(new) {
            prop_assert_eq!(read.header(), entry.header());
            prop_assert_eq!(read.body(), entry.body());
        }
        prop_assert_eq!(encode_page(&read, &log).unwrap(), page);

        let bundle = Bundle {
            workspace: WORKSPACE,
            partition: partition(),
            log: LogIncarnation::from_bytes([1; 8]),
            entries,
        };
        let bytes = bundle.to_bytes().unwrap();
        let read = Bundle::from_bytes(&bytes, |_| ()).unwrap();
        prop_assert_eq!(&read.entries, &bundle.entries);
        prop_assert_eq!(read.to_bytes().unwrap(), bytes);
    }

    #[test]
    fn stored_pages_come_back(page in vec(0..4_u8, 0..20_000)) {
        let stored = pack_page(&page);
        prop_assert!(stored.len() <= page.len() + 1);
        prop_assert_eq!(unpack_page(&stored), Ok(page));
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        offer(&bytes);
    }

    /// Bytes that are mostly right get further in.
    #[test]
    fn spoiled_bytes_never_panic(
        header in headers(),
        (_, body) in bodies(),
        script in scripts(),
        at in any::<prop::sample::Index>(),
        by in 1..=255_u8,
        which in 0..5_u8,
    ) {
        let entry = {
            let mut author = author(1);
            let recorded = author.record(Draft { script, ..draft(document(1), &[], Vec::new()) }, NOW).unwrap();
            author.sign(&recorded).unwrap()
        };
        let mut bytes = match which {
            0 => header.to_bytes(),
            1 => body.to_bytes(),
            2 => entry.body().skeleton.clone(),
            3 => entry.to_bytes().unwrap(),
            _ => encode_page(&[entry], &MemoryLog::new()).unwrap(),
        };
        let at = at.index(bytes.len());
        bytes[at] = bytes[at].wrapping_add(by);
        offer(&bytes);
        bytes.truncate(at);
        offer(&bytes);
    }

    /// A head may claim any length: nothing is reserved for what is not there.
    #[test]
    fn large_claims_reserve_nothing(major in 2..5_u8, claim: u64, fields in 0..6_usize) {
        let mut bytes = written(|out| {
            out.array(10);
            (0..fields).for_each(|_| out.uint(1));
        });
        bytes.push(major << 5 | 27);
        bytes.extend_from_slice(&claim.to_be_bytes());
        offer(&bytes);
    }
}
