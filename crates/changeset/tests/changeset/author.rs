//! An author's chain: what it fills in, and what it refuses to record.

use crate::support::{NOW, author, document, draft, path, put, read_page, record, record_signed};
use changeset::limits::{
    MAX_BODY_BYTES, MAX_COUNTER, MAX_LINES, MAX_OPS, MAX_PARENTS, MAX_SEQUENCE, MAX_TIME_MS, MAX_VALUE_BYTES,
};
use changeset::{
    ChangeSetId, Draft, Edit, Fault, Group, GroupId, Header, ItemRange, ItemRef, Line, MemoryLog, RecordError, Value,
    encode_page,
};

#[test]
fn time_never_falls_below_that_of_previous() {
    let mut author = author(1);
    let times: Vec<u64> = [NOW, NOW - 5_000, NOW - 1, NOW + 1, 0]
        .map(|now| author.record(draft(document(1), &[], Vec::new()), now).unwrap().header().time)
        .into();
    assert_eq!(times, [NOW, NOW, NOW, NOW + 1, NOW + 1]);
}

#[test]
fn a_chain_is_numbered_from_1_and_each_names_the_one_before() {
    let mut author = author(1);
    assert_eq!(author.tip(), None);
    let first = record(&mut author, 1, &[]);
    assert_eq!((first.header().sequence, first.header().previous), (1, None));
    // The chain goes through all documents of the partition.
    let second = record(&mut author, 2, &[]);
    assert_eq!((second.header().sequence, second.header().previous), (2, Some(first.id())));
    assert_eq!(author.tip(), Some(second.id()));
}

#[test]
fn an_author_goes_on_after_what_its_store_holds() {
    let mut before = author(1);
    let last = record_signed(&mut before, 1, &[]);
    let mut again = author(1).after(&last);
    let next = again.record(draft(document(1), &[], Vec::new()), 0).unwrap();
    assert_eq!(next.header().previous, Some(last.id()));
    assert_eq!(next.header().sequence, 2);
    assert_eq!(next.header().time, NOW);
}

#[test]
fn parents_are_sorted_and_named_once() {
    let [a, b, c] = [3, 1, 2].map(|fill| ChangeSetId::from_bytes([fill; 32]));
    let parents = vec![a, b, c, a, b];
    let recorded = author(1).record(Draft { parents, ..draft(document(1), &[], Vec::new()) }, NOW).unwrap();
    assert_eq!(recorded.header().parents, [b, c, a]);
}

#[test]
fn only_the_authors_own_entries_are_signed() {
    let (mut one, two) = (author(1), author(2));
    let recorded = record(&mut one, 1, &[]);
    assert!(recorded.to_bytes().is_none());
    assert_eq!(two.sign(&recorded).unwrap().signature(), None);
    assert!(one.sign(&recorded).unwrap().signature().is_some());
}

fn other_line(number: usize) -> ItemRef {
    let mut line = [0; 32];
    line[..8].copy_from_slice(&(number as u64).to_be_bytes());
    ItemRef { line: Line::Named(line), clock: 0 }
}

fn over_limits() -> Vec<(&'static str, Draft)> {
    let plain = |edits| draft(document(1), &[], edits);
    let text = |bytes| "x".repeat(bytes);
    let ranges = |count| (0..count).map(|n| ItemRange { start: other_line(n), length: 1 }).collect::<Vec<_>>();
    let delete = |ranges| plain(vec![Edit::DeleteText { path: path("note"), ranges }]);
    let increment = |amount| plain(vec![Edit::Increment { path: path("count"), amount }]);
    let insert = |text| plain(vec![Edit::InsertText { path: path("note"), left: None, right: None, text }]);
    let parents = (0..=MAX_PARENTS as u8).map(|fill| ChangeSetId::from_bytes([fill; 32])).collect();
    let mut reason = plain(Vec::new());
    reason.script.reason = Some(text(MAX_VALUE_BYTES + 1));
    let own = ItemRef { line: Line::Own, clock: u32::MAX };
    vec![
        ("value", plain(vec![put("a", text(MAX_VALUE_BYTES + 1))])),
        ("reason", reason),
        ("text", insert(text(MAX_VALUE_BYTES + 1))),
        ("empty text", insert(String::new())),
        ("body", plain((0..5).map(|n| put(&format!("p{n}"), text(MAX_VALUE_BYTES))).collect())),
        ("ops", plain(vec![Edit::Delete { path: path("a") }; MAX_OPS + 1])),
        ("skeleton", plain((0..4096).map(|n| Edit::Delete { path: path(&format!("{n:0>200}")) }).collect())),
        ("lines", delete(ranges(MAX_LINES + 1))),
        ("no ranges", delete(Vec::new())),
        ("an empty range", delete(vec![ItemRange { start: other_line(1), length: 0 }])),
        ("a range past the last clock", delete(vec![ItemRange { start: own, length: 1 }])),
        ("float", plain(vec![put("a", Value::Float(f64::NAN))])),
        ("counter", plain(vec![put("a", Value::Counter(MAX_COUNTER + 1))])),
        ("increment", increment(-MAX_COUNTER - 1)),
        ("increment of the least integer", increment(i64::MIN)),
        ("parents", Draft { parents, ..plain(Vec::new()) }),
    ]
}

