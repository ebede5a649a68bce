//! `spec/vectors/documents.json`: small histories, each with all that must fall out of it, for other implementers.
//!
//! Set `FIELDBOOK_WRITE_VECTORS` to write the file anew; otherwise it is read and every case checked.

mod cases;

use crate::support::Random;
use automerge::{Automerge, ObjId, ROOT, ReadDoc, ScalarValue};
use changeset::*;
use crdt::{Document, Judgement, Partition, Resolution, Rule, State};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// How many orders of arrival each case is applied in.
const ORDERS: u64 = 10;

#[derive(Debug, Serialize, Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Case {
    name: String,
    workspace: String,
    partition: String,
    /// Signed forms, each after what it names.
    change_sets: Vec<String>,
    mask: BTreeSet<String>,
    purges: Vec<Purge>,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Debug, Serialize, Deserialize)]
struct Purge {
    id: String,
    values: BTreeSet<u32>,
}

/// All that falls out of a set of change sets under a judgement.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Outcome {
    documents: Vec<DocumentOutcome>,
    forks: Vec<ForkOutcome>,
    digest: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct DocumentOutcome {
    kind: String,
    id: String,
    digest: String,
    standings: BTreeMap<String, u64>,
    names: BTreeMap<String, String>,
    visible: BTreeMap<String, Vec<Visible>>,
    shown: BTreeMap<String, Said>,
    conflicts: Vec<Conflict>,
    texts: BTreeMap<String, String>,
    inert: BTreeMap<String, Vec<u32>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Visible {
    name: String,
    op: u64,
    change_set: String,
    #[serde(rename = "type")]
    value_type: u64,
    value: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Said {
    #[serde(rename = "type")]
    value_type: u64,
    value: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Conflict {
    path: String,
    rule: String,
    shown: Option<Said>,
    contenders: Vec<Contender>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Contender {
    change_set: String,
    value: Option<Said>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct ForkOutcome {
    actor: String,
    previous: Option<String>,
    siblings: Vec<String>,
}

/// What a case begins with.
struct Given {
    name: String,
    entries: Vec<Verified>,
    judgement: Judgement,
}

#[test]
fn vectors_hold_in_every_order_of_arrival() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors/documents.json");
    if std::env::var_os("FIELDBOOK_WRITE_VECTORS").is_some() {
        let vectors = Vectors { cases: cases::all().iter().map(write).collect() };
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, to_json(&vectors)).unwrap();
    }
    let vectors: Vectors = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert!(vectors.cases.len() > 20);
    vectors.cases.iter().for_each(check);
}

fn to_json(vectors: &Vectors) -> Vec<u8> {
    let mut json = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b" ");
    vectors.serialize(&mut serde_json::Serializer::with_formatter(&mut json, format)).unwrap();
    json.push(b'\n');
    json
}

fn write(given: &Given) -> Case {
    let (workspace, name) = {
        let actor = given.entries.first().unwrap().actor();
        (*actor.workspace(), actor.partition().clone())
    };
    let mut partition = Partition::new(workspace, name.clone());
    let applied = partition.apply(given.entries.clone());
    assert!(applied.refused.is_empty() && partition.waiting().is_empty(), "{}: {applied:?}", given.name);
    partition.set_judgement(given.judgement.clone());
    let purges = given.judgement.purges.iter();
    Case {
        name: given.name.clone(),
        workspace: workspace.to_string(),
        partition: name.to_string(),
        change_sets: given.entries.iter().map(signed_form).collect(),
        mask: given.judgement.mask.iter().map(ToString::to_string).collect(),
        purges: purges.map(|(id, values)| Purge { id: id.to_string(), values: values.clone() }).collect(),
        outcome: outcome(&mut partition),
    }
}

/// A body without values has a salt of zeros.
fn signed_form(entry: &Verified) -> String {
    let mut bytes = entry.to_bytes().unwrap();
    if entry.body().value_count() == 0 {
        let end = bytes.len() - 1;
        bytes[end - 16..end].fill(0);
    }
    hex(&bytes)
}

fn check(case: &Case) {
    let name = changeset::Partition::new(&case.partition).unwrap();
    let workspace = WorkspaceId::from_hex(&case.workspace).unwrap();
    let read = |form: &String| Signed::from_bytes(&from_hex(form), workspace, &name).unwrap().verify().unwrap();
    let entries: Vec<Verified> = case.change_sets.iter().map(read).collect();
    let id = |text: &String| ChangeSetId::from_hex(text).unwrap();
    let judgement = Judgement {
        mask: case.mask.iter().map(id).collect(),
        purges: case.purges.iter().map(|purge| (id(&purge.id), purge.values.clone())).collect(),
    };
    for order in 0..ORDERS {
        let mut random = Random::new(order);
        let mut partition = Partition::new(workspace, name.clone());
        let mut arriving: Vec<Verified> = entries
            .iter()
            .map(|entry| match judgement.purges.get(&entry.id()) {
                // What was purged need not be held, and is not looked at where it is.
                Some(values) if random.chance(50) => {
                    entry.redact(&values.iter().map(|value| *value as usize).collect::<Vec<_>>())
                }
                _ => entry.clone(),
            })
            .collect();
        random.shuffle(&mut arriving);
        let judged_after = random.below(arriving.len() + 1);
        let mut taken = 0;
        let mut is_judged = false;
        while taken < arriving.len() {
            if taken >= judged_after && !is_judged {
                partition.set_judgement(judgement.clone());
                is_judged = true;
            }
            let batch = 1 + random.below(arriving.len() - taken);
            let applied = partition.apply(arriving[taken..taken + batch].to_vec());
            assert!(applied.refused.is_empty() && applied.faults.is_empty(), "{}: {applied:?}", case.name);
            taken += batch;
        }
        partition.set_judgement(judgement.clone());
        assert!(partition.waiting().is_empty(), "{}", case.name);
        assert_eq!(outcome(&mut partition), case.outcome, "{}, order {order}", case.name);
    }
}

fn outcome(partition: &mut Partition) -> Outcome {
    let keys: Vec<DocumentKey> = partition.documents().map(|document| document.key().clone()).collect();
    let documents = keys.iter().map(|key| document_outcome(partition.document_mut(key).unwrap())).collect();
    let forks = partition.forks().into_iter().map(|fork| ForkOutcome {
        actor: fork.actor.to_string(),
        previous: fork.previous.map(|id| id.to_string()),
        siblings: fork.siblings.iter().map(ToString::to_string).collect(),
    });
    Outcome { documents, forks: forks.collect(), digest: partition.digest().to_string() }
}

fn document_outcome(document: &mut Document) -> DocumentOutcome {
    let image = Automerge::load(&document.save_automerge().unwrap()).unwrap();
    let document = &*document;
    let paths = document.paths("");
    let resolutions: Vec<Resolution> = paths.iter().filter_map(|path| document.resolution(path)).collect();
    let ids = || document.standings().map(|(id, _)| id);
    DocumentOutcome {
        kind: document.key().kind.to_string(),
        id: document.key().id.to_string(),
        digest: document.digest().to_string(),
        standings: document.standings().map(|(id, standing)| (id.to_string(), standing.code())).collect(),
        names: ids().map(|id| (id.to_string(), document.branch_name(&id).unwrap().to_string())).collect(),
        visible: resolutions.iter().map(|found| (found.path.to_string(), visible(document, &image, found))).collect(),
        shown: resolutions.iter().map(|found| (found.path.to_string(), said(found.shown.as_ref().unwrap()))).collect(),
        conflicts: document.conflicts().iter().map(conflict).collect(),
        texts: paths.iter().filter_map(|path| Some((path.to_string(), document.text(path)?))).collect(),
        inert: document
            .history()
            .into_iter()
            .filter(|entry| !entry.inert.is_empty())
            .map(|entry| (entry.id.to_string(), entry.inert))
            .collect(),
    }
}

/// The visible values of a path, their ops as Automerge has them.
fn visible(document: &Document, image: &Automerge, found: &Resolution) -> Vec<Visible> {
    let by_name: BTreeMap<BranchName, &crdt::Contender> = found
        .contenders
        .iter()
        .map(|contender| (document.branch_name(&contender.change_set).unwrap(), contender))
        .collect();
    let in_image = image.get_all(ROOT, found.path.as_str()).unwrap();
    assert_eq!((in_image.len(), by_name.len()), (found.contenders.len(), found.contenders.len()));
    let mut visible: Vec<Visible> = in_image
        .into_iter()
        .map(|(value, op)| {
            let ObjId::Id(number, actor, _) = op else { panic!("an op has a number") };
            let name = BranchName::from_bytes(actor.to_bytes().try_into().unwrap());
            let contender = by_name[&name];
            assert_eq!(value.as_scalar(), Some(&in_automerge(contender.value.as_ref().unwrap())));
            let Said { value_type, value } = said(contender.value.as_ref().unwrap());
            let change_set = contender.change_set.to_string();
            Visible { name: name.to_string(), op: number, change_set, value_type, value }
        })
        .collect();
    visible.sort_by(|a, b| (a.op, &a.name).cmp(&(b.op, &b.name)));
    visible
}

fn in_automerge(value: &Value) -> ScalarValue {
    match value {
        Value::Null => ScalarValue::Null,
        Value::Bool(value) => ScalarValue::Boolean(*value),
        Value::Int(value) => ScalarValue::Int(*value),
        Value::Float(value) => ScalarValue::F64(*value),
        Value::String(text) => ScalarValue::Str(text.as_str().into()),
        Value::Bytes(bytes) => ScalarValue::Bytes(bytes.clone()),
        Value::Timestamp(ms) => ScalarValue::Timestamp(*ms),
        Value::Counter(sum) => ScalarValue::counter(*sum),
        Value::Decimal(decimal) => ScalarValue::Str(decimal.to_string().into()),
        Value::Reference(reference) => ScalarValue::Str(reference.to_string().into()),
        Value::Attachment(attachment) => ScalarValue::Str(attachment.to_string().into()),
    }
}

fn said(value: &Value) -> Said {
    Said { value_type: value.value_type().code(), value: hex(&value.to_bytes()) }
}

fn conflict(resolution: &Resolution) -> Conflict {
    let rule = match resolution.rule {
        Rule::LastWriter => "last_writer",
        Rule::SumOfCounters => "sum_of_counters",
        Rule::RemovedWhileEdited => "removed_while_edited",
        _ => panic!("a rule without a name here"),
    };
    let contenders = resolution.contenders.iter().map(|contender| Contender {
        change_set: contender.change_set.to_string(),
        value: contender.value.as_ref().map(said),
    });
    Conflict {
        path: resolution.path.to_string(),
        rule: rule.to_owned(),
        shown: resolution.shown.as_ref().map(said),
        contenders: contenders.collect(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks_exact(2).map(|pair| core::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}
