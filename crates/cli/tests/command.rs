//! The real binary, as a person uses it: what it prints, its exit codes, and that nothing is lost when it says no.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde_json::Value as Json;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
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

    /// The 52 characters of a device's key.
    fn key(&self, folder: &str) -> String {
        self.json(&["-C", folder, "status"])["key"].as_str().unwrap().to_owned()
    }

    fn workspace(&self, folder: &str) -> String {
        self.json(&["-C", folder, "status"])["workspace"].as_str().unwrap().to_owned()
    }

    fn digest(&self, folder: &str) -> String {
        self.json(&["verify", folder])["digest"].as_str().unwrap().to_owned()
    }

    /// Ana with an order.
    fn with_ana() -> Self {
        let desk = Self::new();
        desk.ok(&["-C", "ana", "init", "--name", "Ana"]);
        let order = r#"{"number":"A-1","currency":"EUR","customer_number":"C1","customer_name":"Sørvik"}"#;
        desk.ok(&["-C", "ana", "do", "new:order", "create", order]);
        let line = r#"{"line":"1","product":"14","description":"Rope","quantity":"9","unit_price":"18.60"}"#;
        desk.ok(&["-C", "ana", "do", "A-1", "add_line", line]);
        desk
    }

    /// Ana with an order, and Ben who joined her by a bundle and was let in.
    fn with_two() -> Self {
        let desk = Self::with_ana();
        desk.ok(&["-C", "ana", "export", "--signed", "a.fieldbook"]);
        desk.ok(&["-C", "ben", "init", "--name", "Ben", "--join", "a.fieldbook"]);
        desk.ok(&["-C", "ana", "grant", &desk.key("ben"), "--person", "Ben"]);
        desk.ok(&["-C", "ben", "merge", "ana"]);
        desk
    }
}

/// A relay process, ended with the test.
struct RelayProcess {
    child: Child,
    url: String,
}

