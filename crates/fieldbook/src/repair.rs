//! Damaged pages, fetched again from a peer.

use crate::error::Error;
use crate::facade::{Fieldbook, Settings};
use crate::links::{Run, Wishes};
use crate::states::Connectivity;
use changeset::{ChangeSetId, Verified};
use replica::Connection;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use storage::{Damage, LogKey, Report, StorageError, Store, Table};

/// What came of a repair.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Repaired {
    /// How many pages were written again.
    pub pages: usize,
    /// What could not be repaired, and why.
    pub failed: Vec<(Damage, String)>,
}

impl Fieldbook {
    /// Fetches the pages that [`Fieldbook::verify`] found damaged again from a relay, checks that they are the same change
    /// sets, and writes them in place. It fetches every partition that has a damaged page whole, into memory: meant for the
    /// rare day. What no relay had yet cannot be fetched. Blocks, as [`Fieldbook::sync`] does.
    ///
    /// # Errors
    /// [`Error::Link`], [`Error::Timeout`], [`Error::NotPermitted`] by [`Repaired::failed`]; the store is as before then.
    pub fn repair(&self, report: &Report, url: &str, at_most: Duration) -> Result<Repaired, Error> {
        let mut repaired = Repaired::default();
        let mut wanted: BTreeSet<(LogKey, u64)> = BTreeSet::new();
        for finding in &report.findings {
            let damage = &finding.damage;
            match (&damage.log, damage.position) {
                (Some(log), Some(position)) if matches!(damage.table, Table::Pages | Table::Entries) => {
                    wanted.insert((log.clone(), position));
                }
                _ => repaired.failed.push((damage.clone(), "only pages can be fetched again; restore a backup".into())),
            }
        }
        if wanted.is_empty() {
            return Ok(repaired);
        }
        let (copy, denied) = self.fetch(url, at_most)?;
        let (view, theirs) = (self.shared.store().view()?, copy.shared.store().view()?);
        let mut fetched: BTreeMap<LogKey, BTreeMap<ChangeSetId, Verified>> = BTreeMap::new();
        for (log, position) in wanted {
            if !fetched.contains_key(&log) {
                let end = theirs.log(&log)?.map_or(0, |state| state.end.position);
                let all = theirs.entries(&log, 0..end)?;
                fetched.insert(log.clone(), all.into_iter().map(|entry| (entry.id(), entry)).collect());
            }
            let damage = |what| Damage { table: Table::Pages, log: Some(log.clone()), position: Some(position), what };
            let ids = match view.page_ids(&log, position) {
                Ok(ids) => ids,
                Err(StorageError::Damaged(found)) => {
                    repaired.failed.push((found, "the index does not say what stood there; restore a backup".into()));
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let had = fetched.get(&log);
            let entries: Vec<Verified> = ids.iter().filter_map(|id| had?.get(id).cloned()).collect();
            let missing = ids.len() - entries.len();
            let why = match (missing, denied.get(log.partition.as_str())) {
                (0, _) => match self.shared.store().repair(&log, position, entries) {
                    Ok(()) => {
                        repaired.pages += 1;
                        continue;
                    }
                    Err(error) => error.to_string(),
                },
                (_, Some(why)) => format!("not fetched: {why}"),
                (missing, None) => format!(
                    "{url} does not have {missing} of its {} change sets; try another relay, or restore a backup",
                    ids.len()
                ),
            };
            repaired.failed.push((damage("a page is damaged"), why));
        }
        drop((view, theirs));
        copy.close();
        self.shared.wake(true);
        Ok(repaired)
    }

    /// All that a relay has of this store's partitions, in memory, fetched under this device's key, and what was denied.
    fn fetch(&self, url: &str, at_most: Duration) -> Result<(Self, BTreeMap<String, String>), Error> {
        let (store, partitions) = (self.shared.store(), self.partitions()?);
        let mut settings = Settings::new().map_err(|error| Error::System {
            doing: "reading the standard kinds",
            error: std::io::Error::other(error),
        })?;
        settings.storage.signer = Some(store.signer());
        settings.replica.clock = Arc::clone(&self.shared.replica.options().clock);
        let memory = Store::in_memory(settings.storage.clone())?;
        let copy = Self::begin(memory, self.workspace(), &self.device_name()?, &partitions, settings)?;
        let state = tokio::sync::watch::Sender::new(Connectivity::Offline { since_ms: self.shared.replica.now_ms() });
        let run = Run { shared: Arc::clone(&copy.shared), partitions, state, wishes: Wishes::default() };
        let exchange = async {
            let connection = Connection::connect(url, &self.keep.trust).await?;
            run.once(connection, true).await
        };
        let report = self
            .block_on(async { tokio::time::timeout(at_most, exchange).await.map_err(|_| Error::Timeout(at_most))? })?;
        let denied = report.denied.iter().map(|(partition, why)| (partition.to_string(), why.to_string())).collect();
        Ok((copy, denied))
    }
}
