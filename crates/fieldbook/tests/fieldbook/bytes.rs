//! What goes over the socket, counted by a proxy: everything, from the upgrade of the websocket to its close.

use crate::proxy::Proxy;
use crate::support::{PATIENCE, Site, path, pier, relay, sync};
use fieldbook::changeset::{Author, Draft, Edit, Incarnation, IntentName, Script, SeededEntropy, Verified};
use fieldbook::storage::{Batch, Lane, LogKey, Source};
use fieldbook::{DeviceKey, DocumentKey, Edits, Fieldbook, Invitation, PartitionName, Settings};
use std::sync::Arc;

/// Bytes of one exchange with nothing new.
fn idle(book: &Fieldbook, proxy: &Proxy) -> u64 {
    proxy.take();
    book.sync(&proxy.url(), PATIENCE).unwrap();
    proxy.take()
}

#[test]
fn nothing_new_costs_the_same_for_one_document_and_for_two_thousand() {
    let site = Site::new();
    let relay = relay(&site.folder.path().join("relay"));
    let proxy = Proxy::before(&relay.address());
    let at_ana = site.ana.partition(&pier()).unwrap();
    let one = site.ana.new_document("inspection").unwrap();
    at_ana.edit(&one, "create", |tx| tx.put(&path("number"), "I-0".into())).unwrap();
    sync(&site.ana, &relay);
    let with_one = idle(&site.ana, &proxy);
    let edits = at_ana.batch(|batch| {
        for number in 1..2000 {
            let key = site.ana.new_document("inspection")?;
            batch.edit(&key, "create", |tx| tx.put(&path("number"), format!("I-{number}").as_str().into()))?;
        }
        Ok(())
    });
    assert_eq!(edits.unwrap().len(), 1999);
    sync(&site.ana, &relay);
    let with_many = idle(&site.ana, &proxy);
    // Positions in the log are a few bytes longer.
    assert!(with_many <= with_one + 16, "{with_one} bytes with one document, {with_many} with 2,000");

    // One more partition is one more exchange of places: what it costs is what a partition costs.
    let quay = PartitionName::new("south-quay").unwrap();
    site.ana.grant(&quay, &Invitation::new(site.ana.key(), "Ana", "admin", 0)).unwrap();
    let at_quay = site.ana.partition(&quay).unwrap();
    at_quay.edit(&one, "create", |tx| tx.put(&path("number"), "Q-0".into())).unwrap();
    sync(&site.ana, &relay);
    sync(&site.ana, &relay);
    let with_two_partitions = idle(&site.ana, &proxy);
    let partition = with_two_partitions - with_many;
    let rest = with_many - 2 * partition;
    println!("nothing new: {partition} bytes a partition; upgrade, handshake and close: {rest} bytes");
    assert!(partition <= 300, "{partition} bytes for a partition");
    assert!(rest <= 1800, "{rest} bytes for upgrade, handshake and close");
}

/// Change sets of many devices, as two stores may both have got them from elsewhere.
fn history(workspace: fieldbook::WorkspaceId, partition: &PartitionName, actors: u8, each: usize) -> Vec<Verified> {
    let mut all = Vec::with_capacity(usize::from(actors) * each);
    for actor in 0..actors {
        let key = Arc::new(DeviceKey::from_secret(&[actor + 100; 32]));
        let incarnation = Incarnation::from_bytes([actor; 8]);
        let entropy = Box::new(SeededEntropy::new(actor.into()));
        let mut author = Author::new(key, workspace, partition.clone(), incarnation, entropy);
        let document = DocumentKey {
            kind: fieldbook::Kind::new("inspection").unwrap(),
            id: fieldbook::DocumentId::from_parts(1, [actor; 10]),
        };
        for number in 0..each {
            let edits = vec![Edit::Put { path: path("number"), value: format!("{actor}-{number}").as_str().into() }];
            let draft = Draft {
                document: document.clone(),
                parents: Vec::new(),
                grant: None,
                schema_version: 1,
                intent: IntentName::new("create").unwrap(),
                group: None,
                script: Script { reason: None, edits },
            };
            let entry = author.record(draft, 1_700_000_000_000).unwrap();
            let is_end = number % 250 == 249 || number + 1 == each;
            all.push(if is_end { author.sign(&entry).unwrap() } else { entry });
        }
    }
    all
}

