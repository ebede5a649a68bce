//! What is counted, as Prometheus reads it.

use crate::relay::Shared;
use crate::system;
use core::fmt::Write as _;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

/// The text of `/metrics`.
pub(crate) fn text(shared: &Shared) -> String {
    let mut out = Out(String::with_capacity(8 << 10));
    for (name, help, value) in shared.replica.counters().all() {
        out.line(&format!("{name}_total"), "counter", help, value);
    }
    let counts = &shared.counts;
    let count = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    out.line("connections_total", "counter", "Connections accepted.", count(&counts.connections));
    out.line(
        "connections_turned_away_total",
        "counter",
        "Connections closed at once: too many.",
        count(&counts.turned_away),
    );
    out.line(
        "connections_broken_total",
        "counter",
        "Connections that failed before their session.",
        count(&counts.broken),
    );
    out.line("sessions_open", "gauge", "Sessions now, handshakes included.", shared.replica.sessions().count() as u64);
    let now_ms = shared.replica.now_ms();
    let uptime = now_ms.saturating_sub(shared.started_ms) / 1000;
    out.line("uptime_seconds", "gauge", "Seconds since the relay started.", uptime);
    if let Ok(view) = shared.replica.store().view()
        && let Ok(logs) = view.logs()
    {
        let workspaces: BTreeSet<_> = logs.iter().map(|log| log.workspace).collect();
        let states: Vec<_> = logs.iter().filter_map(|log| view.log(log).ok().flatten()).collect();
        out.line("workspaces", "gauge", "Workspaces kept.", workspaces.len() as u64);
        out.line("logs", "gauge", "Logs kept, one for each workspace and partition.", logs.len() as u64);
        let sum = |of: fn(&storage::LogState) -> u64| states.iter().map(of).sum::<u64>();
        out.line("change_sets", "gauge", "Change sets in all logs.", sum(|state| state.end.position));
        out.line("pages", "gauge", "Pages in all logs.", sum(|state| state.pages));
        out.line("page_bytes", "gauge", "Bytes of pages in all logs.", sum(|state| state.bytes));
        out.line("waiting", "gauge", "Change sets put aside now.", sum(|state| state.waiting));
        out.line("waiting_bytes", "gauge", "Bytes of change sets put aside now.", sum(|state| state.waiting_bytes));
    }
    if let Ok(bytes) = shared.replica.store().size() {
        out.line("store_bytes", "gauge", "Bytes of the store's file.", bytes);
    }
    if let Some(free) = system::free_disk(&shared.config.data) {
        out.line("disk_free_bytes", "gauge", "Bytes free on the store's disk.", free);
    }
    out.line("disk_free_min_bytes", "gauge", "Below so many nothing is taken.", shared.config.free_disk_min);
    if let Some((resident, most)) = system::memory() {
        out.line("memory_resident_bytes", "gauge", "Memory in use.", resident);
        out.line("memory_resident_max_bytes", "gauge", "The most memory that was in use.", most);
    }
    out.0
}

struct Out(String);

impl Out {
    fn line(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        let _never_fails = writeln!(
            self.0,
            "# HELP fieldbook_{name} {help}\n# TYPE fieldbook_{name} {kind}\nfieldbook_{name} {value}"
        );
    }
}
