//! Verdicts are a function of the set: any order gives the same, and the same as an evaluator without indexes.

use crate::naive::{Naive, Plain};
use crate::support::{World, intent, kind, partition, public};
use access::{Actions, Authority, Claim, Delegation, Grant, Kinds, Person, Record, Role, Scope, Verdict};
use changeset::{ChangeSetId, Edit, Path, Script, Value, Verified};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;

const PLACES: [&str; 3] = ["authority", "north", "south"];

/// A record as small numbers; devices 1 to 3 are the roots.
#[derive(Clone, Debug)]
struct Spec {
    what: u8,
    by: u8,
    to: u8,
    at: &'static str,
    scope: Scope,
    may_delegate: bool,
    named: bool,
    period: (u64, u64),
    time: u64,
    endorsed: Vec<u8>,
    copies: u8,
}

fn scopes() -> impl Strategy<Value = Scope> {
    let named = btree_set(select(&PLACES[..]), 1..3);
    let named = named.prop_map(|names| Scope::Named(names.into_iter().map(partition).collect()));
    prop_oneof![1 => Just(Scope::All), 2 => named]
}

fn specs() -> impl Strategy<Value = Spec> {
    let who = (0_u8..20, 1_u8..8, 1_u8..8, select(&PLACES[..]));
    let rest = (scopes(), any::<bool>(), any::<bool>(), (0_u64..4, 3_u64..8), 0_u64..8, vec(1_u8..5, 0..3), 0_u8..4);
    (who, rest).prop_map(|((what, by, to, at), (scope, may_delegate, named, period, time, endorsed, copies))| Spec {
        what,
        by,
        to,
        at,
        scope,
        may_delegate,
        named,
        period,
        time,
        endorsed,
        copies,
    })
}

fn carried(world: &mut World, spec: &Spec) -> Verified {
    let (not_before_ms, not_after_ms) = spec.period;
    let delegation = Record::Delegation(Delegation {
        to: public(spec.to),
        label: "office".into(),
        partitions: spec.scope.clone(),
        may_delegate: spec.may_delegate,
        not_before_ms,
        not_after_ms,
    });
    let grant = Record::Grant(Grant {
        partition: partition(spec.at),
        device: public(spec.to),
        person: Person { id: "p".into(), name: "P".into() },
        role: Role::new("worker").unwrap(),
        kinds: if spec.named { Kinds::Named([kind("order")].into()) } else { Kinds::All },
        actions: if spec.may_delegate { Actions::All } else { Actions::Named([intent("sign")].into()) },
        not_before_ms,
        not_after_ms,
    });
    match spec.what {
        0 => world.genesis(),
        // Out of place.
        1 => world.write(spec.by, spec.at, &delegation, &spec.endorsed, spec.time),
        2 => world.write(spec.by, "north", &grant, &spec.endorsed, spec.time),
        // No record, and one of a type to come: `["revocation"]`.
        3 => script(world, spec, vec![0xff]),
        4 => script(world, spec, [&[0x81, 0x6a][..], b"revocation"].concat()),
        5..=12 => world.write(spec.by, "authority", &delegation, &spec.endorsed, spec.time),
        _ => world.write(spec.by, spec.at, &grant, &spec.endorsed, spec.time),
    }
}

fn script(world: &mut World, spec: &Spec, bytes: Vec<u8>) -> Verified {
    let edits = vec![Edit::Put { path: Path::new("record").unwrap(), value: Value::Bytes(bytes) }];
    world.write_script(spec.by, spec.at, Script { reason: None, edits }, spec.time)
}

fn claims(records: &[Verified]) -> Vec<Claim> {
    let mut claims: Vec<Claim> = records.iter().map(|record| Claim::of(record, None)).collect();
    let named = records.iter().map(|record| Some(record.id())).chain([None, Some(ChangeSetId::from_bytes([9; 32]))]);
    for grant in named {
        for author in 1..8 {
            for at in PLACES {
                let acts = [("order", Some("sign")), ("order", None), ("inspection", Some("close")), ("device", None)];
                for (number, (what, act)) in acts.into_iter().enumerate() {
                    claims.push(Claim {
                        id: ChangeSetId::from_bytes([0xcc; 32]),
                        partition: partition(at),
                        author: public(author),
                        kind: kind(what),
                        intent: act.map(intent),
                        time_ms: (u64::from(author) + number as u64) % 8,
                        grant,
                    });
                }
            }
        }
    }
    claims
}