#[test]
fn what_receivers_would_refuse_is_not_recorded_and_the_chain_stays() {
    let mut author = author(1);
    let first = record(&mut author, 1, &[]);
    for (what, draft) in over_limits() {
        let error = author.record(draft, NOW).expect_err(what);
        assert!(error.to_string().contains("would be refused by every receiver"), "{what}: {error}");
        assert_eq!(author.tip(), Some(first.id()), "{what}");
    }
    let error = author.record(draft(document(1), &[], Vec::new()), MAX_TIME_MS + 1).unwrap_err();
    assert!(matches!(error, RecordError::Header(Fault::OverLimit { limit: MAX_TIME_MS })));
    let second = record_signed(&mut author, 1, &[]);
    assert_eq!((second.header().sequence, second.header().previous), (2, Some(first.id())));
    let page = encode_page(&[first, second.clone()], &MemoryLog::new()).unwrap();
    assert_eq!(read_page(&page, &MemoryLog::new()).unwrap()[1], second);
}

#[test]
fn a_chain_ends_at_the_largest_sequence() {
    let mut author = author(1);
    let first = record(&mut author, 1, &[]);
    let header = Header { sequence: MAX_SEQUENCE, previous: Some(first.id()), ..first.header().clone() };
    let last = author.danger_append(header, first.body().clone());
    let error = author.record(draft(document(1), &[], Vec::new()), NOW).unwrap_err();
    assert!(matches!(error, RecordError::Header(Fault::OverLimit { limit: MAX_SEQUENCE })));
    assert_eq!(author.tip(), Some(last.id()));
}

/// The limit itself is allowed: a body of exactly the most bytes is recorded and read.
#[test]
fn a_body_at_its_limit_is_recorded_and_read() {
    let sized = |last: usize| {
        let mut edits: Vec<Edit> = (0..3).map(|n| put(&format!("p{n}"), "x".repeat(MAX_VALUE_BYTES))).collect();
        edits.push(put("p3", "x".repeat(last)));
        author(1).record(draft(document(1), &[], edits), NOW)
    };
    let probe = sized(200_000).unwrap().header().body_length as usize;
    let full = 200_000 + MAX_BODY_BYTES - probe;
    let recorded = sized(full).unwrap();
    assert_eq!(recorded.header().body_length, MAX_BODY_BYTES as u64);
    assert!(matches!(sized(full + 1), Err(RecordError::Header(Fault::OverLimit { .. }))));
    let signed = author(1).sign(&recorded).unwrap();
    assert_eq!(crate::support::read_signed(&signed.to_bytes().unwrap()).unwrap(), recorded);
}

/// An author that says less in the header: the body itself has its limit, and its purged form a little more.
#[test]
fn a_body_over_its_limit_is_refused_whatever_the_header_says() {
    let values = vec![vec![1; MAX_VALUE_BYTES]; 4];
    let intent = changeset::IntentName::new("attach").unwrap();
    let body = changeset::Body::new(1, intent, None, Vec::new(), [1; 16], values);
    assert!(body.to_bytes().len() > MAX_BODY_BYTES);
    let mut hostile = author(1);
    let header = Header { body_length: 0, ..crate::support::header_after(None, &body) };
    let entry = hostile.danger_append(header, body);
    let entry = hostile.sign(&entry).unwrap();
    let error = crate::support::read_signed(&entry.to_bytes().unwrap()).unwrap_err();
    assert!(error.to_string().contains("over the limit of 1048576"), "{error}");
    assert!(crate::support::read_signed(&entry.redact(&[0]).to_bytes().unwrap()).is_ok());
}

/// A group that no receiver reads would break the chain for good: every later entry names this one.
#[test]
fn a_group_that_no_receiver_reads_is_not_recorded() {
    let mut author = author(1);
    for (index, count) in [(0, 0), (0, 1), (2, 1), (1, 65_537)] {
        let group = Some(Group { id: GroupId::from_bytes([1; 16]), index, count });
        let drafted = Draft { group, ..draft(document(1), &[], Vec::new()) };
        assert!(author.record(drafted, NOW).is_err(), "{index} of {count}");
        assert_eq!(author.tip(), None);
    }
}
