//! Lifecycles as tables: which action is possible in which stage, and where it leads.

use crate::kinds::entries::path;
use crate::kinds::fields::Code;
use crate::kinds::intent::Violation;
use crate::state::{EditError, Edits, State};
use changeset::{Path, Value};
use std::collections::VecDeque;

/// The stages of a kind of document and every action on it. The stage is stored as a string; no stage means that the
/// document was not created yet.
#[derive(Clone, Copy, Debug)]
pub struct Lifecycle<S: 'static> {
    /// Where the stage is stored, usually `status`.
    pub path: &'static str,
    /// One row for each action.
    pub rows: &'static [Row<S>],
}

/// One action.
#[derive(Clone, Copy, Debug)]
pub struct Row<S: 'static> {
    /// The intent's name.
    pub action: &'static str,
    /// In which stages it is possible.
    pub from: Origin<S>,
    /// Which stage it leads to; none if it leaves the stage as it is.
    pub to: Option<S>,
}

/// Where an action may begin.
#[derive(Clone, Copy, Debug)]
pub enum Origin<S: 'static> {
    /// Where there is no document yet.
    Nothing,
    /// In these stages.
    Stages(&'static [S]),
}

impl<S> Row<S> {
    /// The action that begins a document.
    pub const fn create(action: &'static str, to: S) -> Self {
        Self { action, from: Origin::Nothing, to: Some(to) }
    }

    /// An action that leads to another stage.
    pub const fn step(action: &'static str, from: &'static [S], to: S) -> Self {
        Self { action, from: Origin::Stages(from), to: Some(to) }
    }

    /// An action that leaves the stage as it is.
    pub const fn stay(action: &'static str, from: &'static [S]) -> Self {
        Self { action, from: Origin::Stages(from), to: None }
    }
}

impl<S: Code> Row<S> {
    fn begins(&self, stage: Option<S>) -> bool {
        match (self.from, stage) {
            (Origin::Nothing, None) => true,
            (Origin::Stages(stages), Some(stage)) => stages.contains(&stage),
            (Origin::Nothing, Some(_)) | (Origin::Stages(_), None) => false,
        }
    }
}

