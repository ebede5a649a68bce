//! The model beside the crate `access`, for the records that are built: the same verdicts for all small sets, in all
//! orders.

use access::{
    Actions, Authority, Claim, Delegation, Endorsement, Genesis, Grant, Kinds, Person, Record, Role, Scope, Verdict,
};
use access_model::menu::Menu;
use access_model::record::{EVERYWHERE, Id, Key, NORTH, Set, What};
use access_model::rules::{self, Rules};
use access_model::scenarios;
use access_model::verdicts::verdicts;
use changeset::{
    Author, ChangeSetId, DeviceKey, DocumentId, DocumentKey, Draft, Incarnation, IntentName, Kind, Partition,
    SeededEntropy, Signer, Verified, WorkspaceId,
};
use std::collections::BTreeSet;
use std::sync::Arc;

const NOW: u64 = 1_760_000_000_000;
const KEYS: [Key; 7] = [Key::R1, Key::R2, Key::R3, Key::A, Key::B, Key::C, Key::D];

fn device(key: Key) -> DeviceKey {
    DeviceKey::from_secret(&[key as u8 + 1; 32])
}

fn time(time: u8) -> u64 {
    if time == u8::MAX { access::limits::NO_END } else { NOW + u64::from(time) * 1000 }
}

fn partition(scope: u8) -> Partition {
    Partition::new(if scope == NORTH { "north" } else { "south" }).unwrap()
}

/// The records of a menu as they travel; none for work.
struct Real {
    workspace: WorkspaceId,
    records: Vec<Option<Verified>>,
}

impl Real {
    fn of(menu: &Menu) -> Self {
        let What::Genesis { roots, threshold } = menu.at(Id(0)).what else { panic!("a menu begins with its genesis") };
        let roots: BTreeSet<_> =
            KEYS.iter().filter(|key| roots.has(**key)).map(|key| device(*key).public_key()).collect();
        let threshold = u8::try_from(threshold).unwrap();
        let genesis = Genesis { name: "Fjord Bygg".into(), roots, threshold, nonce: [7; 16], time_ms: NOW };
        let workspace = genesis.workspace().unwrap();
        let mut real = Self { workspace, records: Vec::new() };
        for (id, _) in menu.each(menu.all()) {
            let written = real.record(menu, &genesis, id).map(|record| real.write(menu, id, &record));
            real.records.push(written);
        }
        real
    }

    fn record(&self, menu: &Menu, genesis: &Genesis, id: Id) -> Option<Record> {
        match menu.at(id).what {
            What::Genesis { .. } => Some(Record::Genesis(genesis.clone())),
            What::Delegation { to, scope, may_delegate, period } => Some(Record::Delegation(Delegation {
                to: device(to).public_key(),
                label: "office".into(),
                partitions: if scope == EVERYWHERE { Scope::All } else { Scope::Named([partition(scope)].into()) },
                may_delegate,
                not_before_ms: time(period.0),
                not_after_ms: time(period.1),
            })),
            What::Grant { to, scope, period } => Some(Record::Grant(Grant {
                partition: partition(scope),
                device: device(to).public_key(),
                person: Person { id: "p1".into(), name: "Person 1".into() },
                role: Role::new("worker").unwrap(),
                kinds: Kinds::All,
                actions: Actions::All,
                not_before_ms: time(period.0),
                not_after_ms: time(period.1),
            })),
            What::Work { .. } => None,
            _ => panic!("not built: {}", menu.at(id)),
        }
    }

