//! Fixtures: a workspace, its keys and records, all from small numbers, so that every run has the same bytes.

use access::{
    Actions, Authority, Claim, Delegation, Endorsement, Genesis, Grant, Kinds, Person, Record, Role, Scope, Taken,
};
use changeset::{
    Author, ChangeSetId, DeviceKey, DocumentId, DocumentKey, Draft, Incarnation, IntentName, Kind, Partition,
    PublicKey, Script, SeededEntropy, Signer, Verified, WorkspaceId,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// 9 October 2025, in ms.
pub(crate) const NOW: u64 = 1_760_000_000_000;
pub(crate) const HOUR: u64 = 3_600_000;

pub(crate) fn key(device: u8) -> Arc<DeviceKey> {
    Arc::new(DeviceKey::from_secret(&[device; 32]))
}

pub(crate) fn public(device: u8) -> PublicKey {
    key(device).public_key()
}

pub(crate) fn partition(name: &str) -> Partition {
    Partition::new(name).unwrap()
}

pub(crate) fn kind(name: &str) -> Kind {
    Kind::new(name).unwrap()
}

pub(crate) fn intent(name: &str) -> IntentName {
    IntentName::new(name).unwrap()
}

pub(crate) fn partitions(names: &[&str]) -> Scope {
    Scope::Named(names.iter().map(|name| partition(name)).collect())
}

/// Writes the records of one workspace. Each is the first change set of an incarnation of its own.
pub(crate) struct World {
    pub(crate) workspace: WorkspaceId,
    pub(crate) genesis: Genesis,
    count: u64,
}

impl World {
    /// A workspace with these devices as roots.
    pub(crate) fn new(roots: &[u8], threshold: u8) -> Self {
        let roots: BTreeSet<PublicKey> = roots.iter().map(|root| public(*root)).collect();
        let genesis = Genesis { name: "Fjord Bygg".into(), roots, threshold, nonce: [7; 16], time_ms: NOW };
        Self { workspace: genesis.workspace().unwrap(), genesis, count: 0 }
    }

    pub(crate) fn authority(&self) -> Authority {
        Authority::new(self.workspace)
    }

    /// With its genesis taken.
    pub(crate) fn begun(&mut self) -> Authority {
        let mut authority = self.authority();
        let genesis = self.genesis();
        assert_eq!(authority.take(&genesis), Taken::Counts { also: vec![] });
        authority
    }

    /// Carried by a device that is nobody.
    pub(crate) fn genesis(&mut self) -> Verified {
        let record = Record::Genesis(self.genesis.clone());
        self.write(99, "authority", &record, &[], NOW)
    }

    pub(crate) fn endorse(&self, record: &Record, roots: &[u8]) -> Vec<Endorsement> {
        let sign = |root: &u8| Endorsement::sign(&self.workspace, record, &*key(*root)).unwrap();
        roots.iter().map(sign).collect()
    }

    pub(crate) fn author(&mut self, device: u8, at: &str) -> Author {
        self.count += 1;
        let incarnation = Incarnation::from_bytes(self.count.to_be_bytes());
        Author::new(key(device), self.workspace, partition(at), incarnation, Box::new(SeededEntropy::new(self.count)))
    }

    pub(crate) fn write(&mut self, by: u8, at: &str, record: &Record, endorsed: &[u8], time: u64) -> Verified {
        let endorsements = self.endorse(record, endorsed);
        self.write_script(by, at, record.to_script(&endorsements, None).unwrap(), time)
    }

    pub(crate) fn write_script(&mut self, by: u8, at: &str, script: Script, time: u64) -> Verified {
        let mut author = self.author(by, at);
        let draft = self.draft(script);
        let recorded = author.record(draft, time).unwrap();
        author.sign(&recorded).unwrap()
    }

    pub(crate) fn draft(&self, script: Script) -> Draft {
        let mut number = [0; 10];
        number[..8].copy_from_slice(&self.count.to_be_bytes());
        Draft {
            document: DocumentKey { kind: kind("access"), id: DocumentId::from_parts(NOW, number) },
            parents: vec![],
            grant: None,
            schema_version: 1,
            intent: intent("admit"),
            group: None,
            script,
        }
    }

    pub(crate) fn delegate(&mut self, by: u8, delegation: Delegation) -> Verified {
        self.write(by, "authority", &Record::Delegation(delegation), &[], NOW)
    }

    pub(crate) fn grant(&mut self, by: u8, grant: Grant) -> Verified {
        let at = grant.partition.to_string();
        self.write(by, &at, &Record::Grant(grant), &[], NOW)
    }
}

/// For a day from now, with all rights.
pub(crate) fn delegation(to: u8, partitions: Scope) -> Delegation {
    Delegation {
        to: public(to),
        label: format!("office {to}"),
        partitions,
        may_delegate: true,
        not_before_ms: NOW,
        not_after_ms: NOW + 24 * HOUR,
    }
}

/// For a day from now, with all rights.
pub(crate) fn grant(device: u8, at: &str) -> Grant {
    Grant {
        partition: partition(at),
        device: public(device),
        person: Person { id: format!("p{device}"), name: format!("Person {device}") },
        role: Role::new("worker").unwrap(),
        kinds: Kinds::All,
        actions: Actions::All,
        not_before_ms: NOW,
        not_after_ms: NOW + 24 * HOUR,
    }
}

/// An inspection that a device writes an hour from now, naming no grant.
pub(crate) fn claim(device: u8, at: &str) -> Claim {
    Claim {
        id: ChangeSetId::from_bytes([0xcc; 32]),
        partition: partition(at),
        author: public(device),
        kind: kind("inspection"),
        intent: Some(intent("record_outcome")),
        time_ms: NOW + HOUR,
        grant: None,
    }
}

pub(crate) fn claim_under(device: u8, at: &str, grant: &Verified) -> Claim {
    Claim { grant: Some(grant.id()), ..claim(device, at) }
}

/// The claim of a record itself.
pub(crate) fn claim_of(record: &Verified) -> Claim {
    Claim::of(record, None)
}

/// The verdict in one word, and the reason in one.
pub(crate) fn word(verdict: &access::Verdict) -> (&'static str, &'static str) {
    use access::Verdict;
    let word = match verdict {
        Verdict::Accepted { .. } => "accepted",
        Verdict::Pending(_) => "pending",
        Verdict::Masked(_) => "masked",
        Verdict::Invalid(_) => "invalid",
        _ => panic!("a new verdict"),
    };
    (word, verdict.why().map_or("", access::Why::code))
}
