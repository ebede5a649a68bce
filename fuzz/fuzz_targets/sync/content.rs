//! What the peer has to say beside messages: pages, runs and receipts that are its own, ours, a little off, or made up.

use crate::model::{Replica, Source, Store, WORKSPACE, key, partition, yard};
use arbitrary::Arbitrary;
use changeset::{Cursor, LogIncarnation, LogPage, Partition};
use fieldbook_fuzz::messages::{AnyCursor, Content};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use sync::Tier;

pub(crate) const OWN: u8 = 2;
pub(crate) const PEER: u8 = 99;
pub(crate) const THIRD: u8 = 3;

pub(crate) type Stores = BTreeMap<Partition, Store>;

/// What this replica, the peer and an honest third hold before anything is said.
pub(crate) static STORES: LazyLock<[Stores; 3]> = LazyLock::new(|| {
    let mut own = Replica::new(OWN, Tier::Relay);
    own.grow(1, 3);
    own.grow(1, 2);
    own.grow_in(&partition("south"), 1, 2);
    let mut peer = Replica::new(PEER, Tier::Device);
    let shared = own.yard().entries.entries()[..3].to_vec();
    peer.hold(&shared, Source::Peer(own.public(), LogIncarnation::from_bytes([OWN; 8]), Tier::Relay));
    peer.grow(1, 2);
    peer.grow(1, 2);
    peer.grow_in(&partition("south"), 1, 2);
    let mut third = Replica::new(THIRD, Tier::Device);
    third.grow(1, 2);
    [own.stores, peer.stores, third.stores]
});

pub(crate) fn replica(number: u8, tier: Tier, stores: &Stores) -> Replica {
    let mut replica = Replica::new(number, tier);
    replica.stores = stores.clone();
    replica
}

/// What the peer can plausibly say from the start.
pub(crate) static CONTENT: LazyLock<Content> = LazyLock::new(|| {
    let start = |store: &Store| Cursor { log: store.log, position: 0, hash: store.hashes[0] };
    let mut content = Content { partitions: vec![yard(), partition("south"), partition("east")], ..Content::default() };
    for store in STORES[..2].iter().flat_map(BTreeMap::values) {
        content.cursors.push(store.end());
        content.cursors.push(start(store));
        content.cursors.extend(store.pages.iter().map(|page| page.end));
        content.tips.extend(store.tips());
        content.tips.extend(store.entries.entries().iter().map(|entry| sync::Tip {
            actor: entry.actor().id(),
            sequence: entry.header().sequence,
            id: entry.id(),
        }));
    }
    content
});

/// A page that the peer seals, or one of its log as it is.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) enum AnyPage {
    Own { partition: u8, number: u8 },
    Ours { partition: u8, number: u8 },
    Sealed { partition: u8, first: AnyCursor, end: AnyCursor, packed: AnyPacked },
}

#[derive(Arbitrary, Clone, Debug)]
pub(crate) enum AnyPacked {
    Page(u8),
    Runs { from: u8, count: u8 },
    Flipped { of: u8, at: u16, bit: u8 },
    Any(Vec<u8>),
}

#[derive(Arbitrary, Clone, Debug)]
pub(crate) struct AnyRuns {
    pub(crate) partition: u8,
    pub(crate) page: Option<(AnyCursor, u8)>,
    pub(crate) packed: AnyPacked,
}

#[derive(Arbitrary, Clone, Debug)]
pub(crate) struct AnyReceipt {
    pub(crate) partition: u8,
    pub(crate) upto: AnyCursor,
    pub(crate) held: u64,
    pub(crate) refused: u64,
    pub(crate) is_forged: bool,
}

/// The packed bytes of a choice.
pub(crate) fn bytes(choice: &AnyPacked) -> Vec<u8> {
    let store = &STORES[1][&yard()];
    let page = |number: u8| {
        let page = &store.pages[usize::from(number) % store.pages.len()].bytes;
        LogPage::from_bytes(page).expect("a page").packed.into_owned()
    };
    match choice {
        AnyPacked::Page(number) => page(*number),
        AnyPacked::Runs { from, count } => {
            let entries = store.entries.entries();
            let from = usize::from(*from) % entries.len();
            let part = &entries[from..(from + usize::from(*count)).min(entries.len())];
            changeset::encode_runs(part).map(|runs| changeset::pack_page(&runs)).unwrap_or_default()
        }
        AnyPacked::Flipped { of, at, bit } => {
            let mut packed = page(*of);
            let at = usize::from(*at) % packed.len();
            packed[at] ^= 1 << (bit % 8);
            packed
        }
        AnyPacked::Any(bytes) => bytes.clone(),
    }
}

/// The page of a choice; nothing where there is none.
pub(crate) fn sealed(content: &Content, choice: &AnyPage) -> Vec<u8> {
    let stored = |stores: &Stores, partition: u8, number: u8| {
        let pages = stores.get(&content.partition(partition)).map_or(&[][..], |store| &store.pages);
        let page = usize::from(number).checked_rem(pages.len()).and_then(|number| pages.get(number));
        page.map_or_else(Vec::new, |page| page.bytes.to_vec())
    };
    match choice {
        AnyPage::Own { partition, number } => stored(&STORES[1], *partition, *number),
        AnyPage::Ours { partition, number } => stored(&STORES[0], *partition, *number),
        AnyPage::Sealed { partition, first, end, packed } => {
            let (first, end) = (content.cursor(first).position, content.cursor(end));
            // Less than nothing cannot be written.
            let end = Cursor { position: end.position.max(first), ..end };
            let (partition, packed) = (content.partition(*partition), bytes(packed));
            let page = LogPage::seal(&*key(PEER), &WORKSPACE, partition, first, end, packed);
            page.map(|page| page.to_bytes()).unwrap_or_default()
        }
    }
}
