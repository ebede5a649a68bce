//! `spec/vectors/sync.json`: frames with every input spelled out, and the bytes that follow from it.
//!
//! Set `FIELDBOOK_WRITE_VECTORS` to write the file anew. Without it the test demands that what this version makes is what the
//! file says. CBOR items stand as JSON: byte strings as text that begins with `x:`.

use crate::model::{NOW, WORKSPACE, author, key, write, yard};
use crate::puppet::Puppet;
use changeset::cbor::{Reader, Writer};
use changeset::hash::{CONTEXT_TIP, statement};
use changeset::{
    ActorId, ChangeSetId, Cursor, LogIncarnation, LogPage, MemoryLog, RunningHash, Signer, Verified, encode_page,
    encode_runs,
};
use serde_json::{Value as Json, json};
use std::path::PathBuf;
use std::time::Instant;
use sync::{Code, Config, Knock, Message, Place, Receipt, Request, Response, Session, Statement, Tier, Tip, Want};

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn x(bytes: impl AsRef<[u8]>) -> Json {
    json!(format!("x:{}", hex(bytes)))
}

/// The deterministic encoding of an item in JSON.
fn cbor(item: &Json, out: &mut Writer) {
    match item {
        Json::Null => out.null(),
        Json::Bool(truth) => out.bool(*truth),
        Json::Number(number) => out.uint(number.as_u64().unwrap()),
        Json::String(text) => match text.strip_prefix("x:") {
            None => out.text(text),
            Some(digits) => {
                let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
                out.bytes(&(0..digits.len()).step_by(2).map(byte).collect::<Vec<u8>>());
            }
        },
        Json::Array(items) => {
            out.array(items.len());
            items.iter().for_each(|item| cbor(item, out));
        }
        Json::Object(_) => panic!("no maps"),
    }
}

fn encoded(item: &Json) -> Vec<u8> {
    let mut out = Writer::new();
    cbor(item, &mut out);
    out.into_bytes()
}

fn log(fill: u8) -> LogIncarnation {
    LogIncarnation::from_bytes([fill; 8])
}

fn cursor(fill: u8, position: u64) -> (Cursor, Json) {
    let cursor = Cursor { log: log(fill), position, hash: RunningHash::from_bytes([fill ^ 0xff; 32]) };
    (cursor, json!([x([fill; 8]), position, x([fill ^ 0xff; 32])]))
}

fn id(fill: u8) -> ChangeSetId {
    ChangeSetId::from_bytes([fill; 32])
}

