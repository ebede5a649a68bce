//! What an import of whole files does: the real data set, every kind of error, and hostile bytes.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, also in its helpers"
)]

use changeset::limits::{MAX_OPS, MAX_VALUE_BYTES};
use changeset::{
    Author, Decimal, DeviceKey, DocumentId, Draft, Edit, Incarnation, IntentName, Partition, Path, Script,
    SeededEntropy, Value, WorkspaceId,
};
use fieldbook_import::{
    FOOD_INSPECTIONS_MAPPING, Fault, FileFault, FolderSource, Import, ImportError, ImportErrors, Mapping, MappingFault,
    MemorySource, NORTHWIND_ORDERS_MAPPING, Part, Record, Source, SourceError, document_id, generated,
};
use proptest::prelude::*;
use serde_json::{Map, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::{env, fs};

fn load(mapping: &str, source: &dyn Source) -> Result<Import, ImportError> {
    Import::load(&Mapping::parse("mapping.toml", mapping.as_bytes())?, source)
}

fn records(mapping: &str, source: &dyn Source) -> Vec<Record> {
    load(mapping, source)
        .unwrap_or_else(|error| panic!("{error}"))
        .records()
        .unwrap_or_else(|errors| panic!("{errors}"))
}

fn errors(mapping: &str, source: &dyn Source) -> ImportErrors {
    load(mapping, source).unwrap_or_else(|error| panic!("{error}")).records().expect_err("broken rows")
}

fn value<'a>(record: &'a Record, path: &str) -> Option<&'a Value> {
    record.puts.iter().find(|(at, _)| at.as_str() == path).map(|(_, value)| value)
}

fn text<'a>(record: &'a Record, path: &str) -> Option<&'a str> {
    record.texts.iter().find(|(at, _)| at.as_str() == path).map(|(_, text)| text.as_str())
}

/// The folder of the real files, if this machine has them.
fn real_data() -> Option<PathBuf> {
    let folder = env::var_os("FIELDBOOK_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("FIELDBOOK_DATA is not set to the folder of the real CSV files: only generated ones are tested");
    }
    folder
}

/// The documents that the records make, as an export shows them.
fn export(records: &[Record]) -> serde_json::Value {
    let document = |record: &Record| {
        let mut state = Map::new();
        for (path, value) in &record.puts {
            if path.as_str().ends_with("/.") {
                continue;
            }
            let value = match value {
                Value::Null => json!(null),
                Value::Bool(value) => json!(value),
                Value::Int(value) | Value::Counter(value) => json!(value),
                Value::Decimal(value) => json!(value.to_string()),
                Value::String(value) => json!(value),
                Value::Timestamp(ms) => json!(rfc_3339(*ms)),
                other => panic!("{other:?}"),
            };
            insert(&mut state, path, value);
        }
        record.texts.iter().for_each(|(path, text)| insert(&mut state, path, json!(text)));
        json!({ "kind": record.key.kind.as_str(), "id": record.key.id.to_uuid(), "state": state })
    };
    records.iter().map(document).collect()
}

fn insert(state: &mut Map<String, serde_json::Value>, path: &Path, value: serde_json::Value) {
    let mut segments: Vec<&str> = path.segments().collect();
    let last = segments.pop().unwrap();
    let mut at = state;
    for segment in segments {
        at = at.entry(segment).or_insert_with(|| json!({})).as_object_mut().unwrap();
    }
    assert_eq!(at.insert(last.to_owned(), value), None, "{path} twice");
}

/// Counts days up from 1970, so that it shares nothing with the reading of dates.
fn rfc_3339(ms: i64) -> String {
    let (mut days, rest) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let is_leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let mut year = 1970;
    while days >= 365 + i64::from(is_leap(year)) {
        days -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + i64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second, milli) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60, rest % 1000);
    let fraction = if milli == 0 { String::new() } else { format!(".{milli:03}") };
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z", days + 1)
}

