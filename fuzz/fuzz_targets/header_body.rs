#![no_main]
//! The parts of a change set, from bytes.
//!
//! Proves: no bytes make a reader panic; what is read is written back to the same bytes, so that each content has one
//! form; a body keeps its hash when values are purged; verifying never panics; and a change set made of any header and
//! body that can be read verifies, and comes back, once an author has signed it.

use changeset::cbor::Reader;
use changeset::{Body, Header, Signed, Skeleton, Value, ValueType, increment_from_bytes, increment_to_bytes};
use fieldbook_fuzz::{author, partition, workspace};
use libfuzzer_sys::fuzz_target;

fn header(data: &[u8]) -> Option<Header> {
    let mut reader = Reader::new(data, "header");
    let header = Header::read(&mut reader).ok()?;
    assert_eq!(header.to_bytes(), reader.slice(0, reader.position()));
    assert_eq!(header.check(), Ok(()));
    Some(header)
}

fn body(data: &[u8]) -> Option<Body> {
    let mut reader = Reader::new(data, "body");
    let body = Body::read(&mut reader).ok()?;
    assert_eq!(body.to_bytes(), reader.slice(0, reader.position()));
    let redacted = body.redact(&[0, 2]);
    assert_eq!(redacted.hash(), body.hash());
    assert_eq!(redacted.value(0), None);
    if let Some(skeleton) = skeleton(&body.skeleton) {
        let fits = skeleton.value_lengths().map(|length| length as usize);
        let whole = fits.eq((0..body.value_count()).filter_map(|index| body.value(index)).map(<[u8]>::len));
        if whole && !body.is_purged() {
            assert_eq!(body.whole_length(&skeleton), body.to_bytes().len() as u64);
        }
    }
    (0..body.value_count()).filter_map(|index| body.value(index)).for_each(values);
    Some(body)
}

fn skeleton(data: &[u8]) -> Option<Skeleton> {
    let skeleton = Skeleton::from_bytes(data).ok()?;
    assert_eq!(skeleton.to_bytes(), data);
    Some(skeleton)
}

fn values(data: &[u8]) {
    for value_type in (0..).map_while(ValueType::from_code) {
        if let Ok(value) = Value::from_bytes(value_type, data) {
            assert_eq!(value.value_type(), value_type);
            assert_eq!(value.to_bytes(), data);
            assert_eq!(value.check(), Ok(()));
        }
    }
    if let Ok(amount) = increment_from_bytes(data) {
        assert_eq!(increment_to_bytes(amount), data);
    }
}

fn signed(data: &[u8]) {
    let Ok(signed) = Signed::from_bytes(data, workspace(), &partition()) else { return };
    let claimed = signed.claimed_id();
    if let Ok(verified) = signed.verify() {
        assert_eq!(verified.id(), claimed);
        assert_eq!(verified.to_bytes().as_deref(), Some(data));
    }
}

/// The same header and body, signed by an author who stands behind them.
fn made_good(data: &[u8]) {
    let mut reader = Reader::new(data, "header and body");
    let (Ok(header), Ok(body)) = (Header::read(&mut reader), Body::read(&mut reader)) else { return };
    let mut author = author(0);
    let header = Header { body_hash: body.hash(), ..header };
    let written = author.danger_append(header.clone(), body.clone());
    let bytes = author.sign(&written).ok().and_then(|signed| signed.to_bytes()).expect("it was signed");
    let read = Signed::from_bytes(&bytes, workspace(), &partition()).expect("what was written is read");
    let verified = read.verify().expect("what was signed verifies");
    assert_eq!((verified.id(), verified.header(), verified.body()), (written.id(), &header, &body));
    let _ = verified.skeleton();
}

fuzz_target!(|data: &[u8]| {
    header(data);
    body(data);
    skeleton(data);
    values(data);
    signed(data);
    made_good(data);
});
