//! The real binary, as a person uses it: what it prints, its exit codes, and that nothing is lost when it says no.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde_json::Value as Json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A folder in which commands run.
struct Desk(TempDir);

struct Said {
    code: i32,
    out: String,
    error: String,
}

impl Desk {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let command = Command::new(env!("CARGO_BIN_EXE_fieldbook")).args(arguments).current_dir(self.0.path()).output();
        let Output { status, stdout, stderr } = command.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: status.code().unwrap_or(-1), out: text(stdout), error: text(stderr) }
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.code, 0, "{arguments:?}: {}{}", said.out, said.error);
        said.out
    }

    fn json(&self, arguments: &[&str]) -> Json {
        let mut with_json = arguments.to_vec();
        with_json.push("--json");
        serde_json::from_str(&self.ok(&with_json)).unwrap()
    }

    fn digest(&self, folder: &str) -> String {
        self.json(&["verify", folder])["digest"].as_str().unwrap().to_owned()
    }

    /// Ana with an order, and Ben who joined her.
    fn with_two() -> Self {
        let desk = Self::new();
        desk.ok(&["-C", "ana", "init", "--name", "Ana"]);
        let order = r#"{"number":"A-1","currency":"EUR","customer_number":"C1","customer_name":"Sørvik"}"#;
        desk.ok(&["-C", "ana", "do", "new:order", "create", order]);
        let line = r#"{"line":"1","product":"14","description":"Rope","quantity":"9","unit_price":"18.60"}"#;
        desk.ok(&["-C", "ana", "do", "A-1", "add_line", line]);
        desk.ok(&["-C", "ana", "export", "--signed", "a.fieldbook"]);
        desk.ok(&["-C", "ben", "init", "--name", "Ben", "--join", "a.fieldbook"]);
        desk
    }
}

