//! The menus that are checked.

use crate::menu::Menu;
use crate::record::{ALWAYS, EVERYWHERE, Id, Key, NORTH, SOUTH, Set};
use Key::{A, B, C, D, R1, R2, R3};

/// Two delegates of the root who also let each other in, remove each other, and are removed by the root.
pub fn mutual_removal() -> Menu {
    let mut menu = Menu::new("mutual removal", &[R1], 1);
    let a = menu.delegate(R1, A).id();
    let b = menu.delegate(R1, B).id();
    let ab = menu.delegate(A, B).under(a).id();
    let ba = menu.delegate(B, A).under(b).id();
    let grants = [
        menu.grant(A, C, NORTH).under(a).named("A grants C"),
        menu.grant(B, C, NORTH).under(ab).named("B grants C under A"),
    ];
    for grant in grants {
        menu.work(C, NORTH).under(grant).id();
    }
    menu.revoke(A, B, &[]).under(a).id();
    menu.revoke(B, A, &[]).under(b).time(12).id();
    menu.revoke(B, R1, &[]).under(b).time(12).id();
    menu.revoke(B, A, &[]).under(ab).named("B revokes A under A");
    menu.revoke(A, B, &[ab]).under(ba).named("A revokes B under B");
    menu.revoke(R1, A, &[ab]).named("root revokes A, a tip of A");
    menu.revoke(R1, B, &[]).named("root revokes B");
    menu
}

/// One delegate's chain with a fork, revocations that name different tips of it, and honours of all kinds of people.
pub fn tips() -> Menu {
    let mut menu = Menu::new("tips and honour", &[R1], 1);
    let a = menu.delegate(R1, A).id();
    let ab = menu.delegate(A, B).under(a).id();
    let ac = menu.grant(A, C, NORTH).under(a).after(ab).id();
    let late = menu.revoke(A, B, &[]).under(a).after(ac).id();
    let fork = menu.grant(A, D, NORTH).under(a).after(ab).named("A grants D on a fork");
    let bc = menu.grant(B, C, NORTH).under(ab).id();
    menu.work(C, NORTH).under(ac).named("work of C under A");
    menu.work(C, NORTH).under(bc).named("work of C under B");
    menu.work(D, NORTH).under(fork).id();
    let first = menu.revoke(R1, A, &[ab]).named("root revokes A after the first");
    let second = menu.revoke(R1, A, &[ac]).named("root revokes A after the second");
    menu.honour(R1, first, &[late]).named("root honours all of A but the fork");
    menu.honour(R1, second, &[fork]).named("root honours the fork");
    menu.honour(A, first, &[late]).under(a).named("A honours itself");
    menu.honour(B, first, &[fork]).under(ab).named("B honours A");
    menu.withdraw(R1, a, &[ac]).named("root withdraws the delegation to A after the second");
    menu
}

/// A line of delegates, each of whom removes those below; the removers are removed in turn.
pub fn remover_removed() -> Menu {
    let mut menu = Menu::new("removal of a remover", &[R1], 1);
    let a = menu.delegate(R1, A).id();
    let b = menu.delegate(A, B).under(a).id();
    let c = menu.delegate(B, C).under(b).id();
    let d = menu.grant(C, D, NORTH).under(c).id();
    let work = menu.work(D, NORTH).under(d).id();
    let b_cuts_c = menu.revoke(B, C, &[]).under(b).after(c).id();
    let b_cuts_d = menu.revoke(B, D, &[]).under(b).id();
    let a_cuts_b = menu.revoke(A, B, &[c]).under(a).after(b).id();
    menu.revoke(A, B, &[b_cuts_c]).under(a).named("A revokes B after it revoked C");
    menu.revoke(R1, A, &[b]).named("root revokes A before it revoked B");
    menu.revoke(R1, A, &[a_cuts_b]).named("root revokes A after it revoked B");
    menu.honour(B, b_cuts_c, &[d]).under(b).named("B honours C");
    menu.honour(A, b_cuts_c, &[d]).under(a).named("A honours C");
    menu.honour(C, b_cuts_d, &[work]).under(c).named("C honours D");
    menu.withdraw(B, c, &[d]).under(b).id();
    menu.withdraw(A, d, &[]).under(a).id();
    menu
}