fn taken(world: &World, records: impl IntoIterator<Item = Verified>) -> Authority {
    let mut authority = world.authority();
    for record in records {
        let judged = authority.judge(&record);
        authority.take(&record);
        if !record.body().is_purged() {
            assert_eq!(authority.verdict(&Claim::of(&record, None)), judged, "judged as if held");
        }
    }
    authority
}

fn plain(verdict: &Verdict) -> Plain {
    match verdict {
        Verdict::Accepted { grant } => Plain::Accepted(*grant),
        Verdict::Pending(_) => Plain::Pending,
        Verdict::Masked(_) => Plain::Masked,
        Verdict::Invalid(_) => Plain::Invalid,
        _ => panic!("a new verdict"),
    }
}

fn shuffled<T: Clone>(items: &[T], mut seed: u64) -> Vec<T> {
    let mut left = items.to_vec();
    let mut out = Vec::new();
    while !left.is_empty() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        out.push(left.remove((seed >> 33) as usize % left.len()));
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_gives_the_verdicts_of_the_naive_evaluator(
        specs in vec(specs(), 0..16),
        threshold in 1_u8..3,
        begun in prop::bool::weighted(0.9),
        seeds in vec(any::<u64>(), 3),
    ) {
        let mut world = World::new(&[1, 2, 3], threshold);
        let mut records: Vec<Verified> = if begun { vec![world.genesis()] } else { vec![] };
        // Some come without a value, some without and then with, some twice.
        for spec in &specs {
            let whole = carried(&mut world, spec);
            match spec.copies {
                0 => records.extend([whole.redact(&[0]), whole]),
                1 => records.extend([whole.clone(), whole]),
                2 if spec.what == 13 => records.push(whole.redact(&[0])),
                _ => records.push(whole),
            }
        }
        let naive = Naive::new(world.workspace, &records);
        let authority = taken(&world, records.clone());
        let claims = claims(&records);
        for claim in &claims {
            prop_assert_eq!(plain(&authority.verdict(claim)), naive.verdict(claim), "{:?} {:?}", claim, authority.verdict(claim));
        }
        for seed in seeds {
            let other = taken(&world, shuffled(&records, seed));
            for claim in &claims {
                prop_assert_eq!(other.verdict(claim), authority.verdict(claim));
            }
            prop_assert!(other.records().eq(authority.records()));
        }
    }
}

/// The property is worth what its cases reach.
#[test]
fn the_cases_reach_every_verdict() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut seen = std::collections::BTreeMap::<(&str, &str), usize>::new();
    for _ in 0..60 {
        let mut world = World::new(&[1, 2, 3], 1 + (seen.len() % 2) as u8);
        let specs = vec(specs(), 16).new_tree(&mut runner).unwrap().current();
        let mut records = vec![world.genesis()];
        records.extend(specs.iter().map(|spec| carried(&mut world, spec)));
        let authority = taken(&world, records.clone());
        for claim in claims(&records) {
            *seen.entry(crate::support::word(&authority.verdict(&claim))).or_default() += 1;
        }
    }
    for (verdict, code) in [
        ("accepted", ""),
        ("pending", "no-authority"),
        ("pending", "unknown-record"),
        ("pending", "no-grant"),
        ("pending", "grant-waits"),
        ("pending", "grant-not-held"),
        ("pending", "intent-unknown"),
        ("masked", "grant-masked"),
        ("masked", "too-few-roots"),
        ("masked", "delegation-elsewhere"),
        ("masked", "delegation-expired"),
        ("masked", "delegation-not-yet"),
        ("masked", "may-not-delegate"),
        ("masked", "outlasts"),
        ("masked", "outside-authority"),
        ("masked", "wrong-partition"),
        ("masked", "bad-record"),
        ("masked", "not-a-grant"),
        ("masked", "other-device"),
        ("masked", "other-partition"),
        ("masked", "kind-not-covered"),
        ("masked", "action-not-covered"),
        ("masked", "expired"),
        ("masked", "not-yet"),
    ] {
        assert!(seen.contains_key(&(verdict, code)), "{verdict} {code} in {seen:?}");
    }
}
