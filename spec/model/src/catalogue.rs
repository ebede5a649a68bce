//! What is checked: our rules on every menu, and other rules, each of which must be found out.

use crate::arrivals::{AGREE, Arrivals};
use crate::menu::Menu;
use crate::record::Set;
use crate::rules::{Honourers, Memory, Removers, Rotations, Rules, Tips};
use crate::scenarios;

/// The menus of which all parts are tried.
pub fn menus() -> [Menu; 8] {
    [
        scenarios::mutual_removal(),
        scenarios::tips(),
        scenarios::remover_removed(),
        scenarios::circle(),
        scenarios::rotation(),
        scenarios::mutual_rotation(),
        scenarios::strangers(),
        scenarios::built(),
    ]
}

/// The scenarios of our rules. All parts of each menu come in every order at one replica; some of the menus, so many
/// records at a time, come at several replicas, twice too. Where `all` is not set, only the smaller parts of menus are.
pub fn ours(all: bool) -> Vec<(String, Arrivals)> {
    let mut checks = Vec::new();
    for menu in menus() {
        let (name, records) = (menu.name, menu.records.len());
        // The genesis and the first delegation come first where not all orders of everything are tried.
        let arrivals = Arrivals::of(menu);
        let checked = if all { arrivals.clone() } else { arrivals.clone().beside(Set::first(2), 5) };
        let parts = if all { format!("all parts of {records}") } else { format!("up to 7 of {records}") };
        checks.push((format!("{name}, {parts}"), checked));
        let few = if all { 4 } else { 2 };
        let several = arrivals.clone().at(2).beside(Set::first(2), few);
        checks.push((format!("{name}, 2 replicas, up to {} of {records}", few + 2), several));
        if all {
            checks.push((format!("{name}, 3 replicas, up to 4 of {records}"), arrivals.at(3).beside(Set::first(2), 2)));
        }
    }
    let unnamed = Arrivals::of(scenarios::unnamed()).excusing("a stranger takes nothing away");
    let records = unnamed.menu.records.len();
    if all {
        checks.push((format!("records that name nothing, all parts of {records}"), unnamed));
    } else {
        let unnamed = unnamed.beside(Set::first(2), 4);
        checks.push((format!("records that name nothing, up to 6 of {records}"), unnamed));
    }
    let (menu, begun) = scenarios::adversary();
    let (name, records) = (menu.name, menu.records.len());
    let most = if all { 4 } else { 2 };
    checks.push((format!("{name}, 6 and up to {most} of {records}"), Arrivals::of(menu).beside(begun, most)));
    checks
}

/// Rules that one could think of, and the wish that each of them breaks.
pub fn others() -> Vec<(&'static str, Arrivals, &'static str)> {
    let mutual = || Arrivals::of(scenarios::mutual_removal());
    let hostile = || {
        let (menu, begun) = scenarios::adversary();
        Arrivals::of(menu).beside(begun, 2)
    };
    let strangers = || Arrivals::of(scenarios::strangers());
    let tips = || Arrivals::of(scenarios::tips());
    let rotation = || Arrivals::of(scenarios::rotation());
    let removers = |removers| Rules { removers, ..Rules::OURS };
    let rotations = |rotations| Rules { rotations, ..Rules::OURS };
    let sticks = Rules { memory: Memory::Sticks, ..Rules::OURS };
    let any_honours = Rules { honourers: Honourers::AnyDelegate, ..Rules::OURS };
    let pending_all = Rules { tips: Tips::PendingAll, ..Rules::OURS };
    vec![
        ("what arrived first wins", mutual().at(2).beside(Set::first(3), 2).by(sticks), AGREE),
        ("what counted goes on counting", tips().by(sticks), "the replica has what the set says"),
        ("the later removal wins", mutual().by(removers(Removers::LaterWins)), "whom roots removed has no more say"),
        (
            "anyone with a grant removes",
            strangers().by(removers(Removers::AnyGrant)),
            "only who stands above can take away",
        ),
        (
            "anyone with a delegation removes",
            strangers().by(removers(Removers::AnyDelegate)),
            "only who stands above can take away",
        ),
        (
            "any ancestor removes the whole device",
            hostile().by(removers(Removers::AnyAncestor)),
            "a stranger takes nothing away",
        ),
        (
            "any ancestor removes the whole device, both ways",
            mutual().at(2).beside(Set::first(5), 2).by(removers(Removers::AnyAncestor)),
            AGREE,
        ),
        (
            "a device removes itself",
            Arrivals::of(scenarios::circle()).by(removers(Removers::AboveAndItself)),
            "it comes to rest",
        ),
        ("anyone with a delegation honours", tips().by(any_honours), "whom roots removed has no more say"),
        ("a missing tip makes all of a chain wait", tips().by(pending_all), "honour takes nothing"),
        ("the later rotation wins", rotation().by(rotations(Rotations::LatestTime)), "fewer roots do not outvote more"),
        (
            "the lower hash of rotations wins",
            rotation().by(rotations(Rotations::LowestHash)),
            "fewer roots do not outvote more",
        ),
        (
            "records need not name what they stand under",
            Arrivals::of(scenarios::unnamed()),
            "a stranger takes nothing away",
        ),
    ]
}
