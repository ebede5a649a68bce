//! The wishes on smaller sets than the binary checks, and that the model can fail.

use access_model::catalogue;
use access_model::menu::Menu;
use access_model::record::{Key, Set};
use access_model::rules::{Rules, Verdict, Why};
use access_model::verdicts::verdicts;
use std::collections::BTreeSet;

#[test]
fn every_order_of_small_sets_keeps_every_wish() {
    for (name, arrivals) in catalogue::ours(false) {
        let found = arrivals.check();
        let traces: Vec<String> = found.broken.iter().map(|(wish, trace)| format!("{wish}\n{trace}")).collect();
        assert!(found.broken.is_empty(), "{name}: {}", traces.join("\n"));
        // A check that looks at nothing keeps every wish.
        assert!(found.states > 100, "{name}: only {} states", found.states);
    }
}

#[test]
fn other_rules_are_found_out() {
    for (name, arrivals, wish) in catalogue::others() {
        assert!(arrivals.breaks(wish).is_some(), "{name} keeps: {wish}");
    }
}

/// A menu in which an honest record never counts, or a verdict is never met, would prove little.
#[test]
fn what_should_count_somewhere_does_and_every_verdict_is_met() {
    // What nobody had the right to write.
    let hostile = [
        "R3 alone rotates",
        "R1 puts R2 out again",
        "R2 puts itself back",
        "D revokes A under its grant",
        "R1 delegates to B alone",
        "B delegates north to D for ever",
        "B delegates everything to itself",
        "B grants D south",
        "B grants D north too late",
    ];
    let mut met = BTreeSet::new();
    let mut never = Vec::new();
    for menu in catalogue::menus() {
        let mut counted = Set::default();
        for held in (0..1 << menu.records.len()).step_by(5).map(Set) {
            if menu.each(held).any(|(_, record)| record.previous.is_some_and(|previous| !held.has(previous))) {
                continue;
            }
            let judged = verdicts(&menu, Rules::OURS, held, Set::default());
            for id in held.iter() {
                let verdict = judged[usize::from(id.0)].verdict;
                met.insert(format!("{verdict:?}"));
                if verdict == Verdict::Accepted {
                    counted = counted.with(id);
                }
            }
        }
        never.extend(menu.each(menu.all().but(counted)).map(|(_, record)| record.to_string()));
    }
    assert_eq!(never, hostile);
    // All but `NamesNothing`, which no menu tries, and the two of what is not held or muted.
    assert_eq!(met.len(), 12, "{met:?}");
}

#[test]
fn a_removal_must_name_what_it_is_written_under() {
    let mut menu = Menu::new("unnamed removal", &[Key::R1], 1);
    menu.delegate(Key::R1, Key::A).id();
    let removal = menu.revoke(Key::A, Key::B, &[]).id();
    let judged = verdicts(&menu, Rules::OURS, menu.all(), Set::default());
    assert_eq!(judged[usize::from(removal.0)].verdict, Verdict::Masked(Why::NamesNothing));
}