fn store(book: &Fieldbook, partition: &PartitionName, entries: &[Verified]) {
    let log = LogKey::new(book.workspace(), partition.clone());
    for some in entries.chunks(5000) {
        let batch = Batch::new().append(log.clone(), some.to_vec(), Source::File, None);
        book.replica().store().commit_now(Lane::Local, batch).unwrap();
    }
}

#[test]
fn a_first_meeting_costs_what_differs_and_not_what_is_shared() {
    let site = Site::new();
    let archive = PartitionName::new("archive").unwrap();
    let ben = {
        let file = site.folder.path().join("ben");
        Fieldbook::join(file, site.ana.workspace(), "ben", &[pier()], Settings::new().unwrap()).unwrap()
    };
    site.ana.grant(&pier(), &Invitation::new(ben.key(), "Ben", "inspector", 0)).unwrap();
    site.ana.grant(&archive, &Invitation::new(ben.key(), "Ben", "inspector", 0)).unwrap();
    // The authority is known on both sides, as between devices of one site.
    ben.import(fieldbook_bundles(&site.ana, &pier())).unwrap();
    ben.import(fieldbook_bundles(&site.ana, &archive)).unwrap();
    let shared = history(site.ana.workspace(), &archive, 50, 2000);
    // Beside them, each holds the grant. Whole runs, so that both sides' logs end signed: ten change sets of one device are missing at Ben's.
    let missing = history(site.ana.workspace(), &archive, 51, 10).split_off(500);
    assert_eq!((shared.len(), missing.len()), (100_000, 10));
    store(&site.ana, &archive, &shared);
    store(&site.ana, &archive, &missing);
    // The same, in another order: no place in the one log is a place in the other.
    let mut turned: Vec<Verified> = shared.chunks(2000).rev().flatten().cloned().collect();
    turned.truncate(100_000);
    store(&ben, &archive, &turned);

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::before(&format!("ws://{}", listener.local_addr().unwrap()));
    let to = proxy.url().trim_start_matches("ws://").to_owned();
    let here = std::net::TcpStream::connect(to).unwrap();
    let (there, _) = listener.accept().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _inside = runtime.enter();
    let stream = |stream: std::net::TcpStream| {
        stream.set_nonblocking(true).unwrap();
        tokio::net::TcpStream::from_std(stream).unwrap()
    };
    let (calls, answers) = (site.ana.link(stream(here), true).unwrap(), ben.link(stream(there), false).unwrap());
    let log = LogKey::new(ben.workspace(), archive);
    let end = || ben.replica().store().view().unwrap().log(&log).unwrap().unwrap().end.position;
    crate::support::until(&ben, || end() >= 100_011);
    drop((calls, answers));
    let bytes = proxy.take();
    println!("first meeting of two stores that share all but 10 of 100,000 change sets: {bytes} bytes");
    assert!(bytes <= 64 << 10, "{bytes} bytes");
}

fn fieldbook_bundles(book: &Fieldbook, partition: &PartitionName) -> Vec<fieldbook::Bundle> {
    let view = book.replica().store().view().unwrap();
    let names = [PartitionName::new("authority").unwrap(), partition.clone()];
    names
        .into_iter()
        .map(|partition| {
            let log = LogKey::new(book.workspace(), partition.clone());
            let end = view.log(&log).unwrap().unwrap().end;
            let entries = view.entries(&log, 0..end.position).unwrap();
            fieldbook::Bundle { workspace: book.workspace(), partition, log: end.log, entries }
        })
        .collect()
}
