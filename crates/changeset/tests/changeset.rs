//! What the crate promises to others: sizes, refusals, runs, redaction, pages, bundles, and the vectors of `spec/`.

#[cfg(test)]
#[path = "changeset/author.rs"]
mod author;
#[cfg(test)]
#[path = "changeset/bundles.rs"]
mod bundles;
#[cfg(test)]
#[path = "changeset/json.rs"]
mod json;
#[cfg(test)]
#[path = "changeset/keys.rs"]
mod keys;
#[cfg(test)]
#[path = "changeset/mutations.rs"]
mod mutations;
#[cfg(test)]
#[path = "changeset/properties.rs"]
mod properties;
#[cfg(test)]
#[path = "changeset/redaction.rs"]
mod redaction;
#[cfg(test)]
#[path = "changeset/references.rs"]
mod references;
#[cfg(test)]
#[path = "changeset/refused.rs"]
mod refused;
#[cfg(test)]
#[path = "changeset/runs.rs"]
mod runs;
#[cfg(test)]
#[path = "changeset/sizes.rs"]
mod sizes;
#[cfg(test)]
#[path = "changeset/support.rs"]
mod support;
#[cfg(test)]
#[path = "changeset/vectors.rs"]
mod vectors;
