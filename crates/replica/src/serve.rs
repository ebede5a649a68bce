//! What sessions ask of a replica, answered.

use crate::given::Given;
use crate::recent::RecentPage;
use crate::replica::Inner;
use crate::take::{owed_name, refused_name};
use access::Push;
use changeset::{Cursor, LogIncarnation, Partition, PublicKey, RunningHash, WorkspaceId, encode_runs, pack_page};
use std::sync::{Arc, LazyLock};
use storage::{Batch, Lane, LogKey, Source, StorageError, View};
use sync::limits::MAX_KNOWN;
use sync::{Code, Denial, Knock, Page, Request, Response, Tier, Tip, Want};

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) workspace: WorkspaceId,
    pub(crate) peer: PublicKey,
    pub(crate) tier: Tier,
    /// The incarnation of its log of the partition that it asks about, once it is known.
    pub(crate) log: Option<LogIncarnation>,
    /// What it gave in this session.
    pub(crate) given: Arc<Given>,
}

enum Placed {
    Ahead(LogKey),
    Behind,
    /// The same position, and another history before it.
    Elsewhere,
}

/// The answer to a peer whose log is not the one that it was under the same name. It calls again, sees by our place that it
/// was copied, and begins a new log.
pub(crate) fn copied() -> Response {
    let text = "this log is not as it was when it was seen here last: a copy of the store is in use; call again";
    Response::Bad { code: Code::ROLLED_BACK, text: text.into() }
}

/// Where an answer goes.
pub(crate) type Reply = Box<dyn FnOnce(Response) + Send>;

impl Inner {
    /// Whether a caller may go on. Cheap: nothing is proven yet.
    pub(crate) fn admit(&self, workspace: &WorkspaceId) -> Result<(), Denial> {
        let denial = |code, text: String, retry_after_ms| Err(Denial { code, text, retry_after_ms });
        let policy = &self.options.policy;
        if self.sessions.count() > policy.sessions_max {
            let text = format!("{} sessions are open, as many as allowed; come back later", policy.sessions_max);
            return denial(Code::BUSY, text, Some(5_000));
        }
        let is_kept = match &policy.workspaces {
            Some(kept) => kept.contains(workspace),
            None if policy.judge => true,
            None => self.knows(workspace).unwrap_or(false),
        };
        if is_kept {
            Ok(())
        } else {
            let text = format!("workspace {}… is not kept here; ask who runs this relay to add it", workspace.short());
            denial(Code::UNKNOWN_WORKSPACE, text, None)
        }
    }

    /// Answers a request, on a thread where it may take its time. Answers that must be durable come from the writer.
    pub(crate) fn serve(self: &Arc<Self>, asker: Asker, request: Request, reply: Reply) {
        let answer = match request {
            Request::Take { partition, pages } => return self.take_pages(asker, partition, pages, reply),
            Request::TakeRuns { partition, packed, place } => {
                return self.take_runs(asker, partition, &packed, place, reply);
            }
            Request::Place { partition, place, anew } => match self.place(&asker, partition, place, anew) {
                Ok(Placed::Ahead(log)) => {
                    return self.store(Batch::new().cursor(log, asker.peer, Some(place)), reply);
                }
                Ok(Placed::Behind) => Ok(Response::Stored),
                Ok(Placed::Elsewhere) => Ok(copied()),
                Err(error) => Err(error),
            },
            Request::Receipt { partition, upto, receipt } => {
                self.counters.receipts.one();
                let log = Self::log(asker.workspace, partition);
                match self.store.view().and_then(|view| view.matches(&log, &upto)) {
                    // A receipt for entries that are not ours proves nothing.
                    Ok(false) => Ok(Response::Stored),
                    Ok(true) => {
                        let inner = Arc::clone(self);
                        let told = move |answer| {
                            // Whoever waits for it looks at what is stored.
                            inner.acknowledged.send_modify(|version| *version += 1);
                            reply(answer);
                        };
                        let mut batch = Batch::new();
                        // The receipt is for all before it, also for what was left out.
                        if asker.given.owes(&log.partition) {
                            batch = batch.meta(owed_name(log.workspace, &log.partition, &asker.peer), Some(vec![1]));
                        }
                        return self.store(batch.receipt(log, asker.peer, upto, receipt), Box::new(told));
                    }
                    Err(error) => Err(error),
                }
            }
            Request::Refused { partition, entries } => {
                return self.keep_refused(asker, &partition, &entries, reply);
            }
            other => self.answer(&asker, other),
        };
        reply(answer.unwrap_or_else(|error| Response::Failed(error.to_string())));
    }