/// Every message at least once, beside its item.
fn messages() -> Vec<(&'static str, Message, Json)> {
    let (end, end_item) = cursor(1, 70_000);
    let (place, place_item) = cursor(2, 23);
    let partition = yard();
    let hash = RunningHash::from_bytes([5; 32]);
    let tip = Tip { actor: ActorId::from_bytes([6; 32]), sequence: 300, id: id(7) };
    let want = Want { tip: id(7), known: vec![id(8), id(9)] };
    let knock = Knock { key: key(4).public_key(), name: "Börje's tablet".into(), time_ms: NOW };
    let text = "the grant for this site ended on 9 October: ask who leads the crew";
    vec![
        (
            "open",
            Message::Open { partition: yard(), end, place: Some(place), read: true },
            json!([0, "northyards", end_item, place_item, true]),
        ),
        (
            "open, never met",
            Message::Open { partition: yard(), end, place: None, read: false },
            json!([0, "northyards", end_item, null, false]),
        ),
        (
            "opened, nothing new",
            Message::Opened { partition: yard(), end: None, place: Place::AtEnd, fits: true, read: true },
            json!([1, "northyards", null, true, true, true]),
        ),
        (
            "opened, never met",
            Message::Opened { partition: yard(), end: Some(end), place: Place::None, fits: false, read: false },
            json!([1, "northyards", end_item, false, false, false]),
        ),
        (
            "opened, both further",
            Message::Opened { partition: yard(), end: Some(end), place: Place::At(place), fits: true, read: true },
            json!([1, "northyards", end_item, place_item, true, true]),
        ),
        (
            "denied",
            Message::Denied { partition: yard(), code: Code::NOT_PERMITTED, text: text.into() },
            json!([2, "northyards", 6, text]),
        ),
        (
            "tips",
            Message::Tips { partition: yard(), bytes: vec![0x61, 0, 0, 2, 0] },
            json!([3, "northyards", x([0x61, 0, 0, 2, 0])]),
        ),
        (
            "show",
            Message::Show { partition: yard(), ids: vec![[3; 32], [4; 32]], last: true },
            json!([4, "northyards", [x([3; 32]), x([4; 32])], true]),
        ),
        (
            "have",
            Message::Have { partition: yard(), tips: vec![tip], last: false },
            json!([5, "northyards", [[x([6; 32]), 300, x([7; 32])]], false]),
        ),
        (
            "want",
            Message::Want { partition: yard(), wants: vec![want, Want { tip: id(1), known: vec![] }] },
            json!([6, "northyards", [[x([7; 32]), [x([8; 32]), x([9; 32])]], [x([1; 32]), []]]]),
        ),
        (
            "verbatim",
            Message::Verbatim { partition: yard(), first: 1 << 40, count: 4096 },
            json!([7, "northyards", 1_u64 << 40, 4096]),
        ),
        ("taken", Message::Taken { partition: yard() }, json!([8, "northyards"])),
        ("done", Message::Done { partition: yard() }, json!([9, "northyards"])),
        ("settled", Message::Settled { partition: yard() }, json!([10, "northyards"])),
        (
            "skip",
            Message::Skip { partition: yard(), from: 23, position: 256, hash },
            json!([11, "northyards", 23, 256, x([5; 32])]),
        ),
        (
            "refused",
            Message::Refused { partition: yard(), entries: vec![(id(1), Code::NO_GRANT), (id(2), Code(77))] },
            json!([12, "northyards", [[x([1; 32]), 5], [x([2; 32]), 77]]]),
        ),
        ("busy", Message::Busy { partition, retry_after_ms: 30_000 }, json!([13, "northyards", 30_000])),
        ("ping", Message::Ping, json!([14])),
        ("pong", Message::Pong, json!([15])),
        ("knock", Message::Knock { name: "Börje's tablet".into() }, json!([16, "Börje's tablet"])),
        ("ask knocks", Message::AskKnocks, json!([17])),
        (
            "knocks",
            Message::Knocks { knocks: vec![knock] },
            json!([18, [[x(key(4).public_key().as_bytes()), "Börje's tablet", NOW]]]),
        ),
        (
            "close",
            Message::Close { code: Code::GOING, text: "back in a minute".into() },
            json!([19, 1, "back in a minute"]),
        ),
    ]
}

/// A handshake between two keys with known nonces: the three frames, and a session that is past it.
fn handshake() -> (Json, Session, [u8; 32]) {
    let now = Instant::now();
    let mut caller = Session::call(Config::new(Tier::Device), key(1), WORKSPACE, None, [0x11; 32], now);
    let mut answerer = Session::answer(Config::new(Tier::Core), key(2), [0x22; 32], now);
    let hello = caller.poll_transmit().unwrap();
    answerer.handle_message(&hello, now);
    let (request, _) = answerer.poll_storage().unwrap();
    answerer.handle_storage(request, Response::Admitted(Ok(())), now);
    let welcome = answerer.poll_transmit().unwrap();
    caller.handle_message(&welcome, now);
    let proof = caller.poll_transmit().unwrap();
    answerer.handle_message(&proof, now);
    assert!(answerer.peer().is_some());
    let side = |secret: u8, nonce: u8, tier: u64| {
        json!({
            "secret": hex([secret; 32]), "public": key(secret).public_key().to_string(), "nonce": hex([nonce; 32]),
            "tier": tier, "window": 4 << 20,
        })
    };
    let id = statement(changeset::hash::CONTEXT_SESSION, &[&hello[..], Puppet::welcome_content(&welcome)].concat());
    let json = json!({
        "caller": side(1, 0x11, 0), "answerer": side(2, 0x22, 2), "version": 1,
        "hello": hex(&hello), "welcome": hex(&welcome), "proof": hex(&proof), "session": hex(id),
    });
    (json, caller, id)
}

fn entries() -> Vec<Verified> {
    let mut one = author(1, 1, yard());
    let mut other = author(2, 2, yard());
    let first = write(&mut one, 1, &[], "draft", NOW);
    let second = write(&mut other, 1, &[first.id()], "checked", NOW + 60_000);
    let third = write(&mut one, 1, &[second.id()], "passed", NOW + 120_000);
    let fourth = write(&mut one, 2, &[], "draft", NOW + 180_000);
    vec![first, second, third, fourth]
}

