//! The examples in `spec/vectors` come out the same.

use crate::access::{Authority, Claim, Verdict};
use crate::body::Body;
use crate::cbor::decode;
use crate::entry::{Entry, Header, read_signed};
use crate::hash::{chain_key, keyed, signature_holds};
use crate::page::Log;
use crate::partition::{Partition, read_bundle};
use crate::record::{Carried, Record};
use crate::skeleton::Skeleton;
use crate::value::{self, COUNTER};
use crate::{Conflict, Id, Purges, Rule, Said, read, state_with};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};

fn vectors(name: &str) -> Json {
    let file = format!("{}/../../spec/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn hex(text: &Json) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn fixed<const N: usize>(text: &Json) -> [u8; N] {
    hex(text).try_into().unwrap()
}

fn id_or_none(text: &Json) -> Option<Id> {
    (!text.is_null()).then(|| fixed(text))
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn rows(list: &Json) -> impl Iterator<Item = &Json> {
    list.as_array().unwrap().iter()
}

fn text(item: &Json) -> &str {
    item.as_str().unwrap()
}

fn ids(list: &Json) -> Vec<Id> {
    rows(list).map(fixed).collect()
}

/// The whole form of an entry of the examples, and what is told of it.
fn entry_of(case: &Json, workspace: &Id, partition: &str) -> Entry {
    let name = text(&case["name"]);
    let entry = read_signed(workspace, partition, &hex(&case["signed"])).unwrap();
    assert_eq!(to_hex(&entry.id), text(&case["id"]), "{name}");
    assert_eq!(entry.body.encode(), hex(&case["body_bytes"]), "{name}");
    assert_eq!(Body::read(&decode(&hex(&case["body_bytes"])).unwrap()).as_ref(), Ok(&entry.body), "{name}");
    assert_eq!(to_hex(&entry.body.hash()), text(&case["header"]["body_hash"]), "{name}");
    let salts = entry.body.slots.iter().map(|slot| slot.kept.as_ref().map(|(salt, _)| to_hex(salt)).unwrap());
    assert!(salts.eq(rows(&case["value_salts"]).map(text)), "{name}");
    let values = entry.body.slots.iter().map(|slot| slot.kept.as_ref().map(|(_, value)| to_hex(value)).unwrap());
    assert!(values.eq(rows(&case["values"]).map(text)), "{name}");
    let commitments: Vec<Id> = entry.body.slots.iter().map(|slot| slot.commitment).collect();
    assert_eq!(commitments, ids(&case["commitments"]), "{name}");
    let header = Header::read(&decode(&hex(&case["header_bytes"])).unwrap()).unwrap();
    assert_eq!(header.encode(), hex(&case["header_bytes"]), "{name}");
    assert_eq!(keyed(&entry.actor, &header.encode()), entry.id, "{name}");
    let told = (header.format, header.sequence, header.time, header.body_length, header.document);
    let wanted = &case["header"];
    let number = |field: &str| wanted[field].as_u64().unwrap();
    let numbers = (number("format"), number("sequence"), number("time"), number("body_length"));
    assert_eq!(told, (numbers.0, numbers.1, numbers.2, numbers.3, fixed(&wanted["document"])), "{name}");
    assert_eq!((header.previous, header.grant), (id_or_none(&wanted["previous"]), id_or_none(&wanted["grant"])));
    assert_eq!((header.kind.as_str(), header.parents), (text(&wanted["kind"]), ids(&wanted["parents"])), "{name}");
    assert_eq!(entry.skeleton.is_some(), case["content"] == "plain", "{name}");
    for form in case.get("redacted").map(rows).into_iter().flatten() {
        let purged: Vec<usize> = rows(&form["purged"]).map(|n| n.as_u64().unwrap() as usize).collect();
        let redacted = read_signed(workspace, partition, &hex(&form["signed"])).unwrap();
        assert_eq!((redacted.id, &redacted.body), (entry.id, &entry.body.redacted(&purged)), "{name}");
        assert_eq!(redacted.body.encode(), hex(&form["body_bytes"]), "{name}");
    }
    entry
}

#[test]
fn change_sets_are_read_as_the_examples_say() {
    let vectors = vectors("change-set");
    let (workspace, partition): (Id, &str) = (fixed(&vectors["workspace"]), text(&vectors["partition"]));
    for actor in rows(&vectors["actors"]) {
        let id = chain_key(&workspace, partition, &fixed(&actor["public"]), &fixed(&actor["incarnation"]));
        assert_eq!(to_hex(&id), text(&actor["id"]));
    }
    let entries: Vec<Entry> = rows(&vectors["entries"]).map(|case| entry_of(case, &workspace, partition)).collect();
    assert_eq!(entries.len(), 14);
    let names: BTreeMap<&str, &Entry> =
        rows(&vectors["entries"]).map(|case| text(&case["name"])).zip(&entries).collect();
    let empty = || Log::new(workspace, partition, &fixed(&vectors["log"]));

    let mut log = empty();
    assert_eq!(log.running, fixed(&vectors["running"]["start"]));
    for (entry, running) in entries.iter().zip(rows(&vectors["running"]["after"])) {
        log.append(vec![entry.clone()]).unwrap();
        assert_eq!(log.running, fixed(running));
    }
    for page in rows(&vectors["pages"]) {
        let mut log = empty();
        log.append(rows(&page["log"]).map(|name| names[text(name)].clone()).collect()).unwrap();
        let read = log.read_page(&hex(&page["bytes"])).unwrap();
        let read: Vec<(Id, Body)> = read.into_iter().map(|entry| (entry.id, entry.body)).collect();
        let wanted = rows(&page["entries"]).map(|wanted| {
            let entry = names[text(&wanted["name"])];
            let purged: Vec<usize> = rows(&wanted["purged"]).map(|n| n.as_u64().unwrap() as usize).collect();
            (entry.id, if purged.is_empty() { entry.body.clone() } else { entry.body.redacted(&purged) })
        });
        assert!(wanted.eq(read), "page {}", page["name"]);
    }
    for case in rows(&vectors["signatures"]) {
        let holds = signature_holds(&fixed(&case["key"]), &fixed(&case["message"]), &fixed(&case["signature"]));
        assert_eq!(holds, case["holds"].as_bool().unwrap(), "{}", case["why"]);
    }
    let bundle = &read(&hex(&vectors["bundle"])).unwrap()[0];
    assert!(bundle.entries().map(|entry| entry.id).eq(entries.iter().map(|entry| entry.id)));
    assert_eq!(bundle.waiting().count(), 0);
    let state = state_with(bundle, &BTreeSet::new(), &Purges::new());
    let names: BTreeMap<Id, Id> = state.documents.values().flat_map(|document| document.names.clone()).collect();
    assert_eq!(state.forks, vectors["forks"].as_array().unwrap().len());
    for fork in rows(&vectors["forks"]) {
        let ours = state.siblings.iter().find(|ours| ours.previous == id_or_none(&fork["previous"])).unwrap();
        let inherited = ours.previous.map_or(ours.actor, |previous| names[&previous]);
        assert_eq!(inherited, fixed(&fork["name_of_previous"]));
        let siblings: Vec<(Id, Id)> = ours.siblings.iter().map(|id| (*id, names[id])).collect();
        let wanted = rows(&fork["siblings"]).map(|it| (fixed(&it["id"]), fixed(&it["name"])));
        assert!(wanted.eq(siblings));
    }
}

#[test]
fn what_every_reader_refuses_is_refused() {
    let vectors = vectors("refused");
    let (workspace, partition): (Id, &str) = (fixed(&vectors["workspace"]), text(&vectors["partition"]));
    let (whole, _) = read_bundle(&hex(&vectors["log"]), 0).unwrap();
    let mut log = Log::new(workspace, partition, &[0; 8]);
    log.append(whole.entries).unwrap();
    const TYPES: [&str; 10] =
        ["simple", "int", "decimal", "float", "string", "bytes", "timestamp", "counter", "reference", "attachment"];
    let mut refused = BTreeMap::<&str, usize>::new();
    for case in rows(&vectors["refused"]) {
        let (form, data) = (text(&case["form"]), hex(&case["hex"]));
        let is_refused = match form {
            "header" => decode(&data).and_then(|item| Header::read(&item)).is_err(),
            "body" => decode(&data).and_then(|item| Body::read(&item)).is_err(),
            "skeleton" => Skeleton::read(&data).is_err(),
            "signed" => read_signed(&workspace, partition, &data).is_err(),
            "page" => log.read_page(&data).is_err(),
            "bundle" => read(&data).is_err(),
            "value:increment" => !value::fits(COUNTER, &data),
            // How a page rests in a log: no bundle has any.
            "stored" => continue,
            other => {
                let code = TYPES.iter().position(|name| other == format!("value:{name}")).unwrap();
                !value::fits(code as u64, &data)
            }
        };
        assert!(is_refused, "{form} {}", case["name"]);
        *refused.entry(form).or_default() += 1;
    }
    assert!(refused.values().sum::<usize>() > 190, "{refused:?}");
}

#[test]
fn documents_come_out_as_the_examples_say() {
    let vectors = vectors("documents");
    for case in rows(&vectors["cases"]) {
        let name = text(&case["name"]);
        let (workspace, partition): (Id, &str) = (fixed(&case["workspace"]), text(&case["partition"]));
        let signed = rows(&case["change_sets"]).map(|signed| read_signed(&workspace, partition, &hex(signed)).unwrap());
        let signed: Vec<Entry> = signed.collect();
        let arrived = |entries: Vec<Entry>| {
            let mut set = Partition::empty(workspace, partition.to_owned());
            set.admit(entries).unwrap();
            assert_eq!(set.waiting().count(), 0, "{name}");
            set
        };
        let reversed = arrived(signed.iter().rev().cloned().collect());
        let set = arrived(signed);
        let purges: Purges = rows(&case["purges"])
            .map(|purge| {
                let values = rows(&purge["values"]).map(|n| n.as_u64().unwrap() as usize);
                (fixed(&purge["id"]), values.collect())
            })
            .collect();
        let mask: BTreeSet<Id> = ids(&case["mask"]).into_iter().collect();
        let state = state_with(&set, &mask, &purges);
        assert_eq!(state_with(&reversed, &mask, &purges), state, "{name}: it came in another order");
        assert_eq!(state.documents.len(), case["documents"].as_array().unwrap().len(), "{name}");
        for wanted in rows(&case["documents"]) {
            let document = &state.documents[&(text(&wanted["kind"]).to_owned(), fixed(&wanted["id"]))];
            let ours = described(document);
            for (part, value) in wanted.as_object().unwrap() {
                if !["kind", "id"].contains(&part.as_str()) {
                    assert_eq!(&ours[part], value, "{name}: {part}");
                }
            }
        }
        let forks = case["forks"].as_array().unwrap();
        assert_eq!(state.siblings.len(), forks.len(), "{name}");
        for fork in forks {
            let wanted = (fixed(&fork["actor"]), id_or_none(&fork["previous"]), ids(&fork["siblings"]));
            let found = state.siblings.iter().any(|f| (f.actor, f.previous, f.siblings.clone()) == wanted);
            assert!(found, "{name}");
        }
        assert_eq!(to_hex(&state.digest), text(&case["digest"]), "{name}");
    }
}

fn told_value(value: &Option<Said>) -> Json {
    value.as_ref().map_or(Json::Null, |(code, bytes)| serde_json::json!({ "type": code, "value": to_hex(bytes) }))
}

fn told_conflict(conflict: &Conflict) -> Json {
    let rule = match conflict.rule {
        Rule::LastWriter => "last_writer",
        Rule::SumOfCounters => "sum_of_counters",
        Rule::RemovedWhileEdited => "removed_while_edited",
    };
    let contenders = conflict.contenders.iter();
    let contenders = contenders
        .map(|(id, value)| serde_json::json!({ "change_set": to_hex(id), "value": told_value(value) }))
        .collect::<Json>();
    let shown = told_value(&conflict.shown);
    serde_json::json!({ "path": conflict.path, "rule": rule, "shown": shown, "contenders": contenders })
}

/// A document in the words of the examples.
fn described(document: &crate::Document) -> Json {
    let by_id = |rows: Vec<(&Id, Json)>| -> Json { rows.into_iter().map(|(id, row)| (to_hex(id), row)).collect() };
    let visible = document.fields.iter().map(|(path, values)| {
        let values = values.iter().map(|it| {
            serde_json::json!({
                "name": to_hex(&it.name), "op": it.op, "change_set": to_hex(&it.change_set), "type": it.code,
                "value": to_hex(&it.bytes),
            })
        });
        (path.clone(), values.collect::<Json>())
    });
    let shown = document.fields.keys().map(|path| (path.clone(), told_value(&document.shown(path))));
    serde_json::json!({
        "digest": to_hex(&document.digest),
        "standings": by_id(document.standings.iter().map(|(id, it)| (id, (*it as u64).into())).collect()),
        "names": by_id(document.names.iter().map(|(id, it)| (id, to_hex(it).into())).collect()),
        "visible": visible.collect::<Json>(),
        "shown": shown.collect::<Json>(),
        "texts": document.texts,
        "conflicts": document.conflicts.iter().map(told_conflict).collect::<Json>(),
        "inert": by_id(document.inert.iter().map(|(id, ops)| (id, serde_json::json!(ops))).collect()),
    })
}

#[test]
fn records_and_verdicts_come_out_as_the_examples_say() {
    let vectors = vectors("access");
    let mut judged = 0;
    for world in rows(&vectors["workspaces"]) {
        let workspace: Id = fixed(&world["workspace"]);
        let mut entries: BTreeMap<&str, (&str, Entry)> = BTreeMap::new();
        for row in rows(&world["entries"]) {
            let (name, partition) = (text(&row["name"]), text(&row["partition"]));
            let entry = read_signed(&workspace, partition, &hex(&row["signed"])).unwrap();
            let told = (entry.id, entry.author, Some(entry.time));
            assert_eq!(told, (fixed(&row["id"]), fixed(&row["author"]), row["time"].as_u64()), "{name}");
            check_record(&Carried::read(&workspace, partition, &entry), &row["record"], name);
            entries.insert(name, (partition, entry));
        }
        for case in rows(&world["cases"]) {
            let held = rows(&case["held"]).map(|name| entries[text(name)].clone());
            let lacking = rows(&case["without_values"]).map(|name| {
                let (partition, mut entry) = entries[text(name)].clone();
                entry.body = entry.body.redacted(&[0]);
                (partition, entry)
            });
            let carried = held.chain(lacking).map(|(partition, entry)| Carried::read(&workspace, partition, &entry));
            let authority = Authority::new(workspace, carried);
            for row in rows(&case["verdicts"]) {
                let claim = Claim {
                    id: fixed(&row["id"]),
                    partition: text(&row["partition"]),
                    author: fixed(&row["author"]),
                    kind: text(&row["kind"]),
                    intent: row["intent"].as_str(),
                    time: row["time"].as_u64().unwrap(),
                    grant: id_or_none(&row["grant"]),
                };
                let (verdict, by) = authority.verdict(&claim);
                assert_eq!(told(verdict), (text(&row["verdict"]), text(&row["code"])), "{}: {row}", case["name"]);
                assert_eq!(by, id_or_none(&row["by"]), "{}: {row}", case["name"]);
                judged += 1;
            }
        }
    }
    assert!(judged > 200, "{judged}");
    for case in rows(&vectors["refused"]) {
        assert!(Record::read(&hex(&case["hex"])).is_err(), "{}", case["why"]);
    }
}

fn told(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Accepted => ("accepted", ""),
        Verdict::Pending(code) => ("pending", code),
        Verdict::Masked(code) => ("masked", code),
        Verdict::Invalid(code) => ("invalid", code),
    }
}

/// What of a record decides is what was written.
fn check_record(carried: &Carried, wanted: &Json, name: &str) {
    let names = |list: &Json| list.as_array().map(|list| list.iter().map(|it| text(it).to_owned()).collect::<Vec<_>>());
    let period = |start: u64, end: u64| {
        [Some(start), Some(end)] == [wanted["not_before"].as_u64(), wanted["not_after"].as_u64()]
    };
    match &carried.record {
        Err(_) => assert!(wanted.is_null(), "{name}"),
        Ok(Record::Unknown) => assert_eq!(wanted.as_object().unwrap().len(), 1, "{name}"),
        Ok(Record::Genesis { roots, threshold }) => {
            assert_eq!((roots, Some(*threshold)), (&ids(&wanted["roots"]), wanted["threshold"].as_u64()), "{name}");
        }
        Ok(Record::Delegation { to, partitions, may_delegate, period: p }) => {
            assert_eq!((*to, partitions), (fixed(&wanted["to"]), &names(&wanted["partitions"])), "{name}");
            assert_eq!(Some(*may_delegate), wanted["may_delegate"].as_bool(), "{name}");
            assert!(period(p.not_before, p.not_after), "{name}");
        }
        Ok(Record::Grant(grant)) => {
            assert_eq!(
                (grant.partition.as_str(), grant.device),
                (text(&wanted["partition"]), fixed(&wanted["device"]))
            );
            assert_eq!(
                (&grant.kinds, &grant.actions),
                (&names(&wanted["kinds"]), &names(&wanted["actions"])),
                "{name}"
            );
            assert!(period(grant.period.not_before, grant.period.not_after), "{name}");
        }
    }
}