/// Three delegates in a circle, each below the one before, each of whom removes the next and the one before.
pub fn circle() -> Menu {
    let mut menu = Menu::new("a circle of removers", &[R1], 1);
    let a = menu.delegate(R1, A).id();
    let b = menu.delegate(A, B).under(a).id();
    let c = menu.delegate(B, C).under(b).id();
    let again = menu.delegate(C, A).under(c).named("C delegates to A");
    let last = menu.delegate(A, B).under(again).named("A delegates to B again");
    let grant = menu.grant(B, D, NORTH).under(last).named("B grants D at the end of the circle");
    menu.work(D, NORTH).under(grant).id();
    menu.revoke(A, B, &[]).under(a).id();
    menu.revoke(B, C, &[]).under(b).id();
    menu.revoke(C, A, &[]).under(c).id();
    menu.revoke(A, C, &[again]).under(again).named("A revokes C from the end");
    menu.revoke(B, A, &[]).under(last).named("B revokes A from the end");
    menu.revoke(A, A, &[]).under(a).named("A revokes itself");
    menu.withdraw(A, again, &[last]).under(a).id();
    menu.withdraw(B, a, &[]).under(last).id();
    menu
}

/// Two of three roots rotate, at the same time and one after the other; what the old ones stood behind is honoured or not.
pub fn rotation() -> Menu {
    let mut menu = Menu::new("rotation of roots", &[R1, R2, R3], 2);
    let genesis = Id(0);
    let a = menu.delegate(R1, A).endorsed(&[R2]).named("R1 R2 delegate to A");
    let b = menu.delegate(R2, B).endorsed(&[R3]).named("R2 R3 delegate to B");
    let old = menu.delegate(R3, C).endorsed(&[R2]).after(b).named("R2 R3 delegate to C");
    let grant = menu.grant(B, D, NORTH).under(b).id();
    menu.work(D, NORTH).under(grant).id();
    let without_r3 = menu.rotate(R1, genesis, &[R1, R2, D], 2, &[b]).endorsed(&[R2]).named("R1 R2 put D in for R3");
    menu.rotate(R3, genesis, &[R3, C], 1, &[]).endorsed(&[R2]).hash(1).named("R2 R3 put R1 out");
    menu.rotate(R2, genesis, &[R2], 1, &[a]).endorsed(&[R1, R3]).named("R1 R2 R3 leave R2 alone");
    menu.rotate(R3, genesis, &[R3], 1, &[]).named("R3 alone rotates");
    menu.rotate(R1, without_r3, &[R1, D], 2, &[a]).endorsed(&[D]).named("R1 D put R2 out");
    menu.honour(R1, without_r3, &[old]).endorsed(&[R2]).named("R1 R2 honour C");
    let put_out = menu.honour(R2, without_r3, &[old]).endorsed(&[R3]).named("R2 R3 honour C");
    menu.honour(R1, without_r3, &[put_out]).endorsed(&[R2]).named("R1 R2 honour that R2 R3 honour C");
    menu.revoke(R2, B, &[]).endorsed(&[R3]).named("R2 R3 revoke B");
    menu.revoke(R1, B, &[grant]).endorsed(&[R2]).named("R1 R2 revoke B after its grant");
    menu
}

/// Two roots of whom one is enough rotate each other out.
pub fn mutual_rotation() -> Menu {
    let mut menu = Menu::new("roots rotate each other", &[R1, R2], 1);
    let genesis = Id(0);
    let a = menu.delegate(R1, A).id();
    let first = menu.rotate(R1, genesis, &[R1], 1, &[a]).time(11).named("R1 puts R2 out");
    let second = menu.rotate(R2, genesis, &[R2], 1, &[]).time(12).named("R2 puts R1 out");
    menu.rotate(R1, second, &[R1], 1, &[]).named("R1 puts R2 out again");
    menu.rotate(R2, first, &[R1, R2], 1, &[]).named("R2 puts itself back");
    let b = menu.delegate(R2, B).id();
    menu.grant(A, C, NORTH).under(a).id();
    let north = menu.grant(B, C, NORTH).under(b).id();
    menu.work(C, NORTH).under(north).id();
    menu.honour(R1, first, &[b]).named("R1 honours B for its rotation");
    menu.honour(R2, second, &[a]).named("R2 honours A for its rotation");
    menu.honour(R2, first, &[b]).named("R2 honours B for the rotation of R1");
    menu.revoke(R2, A, &[]).id();
    menu
}