    fn write(&self, menu: &Menu, id: Id, record: &Record) -> Verified {
        let model = menu.at(id);
        let at = match model.what {
            What::Grant { scope, .. } => partition(scope),
            _ => Partition::new("authority").unwrap(),
        };
        let endorsing = KEYS.iter().filter(|key| model.endorsed.has(**key));
        let endorsed: Vec<Endorsement> =
            endorsing.map(|key| Endorsement::sign(&self.workspace, record, &device(*key)).unwrap()).collect();
        let number = [id.0; 8];
        let entropy = Box::new(SeededEntropy::new(u64::from(id.0)));
        let key = Arc::new(device(model.author));
        let mut author = Author::new(key, self.workspace, at, Incarnation::from_bytes(number), entropy);
        let draft = Draft {
            document: DocumentKey { kind: Kind::new("access").unwrap(), id: DocumentId::from_parts(NOW, [id.0; 10]) },
            parents: vec![],
            grant: None,
            schema_version: 1,
            intent: IntentName::new("admit").unwrap(),
            group: None,
            script: record.to_script(&endorsed, None).unwrap(),
        };
        let recorded = author.record(draft, time(model.time)).unwrap();
        author.sign(&recorded).unwrap()
    }

    /// The verdict of the crate on a record or on work.
    fn verdict(&self, menu: &Menu, authority: &Authority, id: Id) -> Verdict {
        let record = menu.at(id);
        authority.verdict(&match (&self.records[usize::from(id.0)], &record.what) {
            (Some(written), _) => Claim::of(written, None),
            (None, What::Work { scope }) => Claim {
                id: ChangeSetId::from_bytes([0xcc; 32]),
                partition: partition(*scope),
                author: device(record.author).public_key(),
                kind: Kind::new("inspection").unwrap(),
                intent: Some(IntentName::new("record_outcome").unwrap()),
                time_ms: time(record.time),
                grant: record.under.and_then(|under| self.records[usize::from(under.0)].as_ref()).map(Verified::id),
            },
            (None, _) => panic!("not built: {record}"),
        })
    }
}

/// Goes through all orders of all sets, so many records beside the genesis, and counts the comparisons.
struct Compared<'a> {
    menu: &'a Menu,
    real: &'a Real,
    work: Set,
    compared: usize,
    accepted: usize,
}

impl Compared<'_> {
    fn from(&mut self, authority: &Authority, held: Set, left: usize) {
        self.compare(authority, held);
        for next in self.menu.all().but(held).but(self.work).iter() {
            let genesis = usize::from(next == Id(0));
            if left + genesis == 0 {
                continue;
            }
            let mut authority = authority.clone();
            authority.take(self.real.records[usize::from(next.0)].as_ref().unwrap());
            self.from(&authority, held.with(next), left + genesis - 1);
        }
    }

    fn compare(&mut self, authority: &Authority, held: Set) {
        let model = verdicts(self.menu, Rules::OURS, held.or(self.work), Set::default());
        for id in held.or(self.work).iter() {
            let model = model[usize::from(id.0)].verdict;
            let real = self.real.verdict(self.menu, authority, id);
            let same = matches!(
                (&model, &real),
                (rules::Verdict::Accepted, Verdict::Accepted { .. })
                    | (rules::Verdict::Pending(_), Verdict::Pending(_))
                    | (rules::Verdict::Masked(_), Verdict::Masked(_))
            );
            let told = || self.menu.each(held).map(|(_, record)| record.to_string()).collect::<Vec<_>>().join("; ");
            assert!(same, "{}: {model:?} by the model, {real:?} by the crate; held: {}", self.menu.at(id), told());
            self.compared += 1;
            self.accepted += usize::from(model == rules::Verdict::Accepted);
        }
    }
}

#[test]
fn what_is_built_agrees_with_the_model_for_all_small_sets_in_all_orders() {
    let menu = scenarios::built();
    let real = Real::of(&menu);
    let work = menu.each(menu.all()).filter(|(_, one)| matches!(one.what, What::Work { .. })).map(|(id, _)| id);
    let mut all = Compared { menu: &menu, real: &real, work: work.collect(), compared: 0, accepted: 0 };
    all.from(&Authority::new(real.workspace), Set::default(), 3);
    assert!(all.compared > 60_000 && all.accepted * 5 > all.compared, "hardly anything was compared");
}