impl RelayProcess {
    fn start(desk: &Desk) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fieldbook"))
            .args(["relay", "--json", "--data", "relay", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .current_dir(desk.0.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let said: Json = serde_json::from_str(&said).unwrap();
        Self { child, url: said["relay"].as_str().unwrap().to_owned() }
    }
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        let _it_ended = self.child.kill();
        let _it_ended = self.child.wait();
    }
}

/// Asks a process to end as a supervisor does.
fn terminate(child: &mut Child) -> i32 {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    child.wait().unwrap().code().unwrap_or(-1)
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
        (&["-C", "ana", "grant", "zss0", "--person", "Eve"], 3, &["4 characters", "52"]),
        (&["-C", "ana", "sync"], 3, &["not synced yet", "wss://"]),
        (&["-C", "ana", "sync", "http://relay"], 3, &["ws://"]),
        (&["-C", "ana", "sync", "ws://relay.example"], 3, &["wss://"]),
        (&["-C", "late", "join", "--name", "Late"], 2, &["--workspace", "--bundle"]),
        (&["-C", "late", "restore", "missing.backup"], 3, &["missing.backup"]),
        (&["-C", "ana", "relay", "--data", "r", "--set", "colour=red"], 3, &["colour"]),
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
fn a_copied_device_goes_on_as_a_new_incarnation_and_both_works_are_kept() {
    let desk = Desk::with_two();
    copy(&desk.path("ben"), &desk.path("twin"));
    desk.ok(&["-C", "ben", "do", "A-1", "change_quantity", r#"{"line":"1","quantity":"12"}"#]);
    let said = desk.run(&["-C", "twin", "text", "A-1", "notes", "--set", "From the copy."]);
    assert!(said.code == 0 && said.error.contains("copied or put back"), "{}", said.error);
    // The copy is noticed before it writes: the chain never forks.
    assert_eq!(desk.json(&["-C", "twin", "merge", "ben"])["forks"], 0);
    desk.ok(&["-C", "ben", "merge", "twin"]);
    assert_eq!(desk.digest("ben"), desk.digest("twin"));
    assert_eq!(desk.ok(&["-C", "ben", "text", "A-1", "notes"]).trim(), "From the copy.");
    assert!(desk.run(&["-C", "twin", "status"]).error.is_empty(), "it is said once");
}

#[test]
fn a_folder_put_back_unnoticed_forks_harmlessly_and_is_told_by_the_first_bundle() {
    let desk = Desk::with_two();
    let files = ["store.fieldbook", "store.fieldbook.mark"].map(|name| desk.path("ben").join(name));
    let yesterday = files.each_ref().map(|file| fs::read(file).unwrap());
    desk.ok(&["-C", "ben", "do", "A-1", "change_quantity", r#"{"line":"1","quantity":"12"}"#]);
    desk.ok(&["-C", "ben", "export", "--signed", "lost.fieldbook"]);
    // Written in place, mark and all: nothing on this disk tells that it is yesterday's.
    files.iter().zip(yesterday).for_each(|(file, bytes)| fs::write(file, bytes).unwrap());
    desk.ok(&["-C", "ben", "text", "A-1", "notes", "--set", "After the accident."]);
    let merged = desk.json(&["-C", "ben", "merge", "lost.fieldbook"]);
    assert_eq!((&merged["forks"], &merged["new_incarnation"]), (&1.into(), &true.into()));
    desk.ok(&["-C", "ben", "text", "A-1", "notes", "--set", "After the accident, again."]);
    desk.ok(&["-C", "ana", "merge", "ben"]);
    desk.ok(&["-C", "ben", "merge", "ana"]);
    assert_eq!(desk.digest("ana"), desk.digest("ben"));
    assert_eq!(desk.json(&["-C", "ana", "show", "A-1"])["state"]["lines"]["1"]["quantity"], 12);
    assert_eq!(desk.ok(&["-C", "ana", "text", "A-1", "notes"]).trim(), "After the accident, again.");
}

#[test]
fn a_device_is_let_in_by_its_key_and_its_earlier_work_counts_then() {
    let desk = Desk::with_ana();
    desk.ok(&["-C", "ana", "export", "--signed", "a.fieldbook"]);
    let joined = desk.ok(&["-C", "ben", "join", "--name", "Ben's phone", "--bundle", "a.fieldbook"]);
    assert!(joined.contains("██"), "a QR code: {joined}");
    let said = desk.run(&["-C", "ben", "text", "A-1", "notes", "--set", "Before the grant."]);
    assert!(said.code == 0 && said.error.contains("not let into main yet"), "{}", said.error);
    let merged = desk.json(&["-C", "ana", "merge", "ben"]);
    assert_eq!(merged["undecided"], 2, "{merged}");
    assert_eq!(desk.ok(&["-C", "ana", "text", "A-1", "notes"]).trim(), "");
    // Typed with the spaces that it is shown with, and one letter for a digit.
    let key = desk.key("ben").replace('0', "O").to_uppercase();
    let groups: Vec<&str> = (0..52).step_by(4).map(|at| &key[at..at + 4]).collect();
    let grant = [&["-C", "ana", "grant"][..], &groups, &["--person", "Ben", "--role", "inspector", "--until", "30d"]];
    desk.ok(&grant.concat());
    assert_eq!(desk.ok(&["-C", "ana", "text", "A-1", "notes"]).trim(), "Before the grant.");
    let members = desk.json(&["-C", "ana", "members"]);
    let ben = members.as_array().unwrap().iter().find(|member| member["person"] == "Ben").unwrap();
    assert_eq!(
        (&ben["device"], &ben["role"], &ben["standing"]),
        (&"Ben's phone".into(), &"inspector".into(), &"in force".into())
    );
    desk.ok(&["-C", "ben", "merge", "ana"]);
    assert_eq!(desk.digest("ana"), desk.digest("ben"));
    // Who was let in may not let others in, unless that was said.
    desk.ok(&["-C", "chloe", "join", "--name", "Chloe", "--bundle", "a.fieldbook", "--no-qr"]);
    let chloe = desk.key("chloe");
    let said = desk.run(&["-C", "ben", "grant", &chloe, "--person", "Chloe"]);
    assert_eq!((said.code, said.error.contains("nothing was granted")), (1, true), "{}", said.error);
    desk.ok(&["-C", "ana", "grant", &desk.key("ben"), "--person", "Ben", "--may-grant"]);
    desk.ok(&["-C", "ben", "merge", "ana"]);
    desk.ok(&["-C", "ben", "grant", &chloe, "--person", "Chloe"]);
    desk.ok(&["-C", "chloe", "merge", "ben"]);
    assert_eq!(desk.json(&["-C", "chloe", "status"])["partitions"][0]["standing"], "full");
}

#[test]
fn an_expired_grant_leaves_reading_and_keeps_what_is_typed_as_a_draft() {
    let desk = Desk::with_ana();
    desk.ok(&["-C", "ana", "export", "--signed", "a.fieldbook"]);
    desk.ok(&["-C", "ben", "join", "--name", "Ben", "--bundle", "a.fieldbook", "--no-qr"]);
    desk.ok(&["-C", "ana", "grant", &desk.key("ben"), "--person", "Ben", "--until", "2020-01-31"]);
    desk.ok(&["-C", "ben", "merge", "ana"]);
    let before = desk.digest("ben");
    assert_eq!(desk.json(&["-C", "ben", "status"])["partitions"][0]["standing"], "view_only");
    assert_eq!(desk.json(&["-C", "ben", "show", "A-1"])["state"]["status"], "draft");
    let said = desk.run(&["-C", "ben", "text", "A-1", "notes", "--set", "Typed in vain."]);
    assert_eq!(said.code, 1);
    for word in ["2020-01-31", "ask for a new one", "draft 1", "drafts retry 1"] {
        assert!(said.error.contains(word), "{word}: {}", said.error);
    }
    let quantity = r#"{"line":"1","quantity":"12"}"#;
    assert_eq!(desk.run(&["-C", "ben", "do", "A-1", "change_quantity", quantity]).code, 1);
    assert_eq!(desk.digest("ben"), before);
    assert_eq!(desk.json(&["-C", "ben", "drafts"]).as_array().unwrap().len(), 2);
    assert_eq!(desk.ok(&["-C", "ben", "drafts", "show", "1"]).trim(), "Typed in vain.");
    assert_eq!(desk.run(&["-C", "ben", "drafts", "retry", "1"]).code, 1);
    desk.ok(&["-C", "ana", "grant", &desk.key("ben"), "--person", "Ben"]);
    desk.ok(&["-C", "ben", "merge", "ana"]);
    desk.ok(&["-C", "ben", "drafts", "retry", "1"]);
    desk.ok(&["-C", "ben", "drafts", "discard", "2"]);
    assert_eq!(desk.json(&["-C", "ben", "drafts"]).as_array().unwrap().len(), 0);
    assert_eq!(desk.ok(&["-C", "ben", "text", "A-1", "notes"]).trim(), "Typed in vain.");
}

#[test]
fn devices_meet_at_a_relay_process() {
    let desk = Desk::with_ana();
    let mut relay = RelayProcess::start(&desk);
    let (url, workspace) = (relay.url.clone(), desk.workspace("ana"));
    desk.ok(&["-C", "ana", "sync", &url]);
    // A stranger is told what to do, and knocks.
    desk.ok(&["-C", "ben", "join", "--name", "Ben", "--workspace", &workspace, "--relay", &url, "--no-qr"]);
    let said = desk.run(&["-C", "ben", "sync"]);
    assert!(said.code == 1 && said.error.contains("no grant"), "{}{}", said.out, said.error);
    let requests = desk.json(&["-C", "ana", "grant", "--requests", "--relay", &url]);
    assert_eq!(requests[0]["name"], "Ben");
    let code = requests[0]["code"].as_str().unwrap();
    assert!(desk.key("ben").starts_with(&code.replace(' ', "")));
    let said = desk.run(&["-C", "ana", "grant", "--relay", &url, "0000 0000 0000 0000", "--person", "Eve"]);
    assert!(said.code == 3 && said.error.contains("--requests"), "{}", said.error);
    // One waits at the door while the other is let in and while it is.
    let waiting = Command::new(env!("CARGO_BIN_EXE_fieldbook"))
        .args([
            "-C",
            "chloe",
            "join",
            "--name",
            "Chloe",
            "--workspace",
            &workspace,
            "--relay",
            &url,
            "--wait",
            "--no-qr",
        ])
        .current_dir(desk.0.path())
        .stdout(Stdio::piped())
        .spawn();
    let mut waiting = waiting.unwrap();
    let mut told = BufReader::new(waiting.stdout.take().unwrap());
    let mut heard = String::new();
    while !heard.contains("Knocking") {
        heard.clear();
        assert_ne!(told.read_line(&mut heard).unwrap(), 0, "it ended before it knocked");
    }
    desk.ok(&["-C", "ana", "grant", "--relay", &url, code, "--person", "Ben"]);
    let chloe = loop {
        let requests = desk.json(&["-C", "ana", "grant", "--requests", "--relay", &url]);
        if let Some(code) = requests[0]["code"].as_str() {
            break code.to_owned();
        }
    };
    desk.ok(&["-C", "ana", "grant", "--relay", &url, &chloe, "--person", "Chloe"]);
    assert_eq!(waiting.wait().unwrap().code(), Some(0));
    desk.ok(&["-C", "ben", "sync"]);
    desk.ok(&["-C", "ben", "text", "A-1", "notes", "--set", "From Ben."]);
    let synced = desk.json(&["-C", "ben", "sync"]);
    assert_eq!((&synced[0]["sent"], &synced[0]["held_there"]), (&1.into(), &0.into()), "{synced}");
    for folder in ["ana", "chloe"] {
        desk.ok(&["-C", folder, "sync", &url]);
        assert_eq!(desk.ok(&["-C", folder, "text", "A-1", "notes"]).trim(), "From Ben.");
        assert_eq!(desk.digest(folder), desk.digest("ben"));
    }
    let status = desk.json(&["-C", "ana", "status"]);
    assert_eq!(status["outbox"]["count"], 0);
    assert!(status["peers"].as_array().unwrap().iter().any(|peer| peer["is"] == "relay"));
    // Whoever follows hears of what others save, and ends when asked to.
    let follow = Command::new(env!("CARGO_BIN_EXE_fieldbook"))
        .args(["-C", "chloe", "sync", "--follow", "--json"])
        .current_dir(desk.0.path())
        .stdout(Stdio::piped())
        .spawn();
    let mut follow = follow.unwrap();
    let mut told = BufReader::new(follow.stdout.take().unwrap());
    let mut heard = String::new();
    while !heard.contains("up_to_date") {
        heard.clear();
        assert_ne!(told.read_line(&mut heard).unwrap(), 0, "it ended before it was up to date");
    }
    assert_eq!(terminate(&mut follow), 0);
    // The relay ends in good order, and its absence is said.
    assert_eq!(terminate(&mut relay.child), 0);
    let said = desk.run(&["-C", "ana", "sync"]);
    assert!(said.code == 3 && said.error.contains(&url) && said.error.contains("still here"), "{}", said.error);
}

#[test]
fn lists_are_answered_from_indexes() {
    let desk = Desk::new();
    desk.ok(&["-C", "ana", "init", "--name", "Ana"]);
    let mapping = "kind = \"inspection\"\nsource = \"rows.csv\"\nkey = \"No\"\n\
                   [[field]]\npath = \"number\"\ncolumn = \"No\"\n\
                   [[field]]\npath = \"status\"\ncolumn = \"Status\"\n\
                   [[field]]\npath = \"assignee\"\ncolumn = \"Who\"\n\
                   [[field]]\npath = \"scheduled_at\"\ncolumn = \"When\"\ntype = \"timestamp\"\nformat = \"%Y-%m-%d\"\n";
    fs::write(desk.path("rows.toml"), mapping).unwrap();
    let rows = "No,Status,Who,When\n1,draft,Ana,2026-03-01\n2,scheduled,Ben,2026-03-02\n3,scheduled,Ana,2026-03-03\n";
    fs::write(desk.path("rows.csv"), rows).unwrap();
    desk.ok(&["-C", "ana", "import", "--mapping", "rows.toml"]);
    let numbers = |filter: &[&str]| {
        let mut arguments = vec!["-C", "ana", "list"];
        arguments.extend(filter);
        let listed = desk.json(&arguments);
        let mut numbers: Vec<String> =
            listed.as_array().unwrap().iter().map(|row| row["number"].as_str().unwrap().to_owned()).collect();
        numbers.sort();
        numbers.concat()
    };
    // With the kind an index answers, without it the rows of the lists are looked through: the same comes out.
    for kind in [&[][..], &["inspection"]] {
        let list = |filter: &[&str]| numbers(&[kind, filter].concat());
        assert_eq!(list(&[]), "123");
        assert_eq!(list(&["--status", "scheduled"]), "23");
        assert_eq!(list(&["--assignee", "Ana"]), "13");
        assert_eq!(list(&["--assignee", "Ana", "--status", "scheduled"]), "3");
        assert_eq!(list(&["--number", "2"]), "2");
        assert_eq!(list(&["--from", "2026-03-02"]), "23");
        assert_eq!(list(&["--from", "2026-03-02", "--to", "2026-03-02"]), "2");
        assert_eq!(list(&["--to", "2026-03-02", "--where", "assignee=Ana"]), "1");
        assert_eq!(list(&["--status", "closed"]), "");
    }
    assert_eq!(numbers(&["order"]), "");
    let said = desk.run(&["-C", "ana", "list", "--where", "colour=red"]);
    assert!(said.code == 3 && said.error.contains("scheduled_at"), "{}", said.error);
    let said = desk.run(&["-C", "ana", "list", "--from", "yesterday"]);
    assert!(said.code == 3 && said.error.contains("2026-03-02"), "{}", said.error);
}

#[test]
fn a_store_is_backed_up_restored_compacted_and_checked() {
    let desk = Desk::with_two();
    desk.ok(&["-C", "ben", "backup", "ben.backup"]);
    assert_eq!(desk.run(&["-C", "ben", "backup", "ben.backup"]).code, 3, "a file is there already");
    desk.ok(&["-C", "ben", "text", "A-1", "notes", "--set", "After the backup."]);
    desk.ok(&["-C", "ana", "merge", "ben"]);
    let said = desk.run(&["-C", "ben", "restore", "ben.backup"]);
    assert!(said.code == 3 && said.error.contains("already"), "{}", said.error);
    desk.ok(&["-C", "back", "restore", "ben.backup"]);
    assert_eq!(desk.key("back"), desk.key("ben"));
    assert_eq!(desk.ok(&["-C", "back", "text", "A-1", "notes"]).trim(), "");
    desk.ok(&["-C", "back", "text", "A-1", "notes", "--set", "From the restored one."]);
    desk.ok(&["-C", "back", "merge", "ana"]);
    let text = desk.ok(&["-C", "back", "text", "A-1", "notes"]);
    assert!(text.contains("After the backup.") && text.contains("From the restored one."), "{text}");
    desk.ok(&["-C", "ana", "merge", "back"]);
    assert_eq!(desk.digest("ana"), desk.digest("back"));
    let before = desk.digest("ana");
    desk.ok(&["-C", "ana", "compact"]);
    let checked = desk.json(&["-C", "ana", "verify"]);
    assert_eq!((&checked["holds"], &checked["digest"]), (&true.into(), &before.into()));
    // What is exported says the same by itself.
    desk.ok(&["-C", "ana", "export", "--signed", "ana.fieldbook"]);
    let bundle = desk.json(&["verify", "ana.fieldbook"]);
    assert_eq!((&bundle["judged"], &bundle["digest"]), (&true.into(), &checked["digest"]));
    // A flipped bit in what people wrote is found wherever it lies, and named.
    let store = desk.path("ana").join("store.fieldbook");
    let mut bytes = fs::read(&store).unwrap();
    let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(b"rvik")).collect();
    assert!(!places.is_empty());
    places.iter().for_each(|at| bytes[*at] ^= 1);
    fs::write(&store, bytes).unwrap();
    let said = desk.run(&["-C", "ana", "verify"]);
    assert_eq!(said.code, 1, "{}{}", said.out, said.error);
    for word in ["damaged", "in table Pages", "position", "restore a backup"] {
        assert!(said.error.contains(word), "{word}: {}", said.error);
    }
}

#[test]
fn several_partitions_are_named_and_kept_apart() {
    let desk = Desk::with_ana();
    desk.ok(&["-C", "ana", "--partition", "quay", "grant", &desk.key("ana"), "--person", "Ana"]);
    let said = desk.run(&["-C", "ana", "list"]);
    assert!(
        said.code == 3 && said.error.contains("main, quay") && said.error.contains("--partition"),
        "{}",
        said.error
    );
    assert_eq!(desk.json(&["-C", "ana", "--partition", "main", "list"]).as_array().unwrap().len(), 1);
    assert_eq!(desk.json(&["-C", "ana", "list", "--partition", "quay"]).as_array().unwrap().len(), 0);
    let said = desk.run(&["-C", "ana", "--partition", "pier", "list"]);
    assert!(said.code == 3 && said.error.contains("pier"), "{}", said.error);
    desk.ok(&["-C", "ben", "join", "--name", "Ben", "--bundle", "ana", "--no-qr"]);
    assert_eq!(desk.json(&["-C", "ben", "status"])["partitions"].as_array().unwrap().len(), 2);
}

#[test]
fn two_commands_at_once_and_folders_of_the_first_part_are_told_apart() {
    let desk = Desk::with_ana();
    fs::create_dir(desk.path("old")).unwrap();
    fs::write(desk.path("old").join("fieldbook.json"), "{}").unwrap();
    desk.ok(&["-C", "ana", "export", "--signed", "old/records.fieldbook"]);
    for command in [&["-C", "old", "list"][..], &["-C", "old", "init", "--name", "Ana"]] {
        let said = desk.run(command);
        assert!(said.code == 3 && said.error.contains("--restate"), "{}", said.error);
    }
    assert_eq!(desk.json(&["verify", "old"])["holds"], true);
    desk.ok(&["-C", "new", "init", "--name", "Ana"]);
    assert_eq!(desk.json(&["-C", "new", "import", "--restate", "old/records.fieldbook"])["written"], 1);
    assert_eq!(desk.json(&["-C", "new", "import", "--restate", "old/records.fieldbook"])["written"], 0);
    let said = |folder: &str| desk.json(&["-C", folder, "show", "A-1"])["state"].clone();
    assert_eq!(said("new"), said("ana"));
    // A store is one process's at a time.
    let mut follow = Command::new(env!("CARGO_BIN_EXE_fieldbook"))
        .args(["-C", "ana", "sync", "--follow", "--json", "ws://127.0.0.1:9"])
        .current_dir(desk.0.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    BufReader::new(follow.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    let locked = desk.run(&["-C", "ana", "list"]);
    assert!(locked.code == 3 && locked.error.contains("another process"), "{}", locked.error);
    assert_eq!(terminate(&mut follow), 0);
    desk.ok(&["-C", "ana", "list"]);
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
    assert!(states.as_array().unwrap().contains(&now));
    let log = desk.json(&["-C", "ana", "log", "A-1"]);
    assert_eq!(now["heads"], serde_json::json!([log.as_array().unwrap().last().unwrap()["change_set"]]));
    let head = now["automerge_heads"][0].as_str().unwrap();
    assert!(head.len() == 64 && head.bytes().all(|byte| byte.is_ascii_hexdigit()), "{head}");
    assert_eq!(fs::read_dir(desk.path("images")).unwrap().count(), 4);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}
