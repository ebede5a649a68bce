//! The model that Stateright checks: replicas to which records arrive, in every order.

use crate::menu::Menu;
use crate::record::{Id, Set};
use crate::replica::Replica;
use crate::rules::Rules;
use crate::wishes::{Asked, WISHES};
use core::fmt::Write;
use stateright::{Checker, HasDiscoveries, Model, Property};
use std::time::{Duration, Instant};

/// Replicas, and the records that may arrive at them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Arrivals {
    /// The records that may be written.
    pub menu: Menu,
    /// The rules.
    pub rules: Rules,
    /// How many replicas there are.
    pub replicas: usize,
    /// What all of them hold from the beginning.
    pub begun: Set,
    /// How many records are written beside those, at most.
    pub at_most: u32,
    /// A wish that is not asked.
    pub excused: Option<&'static str>,
}

/// A record arrives at a replica, perhaps once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Arrival {
    /// The replica.
    pub at: usize,
    /// The record.
    pub record: Id,
}

/// What a check found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Found {
    /// The different states.
    pub states: usize,
    /// The arrivals that were tried.
    pub arrivals: usize,
    /// How long it took.
    pub took: Duration,
    /// The wishes that were broken, each with a trace for people.
    pub broken: Vec<(&'static str, String)>,
}

/// The wish that is about several replicas.
pub const AGREE: &str = "same set, same verdicts";

impl Arrivals {
    /// One replica, at which all records of the menu arrive, or any part of them.
    pub fn of(menu: Menu) -> Self {
        let at_most = u32::MAX;
        Self { menu, rules: Rules::OURS, replicas: 1, begun: Set::default(), at_most, excused: None }
    }

    /// By other rules.
    pub fn by(self, rules: Rules) -> Self {
        Self { rules, ..self }
    }

    /// With this many replicas.
    pub fn at(self, replicas: usize) -> Self {
        Self { replicas, ..self }
    }

    /// With these held from the beginning, and at most so many others.
    pub fn beside(self, begun: Set, at_most: u32) -> Self {
        Self { begun, at_most, ..self }
    }

    /// Without asking this wish.
    pub fn excusing(self, wish: &'static str) -> Self {
        Self { excused: Some(wish), ..self }
    }

    /// Checks all states, and tells of every broken wish by a trace.
    pub fn check(&self) -> Found {
        let begun = Instant::now();
        let checker = self.clone().checker().threads(2).spawn_bfs().join();
        let mut wishes: Vec<_> = checker.discoveries().into_keys().collect();
        wishes.sort_unstable();
        let took = begun.elapsed();
        let broken = wishes.into_iter().map(|wish| (wish, self.breaks(wish).unwrap_or_default())).collect();
        Found { states: checker.unique_state_count(), arrivals: checker.state_count(), took, broken }
    }

    /// A trace that breaks this wish, if there is any; nothing can be left out of it.
    pub fn breaks(&self, wish: &'static str) -> Option<String> {
        let until = HasDiscoveries::AnyOf([wish].into());
        let checker = self.clone().checker().finish_when(until).spawn_bfs().join();
        let path = checker.discovery(wish)?;
        Some(self.told(&self.shortened(wish, path.into_actions())))
    }

    /// Leaves out every arrival without which the wish is broken as well.
    fn shortened(&self, wish: &'static str, mut arrivals: Vec<Arrival>) -> Vec<Arrival> {
        let property = self.property(wish);
        let mut at = 0;
        while at < arrivals.len() {
            let mut fewer = arrivals.clone();
            fewer.remove(at);
            if (property.condition)(self, &self.after(&fewer)) {
                at += 1;
            } else {
                (arrivals, at) = (fewer, 0);
            }
        }
        arrivals
    }

    fn after(&self, arrivals: &[Arrival]) -> Vec<Replica> {
        let mut state = self.init_states().remove(0);
        arrivals.iter().for_each(|one| state[one.at].arrive(&self.menu, self.rules, one.record));
        state
    }

    fn told(&self, arrivals: &[Arrival]) -> String {
        let mut told = String::new();
        for arrival in arrivals {
            // Writing to a string does not fail.
            let _ = writeln!(told, "    {} arrives at {}", self.menu.at(arrival.record), arrival.at + 1);
        }
        for (at, replica) in self.after(arrivals).iter().enumerate() {
            let by_set = Asked::of(&self.menu, self.rules, replica);
            for (id, record) in self.menu.each(replica.log) {
                let (here, set) = (replica.judged[usize::from(id.0)].verdict, by_set.verdict(id));
                let differs = if here == set { String::new() } else { format!(", but by the set {set:?}") };
                let _ = writeln!(told, "      {}: {record} is {here:?}{differs}", at + 1);
            }
        }
        told
    }

    fn written(&self, state: &[Replica]) -> Set {
        state.iter().fold(Set::default(), |all, replica| all.or(replica.log).or(replica.inbox))
    }

    fn keeps(&self, state: &[Replica], wish: usize) -> bool {
        let keeps = |replica| Asked::of(&self.menu, self.rules, replica).keeps(wish);
        self.excused == Some(WISHES[wish]) || state.iter().all(keeps)
    }

    fn agree(&self, state: &[Replica]) -> bool {
        state.iter().enumerate().all(|(at, one)| {
            let same = |other: &&Replica| other.log == one.log;
            state[at + 1..].iter().filter(same).all(|other| one.judged == other.judged)
        })
    }
}

impl Model for Arrivals {
    type State = Vec<Replica>;
    type Action = Arrival;

    fn init_states(&self) -> Vec<Self::State> {
        let mut replica = Replica::new(&self.menu);
        self.begun.iter().for_each(|id| replica.arrive(&self.menu, self.rules, id));
        vec![vec![replica; self.replicas]]
    }

    fn actions(&self, state: &Self::State, actions: &mut Vec<Self::Action>) {
        let written = self.written(state);
        let full = written.but(self.begun).len() >= self.at_most;
        let may = if full { written } else { self.menu.all() };
        for (at, replica) in state.iter().enumerate() {
            // With several replicas things also arrive twice.
            let has = if self.replicas == 1 { replica.log.or(replica.inbox) } else { Set::default() };
            actions.extend(may.but(has).iter().map(|record| Arrival { at, record }));
        }
    }

    fn next_state(&self, state: &Self::State, arrival: Arrival) -> Option<Self::State> {
        let mut next = state.clone();
        next[arrival.at].arrive(&self.menu, self.rules, arrival.record);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        type Condition = fn(&Arrivals, &Vec<Replica>) -> bool;
        let conditions: [Condition; WISHES.len()] = [
            |model, state| model.keeps(state, 0),
            |model, state| model.keeps(state, 1),
            |model, state| model.keeps(state, 2),
            |model, state| model.keeps(state, 3),
            |model, state| model.keeps(state, 4),
            |model, state| model.keeps(state, 5),
            |model, state| model.keeps(state, 6),
            |model, state| model.keeps(state, 7),
            |model, state| model.keeps(state, 8),
            |model, state| model.keeps(state, 9),
            |model, state| model.keeps(state, 10),
        ];
        let mut properties = vec![Property::always(AGREE, |model: &Self, state: &Vec<Replica>| model.agree(state))];
        let wishes = WISHES.iter().zip(conditions);
        properties.extend(wishes.map(|(name, condition)| Property::always(name, condition)));
        properties
    }
}