    /// Where a place in the peer's log stands to the one that is known.
    fn place(&self, asker: &Asker, partition: Partition, place: Cursor, anew: bool) -> Result<Placed, StorageError> {
        let log = Self::log(asker.workspace, partition);
        Ok(match self.store.view()?.peer(&log, &asker.peer)?.cursor.filter(|known| !anew && known.log == place.log) {
            Some(known) if known.position == place.position && known.hash != place.hash => Placed::Elsewhere,
            // An older session of the same peer was further.
            Some(known) if known.position >= place.position => Placed::Behind,
            _ => Placed::Ahead(log),
        })
    }

    /// Commits something whose answer says only that it is durable.
    fn store(&self, batch: Batch, reply: Reply) {
        self.store.commit(Lane::Remote, batch, |result| {
            reply(match result {
                Ok(_) => Response::Stored,
                Err(error) => Response::Failed(error.to_string()),
            });
        });
    }

    fn answer(&self, asker: &Asker, request: Request) -> Result<Response, StorageError> {
        let log_of = |partition: Partition| Self::log(asker.workspace, partition);
        let view = self.store.view()?;
        Ok(match request {
            Request::Open { partition, peer_log, place } => {
                self.open(&view, asker, log_of(partition), peer_log, place)?
            }
            Request::Fits { partition, cursor } => Response::Fits(view.matches(&log_of(partition), &cursor)?),
            Request::Read { partition, from, max_bytes } => {
                let log = log_of(partition);
                let pages = self.read(&view, asker, &log, from, max_bytes)?;
                // That its own entries stand here is no secret to who gave them: whoever brings a workspace's first
                // records is heard before they say who may read.
                let is_told = pages.iter().any(|page| !page.skip);
                match self.may_read(asker, &log) {
                    Err(text) if is_told => Response::Bad { code: Code::NOT_PERMITTED, text },
                    _ => Response::Pages(pages),
                }
            }
            Request::Tips { partition } => {
                let tip = |tip: storage::Tip| Tip { actor: tip.actor, sequence: tip.sequence, id: tip.id };
                let mut tips: Vec<Tip> = view.tips(&log_of(partition))?.into_iter().map(tip).collect();
                if changeset::planted("tips leave branches out") {
                    tips.dedup_by_key(|tip| tip.actor);
                }
                Response::Tips(tips)
            }
            Request::Lacking { partition, tips } => Response::Lacking(lacking(&view, &log_of(partition), &tips)?),
            Request::Lines { partition, wants, after, max_bytes } => {
                let wants: Vec<_> = wants.into_iter().map(|want| (want.tip, want.known)).collect();
                let log = log_of(partition);
                let lines = view.lines(&log, &wants, after, max_bytes)?;
                if lines.entries.is_empty() {
                    return Ok(Response::Runs { packed: None, next: None, hash: None });
                }
                self.counters.change_sets_out.add(lines.entries.len() as u64);
                Response::Runs { packed: Some(packed(&log, &lines.entries)?), next: lines.next, hash: None }
            }
            Request::Span { partition, first, count } => {
                self.counters.verbatim.one();
                let log = log_of(partition);
                let (Some(last), true) = ((first + count).checked_sub(1), count > 0) else {
                    return Ok(Response::Bad { code: Code::PROTOCOL, text: "a page without entries".into() });
                };
                let entries = view.span(&log, first, last)?;
                let hash = hash_behind(&view, &log, first + count)?;
                Response::Runs { packed: Some(packed(&log, &entries)?), next: None, hash }
            }
            Request::Knock { name } => {
                let knock = Knock { key: asker.peer, name, time_ms: self.now_ms() };
                self.sessions.knock(asker.workspace, knock);
                Response::Stored
            }
            Request::Knocks => Response::Knocks(self.knocks(asker)),
            // The rest was answered before.
            _ => Response::Stored,
        })
    }