#[test]
fn two_devices_edit_apart_and_agree_after_merging() {
    let desk = Desk::with_two();
    desk.ok(&["-C", "ana", "text", "A-1", "notes", "--set", "Ring at gate 4."]);
    desk.ok(&["-C", "ben", "text", "A-1", "notes", "--set", "Fragile 🙂."]);
    desk.ok(&["-C", "ben", "do", "A-1", "change_quantity", r#"{"line":"1","quantity":"12"}"#]);
    desk.ok(&["-C", "ana", "do", "A-1", "change_quantity", r#"{"line":"1","quantity":"7"}"#]);
    desk.ok(&["-C", "ben", "merge", "ana"]);
    desk.ok(&["-C", "ana", "merge", "ben"]);
    assert_eq!(desk.digest("ana"), desk.digest("ben"));
    assert_eq!(desk.json(&["diff", "ana", "ben"])["same"], true);

    let text = desk.json(&["-C", "ana", "text", "A-1", "notes"]);
    let text_now = text["text"].as_str().unwrap();
    assert!(text_now.contains("Ring at gate 4.") && text_now.contains("Fragile 🙂."), "{text_now}");
    let authors: Vec<&str> =
        text["spans"].as_array().unwrap().iter().map(|span| span["device"].as_str().unwrap()).collect();
    assert!(authors.contains(&"Ana") && authors.contains(&"Ben"));

    let conflicts = desk.json(&["-C", "ben", "conflicts"]);
    let conflict = &conflicts[0];
    assert_eq!(conflict["path"], "lines/1/quantity");
    assert_eq!(conflict["rule"], "last_writer");
    assert_eq!(conflict["contenders"].as_array().unwrap().len(), 2);
    assert_eq!(conflict["contenders"][0]["device"], "Ana");
    assert_eq!(conflict["shown"], 7);
    let told = desk.ok(&["-C", "ben", "conflicts"]);
    assert!(told.contains("the latest by time is shown") && told.contains("1 conflict"), "{told}");
}

#[test]
fn an_intent_against_the_rules_says_everything_and_changes_nothing() {
    let desk = Desk::with_two();
    let before = desk.digest("ana");
    let said = desk.run(&["-C", "ana", "do", "A-1", "deliver"]);
    assert_eq!(said.code, 1, "{}", said.error);
    assert!(said.out.contains("nothing was changed") && said.out.contains("status"), "{}", said.out);
    assert_eq!(desk.digest("ana"), before);
    let said = desk.run(&["-C", "ana", "do", "A-1", "change_quantity", r#"{"line":"1","quantity":"many"}"#]);
    assert_eq!(said.code, 3);
    assert!(said.error.contains("quantity") && said.error.contains("for example"), "{}", said.error);
    assert_eq!(desk.digest("ana"), before);
}

/// What was done, the exit code, and words that the message must have: the place and the cure.
#[test]
fn bad_input_gets_the_place_and_the_cure() {
    let desk = Desk::with_two();
    fs::write(desk.path("noise.fieldbook"), b"not a bundle").unwrap();
    fs::write(desk.path("broken.toml"), "kind = \"order\"\nsource = \n").unwrap();
    fs::write(
        desk.path("rows.toml"),
        "kind = \"order\"\nsource = \"rows.csv\"\nkey = \"No\"\n[[field]]\npath = \"freight\"\ncolumn = \"Freight\"\ntype = \"decimal\"\n",
    )
    .unwrap();
    fs::write(desk.path("rows.csv"), "No,Freight\n1,3.50\n2,cheap\n").unwrap();
    desk.ok(&["-C", "other", "init", "--name", "Stranger"]);
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&["-C", "nowhere", "list"], 3, &["nowhere", "init --name"]),
        (&["-C", "ana", "init", "--name", "Again"], 3, &["already", "-C"]),
        (&["-C", "ana", "show", "A-9"], 3, &["A-9", "fieldbook list"]),
        (&["-C", "ana", "do", "A-1", "fly"], 3, &["fly", "use one of"]),
        (&["-C", "ana", "do", "new:boat", "create"], 3, &["boat"]),
        (&["-C", "ana", "merge", "noise.fieldbook"], 3, &["noise.fieldbook", "FBBUNDL1", "nothing was taken"]),
        (&["-C", "ana", "merge", "missing.fieldbook"], 3, &["missing.fieldbook"]),
        (&["-C", "ana", "merge", "other"], 3, &["workspace", "nothing was taken"]),
        (&["verify", "noise.fieldbook"], 1, &["noise.fieldbook", "FBBUNDL1"]),
        (&["-C", "ana", "import", "--mapping", "none.toml"], 3, &["none.toml", "food_inspections"]),
        (&["-C", "ana", "import", "--mapping", "broken.toml"], 3, &["broken.toml", "line 2"]),
        (&["-C", "ana", "import", "--mapping", "rows.toml"], 3, &["rows.csv", "line 3", "Freight", "cheap"]),
        (&["-C", "ana", "text", "A-1", "Bad Path"], 3, &["Bad Path"]),
        (&["-C", "ana", "export"], 2, &["--signed", "--state"]),
        (&["-C", "ana", "frobnicate"], 2, &["frobnicate", "--help"]),
    ];
    let before = desk.digest("ana");
    for (arguments, code, words) in cases {
        let said = desk.run(arguments);
        assert_eq!(said.code, *code, "{arguments:?}: {}{}", said.out, said.error);
        for word in *words {
            assert!(said.error.contains(word), "{arguments:?} should say {word:?}: {}", said.error);
        }
        assert_eq!(desk.digest("ana"), before, "{arguments:?}");
    }
}

#[test]
fn a_bundle_with_any_byte_changed_is_refused_and_nothing_is_taken() {
    let desk = Desk::with_two();
    desk.ok(&["-C", "ben", "do", "A-1", "change_quantity", r#"{"line":"1","quantity":"12"}"#]);
    desk.ok(&["-C", "ben", "export", "--signed", "b.fieldbook"]);
    let bundle = fs::read(desk.path("b.fieldbook")).unwrap();
    let before = desk.digest("ana");
    for at in (0..bundle.len()).step_by(bundle.len() / 40) {
        let mut changed = bundle.clone();
        changed[at] ^= 1;
        fs::write(desk.path("changed.fieldbook"), &changed).unwrap();
        let said = desk.run(&["-C", "ana", "merge", "changed.fieldbook"]);
        assert_eq!(said.code, 3, "byte {at}");
        assert!(!said.error.is_empty());
    }
    fs::write(desk.path("changed.fieldbook"), &bundle[..bundle.len() - 1]).unwrap();
    assert_eq!(desk.run(&["-C", "ana", "merge", "changed.fieldbook"]).code, 3);
    assert_eq!(desk.digest("ana"), before);
    desk.ok(&["-C", "ana", "merge", "b.fieldbook"]);
    assert_ne!(desk.digest("ana"), before);
}

#[test]
fn a_copied_device_keeps_both_works_and_goes_on_as_a_new_incarnation() {
    let desk = Desk::with_two();
    copy(&desk.path("ben"), &desk.path("twin"));
    desk.ok(&["-C", "ben", "do", "A-1", "change_quantity", r#"{"line":"1","quantity":"12"}"#]);
    desk.ok(&["-C", "twin", "text", "A-1", "notes", "--set", "From the copy."]);
    let merged = desk.json(&["-C", "twin", "merge", "ben"]);
    assert_eq!((&merged["forks"], &merged["new_incarnation"]), (&1.into(), &true.into()));
    desk.ok(&["-C", "ben", "merge", "twin"]);
    assert_eq!(desk.digest("ben"), desk.digest("twin"));
    assert_eq!(desk.ok(&["-C", "ben", "text", "A-1", "notes"]).trim(), "From the copy.");
    // What both write from now on forks no further.
    desk.ok(&["-C", "twin", "text", "A-1", "notes", "--set", "From the copy, again."]);
    desk.ok(&["-C", "ben", "text", "A-1", "notes", "--set", "From the copy, and Ben."]);
    let merged = desk.json(&["-C", "ben", "merge", "twin"]);
    assert_eq!((&merged["forks"], &merged["new_incarnation"]), (&1.into(), &false.into()));
}

#[test]
fn importing_again_changes_nothing() {
    let desk = Desk::new();
    desk.ok(&["-C", "ana", "init", "--name", "Ana"]);
    let mapping = "kind = \"order\"\nsource = \"rows.csv\"\nkey = \"No\"\n\
                   [[field]]\npath = \"number\"\ncolumn = \"No\"\n\
                   [[field]]\npath = \"notes\"\ncolumn = \"Notes\"\ntext = true\n\
                   [[field]]\npath = \"colour\"\ncolumn = \"Colour\"\n";
    fs::write(desk.path("rows.toml"), mapping).unwrap();
    fs::write(desk.path("rows.csv"), "No,Notes,Colour\n1,\"a, b\",red\n2,c,blue\n").unwrap();
    let import = ["-C", "ana", "import", "--mapping", "rows.toml"];
    assert_eq!(desk.json(&import)["new"], 2);
    let before = desk.digest("ana");
    assert_eq!(desk.json(&import)["unchanged"], 2);
    assert_eq!(desk.digest("ana"), before);
    fs::write(desk.path("rows.csv"), "No,Notes,Colour\n1,\"a, b\",red\n2,c,green\n").unwrap();
    assert_eq!(desk.json(&import)["changed"], 1);
    // A field that the schema does not know is kept.
    assert_eq!(desk.json(&["-C", "ana", "show", "2"])["state"]["colour"], "green");
}

#[test]
fn exports_hold_what_is_shown_and_earlier_states_stay_readable() {
    let desk = Desk::with_two();
    let first = desk.json(&["-C", "ana", "log", "A-1"])[1]["change_set"].as_str().unwrap().to_owned();
    desk.ok(&["-C", "ana", "do", "A-1", "change_quantity", r#"{"line":"1","quantity":"7"}"#]);
    let now = desk.json(&["-C", "ana", "show", "A-1"]);
    let then = desk.json(&["-C", "ana", "show", "A-1", "--at", &first]);
    assert_eq!(
        (&now["state"]["lines"]["1"]["quantity"], &then["state"]["lines"]["1"]["quantity"]),
        (&7.into(), &9.into())
    );
    desk.ok(&["-C", "ana", "export", "--state", "s.json", "--automerge", "images", "--yjs", "images"]);
    let states: Json = serde_json::from_str(&fs::read_to_string(desk.path("s.json")).unwrap()).unwrap();
    assert!(states.as_array().unwrap().iter().any(|document| document["state"] == now["state"]));
    assert_eq!(fs::read_dir(desk.path("images")).unwrap().count(), 4);
}

#[test]
fn the_demo_converges_and_notices_a_lost_edit() {
    let desk = Desk::new();
    let told = desk.ok(&["demo"]);
    assert!(told.contains("All digests are equal and no saved edit is missing."));
    assert_eq!(desk.json(&["demo", "--rounds", "4", "--seed", "7"])["ok"], true);
    let said = desk.run(&["demo", "--rounds", "4", "--sabotage"]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("MISSING"), "{}", said.out);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}