/// Every cell of every file against the records, by a program that shares nothing with this crate.
fn check_every_cell(name: &str, folder: &PathBuf, all: &[Record]) {
    let exported = env::temp_dir().join(format!("fieldbook-import-{}-{name}.json", std::process::id()));
    fs::write(&exported, serde_json::to_vec(&export(all)).unwrap()).unwrap();
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/check_import.py");
    let Ok(output) = Command::new("python3").arg(script).arg(&exported).arg(folder).output() else {
        return eprintln!("python3 is not there: the cells of {name} are not compared one by one");
    };
    fs::remove_file(&exported).unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Every record must fit into one change set: the author is asked.
fn check_recordable(records: &[Record]) {
    let key = Arc::new(DeviceKey::from_secret(&[7; 32]));
    let incarnation = Incarnation::from_bytes([2; 8]);
    let entropy = Box::new(SeededEntropy::new(1));
    let partition = Partition::new("north").unwrap();
    let mut author = Author::new(key, WorkspaceId::from_bytes([1; 32]), partition, incarnation, entropy);
    for record in records {
        let puts = record.puts.iter().map(|(path, value)| Edit::Put { path: path.clone(), value: value.clone() });
        let texts = record.texts.iter().map(|(path, text)| Edit::InsertText {
            path: path.clone(),
            left: None,
            right: None,
            text: text.clone(),
        });
        let script = Script { reason: Some("x".repeat(1000)), edits: puts.chain(texts).collect() };
        let draft = Draft {
            document: record.key.clone(),
            parents: Vec::new(),
            grant: None,
            schema_version: 1,
            intent: IntentName::new("import").unwrap(),
            group: None,
            script,
        };
        author.record(draft, 0).unwrap_or_else(|error| panic!("line {}: {error}", record.line));
    }
}

#[test]
fn every_cell_of_the_real_files_is_imported() {
    let Some(folder) = real_data() else { return };
    let source = FolderSource::new(&folder);
    let inspections = load(FOOD_INSPECTIONS_MAPPING, &source).unwrap();
    assert_eq!(inspections.unused_columns().collect::<Vec<_>>(), []);
    let mut all = inspections.records().unwrap();
    assert_eq!(all.len(), 228);
    let items = |record: &Record| record.puts.iter().filter(|(path, _)| path.as_str().ends_with("/.")).count();
    assert_eq!(all.iter().map(items).sum::<usize>(), 786);
    let first = &all[0];
    assert_eq!((first.line, &*first.source), (2, "food_inspections.csv"));
    assert_eq!(value(first, "number"), Some(&"2365442".into()));
    assert_eq!(value(first, "subject/latitude").unwrap(), &Decimal::parse("41.90991644409767").unwrap().into());
    assert_eq!(value(first, "risk"), Some(&"high".into()));
    assert_eq!(value(first, "scheduled_at"), Some(&Value::Timestamp(1_583_452_800_000)));
    assert_eq!(first.texts, []);

    let orders = load(NORTHWIND_ORDERS_MAPPING, &source).unwrap();
    assert_eq!(orders.unused_columns().collect::<Vec<_>>(), []);
    let files: Vec<(&str, usize)> = orders.files().collect();
    assert!(files.contains(&("northwind_order_details.csv", 1380)), "{files:?}");
    let orders = orders.records().unwrap();
    assert_eq!(orders.len(), 539);
    assert_eq!(orders.iter().map(items).sum::<usize>(), 1380);
    assert_eq!(value(&orders[0], "lines/14/quantity"), Some(&Value::Decimal(Decimal { mantissa: 9, scale: 0 })));
    assert_eq!(value(&orders[0], "lines/14/description"), Some(&"Tofu".into()));
    assert_eq!(value(&orders[0], "lines/14/unit_price").unwrap(), &Decimal::parse("18.60").unwrap().into());

    all.extend(orders);
    check_recordable(&all);
    check_every_cell("real", &folder, &all);
}

#[test]
fn every_cell_of_generated_files_is_imported() {
    for seed in 0..8 {
        let source = generated(seed, 60);
        let folder = env::temp_dir().join(format!("fieldbook-import-{}-{seed}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        source.files().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
        let mut all = records(FOOD_INSPECTIONS_MAPPING, &source);
        let orders = records(NORTHWIND_ORDERS_MAPPING, &FolderSource::new(&folder));
        assert_eq!((all.len(), orders.len()), (60, 60));
        all.extend(orders);
        check_recordable(&all);
        check_every_cell(&format!("seed-{seed}"), &folder, &all);
        fs::remove_dir_all(&folder).unwrap();
    }
    assert_eq!(generated(1, 5).files().collect::<Vec<_>>(), generated(1, 5).files().collect::<Vec<_>>());
}

#[test]
fn the_same_row_names_the_same_document_everywhere() {
    let source = generated(3, 20);
    let once = records(NORTHWIND_ORDERS_MAPPING, &source);
    assert_eq!(once, records(NORTHWIND_ORDERS_MAPPING, &source));
    let ids: BTreeSet<DocumentId> = once.iter().map(|record| record.key.id).collect();
    assert_eq!(ids.len(), once.len());
    for record in &once {
        let (Some(Value::String(number)), Some(Value::Timestamp(time))) =
            (value(record, "number"), value(record, "dates/ordered"))
        else {
            panic!("a number and a date");
        };
        let id = document_id(&record.key.kind, "northwind orders", [number.as_str()], *time as u64);
        assert_eq!(record.key.id, id);
    }
}

#[test]
fn parts_share_the_records_out() {
    let import = load(NORTHWIND_ORDERS_MAPPING, &generated(4, 25)).unwrap();
    let part = |part| import.part(Part::new(part, 3).unwrap()).unwrap();
    let mut shared: Vec<Record> = (1..=3).flat_map(part).collect();
    assert_eq!(part(1).len(), 9);
    shared.sort_by_key(|record| record.line);
    assert_eq!(shared, import.records().unwrap());
}

/// A mapping with one field, for `a.csv` with the key `k`.
fn field(rest: &str) -> String {
    format!("kind = \"x\"\nsource = \"a.csv\"\nkey = \"k\"\n[[field]]\npath = \"v\"\n{rest}\n")
}

fn csv(text: impl Into<Vec<u8>>) -> MemorySource {
    MemorySource::new().with("a.csv", text)
}

/// The only problem: line, column, value and fault.
fn problem(mapping: &str, source: &MemorySource) -> (u64, Option<String>, Option<String>, Fault) {
    let errors = errors(mapping, source);
    let [problem] = errors.problems() else { panic!("{errors}") };
    assert_eq!(errors.total(), 1, "{errors}");
    (problem.line, problem.column.clone(), problem.value.clone(), problem.fault.clone())
}

/// [`problem`] in a column with a value.
fn at(line: u64, column: &str, value: &str, fault: Fault) -> (u64, Option<String>, Option<String>, Fault) {
    (line, Some(column.to_owned()), Some(value.to_owned()), fault)
}

#[test]
fn one_broken_row_and_nothing_is_imported() {
    let good: String = (0..1000).map(|row| format!("{row},{row}\n")).collect();
    let mapping = field("column = \"v\"\ntype = \"int\"");
    assert_eq!(records(&mapping, &csv(format!("k,v\n{good}"))).len(), 1000);

    let bad = format!("k,v\n{good}x,\"1\n2\"\n");
    assert!(matches!(problem(&mapping, &csv(bad)), (1002, Some(_), Some(_), Fault::NotOfType { .. })));
    let ragged = format!("k,v\n{good}x\n");
    assert_eq!(problem(&mapping, &csv(ragged)), (1002, None, None, Fault::Ragged { found: 1, wanted: 2 }));
    let part = load(&mapping, &csv(format!("k,v\n{good}x\n"))).unwrap().part(Part::new(1, 2).unwrap());
    assert!(part.is_err(), "the other part's rows count, too");
}

#[test]
fn all_broken_rows_are_reported_and_the_rest_is_counted() {
    let rows: String = (0..100).map(|row| format!("{row},x{row}\n")).collect();
    let errors = errors(&field("column = \"v\"\ntype = \"int\""), &csv(format!("k,v\n{rows}short\n")));
    assert_eq!((errors.total(), errors.problems().len(), errors.is_complete()), (101, 20, true));
    let lines: Vec<u64> = errors.problems().iter().map(|problem| problem.line).collect();
    assert_eq!(lines, (2..22).collect::<Vec<u64>>());
    let shown = errors.to_string();
    assert!(
        shown.starts_with(
            "nothing was imported: 101 problems\n  a.csv, line 2, column \"v\", value \"x0\": it is no whole"
        ),
        "{shown}"
    );
    assert!(shown.ends_with("and 81 more"), "{shown}");
}

#[test]
fn quotes_and_bytes_that_are_wrong_are_named() {
    let mapping = field("column = \"v\"");
    let open = "k,v\n1,\"one\n2,two\n3,three\n";
    assert_eq!(problem(&mapping, &csv(open)), (2, None, None, Fault::OpenQuote { opened: 2 }));
    let after = "k,v\n1,\"one\"x\n2,two\n";
    assert_eq!(problem(&mapping, &csv(after)), (2, None, None, Fault::AfterQuote { at: 2 }));
    let bytes = b"k,v\n1,\"a\"\"\xff\"\n";
    assert_eq!(problem(&mapping, &csv(*bytes)), (2, Some("v".to_owned()), None, Fault::NotUtf8 { offset: 10 }));
}

#[test]
fn keys_name_one_row_each() {
    let mapping = field("column = \"v\"");
    assert_eq!(problem(&mapping, &csv("k,v\n1,a\n2,b\n1,c\n")), at(4, "k", "1", Fault::SameKey { first: 2 }));
    assert_eq!(problem(&mapping, &csv("k,v\n,a\n")), at(2, "k", "", Fault::NoKey));
    let two = mapping.replace("key = \"k\"", "key = [\"k\", \"v\"]");
    assert_eq!(records(&two, &csv("k,v\n1,a\n2,b\n1,c\n")).len(), 3);
    assert_eq!(problem(&two, &csv("k,v\n1,a\n1,a\n")), at(3, "k", "1, a", Fault::SameKey { first: 2 }));
    let created = mapping.replace("key", "created = { column = \"v\", format = \"%Y-%m-%d\" }\nkey");
    assert_eq!(problem(&created, &csv("k,v\n1,1969-12-31\n")), at(2, "v", "1969-12-31", Fault::NoIdTime));
    let wrong = at(2, "v", "soon", Fault::NotTime { format: "%Y-%m-%d".to_owned() });
    assert_eq!(problem(&created, &csv("k,v\n1,soon\n")), wrong);
}

#[test]
fn values_are_converted_or_refused() {
    let of = |rest: &str, cell: &str| {
        let records = records(&field(rest), &csv(format!("k,v,w\n1,{cell},W\n")));
        value(&records[0], "v").cloned()
    };
    assert_eq!(of("column = \"v\"", " a "), Some(" a ".into()));
    assert_eq!(of("column = \"v\"", ""), None);
    assert_eq!(of("column = \"v\"\nkeep_null = true", ""), Some(Value::Null));
    assert_eq!(of("column = \"v\"\nnull = []", ""), Some("".into()));
    assert_eq!(of("column = \"v\"\nnull = [\"-\"]", "-"), None);
    assert_eq!(of("column = \"v\"\nmap = { a = 1 }\notherwise = \"keep\"", "b"), Some("b".into()));
    assert_eq!(of("column = \"v\"\nmap = { a = 1 }\notherwise = 2", "b"), Some(Value::Int(2)));
    assert_eq!(of("column = \"v\"\nmap = { a = 1 }", "a"), Some(Value::Int(1)));
    assert_eq!(of("column = \"v\"\nmap = { \"\" = false }", ""), Some(false.into()));
    assert_eq!(of("template = \"{v}, {w}\"", "a"), Some("a, W".into()));
    assert_eq!(of("template = \"{v}, {w}\"", ""), Some(", W".into()));
    assert_eq!(of("template = \"{v}{v}\"", ""), None);
    assert_eq!(of("constant = \"1.50\"\ntype = \"decimal\"", ""), Some(Decimal { mantissa: 150, scale: 2 }.into()));
    assert_eq!(of("column = \"v\"\ntype = \"int\"\nexact = false", "007"), Some(Value::Int(7)));

    let not_exact = Fault::NotExact { kept: "7".to_owned() };
    assert_eq!(problem(&field("column = \"v\"\ntype = \"int\""), &csv("k,v\n1,007\n")), at(2, "v", "007", not_exact));
    let not_in_map = Fault::NotInMap { path: "v".to_owned() };
    assert_eq!(problem(&field("column = \"v\"\nmap = { a = 1 }"), &csv("k,v\n1,b\n")), at(2, "v", "b", not_in_map));
}

#[test]
fn texts_are_kept_apart_and_empty_ones_left_out() {
    let mapping = field("column = \"v\"\ntext = true\nnull = []");
    let records = records(&mapping, &csv("k,v\n1,\"two\r\nlines 😀\"\n2,\n"));
    assert_eq!(text(&records[0], "v"), Some("two\r\nlines 😀"));
    assert_eq!((value(&records[0], "v"), records[1].texts.len()), (None, 0));
}

#[test]
fn values_over_the_limits_are_refused() {
    let limit = MAX_VALUE_BYTES;
    let fits = csv(format!("k,v\n1,{}\n", "x".repeat(limit)));
    let over = csv(format!("k,v\n1,{}\n", "x".repeat(limit + 1)));
    for rest in ["column = \"v\"", "column = \"v\"\ntext = true", "template = \"{v}\""] {
        check_recordable(&records(&field(rest), &fits));
        let (line, column, _, fault) = problem(&field(rest), &over);
        assert_eq!((line, column.as_deref(), fault), (2, Some("v"), Fault::TooLong { bytes: limit + 1, limit }));
    }

    let mut many = field("constant = 1");
    (0..5).for_each(|number| many.push_str(&format!("[[field]]\npath = \"v{number}\"\ncolumn = \"v\"\n")));
    let (line, column, _, fault) = problem(&many, &fits);
    assert!(matches!((line, column, fault), (2, None, Fault::TooManyBytes { .. })));
    check_recordable(&records(&many, &csv(format!("k,v\n1,{}\n", "x".repeat(208_000)))));

    let split = "[[split]]\ncolumn = \"v\"\nseparator = \";\"\npatterns = [\"{n}\"]\ninto = \"i\"\nid = \"{n}\"\n";
    let mapping = format!("{}{split}", field("constant = 1"));
    let pieces = |count: usize| csv(format!("k,v\n1,{}\n", vec!["7"; count].join(";")));
    // A marker and a position each, and the constant.
    check_recordable(&records(&mapping, &pieces(MAX_OPS / 2 - 1)));
    assert_eq!(problem(&mapping, &pieces(MAX_OPS)).3, Fault::TooManyValues { limit: MAX_OPS });
    // Long paths: 2,000 entries of 250 bytes of path, twice.
    let long = (0..2000).map(|number| format!("{}{number}", "p".repeat(230))).collect::<Vec<_>>().join(";");
    assert!(matches!(problem(&mapping, &csv(format!("k,v\n1,{long}\n"))).3, Fault::PathsTooLong { .. }));
}

#[test]
fn paths_are_made_of_values() {
    let mapping = |path: &str| field("column = \"v\"").replace("path = \"v\"", &format!("path = {path:?}"));
    let found = records(&mapping("by/{v}-{k}/x"), &csv("k,v\n1,North Wing\n"));
    assert_eq!(value(&found[0], "by/north-wing-1/x"), Some(&"North Wing".into()));

    let no_segment = Fault::NoSegment { template: "by/{v}".to_owned() };
    let keep = format!("{}keep_null = true\n", mapping("by/{v}"));
    assert_eq!(problem(&keep, &csv("k,v\n1,\n")), at(2, "v", "", no_segment));
    let long = csv(format!("k,v\n1,{}\n", "x".repeat(256)));
    assert!(matches!(problem(&mapping("by/{v}"), &long).3, Fault::BadPath { .. }));
    let long = csv(format!("k,v\n1,{}\n", "x".repeat(253)));
    assert!(matches!(problem(&mapping("by/{v}"), &long).3, Fault::BadPath { .. }));

    let two = format!("{}[[field]]\npath = \"by/b\"\nconstant = 1\n", mapping("by/{v}"));
    assert_eq!(records(&two, &csv("k,v\n1,a\n")).len(), 1);
    let same = Fault::SamePath { path: "by/b".to_owned() };
    assert_eq!(problem(&two, &csv("k,v\n1,a\n2,B\n")), (3, None, None, same));
    let inside = format!("{}[[field]]\npath = \"by/b/c\"\nconstant = 1\n", mapping("by/{v}"));
    let same = Fault::SamePath { path: "by/b/c".to_owned() };
    assert_eq!(problem(&inside, &csv("k,v\n1,b\n")), (2, None, None, same));
}

const LOOKUP: &str = "lookup = { csv = \"b.csv\", key = \"k\", from = \"v\", column = \"w\" }";

#[test]
fn look_ups_find_one_row_or_say_so() {
    let source = csv("k,v\n1,b\n2,\n").with("b.csv", "k,w\na,A\nb,B\n,none\n");
    let found = records(&field(LOOKUP), &source);
    assert_eq!((value(&found[0], "v"), value(&found[1], "v")), (Some(&"B".into()), None));

    let source = csv("k,v\n1,b\n2,c\n").with("b.csv", "k,w\nb,B\n");
    let not_found = Fault::NotFound { file: "b.csv".into() };
    assert_eq!(problem(&field(LOOKUP), &source), at(3, "v", "c", not_found));
    let found = records(&field(&LOOKUP.replace(" }", ", missing = \"null\" }")), &source);
    assert_eq!(value(&found[1], "v"), None);

    // The place of a wrong value is where it stands, and it counts once, however many rows look it up.
    let source = csv("k,v\n1,b\n2,b\n").with("b.csv", "k,w\nb,B\n");
    let errors = errors(&field(&format!("{LOOKUP}\ntype = \"int\"")), &source);
    assert!(
        errors.to_string().starts_with("nothing was imported: 1 problem\n  b.csv, line 2, column \"w\", value \"B\""),
        "{errors}"
    );

    let source = csv("k,v\n1,b\n").with("b.csv", "k,w\nb,B\nb,C\n,x\n,y\n");
    assert_eq!(problem(&field(LOOKUP), &source), at(3, "k", "b", Fault::SameKey { first: 2 }));
    // What is not found may be in the broken row, which is reported alone.
    let source = csv("k,v\n1,b\n").with("b.csv", "k,w\nb,B,\n");
    assert_eq!(problem(&field(LOOKUP), &source), (2, None, None, Fault::Ragged { found: 3, wanted: 2 }));
}

const JOIN: &str = "
[[join]]
csv = \"b.csv\"
key = \"a\"
from = \"k\"
into = \"lines\"
id = \"{p}\"
[[join.field]]
path = \"n\"
column = \"n\"
type = \"int\"
";

#[test]
fn joins_make_entries() {
    let mapping = format!("{}{JOIN}", field("column = \"v\""));
    let source = csv("k,v\n1,a\n2,b\n3,c\n").with("b.csv", "a,p,n\n2,X,7\n1,Y,8\n2,W,9\n");
    let found = records(&mapping, &source);
    assert_eq!(value(&found[1], "lines/x/."), Some(&true.into()));
    assert_eq!(value(&found[1], "lines/x/n"), Some(&Value::Int(7)));
    assert_eq!(value(&found[1], "lines/x/position"), Some(&"i0".into()));
    assert_eq!(value(&found[1], "lines/w/position"), Some(&"i1".into()));
    assert_eq!((found[0].puts.len(), found[1].puts.len(), found[2].puts.len()), (4, 7, 1));

    let source = csv("k,v\n1,a\n").with("b.csv", "a,p,n\n1,X,7\n9,Y,8\n");
    let no_parent = Fault::NoParent { parent: "a.csv".into() };
    assert_eq!(problem(&mapping, &source), at(3, "a", "9", no_parent));
    assert_eq!(records(&mapping.replace("id =", "orphans = \"ignore\"\nid ="), &source).len(), 1);
    // A broken row of the source makes no orphans.
    let source = csv("k,v\n1\n").with("b.csv", "a,p,n\n1,X,7\n");
    assert_eq!(problem(&mapping, &source).3, Fault::Ragged { found: 1, wanted: 2 });

    let source = csv("k,v\n1,a\n").with("b.csv", "a,p,n\n1,X,7\n1,x,8\n1,x-2,9\n1,x,0\n");
    let errors = errors(&mapping, &source);
    let same = Fault::SameEntry { id: "x".to_owned() };
    assert_eq!(errors.problems().iter().map(|problem| problem.line).collect::<Vec<_>>(), [3, 5]);
    assert_eq!(errors.problems()[0].fault, same);
    let found = records(&mapping.replace("id =", "repeats = \"suffix\"\nid ="), &source);
    let entries: Vec<i64> = ["x", "x-2", "x-2-2", "x-3"]
        .iter()
        .map(|id| match value(&found[0], &format!("lines/{id}/n")) {
            Some(Value::Int(number)) => *number,
            other => panic!("{id}: {other:?}"),
        })
        .collect();
    assert_eq!(entries, [7, 8, 9, 0]);

    let source = csv("k,v\n1,a\n").with("b.csv", "a,p,n\n1,,7\n");
    assert_eq!(problem(&mapping, &source), at(2, "p", "", Fault::NoSegment { template: "{p}".to_owned() }));
}

#[test]
fn splits_make_entries() {
    let mapping = format!(
        "{}{}",
        field("column = \"k\""),
        "
[[split]]
column = \"v\"
separator = \" | \"
patterns = [\"{number:int}. {prompt} - Comments: {note}\", \"{number:int}. {prompt}\"]
into = \"items\"
id = \"{number}\"
[[split.field]]
path = \"prompt\"
capture = \"prompt\"
[[split.field]]
path = \"number\"
capture = \"number\"
type = \"int\"
[[split.field]]
path = \"note\"
capture = \"note\"
text = true
[[split.field]]
path = \"label\"
template = \"{k}/{number}\"
"
    );
    let cell = "10. A - Comments: one | 10. B - Comments:  two | 9. C - Comments: | 10. D - Comments: ";
    let found = records(&mapping, &csv(format!("k,v\n7,{cell}\n8,\n")));
    let prompts =
        ["10", "10-2", "9", "10-3"].map(|id| value(&found[0], &format!("items/{id}/prompt")).cloned().unwrap());
    assert_eq!(prompts, ["A", "B", "C - Comments:", "D"].map(Value::from));
    assert_eq!(found[0].texts.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), ["one", " two"]);
    assert_eq!(value(&found[0], "items/10-2/number"), Some(&Value::Int(10)));
    assert_eq!(value(&found[0], "items/10-2/label"), Some(&"7/10".into()));
    assert_eq!(found[1].puts.len(), 1);

    let (line, column, _, fault) = problem(&mapping, &csv("k,v\n7,1. A | SEE PHOTO. B\n"));
    assert_eq!((line, column.as_deref(), fault), (2, Some("v"), Fault::NoPattern { piece: "SEE PHOTO. B".to_owned() }));
    let strict = mapping.replace("id = \"{number}\"", "id = \"{number}\"\nrepeats = \"error\"");
    assert_eq!(problem(&strict, &csv("k,v\n7,1. A | 1. B\n")).3, Fault::SameEntry { id: "1".to_owned() });
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let mapping = field("column = \"v\"");
    let refused = |source: &dyn Source| load(&mapping, source).expect_err("no file").to_string();
    let message = refused(&MemorySource::new().with("b.csv", "").with("A.csv", ""));
    assert_eq!(message, "a.csv: there is no such file in memory; did you mean \"A.csv\"?");
    assert_eq!(refused(&csv("")), "a.csv: the file is empty; its first row must name the columns");
    let Err(ImportError::File { fault, .. }) = load(&mapping, &csv(b"\xff\xfek\0")) else { panic!("no file") };
    assert_eq!(fault, FileFault::Utf16);

    let folder = env::temp_dir().join(format!("fieldbook-import-{}-folder", std::process::id()));
    fs::create_dir_all(folder.join("a.csv")).unwrap();
    assert!(matches!(FolderSource::new(&folder).open("a.csv"), Err(SourceError::Io { .. })));
    assert!(matches!(FolderSource::new(&folder).open("b.csv"), Err(SourceError::NotFound { suggestion: Some(_), .. })));
    for outside in ["../a.csv", "/etc/passwd", "", "."] {
        assert!(matches!(FolderSource::new(&folder).open(outside), Err(SourceError::BadName { .. })), "{outside}");
    }
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_wrong_mapping_is_named_by_line_and_column() {
    let refused = |mapping: &str| load(mapping, &csv("k,v,Name\n1,2,3\n")).expect_err("a wrong mapping").to_string();
    for (rest, message) in [
        ("column = \"Nmae\"", "line 6, column 10: a.csv has no column \"Nmae\"; did you mean \"Name\"?"),
        ("column = \"zz\"", "line 6, column 10: a.csv has no column \"zz\"; there are \"k\", \"v\", \"Name\""),
        ("template = \"{zz}\"", "line 6, column 12: a.csv has no column \"zz\"; there are"),
        ("colum = \"v\"", "line 6, column 1: unknown field `colum`, expected one of `path`, `column`"),
        ("column = \"v\"\ntype = \"strng\"", "line 7, column 8: unknown variant `strng`, expected one of `string`"),
        ("column = v", "line 6, column 10: "),
        (
            "column = \"v\"\nconstant = 1",
            "line 5, column 8: a field takes its value from exactly one place; keep one of",
        ),
        ("type = \"int\"", "line 5, column 8: a field takes its value from exactly one place"),
        ("capture = \"n\"", "line 6, column 11: captures exist only in the fields of a split; use `column`"),
        ("column = \"v\"\ntype = \"timestamp\"", "line 5, column 8: a timestamp needs to know how it is written; add"),
        ("column = \"v\"\nformat = \"%Y\"", "line 7, column 10: the format lacks one of"),
        ("column = \"v\"\nformat = \"%Y%m%d\"", "line 7, column 10: only a timestamp has a format; add"),
        ("column = \"v\"\notherwise = 1", "line 7, column 13: `otherwise` says what a map does not have"),
        ("constant = 1\nmap = { a = 1 }", "line 6, column 12: a constant needs no map"),
        ("constant = 1.5\ntype = \"decimal\"", "line 6, column 12: 1.5 is no value of type decimal number"),
        ("constant = 2020-01-01", "line 6, column 12: 2020-01-01 is no value of type string; write it in quotes"),
        ("column = \"v\"\nmap = { a = \"x\" }\ntype = \"int\"", "line 7, column 13: \"\\\"x\\\"\" is no value"),
        ("column = \"v\"\ntext = true\ntype = \"int\"", "line 5, column 8: a text is a string and never null"),
        ("constant = 1\ntext = true", "line 6, column 12: a text is a string; write it in quotes"),
        ("template = \"{v\"", "line 6, column 12: a brace has no partner; write `{Column}`"),
        (
            "column = \"v\"\n[[field]]\npath = \"v/w\"\nconstant = 1",
            "line 8, column 8: path \"v/w\" clashes with \"v\"",
        ),
        ("column = \"v\"\n[[field]]\npath = \"A b\"\nconstant = 1", "line 8, column 8: \"A b\" is not a valid path"),
        (
            "lookup = { csv = \"b.csv\", key = [\"k\", \"l\"], from = \"v\", column = \"w\" }",
            "line 6, column 52: `key` and `from` do not name equally many columns",
        ),
    ] {
        let found = refused(&field(rest));
        let wanted = format!("mapping.toml, {}", message.replace("\"\\\"x\\\"\"", "\"x\""));
        assert!(found.starts_with(&wanted), "{rest}\n  found  {found}\n  wanted {wanted}");
    }
    for (from, to, message) in [
        ("kind = \"x\"", "kind = \"X\"", "line 1, column 8: \"X\" is not a valid document kind"),
        ("key = \"k\"", "key = []", "line 3, column 7: no column is named; name at least one"),
        ("key = \"k\"", "key = 3", "line 3, column 7: invalid type: integer `3`, expected a column name"),
        ("key = \"k\"", "", "line 1, column 1: missing field `key`"),
        ("key = \"k\"", "key = \"k\"\ndelimiter = \";;\"", "line 4, column 13: a delimiter is one ASCII character"),
        ("key = \"k\"", "key = \"k\"\nlabel = \"a\\u0000\"", "line 4, column 9: the label has a NUL character"),
        ("[[field]]\npath = \"v\"\n", "", "line 1, column 1: nothing would be imported; add"),
    ] {
        let found = refused(&field(if from.starts_with('[') { "" } else { "column = \"v\"" }).replace(from, to));
        assert!(found.starts_with(&format!("mapping.toml, {message}")), "{to}\n  found {found}");
    }
    let twice = load(&field("column = \"v\""), &csv("k,v,v\n1,2,3\n")).expect_err("which one");
    assert!(twice.to_string().contains("a.csv has several columns \"v\"; rename all but one"), "{twice}");
    let semicolons = load(&field("column = \"v\""), &csv("k;v\n1;2\n")).expect_err("one column");
    assert!(semicolons.to_string().contains("its only column is \"k;v\": set `delimiter`"), "{semicolons}");
    let with_delimiter = field("column = \"v\"").replace("key", "delimiter = \";\"\nkey");
    assert_eq!(records(&with_delimiter, &csv("k;v\n1;2,5\n")).len(), 1);

    let parse = |bytes: &[u8]| Mapping::parse("m.toml", bytes).expect_err("wrong bytes");
    let ImportError::Mapping { line: 2, column: 2, fault: MappingFault::NotUtf8 { offset: 3 }, .. } =
        parse(b"#\n \xff")
    else {
        panic!("{}", parse(b"#\n \xff"));
    };
    assert!(parse(&vec![b'#'; (1 << 20) + 1]).to_string().contains("more than the limit"));
}

#[test]
fn wrong_joins_and_splits_are_named() {
    let split = "
[[split]]
column = \"v\"
separator = \"|\"
patterns = [\"{n}\"]
into = \"items\"
id = \"{n}\"
[[split.field]]
path = \"p\"
capture = \"n\"
";
    let base = field("constant = 1").replace("path = \"v\"", "path = \"c\"");
    assert_eq!(records(&format!("{base}{split}"), &csv("k,v\n1,a|b\n")).len(), 1);
    for (from, to, message) in [
        ("separator = \"|\"", "separator = \"\"", "the separator is empty"),
        ("[\"{n}\"]", "[]", "the split has no patterns"),
        ("[\"{n}\"]", "[\"{n}\", \"x\"]", "a pattern needs at least one capture"),
        ("id = \"{n}\"", "id = \"a/{n}\"", "the id of an entry is one segment of a path"),
        ("id = \"{n}\"", "id = \"a\"", "all entries would have the same id"),
        ("capture = \"n\"", "capture = \"m\"", "no pattern captures \"m\"; did you mean \"n\"?"),
        ("path = \"p\"", "path = \"position\"", "path \"position\" clashes with \"position\""),
        ("path = \"p\"", "path = \"./x\"", "path \"./x\" clashes with \".\""),
        ("into = \"items\"", "into = \"Items\"", "\"Items\" is not a valid path"),
    ] {
        let error = load(&format!("{base}{}", split.replace(from, to)), &csv("k,v\n1,a|b\n")).expect_err(to);
        assert!(error.to_string().contains(message), "{to}: {error}");
    }
    // The collection lies inside a field of the record.
    let clash = format!("{base}{split}").replace("path = \"c\"", "path = \"items\"");
    assert!(matches!(problem(&clash, &csv("k,v\n1,a|b\n")).3, Fault::SamePath { .. }));
}

/// Loads and checks, whatever comes; the results do not matter, only that they come.
fn survive(mapping: &[u8], csv: &[u8]) {
    let source = MemorySource::new().with("a.csv", csv).with("b.csv", csv);
    let Ok(mapping) = Mapping::parse("m.toml", mapping) else { return };
    let Ok(import) = Import::load(&mapping, &source) else { return };
    match import.records() {
        Ok(records) => check_recordable(&records),
        Err(errors) => assert!(errors.total() > 0 && !errors.to_string().is_empty()),
    }
}

/// Everything that a mapping can say, over two columns of unknown content.
fn everything() -> String {
    format!(
        "{}{}{JOIN}{}",
        field("column = \"v\"\ntype = \"decimal\"\nexact = false").replace("path = \"v\"", "path = \"by/{v}/{k}\""),
        format!("[[field]]\npath = \"l\"\n{}\n", LOOKUP.replace(" }", ", missing = \"null\" }"))
            .replace("\"w\"", "\"n\""),
        "
[[split]]
column = \"v\"
separator = \" \"
patterns = [\"{a:int}.{b}\", \"{b}-{a}\", \"{b}\"]
into = \"items\"
id = \"{b}\"
[[split.field]]
path = \"t\"
capture = \"a\"
text = true
"
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_bytes_as_csv_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        survive(field("column = \"v\"").as_bytes(), &[b"k,v\n", bytes.as_slice()].concat());
        survive(field("column = \"v\"").as_bytes(), &bytes);
    }

    #[test]
    fn any_cells_are_survived(text in "([-a-z0-9. ,|\"\n\r😀é]{0,4}(,|\n)){0,40}") {
        survive(everything().as_bytes(), format!("k,v,a,p,n\n{text}").as_bytes());
    }

    #[test]
    fn any_bytes_as_mapping_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        survive(&bytes, b"k,v\n1,2\n");
    }

    #[test]
    fn any_change_of_a_mapping_is_survived(
        at in any::<prop::sample::Index>(),
        length in 0..20_usize,
        new in "[-a-z0-9\"'{}=\\[\\]\n.%é#]{0,6}",
    ) {
        let mapping = everything();
        let mut letters: Vec<char> = mapping.chars().collect();
        let start = at.index(letters.len());
        let end = letters.len().min(start + length);
        letters.splice(start..end, new.chars());
        let mapping: String = letters.into_iter().collect();
        survive(mapping.as_bytes(), b"k,v,a,p,n\n1,2 3.x,1,X,5\n2,,2,Y,6\n");
    }
}