fn make() -> Json {
    let (handshake, mut caller, session) = handshake();
    // The caller's first two control frames, as it says them itself.
    let now = Instant::now();
    caller.ask_knocks();
    caller.open(yard(), now);
    let (request, _) = caller.poll_storage().unwrap();
    let (end, end_item) = cursor(1, 70_000);
    let opened = Response::Opened { end, fits: false, place: None, read: true, receipted: u64::MAX };
    caller.handle_storage(request, opened, now);
    let frames: Vec<Json> = [json!([[17]]), json!([[0, "northyards", end_item, null, true]])]
        .into_iter()
        .enumerate()
        .map(|(counter, messages)| {
            let frame = caller.poll_transmit().unwrap();
            assert_eq!(frame[65..], encoded(&messages));
            json!({ "from": "caller", "counter": counter, "messages": messages, "frame": hex(&frame) })
        })
        .collect();

    let messages: Vec<Json> = messages()
        .into_iter()
        .map(|(name, message, item)| {
            let mut out = Writer::new();
            message.write(&mut out);
            let bytes = out.into_bytes();
            assert_eq!(bytes, encoded(&item), "{name}");
            assert_eq!(Message::read(&mut Reader::new(&bytes, "message")).unwrap(), message);
            json!({ "name": name, "item": item, "bytes": hex(bytes) })
        })
        .collect();

    let entries = entries();
    let start = RunningHash::start(&WORKSPACE, &yard(), &log(9));
    let hash = entries.iter().fold(start, |hash, entry| hash.then(&entry.id()));
    let packed = |bytes: Vec<u8>| [vec![0], bytes].concat();
    let page = packed(encode_page(&entries, &MemoryLog::new()).unwrap());
    let end = Cursor { log: log(9), position: 4, hash };
    let page = LogPage::seal(&*key(2), &WORKSPACE, yard(), 0, end, page).unwrap();
    let ids: Vec<String> = entries.iter().map(|entry| entry.id().to_string()).collect();
    let page = json!({
        "secret": hex([2; 32]), "log": hex([9; 8]), "first": 0, "running_hash_before": hex(start.as_bytes()),
        "ids": ids, "packed": hex(&page.packed), "bytes": hex(page.to_bytes()),
    });

    let runs = packed(encode_runs(&entries).unwrap());
    let mut puppet = Puppet::call(crate::model::Replica::new(2, Tier::Relay), 64 << 10);
    // The same session as above, so that the frame follows from the handshake.
    (puppet.id, puppet.counter, puppet.key) = (session, 2, key(1));
    let lines = puppet.runs(&yard(), None, &runs);
    let in_place = puppet.runs(&yard(), Some((0, 4, *hash.as_bytes())), &runs);
    let runs = json!([
        { "name": "lines", "from": "caller", "counter": 2, "page": null, "ids": ids, "packed": hex(&runs), "frame": hex(lines) },
        {
            "name": "in the place of a page", "from": "caller", "counter": 3, "page": [0, 4, x(hash.as_bytes())],
            "ids": ids, "packed": hex(&runs), "frame": hex(in_place),
        },
    ]);

    let content = Statement { partition: yard(), upto: end, held: 2, refused: 1, tier: Tier::Relay, time_ms: NOW };
    let receipt = Receipt::sign(&*key(2), &WORKSPACE, content).unwrap();
    assert_eq!(Receipt::from_bytes(&receipt.to_bytes()).unwrap(), receipt);
    let receipt = json!({
        "secret": hex([2; 32]), "log": hex([9; 8]), "position": 4, "running_hash": hex(hash.as_bytes()),
        "held": 2, "refused": 1, "tier": 1, "time": NOW, "bytes": hex(receipt.to_bytes()),
    });

    let now = Instant::now();
    let mut busy = Session::answer(Config::new(Tier::Relay), key(2), [0x22; 32], now);
    busy.handle_message(&crate::puppet::hello((1, 1), 64 << 10, 0), now);
    let (request, asked) = busy.poll_storage().unwrap();
    assert!(matches!(asked, Request::Admit { .. }));
    let text = "too many devices at once: trying again by itself in 30 seconds";
    let denial = sync::Denial { code: Code::BUSY, text: text.into(), retry_after_ms: Some(30_000) };
    busy.handle_storage(request, Response::Admitted(Err(denial)), now);
    let refusal = json!({ "item": [2, text, 30_000], "frame": hex(busy.poll_transmit().unwrap()) });

    json!({
        "about": "Frames of the sync protocol with every input spelled out; see spec/sync.md. Bytes are hexadecimal. Items are \
                  CBOR as JSON, byte strings as text that begins with x:.",
        "workspace": hex(WORKSPACE.as_bytes()),
        "partition": "northyards",
        "handshake": handshake,
        "refusal": refusal,
        "frames": frames,
        "messages": messages,
        "page": page,
        "runs": runs,
        "receipt": receipt,
        "salted_tip": {
            "session": hex(session), "id": hex([7; 32]),
            "salted": hex(statement(CONTEXT_TIP, &[session, [7; 32]].concat())),
        },
        "refused": refused(),
    })
}

