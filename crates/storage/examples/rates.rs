//! How fast entries are appended and what they take on disk: `cargo run --release -p storage --example rates [folder]`.

use changeset::{
    Author, DeviceKey, DocumentId, DocumentKey, Draft, Edit, Incarnation, IntentName, Kind, Partition, Path, Script,
    SeededEntropy, Verified, WorkspaceId,
};
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;
use storage::{Batch, Lane, LogKey, MergeLimits, Options, Source, Store};

const ENTRIES: usize = 5_000;
/// Bytes of text that does not compress much: six bits of it in each byte.
const VALUE_BYTES: usize = 110;

fn entries(log: &LogKey, documents: usize) -> Result<Vec<Verified>, Box<dyn Error>> {
    let mut authors = Vec::new();
    for device in 1..=10_u8 {
        let key = Arc::new(DeviceKey::from_secret(&[device; 32]));
        let incarnation = Incarnation::from_bytes([device; 8]);
        let entropy = Box::new(SeededEntropy::new(u64::from(device)));
        authors.push(Author::new(key, log.workspace, log.partition.clone(), incarnation, entropy));
    }
    let mut entries = Vec::new();
    for number in 0..ENTRIES {
        let mut random = [0; 10];
        random[..8].copy_from_slice(&((number / 10 % documents) as u64).to_be_bytes());
        let document = DocumentKey { kind: Kind::new("inspection")?, id: DocumentId::from_parts(1, random) };
        let mut random_text = [0; VALUE_BYTES];
        blake3::Hasher::new().update(&number.to_be_bytes()).finalize_xof().fill(&mut random_text);
        let text: String = random_text.iter().map(|byte| char::from(b'0' + byte % 64)).collect();
        let draft = Draft {
            document,
            parents: Vec::new(),
            grant: None,
            schema_version: 1,
            intent: IntentName::new("record_outcome")?,
            group: None,
            script: Script { reason: None, edits: vec![Edit::Put { path: Path::new("note")?, value: text.into() }] },
        };
        if let Some(author) = authors.get_mut(number % 10) {
            let recorded = author.record(draft, 1_760_000_000_000 + number as u64)?;
            entries.push(author.sign(&recorded)?);
        }
    }
    Ok(entries)
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| std::env::temp_dir().display().to_string());
    let log = LogKey::new(WorkspaceId::from_bytes([1; 32]), Partition::new("harbour-7")?);
    let entries = entries(&log, 250)?;
    let signed: usize = entries.iter().filter_map(|entry| entry.to_bytes()).map(|bytes| bytes.len()).sum();
    println!("{ENTRIES} entries of {} bytes in signed form, 10 authors, 250 documents", signed / ENTRIES);
    println!(
        "quick repair | group | entries/s | file B/entry | pages B/entry | file compacted | merged pages B/entry | \
         file compacted again"
    );
    for quick_repair in [true, false] {
        for group in [1, 10, 100] {
            let path = std::path::Path::new(&folder).join(format!("fieldbook-rates-{}-{group}", std::process::id()));
            let mut options = Options::default();
            options.quick_repair = quick_repair;
            options.merge_when_idle = false;
            let store = Store::create(&path, options)?;
            let start = Instant::now();
            for some in entries.chunks(group) {
                store.commit_now(Lane::Remote, Batch::new().append(log.clone(), some.to_vec(), Source::File, None))?;
            }
            let rate = ENTRIES as f64 / start.elapsed().as_secs_f64();
            let per = |bytes: u64| bytes / ENTRIES as u64;
            let pages = || Ok::<u64, storage::StorageError>(store.view()?.log(&log)?.map_or(0, |state| state.bytes));
            let (file, before) = (store.size()?, pages()?);
            store.compact()?;
            let small = store.size()?;
            store.merge_pages(&log, MergeLimits::default())?;
            let after = pages()?;
            store.compact()?;
            let compact = store.size()?;
            println!(
                "{quick_repair:12} | {group:5} | {rate:9.0} | {:12} | {:13} | {:14} | {:20} | {:20}",
                per(file),
                per(before),
                per(small),
                per(after),
                per(compact)
            );
            drop(store);
            std::fs::remove_file(&path)?;
            let mut mark = path.into_os_string();
            mark.push(".mark");
            std::fs::remove_file(mark)?;
        }
    }
    Ok(())
}
