#![no_main]
//! What people write: a relay's configuration, schemas, and intents as JSON; texts that hold, changed by the fuzzer.
//!
//! Proves: no text makes a reader panic; what is accepted can be written back and reads as the same; an option means
//! the same in a file and as a flag; every error names the place and says what would do.

use arbitrary::Arbitrary;
use changeset::{DocumentId, DocumentKey, Kind, Path, Value};
use crdt::{KindRegistry, Schema, SchemaError};
use fieldbook_fuzz::{author, history::empty};
use libfuzzer_sys::fuzz_target;
use relay::{Config, ConfigError, SETTINGS};
use std::sync::LazyLock;

const FILE: &str = "relay.toml";
/// What is worth putting somewhere.
const TOKENS: &[&str] = &[
    "",
    "null",
    "-1",
    "0",
    "1e400",
    "18446744073709551616",
    "\"\"",
    "[]",
    "{}",
    "\n",
    "\\u0000",
    "\"x\"",
    "true",
    "= [[",
    "16 EiB",
    "17179869184 GiB",
    "1_000",
    "0x10",
    "[::]:0",
    "core",
    "\u{feff}",
    "é",
    "\"required\": true,",
    "\"*\"",
    "\"min\": \"1\",",
    "\"type\": \"decimal\",",
    "\"one_of\": [],",
    "/*/.",
    "1970-01-01",
    "2026-02-30T25:00:00Z",
];

static KINDS: LazyLock<KindRegistry> = LazyLock::new(|| crdt::standard_kinds().expect("they are kinds"));

#[derive(Arbitrary, Clone, Debug)]
struct Plan {
    base: Base,
    edits: Vec<Edit>,
}

/// The text that is changed.
#[derive(Arbitrary, Clone, Debug)]
enum Base {
    Relay,
    Option(u8),
    Schema(u8),
    Intent { kind: u8, intent: u8 },
}

/// A change of a text: so many bytes cut at a place, and something put there.
#[derive(Arbitrary, Clone, Debug)]
struct Edit {
    at: u16,
    cut: u8,
    put: Put,
}

#[derive(Arbitrary, Clone, Debug)]
enum Put {
    Token(u8),
    Text(String),
    /// What stands somewhere else in the text.
    Copied {
        from: u16,
        length: u8,
    },
}