/// Byte strings that no reader takes: as message, hello, page, receipt or runs.
fn refused() -> Json {
    let mut rows: Vec<(&str, &str, Vec<u8>)> = Vec::new();
    let item = |item: Json| encoded(&item);
    rows.push(("message", "an unknown code", item(json!([21]))));
    rows.push(("message", "an item too many", item(json!([14, null]))));
    rows.push(("message", "an item too few", item(json!([13, "northyards"]))));
    rows.push(("message", "a partition with a capital", item(json!([8, "Northyards"]))));
    rows.push(("message", "an open without its fifth item", item(json!([0, "northyards", cursor(1, 1).1, null]))));
    rows.push(("message", "a truth value that is a number", item(json!([0, "northyards", cursor(1, 1).1, null, 1]))));
    rows.push(("message", "a place that is null", item(json!([1, "northyards", null, null, true, true]))));
    rows.push(("message", "a hash of 31 bytes", item(json!([11, "northyards", 1, 2, x([5; 31])]))));
    rows.push(("message", "17 known ids", item(json!([6, "northyards", [[x([1; 32]), vec![x([2; 32]); 17]]]]))));
    rows.push(("message", "a text of 513 bytes", item(json!([19, 0, "a".repeat(513)]))));
    rows.push(("message", "a name of 129 bytes", item(json!([16, "a".repeat(129)]))));
    rows.push(("message", "a page of 4,097", item(json!([7, "northyards", 0, 4097]))));
    rows.push(("message", "a head that is not shortest", vec![0x81, 0x18, 14]));
    rows.push(("message", "bytes after the end", vec![0x81, 14, 0]));
    let hello = crate::puppet::hello;
    rows.push(("hello", "a window of 65,535", hello((1, 1), 65_535, 0)));
    rows.push(("hello", "an unknown tier", hello((1, 1), 65_536, 3)));
    rows.push(("hello", "versions 2 to 7", hello((2, 7), 65_536, 0)));
    rows.push(("hello", "bytes after the end", [hello((1, 1), 65_536, 0), vec![0]].concat()));
    let place = |first: Json, count: Json, log: usize| {
        item(json!(["northyards", x(vec![9; log]), first, count, x([1; 32]), x([2; 64]), x([0])]))
    };
    rows.push(("page", "no entries", place(json!(0), json!(0), 8)));
    rows.push(("page", "4,097 entries", place(json!(0), json!(4097), 8)));
    rows.push(("page", "beyond the last position", place(json!(1_u64 << 48), json!(1), 8)));
    rows.push(("page", "an incarnation of 7 bytes", place(json!(0), json!(1), 7)));
    let receipt = |tier: u64, signature: usize| {
        item(json!([["northyards", x([9; 8]), 4, x([1; 32]), 0, 0, tier, NOW], x(vec![2; signature])]))
    };
    rows.push(("receipt", "an unknown tier", receipt(3, 64)));
    rows.push(("receipt", "a signature of 63 bytes", receipt(0, 63)));
    for (form, name, bytes) in &rows {
        let is_refused = match *form {
            "message" => {
                let mut reader = Reader::new(bytes, "message");
                Message::read(&mut reader).is_err() || reader.finish().is_err()
            }
            "hello" => {
                let mut session = Session::answer(Config::new(Tier::Relay), key(2), [0; 32], Instant::now());
                session.handle_message(bytes, Instant::now());
                session.is_closed()
            }
            "page" => LogPage::from_bytes(bytes).is_err(),
            _ => Receipt::from_bytes(bytes).is_err(),
        };
        assert!(is_refused, "{form}: {name}");
    }
    rows.into_iter().map(|(form, name, bytes)| json!({ "form": form, "name": name, "hex": hex(bytes) })).collect()
}

#[test]
fn the_vectors_of_sync_hold() {
    let made = make();
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors/sync.json");
    if std::env::var_os("FIELDBOOK_WRITE_VECTORS").is_some() {
        std::fs::write(&file, serde_json::to_string_pretty(&made).unwrap() + "\n").unwrap();
    }
    let held: Json = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert!(held == made, "what this version makes is not what the vectors say");
    let codes: Vec<u64> = messages().iter().map(|(_, _, item)| item[0].as_u64().unwrap()).collect();
    assert!((0..20).all(|code| codes.contains(&code)), "every message is there");
}