impl<S: Code> Lifecycle<S> {
    /// The stage of a document; none if it was not created.
    ///
    /// # Errors
    /// A violation if the stored stage is none that this version knows.
    pub fn stage(&self, state: &dyn State) -> Result<Option<S>, Violation> {
        let unknown = |found: String| {
            let known: Vec<&str> = S::ALL.iter().map(|stage| stage.name()).collect();
            let problem = format!("is {found}, which this version does not know (it knows {})", known.join(", "));
            Violation::new(self.path, problem, "update the app, or ask whoever wrote it")
        };
        match Path::new(self.path).ok().and_then(|path| state.value(&path)) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(name)) => S::from_name(&name).map(Some).ok_or_else(|| unknown(format!("{name:?}"))),
            Some(other) => Err(unknown(format!("{other:?}"))),
        }
    }

    /// The actions that are possible in a stage, in table order.
    pub fn actions(&self, stage: Option<S>) -> impl Iterator<Item = &'static str> {
        self.rows.iter().filter(move |row| row.begins(stage)).map(|row| row.action)
    }

    /// What stands against an action in this state, with the way to get there as the cure.
    pub fn check(&self, state: &dyn State, action: &str) -> Option<Violation> {
        let stage = match self.stage(state) {
            Ok(stage) => stage,
            Err(violation) => return Some(violation),
        };
        let Some(row) = self.rows.iter().find(|row| row.action == action) else {
            let problem = format!("`{action}` is no action of this kind of document");
            return Some(Violation::new(self.path, problem, "use one of the listed intents"));
        };
        if row.begins(stage) {
            return None;
        }
        let problem = match (row.from, stage) {
            (_, None) => format!("there is no document yet, so `{action}` has nothing to act on"),
            (Origin::Nothing, Some(stage)) => format!("the document exists already, with the status {}", stage.name()),
            (Origin::Stages(_), Some(stage)) => format!("`{action}` is not possible while {}", stage.name()),
        };
        let cure = match (self.way(stage, row), row.from) {
            (Some(way), _) => format!("first {}", way.join(", then ")),
            (None, Origin::Nothing) => "open it, or create another".to_owned(),
            (None, Origin::Stages(_)) => {
                let possible: Vec<&str> = self.actions(stage).collect();
                let possible = if possible.is_empty() { "nothing".to_owned() } else { possible.join(", ") };
                format!("it cannot be any more; possible now: {possible}")
            }
        };
        Some(Violation::new(self.path, problem, cure))
    }

    /// Writes the stage that the action leads to, if the document is not in it already: two devices that schedule and
    /// start at once must not contend for the stage because one of them moved a date.
    ///
    /// # Errors
    /// [`EditError`] of the transaction.
    pub fn advance(&self, edits: &mut dyn Edits, action: &str) -> Result<(), EditError> {
        let to = self.rows.iter().find(|row| row.action == action).and_then(|row| row.to);
        match to {
            Some(to) if self.stage(edits).ok().flatten() != Some(to) => edits.put(&path(self.path)?, to.name().into()),
            Some(_) | None => Ok(()),
        }
    }

    /// The fewest actions after which the row's action is possible, as `` `submit` ``.
    fn way(&self, from: Option<S>, goal: &Row<S>) -> Option<Vec<String>> {
        let mut seen = vec![from];
        let mut queue = VecDeque::from([(from, Vec::new())]);
        while let Some((stage, way)) = queue.pop_front() {
            for row in self.rows.iter().filter(|row| row.begins(stage)) {
                let next = row.to.or(stage);
                if seen.contains(&next) {
                    continue;
                }
                let longer: Vec<String> = way.iter().cloned().chain([format!("`{}`", row.action)]).collect();
                if goal.begins(next) {
                    return Some(longer);
                }
                seen.push(next);
                queue.push_back((next, longer));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::fake::Fake;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Lamp {
        Off,
        On,
        Broken,
    }

    impl Code for Lamp {
        const ALL: &'static [Self] = &[Self::Off, Self::On, Self::Broken];

        fn name(self) -> &'static str {
            match self {
                Self::Off => "off",
                Self::On => "on",
                Self::Broken => "broken",
            }
        }
    }

    const LAMP: Lifecycle<Lamp> = Lifecycle {
        path: "status",
        rows: &[
            Row::create("install", Lamp::Off),
            Row::step("switch_on", &[Lamp::Off, Lamp::On], Lamp::On),
            Row::stay("dim", &[Lamp::On]),
            Row::step("smash", &[Lamp::On], Lamp::Broken),
        ],
    };

    fn at(stage: &str) -> Fake {
        let mut fake = Fake::default();
        fake.set("status", stage);
        fake
    }

    fn refusal(state: &Fake, action: &str) -> String {
        LAMP.check(state, action).map(|violation| violation.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_refusal_tells_the_way() {
        assert_eq!(refusal(&at("on"), "dim"), "");
        assert_eq!(refusal(&Fake::default(), "install"), "");
        assert_eq!(refusal(&at("off"), "dim"), "status: `dim` is not possible while off; first `switch_on`");
        assert_eq!(
            refusal(&Fake::default(), "smash"),
            "status: there is no document yet, so `smash` has nothing to act on; first `install`, then `switch_on`"
        );
        assert_eq!(
            refusal(&at("broken"), "dim"),
            "status: `dim` is not possible while broken; it cannot be any more; possible now: nothing"
        );
        assert_eq!(
            refusal(&at("off"), "install"),
            "status: the document exists already, with the status off; open it, or create another"
        );
        assert!(refusal(&at("off"), "fly").contains("`fly` is no action"));
    }

    #[test]
    fn an_unknown_stage_is_named_instead_of_guessed() {
        assert!(refusal(&at("glowing"), "dim").contains("is \"glowing\", which this version does not know"));
        let mut odd = Fake::default();
        odd.set("status", 7);
        assert!(refusal(&odd, "dim").contains("Int(7)"));
    }

    #[test]
    fn advancing_writes_a_stage_once() {
        let mut fake = at("off");
        LAMP.advance(&mut fake, "switch_on").unwrap();
        assert_eq!(fake.string("status"), "on");
        let before = fake.clone();
        LAMP.advance(&mut fake, "dim").unwrap();
        LAMP.advance(&mut fake, "switch_on").unwrap();
        assert_eq!(fake, before);
        assert_eq!(LAMP.actions(Some(Lamp::On)).collect::<Vec<_>>(), ["switch_on", "dim", "smash"]);
    }
}
