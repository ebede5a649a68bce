//! Devices of one workspace in temporary folders.

use fieldbook::{
    DeviceKey, DocumentKey, Edits, Fieldbook, Invitation, NewWorkspace, PartitionName, Path, Saved, Settings, State,
};
use std::time::Duration;
use tempfile::TempDir;

/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn pier() -> PartitionName {
    PartitionName::new("north-pier").unwrap()
}

pub(crate) fn path(text: &str) -> Path {
    Path::new(text).unwrap()
}

/// The workspace that Ana founds.
pub(crate) fn harbour(root: &DeviceKey) -> NewWorkspace<'_> {
    NewWorkspace {
        name: "Harbour".into(),
        roots: vec![root],
        threshold: 1,
        device: "Ana's tablet".into(),
        person: "Ana".into(),
        partition: pier(),
    }
}

pub(crate) struct Site {
    pub(crate) folder: TempDir,
    pub(crate) ana: Fieldbook,
}

impl Site {
    /// A workspace that Ana founded.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = DeviceKey::from_secret(&[7; 32]);
        let ana = Fieldbook::create(folder.path().join("ana"), &harbour(&root), Settings::new().unwrap()).unwrap();
        Self { folder, ana }
    }

    /// A device that was made for the workspace and is not let in yet.
    pub(crate) fn stranger(&self, name: &str) -> Fieldbook {
        let file = self.folder.path().join(name);
        Fieldbook::join(file, self.ana.workspace(), name, &[pier()], Settings::new().unwrap()).unwrap()
    }

    /// A device that Ana let in.
    pub(crate) fn member(&self, name: &str) -> Fieldbook {
        let device = self.stranger(name);
        self.ana.grant(&pier(), &Invitation::new(device.key(), name, "inspector", 0)).unwrap();
        device
    }
}

/// Waits until something holds, woken by changes of the store.
pub(crate) fn until(book: &Fieldbook, mut holds: impl FnMut() -> bool) {
    let mut changes = book.subscribe();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let wait = async {
        while !holds() {
            let _ = tokio::time::timeout(Duration::from_millis(200), changes.next()).await;
        }
    };
    runtime.block_on(async { tokio::time::timeout(PATIENCE, wait).await }).expect("it holds in time");
}

/// A relay in this process, in a folder of its own, on ports of the system's choice.
pub(crate) fn relay(folder: &std::path::Path) -> relay::Relay {
    let mut config = relay::Config::new(folder);
    config.listen = ([127, 0, 0, 1], 0).into();
    config.admin = ([127, 0, 0, 1], 0).into();
    relay::Relay::start(config).unwrap()
}

/// A note on an inspection: the text that `words` makes longer.
pub(crate) fn write(book: &Fieldbook, document: &DocumentKey, words: &str) -> Saved {
    let partition = book.partition(&pier()).unwrap();
    partition.edit(document, "note", |tx| tx.insert_text(&path("note"), 0, words)).unwrap().unwrap()
}

/// The text as a device shows it.
pub(crate) fn note(book: &Fieldbook, document: &DocumentKey) -> Option<String> {
    let partition = book.partition(&pier()).unwrap();
    partition.document(document, |document| document.text(&path("note"))).unwrap().flatten()
}

/// One exchange with a relay.
pub(crate) fn sync(book: &Fieldbook, relay: &relay::Relay) {
    let report = book.sync(&relay.address(), PATIENCE).unwrap();
    assert_eq!(report.denied, []);
}

/// Exchanges until every device has the same digest, and gives it. Two rounds carry everything everywhere; more would be
/// a fault.
pub(crate) fn converge(books: &[&Fieldbook], relay: &relay::Relay) {
    for _ in 0..2 {
        books.iter().for_each(|book| sync(book, relay));
    }
    let digests: Vec<_> = books.iter().map(|book| book.partition(&pier()).unwrap().digest().unwrap()).collect();
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "all show the same: {digests:?}");
}
