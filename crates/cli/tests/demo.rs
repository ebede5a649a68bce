//! The demo as the real binary: processes, kills and all. It must succeed, and it must be able to fail.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// What one run of the demo left behind.
struct Run {
    code: Option<i32>,
    out: String,
    error: String,
}

/// Runs the demo with its temporary folders in `folder`, so that what it leaves behind is seen.
fn demo(folder: &TempDir, arguments: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fieldbook"));
    let Output { status, stdout, stderr } =
        command.arg("demo").args(arguments).env("TMPDIR", folder.path()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: status.code(), out: text(stdout), error: text(stderr) }
}

fn is_empty(folder: &TempDir) -> bool {
    folder.path().read_dir().unwrap().next().is_none()
}

#[test]
fn every_device_ends_with_everything_that_was_reported_as_saved() {
    let folder = TempDir::new().unwrap();
    let run = demo(&folder, &["--devices", "4", "--edits", "4", "--seed", "7", "--plain", "--json"]);
    assert_eq!(run.code, Some(0), "{}{}", run.out, run.error);
    let told: Json = serde_json::from_str(&run.out).unwrap();
    assert_eq!((&told["ok"], &told["digests_equal"]), (&true.into(), &true.into()), "{told}");
    let devices = told["devices"].as_array().unwrap();
    assert_eq!(devices.len(), 4);
    let digests: BTreeSet<&str> = devices.iter().map(|device| device["digest"].as_str().unwrap()).collect();
    assert_eq!(digests.len(), 1, "{told}");
    for device in devices.iter().chain([&told["relay"]]) {
        assert_eq!(device["held"], told["relay"]["held"], "{told}");
        // Sockets were used, both ways.
        assert!(
            device["bytes_in"].as_u64().unwrap() > 1000 && device["bytes_out"].as_u64().unwrap() > 1000,
            "{device}"
        );
    }
    assert!(told["saved"].as_u64().unwrap() > 100, "{told}");
    assert_eq!(told["survived"].as_array().unwrap().len(), 3, "{told}");
    let explained = told["explained"].as_array().unwrap();
    assert!(explained.len() >= 5, "{told}");
    let rules: BTreeSet<&str> = explained.iter().map(|conflict| conflict["rule"].as_str().unwrap()).collect();
    assert_eq!(rules, ["last_writer", "removed_while_edited", "sum_of_counters"].into(), "{told}");
    for one in explained.iter().flat_map(|conflict| conflict["contenders"].as_array().unwrap()) {
        assert!(one["device"].is_string() && one["when"].is_string(), "{one}");
    }
    assert!(is_empty(&folder), "the stores were not removed");
}

#[test]
fn a_lost_edit_is_noticed_and_named() {
    let folder = TempDir::new().unwrap();
    let run = demo(&folder, &["--devices", "4", "--edits", "2", "--plain", "--json", "--sabotage"]);
    assert_eq!(run.code, Some(1), "{}{}", run.out, run.error);
    let told: Json = serde_json::from_str(&run.out).unwrap();
    assert_eq!((&told["ok"], &told["digests_equal"]), (&false.into(), &false.into()), "{told}");
    let missing = told["missing"].as_array().unwrap();
    assert_eq!(missing.len(), 1, "{told}");
    assert_eq!((&missing[0]["device"], &missing[0]["change_set"]), (&"Ben".into(), &told["sabotaged"]), "{told}");
}

/// An interrupted demo leaves neither processes nor folders.
#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    let folder = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_fieldbook"));
    command.args(["demo", "--plain"]).env("TMPDIR", folder.path()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // Once the second device is there.
    assert!(lines.by_ref().map(Result::unwrap).any(|line| line.contains("Ben shows the key")));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(lines.map(Result::unwrap).all(|line| !line.contains("Summary")));
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert!(is_empty(&folder), "the stores were not removed");
    let stores = folder.path().to_str().unwrap().to_owned();
    let is_ours = |entry: &std::fs::DirEntry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&stores)
    };
    assert_eq!(std::fs::read_dir("/proc").unwrap().map(Result::unwrap).filter(is_ours).count(), 0);
}