/// What is built today, with scopes and periods, named and not.
pub fn built() -> Menu {
    let mut menu = Menu::new("as built: no removals", &[R1, R2], 2);
    menu.delegate(R1, A).endorsed(&[R2]).named("R1 R2 delegate to A");
    menu.delegate(R1, B).named("R1 delegates to B alone");
    menu.delegate_in(A, B, NORTH, true, (5, 20)).named("A delegates north to B for a time");
    menu.delegate_in(R1, C, NORTH, false, (5, 20)).endorsed(&[R2]).named("R1 R2 delegate north to C, no further");
    menu.delegate_in(B, A, NORTH, true, (5, 20)).named("B delegates north to A");
    menu.delegate_in(B, C, NORTH, true, (6, 19)).named("B delegates north to C, further");
    menu.delegate_in(C, D, NORTH, false, (6, 19)).named("C delegates north to D");
    menu.delegate_in(B, D, NORTH, false, ALWAYS).named("B delegates north to D for ever");
    menu.delegate_in(B, B, EVERYWHERE, true, (5, 20)).named("B delegates everything to itself");
    menu.grant(C, D, NORTH).named("C grants D north");
    menu.grant(B, D, SOUTH).named("B grants D south");
    menu.grant(B, D, NORTH).time(21).named("B grants D north too late");
    menu.grant(D, D, NORTH).endorsed(&[R1, R2]).named("D grants itself, endorsed by R1 R2");
    menu.grant(R1, C, SOUTH).endorsed(&[R2]).named("R1 R2 grant C south");
    menu.work(D, NORTH).id();
    menu.work(C, SOUTH).time(30).id();
    menu
}

/// A worker, and a delegate of the root, each against another delegate.
pub fn strangers() -> Menu {
    let mut menu = Menu::new("strangers", &[R1], 1);
    let a = menu.delegate(R1, A).id();
    let b = menu.delegate(R1, B).id();
    let c = menu.grant(A, C, NORTH).under(a).id();
    menu.work(C, NORTH).under(c).id();
    let d = menu.grant(B, D, NORTH).under(b).id();
    menu.revoke(D, A, &[]).under(d).named("D revokes A under its grant");
    menu.revoke(B, A, &[]).under(b).id();
    menu.withdraw(B, c, &[]).under(b).id();
    menu
}

/// Records of delegates that name nothing, beside removals.
pub fn unnamed() -> Menu {
    let mut menu = Menu::new("records that name nothing", &[R1], 1);
    let a = menu.delegate(R1, A).id();
    let b = menu.delegate(R1, B).id();
    menu.delegate(A, B).id();
    menu.delegate(B, A).id();
    menu.delegate(A, C).hash(2).named("A adopts C");
    let bc = menu.delegate(B, C).hash(3).id();
    menu.delegate(C, B).id();
    menu.delegate(C, D).id();
    menu.grant(D, D, NORTH).id();
    menu.work(D, NORTH).id();
    menu.revoke(A, C, &[]).under(a).id();
    menu.revoke(A, D, &[]).under(a).id();
    menu.withdraw(R1, a, &[]).id();
    menu.revoke(B, A, &[]).under(b).named("B revokes A");
    menu.revoke(R1, A, &[]).id();
    menu.revoke(R1, B, &[bc]).id();
    menu
}

/// An honest beginning, and everything that three delegates, one of them hostile, could write against each other.
pub fn adversary() -> (Menu, Set) {
    let mut menu = Menu::new("an adversary writes", &[R1, R2], 1);
    let a = menu.delegate(R1, A).id();
    let b = menu.delegate(R2, B).id();
    let c = menu.delegate(A, C).under(a).id();
    let d = menu.grant(C, D, NORTH).under(c).id();
    let work = menu.work(D, NORTH).under(d).id();
    let begun = menu.all();
    menu.revoke(D, C, &[]).under(d).named("D revokes C under its grant");
    let adopts = menu.delegate(B, C).under(b).named("B adopts C");
    let adopts_above = menu.delegate(C, A).under(c).named("C adopts A");
    let positions = [(A, a), (B, b), (C, c), (C, adopts), (A, adopts_above)];
    for (author, position) in positions {
        let name = |what: &str| format!("{author:?} under {}: {what}", position.0);
        for (of, tip) in [(A, c), (C, d), (D, work)] {
            let all = menu.revoke(author, of, &[]).under(position).named(&name(&format!("revokes {of:?}")));
            let some = menu.revoke(author, of, &[tip]).under(position).named(&name(&format!("revokes {of:?} after")));
            if of == C {
                menu.honour(author, all, &[d]).under(position).named(&name("honours C"));
                menu.honour(A, some, &[d]).under(a).named(&name("is honoured by A"));
            }
        }
        menu.withdraw(author, c, &[]).under(position).named(&name("withdraws from C"));
        menu.grant(author, D, SOUTH).under(position).named(&name("grants D"));
    }
    menu.revoke(R1, A, &[c]).named("R1 revokes A after");
    menu.revoke(R1, C, &[]).named("R1 revokes C");
    (menu, begun)
}
