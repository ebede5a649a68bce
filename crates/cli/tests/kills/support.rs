//! A folder of devices and relays, each a process of its own.

use fieldbook::{ChangeSetId, Fieldbook, PartitionName, Settings};
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// No test waits longer for any one thing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_fieldbook");
pub(crate) const OFFICE: &str = "office";

pub(crate) fn office() -> PartitionName {
    PartitionName::new(OFFICE).unwrap()
}

/// A folder in which commands run.
pub(crate) struct Desk(TempDir);

#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) error: String,
}

impl Said {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), error: text(output.stderr) }
    }

    /// Checks the exit code, and that the message has all these words.
    pub(crate) fn says(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.error);
        let all = format!("{}{}", self.out, self.error);
        for word in words {
            assert!(all.contains(word), "it should say {word:?}: {all}");
        }
    }
}

impl Desk {
    /// Ana, who founded the workspace and has an order with a note.
    pub(crate) fn new() -> Self {
        let desk = Self(TempDir::new().unwrap());
        desk.ok(&["-C", "ana", "init", "--name", "Ana", "--partition", OFFICE]);
        let order = r#"{"number":"A-1","currency":"EUR","customer_number":"C1","customer_name":"Sørvik"}"#;
        desk.ok(&["-C", "ana", "do", "new:order", "create", order]);
        desk.ok(&["-C", "ana", "text", "A-1", "notes", "--set", "Ring at gate 4."]);
        desk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn store(&self, device: &str) -> PathBuf {
        self.path(device).join("store.fieldbook")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(arguments).current_dir(self.0.path());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        Said::of(self.command(arguments).output().unwrap())
    }

    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {}{}", said.out, said.error);
        said.out
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Json {
        serde_json::from_str(&self.ok(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// What `verify` comes to, which must find nothing.
    pub(crate) fn digest(&self, device: &str) -> String {
        let found = self.json(&["-C", device, "verify"]);
        assert_eq!(found["holds"], true, "{device}: {found:#}");
        found["digest"].as_str().unwrap().to_owned()
    }

    pub(crate) fn workspace(&self) -> String {
        self.json(&["-C", "ana", "verify"])["workspace"].as_str().unwrap().to_owned()
    }

    /// A device that is not let in yet; gives its key.
    pub(crate) fn stranger(&self, name: &str) -> String {
        let workspace = self.workspace();
        let join = ["-C", name, "join", "--name", name, "--workspace", &workspace, "--partition", OFFICE];
        self.json(&join)["key"].as_str().unwrap().to_owned()
    }

    /// A device that Ana let in.
    pub(crate) fn member(&self, name: &str) {
        let key = self.stranger(name);
        self.ok(&["-C", "ana", "grant", &key, "--person", name]);
    }

    pub(crate) fn sync(&self, device: &str, relay: &RelayProcess) -> Json {
        self.json(&["-C", device, "sync", &relay.url])
    }

    /// Syncs until every device has the same digest, and gives it. Two rounds carry everything everywhere.
    pub(crate) fn converge(&self, devices: &[&str], relay: &RelayProcess) -> String {
        for _ in 0..2 {
            for device in devices {
                self.sync(device, relay);
            }
        }
        let digests: Vec<String> = devices.iter().map(|device| self.digest(device)).collect();
        assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "{devices:?}: {digests:?}");
        digests[0].clone()
    }

    pub(crate) fn note(&self, device: &str) -> String {
        self.json(&["-C", device, "text", "A-1", "notes"])["text"].as_str().unwrap().to_owned()
    }

    /// The ids of all that a device's store holds in the partition, read from its log by this process.
    pub(crate) fn held(&self, device: &str) -> BTreeSet<ChangeSetId> {
        let book = self.open(device);
        let held = book
            .partition(&office())
            .unwrap()
            .read(|documents| documents.log().entries().iter().map(|entry| entry.id()).collect());
        book.close();
        held.unwrap()
    }

    pub(crate) fn open(&self, device: &str) -> Fieldbook {
        Fieldbook::open(self.store(device), Settings::new().unwrap()).unwrap()
    }
}

/// A relay as a process. Killed with the test.
pub(crate) struct RelayProcess {
    child: Child,
    pub(crate) url: String,
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

impl RelayProcess {
    pub(crate) fn start(data: &Path, more: &[&str]) -> Self {
        Self::start_at(data, "127.0.0.1:0", more)
    }

    pub(crate) fn start_at(data: &Path, listen: &str, more: &[&str]) -> Self {
        let mut command = Command::new(BINARY);
        command.arg("relay").arg("--data").arg(data).args(["--listen", listen, "--admin", "127.0.0.1:0"]).args(more);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["ready", url, "admin", _, "key", _] = words[..] else {
            let mut said = String::new();
            child.kill().unwrap();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("the relay did not start: {line:?} {said}")
        };
        let url = url.to_owned();
        // Nobody reads what it warns of, and it must not wait for that.
        let mut warnings = child.stderr.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut warnings, &mut std::io::sink()));
        Self { child, url }
    }

    pub(crate) fn listen(&self) -> &str {
        self.url.trim_start_matches("ws://").trim_end_matches('/')
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let _ended_already = self.child.kill();
        self.child.wait().unwrap();
    }
}

/// A device as a process that embeds the crate; see [`crate::driver`]. Killed with the test.
pub(crate) struct App {
    child: Child,
    pub(crate) input: Option<std::process::ChildStdin>,
    output: Option<BufReader<ChildStdout>>,
}

impl Drop for App {
    fn drop(&mut self) {
        self.kill();
    }
}

impl App {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "driver::a_device", "--nocapture", "--test-threads=1"]);
        command.env(crate::driver::ARGUMENTS, arguments.join("\n"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), child.stdout.take().map(BufReader::new));
        Self { child, input, output }
    }

    /// What it prints next, if it still runs. A line that a kill cut short is none.
    pub(crate) fn next(&mut self) -> Option<String> {
        let output = self.output.as_mut().unwrap();
        let mut line = String::new();
        loop {
            line.clear();
            if output.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let (Some(said), true) = (line.strip_prefix("> "), line.ends_with('\n')) {
                return Some(said.trim_end().to_owned());
            }
        }
    }

    /// Waits for a line that begins so, and gives the rest of it.
    pub(crate) fn hears(&mut self, beginning: &str) -> String {
        while let Some(line) = self.next() {
            if let Some(rest) = line.strip_prefix(beginning) {
                return rest.trim().to_owned();
            }
            assert!(!line.starts_with("failed"), "{line}");
        }
        panic!("the device ended before it said {beginning:?}")
    }

    pub(crate) fn tell(&mut self, line: &str) {
        use std::io::Write;
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// What it prints, for another thread.
    pub(crate) fn take_output(&mut self) -> BufReader<ChildStdout> {
        self.output.take().unwrap()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let _ended_already = self.child.kill();
        self.child.wait().unwrap();
    }

    /// Waits for its end in good order.
    pub(crate) fn end(mut self) {
        self.input = None;
        while self.next().is_some() {}
        assert!(self.child.wait().unwrap().success());
    }
}

/// An id as a device printed it.
pub(crate) fn id(text: &str) -> ChangeSetId {
    ChangeSetId::from_hex(text).unwrap_or_else(|| panic!("{text:?} is no id"))
}

/// Numbers that are printed with their seed, which FIELDBOOK_SEED repeats.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(what: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed = std::env::var("FIELDBOOK_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(now);
        eprintln!("{what}: FIELDBOOK_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn quiet(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    pub(crate) fn pause(&mut self, at_most_ms: u64) {
        std::thread::sleep(Duration::from_micros(self.below(at_most_ms * 1000)));
    }
}

/// Asks until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what} did not happen within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