    fn open(
        &self,
        view: &View,
        asker: &Asker,
        log: LogKey,
        peer_log: Option<LogIncarnation>,
        place: Option<Cursor>,
    ) -> Result<Response, StorageError> {
        let admission = match self.workspace(&log.workspace) {
            Ok(workspace) => workspace.read().admission(&asker.peer, &log.partition, self.now_ms()),
            Err(error) => return Ok(Response::Failed(error.to_string())),
        };
        // We ask for what we want ourselves; the peer's rights matter when it asks, and when it reads.
        let is_asked = peer_log.is_some();
        // A device takes what a relay gives it; only among equals, and at a relay, does who pushes matter.
        let from_relay = asker.tier != Tier::Device;
        if is_asked
            && !from_relay
            && !admission.read
            && !changeset::planted("anybody may read")
            && let Push::Refuse(why) = &admission.push
        {
            let text = why.to_string();
            return Ok(Response::Denied(Denial { code: Code::NO_GRANT, text, retry_after_ms: None }));
        }
        let end = match view.log(&log)? {
            Some(state) => state.end,
            None => self.begin_log(&log)?,
        };
        asker.given.began(&log.partition, end.position);
        let fits = match &place {
            Some(place) => view.matches(&log, place)?,
            None => false,
        };
        let peer = view.peer(&log, &asker.peer)?;
        let known = peer.cursor;
        let receipted = peer.acknowledged.filter(|upto| upto.log == end.log).map_or(0, |upto| upto.position);
        // Who is asked names our place and begins no comparison.
        let behind = if is_asked { Behind::default() } else { self.behind(view, asker, &log, receipted)? };
        // What the peer refused before is offered again by comparing tips, as if the two met for the first time; and what is
        // left to another relay, which may not have given it.
        let kept = |name: String| view.meta(&name).map(|kept| kept.is_some());
        let is_refused = kept(refused_name(log.workspace, &log.partition, &asker.peer))?
            && !changeset::planted("what was refused is not offered again");
        let is_owed = behind.is_owed || kept(owed_name(log.workspace, &log.partition, &asker.peer))?;
        let known = known.filter(|_| is_asked || !is_refused && !is_owed);
        let ours = known.filter(|cursor| peer_log.is_none_or(|log| log == cursor.log) && end.position > 0);
        // Who brings the genesis reads what follows on it: there is nothing to hide yet, and each read asks again.
        let begins = end.position == 0 && log.partition == *AUTHORITY;
        let read = admission.read || from_relay || begins || changeset::planted("anybody may read");
        Ok(Response::Opened { end, fits, place: ours, read, receipted: behind.proven })
    }

    /// A log that has nothing yet begins with an append of nothing, so that it has an incarnation to name.
    fn begin_log(&self, log: &LogKey) -> Result<Cursor, StorageError> {
        let batch = Batch::new().append(log.clone(), Vec::new(), Source::File, None);
        let committed = self.store.commit_now(Lane::Local, batch)?;
        let end = committed.appended.first().map(|appended| appended.end);
        end.ok_or(StorageError::Misuse { doing: "beginning a log", what: "the store gave no end" })
    }

    /// Whether a peer that was let in may still read; otherwise why not.
    fn may_read(&self, asker: &Asker, log: &LogKey) -> Result<(), String> {
        if asker.tier != Tier::Device || changeset::planted("anybody may read") {
            return Ok(());
        }
        let workspace = self.workspace(&log.workspace).map_err(|error| error.to_string())?;
        let admission = workspace.read().admission(&asker.peer, &log.partition, self.now_ms());
        match admission.push {
            _ if admission.read => Ok(()),
            Push::Quarantine(why) | Push::Refuse(why) => {
                Err(format!("{} is not open to you any more: {why}", log.partition))
            }
            _ => Ok(()),
        }
    }

    fn read(
        &self,
        view: &View,
        asker: &Asker,
        log: &LogKey,
        from: u64,
        max_bytes: usize,
    ) -> Result<Vec<Page>, StorageError> {
        let Some(state) = view.log(log)? else { return Ok(Vec::new()) };
        let (mut pages, mut bytes, mut at) = (Vec::new(), 0, from);
        while at < state.end.position && bytes < max_bytes {
            let page = match self.recent.at(log, state.end.log, at) {
                Some(page) => page,
                None => {
                    let Some(stored) = view.page_at(log, at)? else { break };
                    let (first, end) = (stored.first, stored.end);
                    let page = RecentPage { first, end, source: stored.source, frame: stored.frame };
                    // What its giver passes over may be wanted by nobody else.
                    if !matches!(page.source, Source::Peer(from, _) if from == asker.peer) {
                        self.recent.keep(log, page.clone());
                    }
                    page
                }
            };
            let skip = self.is_known_to(view, asker, log, &page)?;
            if !skip {
                bytes += page.frame.len();
                self.counters.pages_out.one();
                self.counters.change_sets_out.add(page.end.position - page.first);
            }
            at = page.end.position;
            pages.push(Page { bytes: page.frame, end: page.end, skip });
            if pages.len() >= MAX_PAGES_AT_ONCE {
                break;
            }
        }
        Ok(pages)
    }

    /// Whether the asker need not be sent a page, because of where it came from.
    fn is_known_to(&self, view: &View, asker: &Asker, log: &LogKey, page: &RecentPage) -> Result<bool, StorageError> {
        Ok(match &page.source {
            // A copy of the device has the same key and another log, or the same log until it notices: it is sent what the
            // other one gave.
            Source::Peer(from, of) if *from == asker.peer => {
                Some(*of) == asker.log
                    && (changeset::planted("what a copy gave is not sent to the other")
                        || asker.given.is_old(&log.partition, page.end.position)
                        || asker.given.take(&log.partition, &view.page_ids(log, page.first)?))
            }
            Source::Peer(from, _) if self.is_spared(asker, from) => {
                // What stood here when the partition was opened is compared, if it may be missing.
                if !asker.given.is_old(&log.partition, page.end.position) {
                    asker.given.owe(&log.partition, &view.page_ids(log, page.first)?);
                }
                true
            }
            _ => false,
        })
    }

