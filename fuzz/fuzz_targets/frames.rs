#![no_main]
//! What travels between replicas, from bytes: control messages, receipts, pages with their seals, and the frames of a
//! handshake that nothing is proven in yet.
//!
//! Proves: no bytes make a reader panic; what is read is written back to the same bytes, so that each content has one
//! form; lists are within their named limits; a session that was told anything before a handshake answers with at most
//! one short frame, asks at most one cheap question, and ends by itself. The same bytes also make messages of every kind,
//! which are read as they were written, or not at all.

use arbitrary::{Arbitrary as _, Unstructured};
use changeset::cbor::{Reader, Writer};
use changeset::{DeviceKey, LogPage, Signer};
use fieldbook_fuzz::messages::{AnyMessage, Content};
use fieldbook_fuzz::{partition, workspace};
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};
use std::time::Instant;
use sync::limits::{MAX_FRAME_BYTES, MAX_HANDSHAKE_BYTES, MAX_KNOWN, MAX_REFUSED, MAX_TIPS};
use sync::{Config, Event, Message, Receipt, Request, Response, Session, Tier};

static OWN: LazyLock<Arc<DeviceKey>> = LazyLock::new(|| Arc::new(DeviceKey::from_secret(&[2; 32])));

fn is_within_limits(message: &Message) -> bool {
    match message {
        Message::Show { ids, .. } => ids.len() <= MAX_TIPS,
        Message::Have { tips, .. } => tips.len() <= MAX_TIPS,
        Message::Want { wants, .. } => wants.len() <= MAX_TIPS && wants.iter().all(|it| it.known.len() <= MAX_KNOWN),
        Message::Refused { entries, .. } => entries.len() <= MAX_REFUSED,
        _ => true,
    }
}

fn bytes(message: &Message) -> Vec<u8> {
    let mut out = Writer::new();
    message.write(&mut out);
    out.into_bytes()
}

fn messages(data: &[u8]) {
    let mut reader = Reader::new(data, "messages");
    loop {
        let from = reader.position();
        let Ok(message) = Message::read(&mut reader) else { return };
        assert_eq!(bytes(&message), reader.slice(from, reader.position()), "{message:?}");
        assert!(is_within_limits(&message));
    }
}

fn receipt(data: &[u8]) {
    let Ok(receipt) = Receipt::from_bytes(data) else { return };
    assert_eq!(receipt.to_bytes(), data);
    let _ = receipt.is_signed_by(&OWN.public_key(), &workspace());
}

fn page(data: &[u8]) {
    let Ok(page) = LogPage::from_bytes(data) else { return };
    assert_eq!(page.to_bytes(), data);
    assert_eq!(page.end().position, page.first + page.count, "the end does not overflow");
    let _ = page.is_sealed_by(&OWN.public_key(), &workspace());
}

/// Frames that nobody signed, split at the byte 0xff.
fn strangers(data: &[u8]) {
    let now = Instant::now();
    let config = || Config::new(Tier::Relay);
    let call = Session::call(config(), OWN.clone(), workspace(), None, [3; 32], now);
    let answer = Session::answer(config(), OWN.clone(), [4; 32], now);
    for mut session in [call, answer] {
        let mut asked = 0;
        let mut said = 0;
        for frame in data.split(|byte| *byte == 0xff).take(4) {
            session.handle_message(frame, now);
            while let Some((id, request)) = session.poll_storage() {
                asked += 1;
                assert!(matches!(request, Request::Admit { .. }), "{request:?}");
                session.handle_storage(id, Response::Admitted(Ok(())), now);
            }
            while let Some(frame) = session.poll_transmit() {
                said += 1;
                assert!(frame.len() <= MAX_HANDSHAKE_BYTES && frame.len() <= MAX_FRAME_BYTES);
            }
        }
        assert!(asked <= 1 && said <= 2, "{asked} questions and {said} frames for a stranger");
        assert!(session.peer().is_none(), "a key is proven by nothing");
        while let Some(event) = session.poll_event() {
            let Event::Closed(error) = event else { panic!("{event:?}") };
            assert!(!error.to_string().is_empty());
        }
        if !session.is_closed() {
            let until = session.poll_timeout().expect("a handshake has an end");
            session.handle_timeout(until);
        }
        assert!(session.is_closed() && session.poll_timeout().is_none());
    }
}

/// Messages of every kind.
fn made(data: &[u8]) {
    let content = Content { partitions: vec![partition()], ..Content::default() };
    let Ok(choices) = Vec::<AnyMessage>::arbitrary(&mut Unstructured::new(data)) else { return };
    for choice in choices.iter().take(8) {
        let message = content.message(choice);
        let written = bytes(&message);
        match Message::read(&mut Reader::new(&written, "message")) {
            Ok(read) => assert_eq!(read, message),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    messages(data);
    receipt(data);
    page(data);
    strangers(data);
    made(data);
});