fn pick<T>(from: &[T], number: u8) -> &T {
    &from[usize::from(number) % from.len()]
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn changed(text: &str, edits: &[Edit]) -> String {
    let mut text = text.to_owned();
    for Edit { at, cut, put } in edits.iter().take(8) {
        let from = floor(&text, usize::from(*at) % (text.len() + 1));
        let to = floor(&text, from + usize::from(*cut)).max(from);
        let put = match put {
            Put::Token(number) => (*pick(TOKENS, *number)).to_owned(),
            Put::Text(put) => put.clone(),
            Put::Copied { from, length } => {
                let from = floor(&text, usize::from(*from) % (text.len() + 1));
                text[from..floor(&text, from + usize::from(*length)).max(from)].to_owned()
            }
        };
        text.replace_range(from..to, &put);
    }
    text
}

/// An error names the place, and what would do.
fn config_error(error: &ConfigError, place: &str) {
    let text = error.to_string();
    assert!(text.starts_with(place), "{text}");
    let says = match error {
        ConfigError::Syntax { message, .. } => !message.is_empty(),
        ConfigError::Unknown { nearest, .. } => nearest.is_some() || text.contains("--help"),
        ConfigError::Bad { found, wanted, .. } => !found.is_empty() && !wanted.is_empty(),
        ConfigError::Together { what, .. } => !what.is_empty(),
        _ => false,
    };
    assert!(says, "{error:?}");
}

fn config(text: &str) {
    match Config::from_text(FILE, text) {
        Err(error) => config_error(&error, "relay.toml:"),
        Ok(config) => {
            assert!(!format!("{config:?}").is_empty());
            if let Err(error) = config.check() {
                config_error(
                    &error,
                    if matches!(&error, ConfigError::Together { place: relay::Place::Default, .. }) {
                        "the configuration"
                    } else {
                        "relay.toml:"
                    },
                );
            }
        }
    }
}

/// An option, in a file and as a flag.
fn option(number: u8, text: &str) {
    let setting = pick(SETTINGS, number);
    let mut by_flag = Config::new("");
    let flag = by_flag.set_flag(setting.name, text);
    if let Err(error) = &flag {
        config_error(error, "--");
    }
    let is_list = matches!(setting.name, "workspaces" | "relays");
    if is_list || text.contains('\'') || text.chars().any(char::is_control) {
        return;
    }
    let by_file = Config::from_text(FILE, &format!("{} = '{text}'", setting.name));
    match (flag, by_file) {
        (Ok(()), Ok(by_file)) => {
            assert_eq!(format!("{by_flag:?}"), format!("{by_file:?}"));
            assert_eq!(by_flag.check().is_ok(), by_file.check().is_ok());
        }
        (Err(ConfigError::Bad { wanted: one, .. }), Err(ConfigError::Bad { wanted: other, .. })) => {
            assert_eq!(one, other);
        }
        (flag, by_file) => panic!("{}: a flag gives {flag:?}, a file {by_file:?}", setting.name),
    }
}

fn schema(text: &str) {
    match Schema::from_json(text) {
        Ok(schema) => {
            let written = serde_json::to_string(&schema).expect("a schema has a JSON form");
            assert_eq!(Schema::from_json(&written).as_ref(), Ok(&schema), "{written}");
            for rule in schema.fields() {
                // Rules are found by paths that fit them; a star stands for any one name.
                let path = rule.pattern.replace('*', "7");
                assert!(schema.rule(&path).is_some(), "{path}");
                if let Ok(path) = Path::new(&path) {
                    let values = [Value::Null, Value::Bool(true), Value::Int(-7), Value::Float(0.5), "x".into()];
                    let broken = values.iter().filter_map(|value| schema.check_put(&path, value).err());
                    broken.for_each(|violation| assert!(!violation.to_string().is_empty()));
                }
            }
        }
        Err(SchemaError::Json(error)) => assert!(error.line > 0 && !error.problem.is_empty(), "{error:?}"),
        Err(error) => assert!(error.to_string().starts_with("schema, field `"), "{error}"),
    }
}

fn intent(kind: u8, intent: u8, edits: &[Edit]) {
    let kinds: Vec<_> = KINDS.kinds().collect();
    let definition = *pick(&kinds, kind);
    let intent = pick(definition.intents(), intent);
    let name = definition.schema().kind().as_str();
    let text = changed(&intent.example().to_json().expect("an example has a JSON form"), edits);
    let read = match KINDS.decode(name, intent.name(), &text) {
        Ok(read) => read,
        Err(error) => {
            let crdt::IntentError::Json { error, example, .. } = error else { panic!("{error}") };
            assert!(error.line > 0 && !error.problem.is_empty(), "{error:?}");
            assert!(KINDS.decode(name, intent.name(), &example).is_ok(), "{example}");
            return;
        }
    };
    let written = read.to_json().expect("what was read has a JSON form");
    let again = KINDS.decode(name, intent.name(), &written).expect("what was written is read");
    assert_eq!(again.to_json().as_ref(), Ok(&written));
    assert_eq!((again.needs(), again.reason()), (read.needs(), read.reason()));

    // On a document that has nothing yet: an objection names a place and a cure, and recording it panics nowhere.
    let key = DocumentKey { kind: Kind::new(name).expect("a kind"), id: DocumentId::from_parts(0, [1; 10]) };
    let (mut partition, mut author) = (empty(), author(0));
    let mut tx = partition.transact(&mut author, &key, 1_000);
    read.validate(&tx).iter().for_each(|violation| assert!(!violation.to_string().is_empty()));
    if let Err(error) = read.apply(&mut tx) {
        assert!(!error.to_string().is_empty());
    }
}

fuzz_target!(|plan: Plan| {
    static RELAY: LazyLock<String> = LazyLock::new(relay::example);
    match plan.base {
        Base::Relay => config(&changed(&RELAY, &plan.edits)),
        Base::Option(number) => option(number, &changed("", &plan.edits)),
        Base::Schema(number) => {
            let kinds: Vec<_> = KINDS.kinds().collect();
            let text = serde_json::to_string_pretty(pick(&kinds, number).schema()).expect("it has a JSON form");
            schema(&changed(&text, &plan.edits));
        }
        Base::Intent { kind, intent: number } => intent(kind, number, &plan.edits),
    }
});