    /// Whether a device leaves to relays among themselves what one of them gave: a thousand devices that call two would
    /// else bring everything a thousand times. If they are not connected, a comparison finds it.
    fn is_spared(&self, asker: &Asker, from: &PublicKey) -> bool {
        self.options.tier == Tier::Device
            && asker.tier != Tier::Device
            && !self.options.carry
            && *from != asker.peer
            && self.tier_of(from) != Tier::Device
    }

    /// What stands behind the last receipt of a peer.
    fn behind(&self, view: &View, asker: &Asker, log: &LogKey, receipted: u64) -> Result<Behind, StorageError> {
        let (mut at, mut behind) = (receipted, Behind { proven: receipted, is_owed: false });
        for _ in 0..MAX_LOOKS {
            let pages = view.pages(log, at, PAGES_AT_ONCE)?;
            let Some(last) = pages.last() else { return Ok(behind) };
            at = last.end.position;
            for page in pages {
                let Source::Peer(from, _) = &page.source else { continue };
                if *from == asker.peer && page.first <= behind.proven {
                    behind.proven = page.end.position;
                }
                behind.is_owed |= self.is_spared(asker, from);
            }
        }
        // Too far to walk at each opening: all is compared instead, which ends with a receipt.
        behind.is_owed |= self.options.tier == Tier::Device && asker.tier != Tier::Device;
        Ok(behind)
    }

    fn knocks(&self, asker: &Asker) -> Vec<Knock> {
        let Ok(workspace) = self.workspace(&asker.workspace) else { return Vec::new() };
        let authority = workspace.read();
        // Names and keys of strangers are shown to those who can let them in.
        if authority.delegations_of(&asker.peer).next().is_none() && !authority.is_root(&asker.peer) {
            return Vec::new();
        }
        let (partition, now_ms) = (AUTHORITY.clone(), self.now_ms());
        // Who was let in anywhere reads the authority.
        self.sessions.knocks(&asker.workspace, |key| authority.admission(key, &partition, now_ms).read)
    }
}

/// Up to where a peer is known to hold our log, by its last receipt and by what it gave itself behind that; and whether
/// something follows that another relay gave.
#[derive(Default)]
struct Behind {
    proven: u64,
    is_owed: bool,
}

/// How far is walked from the last receipt of a peer: so many times so many pages.
const MAX_LOOKS: usize = 16;
const PAGES_AT_ONCE: usize = 64;

/// Reading is done in portions, so that one reader does not keep a worker for long.
const MAX_PAGES_AT_ONCE: usize = 256;

/// Of the peer's tips those that are not held, each with what is held of its actor.
fn lacking(view: &View, log: &LogKey, tips: &[Tip]) -> Result<Vec<Want>, StorageError> {
    let mut missing = Vec::new();
    for tip in tips {
        if !view.has(log, &tip.id)? {
            missing.push(*tip);
        }
    }
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let own = view.tips(log)?;
    let want = |tip: Tip| Want {
        tip: tip.id,
        known: own.iter().filter(|held| held.actor == tip.actor).map(|held| held.id).take(MAX_KNOWN).collect(),
    };
    Ok(missing.into_iter().map(want).collect())
}

fn packed(log: &LogKey, entries: &[changeset::Verified]) -> Result<Vec<u8>, StorageError> {
    let runs = encode_runs(entries);
    let runs = runs.map_err(|error| StorageError::Page { doing: "writing runs", log: log.clone(), error })?;
    Ok(pack_page(&runs))
}

static AUTHORITY: LazyLock<Partition> =
    LazyLock::new(|| Partition::new(access::PARTITION_AUTHORITY).expect("the name follows the pattern"));

/// The running hash at a position that ends a page, or stands inside one.
fn hash_behind(view: &View, log: &LogKey, position: u64) -> Result<Option<RunningHash>, StorageError> {
    let Some(before) = position.checked_sub(1) else { return Ok(None) };
    let Some(page) = view.page_at(log, before)? else { return Ok(None) };
    if page.end.position == position {
        return Ok(Some(page.end.hash));
    }
    // Inside a page that was merged since: counted again from where it starts.
    let start = match page.first.checked_sub(1) {
        None => RunningHash::start(&log.workspace, &log.partition, &page.end.log),
        Some(last) => match view.page_at(log, last)? {
            Some(before) => before.end.hash,
            None => return Ok(None),
        },
    };
    let entries = view.entries(log, page.first..position)?;
    Ok(Some(entries.iter().fold(start, |hash, entry| hash.then(&entry.id()))))
}
