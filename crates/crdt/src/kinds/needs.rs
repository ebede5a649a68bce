//! Whether an intent may run now, given how this replica stands to the others.

use crate::kinds::intent::{Intent, Violation};
use crate::state::State;
use core::fmt;
use serde::Serialize;

/// What an intent needs beyond the local state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Needs {
    /// Nothing: it runs anywhere at any time.
    Nothing,
    /// That this replica was up to date with a relay not longer ago than this.
    FreshState {
        /// In milliseconds.
        age_ms_max: u64,
    },
    /// A connection while it runs.
    Online,
}

/// How this replica stands at the moment of asking, as whoever runs the sessions knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The local clock, in milliseconds since 1970.
    pub now_ms: u64,
    /// Whether an authenticated session is open.
    pub online: bool,
    /// When this replica last had everything that a relay held, by the local clock.
    pub up_to_date_at_ms: Option<u64>,
    /// Why this person may not do this at all, if so: a lapsed grant, a role or kind that it does not cover.
    pub restricted: Option<String>,
}

/// The answer to "may this intent run now?"
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permission {
    /// It may.
    Allowed,
    /// Not yet; the same intent may be allowed later without anybody changing anything.
    Deferred(Deferral),
    /// No, until somebody changes something.
    Forbidden(Refusal),
}

/// Why an intent has to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deferral {
    /// It needs a connection and there is none.
    Offline,
    /// The local state may be older than the intent accepts.
    Stale {
        /// How old, in milliseconds; none if this replica was never up to date.
        age_ms: Option<u64>,
        /// How old it may be.
        age_ms_max: u64,
    },
}

/// Why an intent may not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The person may not.
    Restricted(String),
    /// The state stands against it.
    Violations(Vec<Violation>),
}

/// Whether the intent may run now. What only a person can mend comes first: a restriction, then violations, then
/// what time or a connection will bring.
pub fn check(intent: &impl Intent, state: &dyn State, facts: &Facts) -> Permission {
    permission(intent.needs(), || intent.validate(state), facts)
}

pub(crate) fn permission(needs: Needs, validate: impl FnOnce() -> Vec<Violation>, facts: &Facts) -> Permission {
    if let Some(why) = &facts.restricted {
        return Permission::Forbidden(Refusal::Restricted(why.clone()));
    }
    let violations = validate();
    if !violations.is_empty() {
        return Permission::Forbidden(Refusal::Violations(violations));
    }
    match needs {
        Needs::Online if !facts.online => Permission::Deferred(Deferral::Offline),
        Needs::FreshState { age_ms_max } => {
            let age_ms = facts.up_to_date_at_ms.map(|at| facts.now_ms.saturating_sub(at));
            if age_ms.is_some_and(|age_ms| age_ms <= age_ms_max) {
                Permission::Allowed
            } else {
                Permission::Deferred(Deferral::Stale { age_ms, age_ms_max })
            }
        }
        Needs::Nothing | Needs::Online => Permission::Allowed,
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed => f.write_str("allowed"),
            Self::Deferred(deferral) => write!(f, "deferred: {deferral}"),
            Self::Forbidden(refusal) => write!(f, "forbidden: {refusal}"),
        }
    }
}

impl fmt::Display for Deferral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offline => f.write_str("this needs a connection; it can run as soon as there is one"),
            Self::Stale { age_ms: Some(age_ms), age_ms_max } => write!(
                f,
                "this needs a state not older than {}, and this device was last up to date {} ago; connect once",
                Span(*age_ms_max),
                Span(*age_ms)
            ),
            Self::Stale { age_ms: None, age_ms_max } => write!(
                f,
                "this needs a state not older than {}, and this device was never up to date; connect once",
                Span(*age_ms_max)
            ),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restricted(why) => f.write_str(why),
            Self::Violations(violations) => {
                for (number, violation) in violations.iter().enumerate() {
                    write!(f, "{}{violation}", if number == 0 { "" } else { "\n" })?;
                }
                Ok(())
            }
        }
    }
}

/// Milliseconds in the largest unit of which there is at least one.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")];
        match units.iter().find(|(length, _)| self.0 >= *length) {
            Some((length, unit)) => write!(f, "{} {unit}", self.0 / length),
            None => write!(f, "{} ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn ask(needs: Needs, facts: &Facts) -> Permission {
        permission(needs, Vec::new, facts)
    }

    #[test]
    fn each_need_is_judged_by_its_own_fact() {
        let fresh = Needs::FreshState { age_ms_max: HOUR };
        let offline = Facts { now_ms: 10 * HOUR, ..Facts::default() };
        assert_eq!(ask(Needs::Nothing, &offline), Permission::Allowed);
        assert_eq!(ask(Needs::Online, &offline), Permission::Deferred(Deferral::Offline));
        let never = Deferral::Stale { age_ms: None, age_ms_max: HOUR };
        assert_eq!(ask(fresh, &offline), Permission::Deferred(never));

        let seen = |at| Facts { up_to_date_at_ms: Some(at), ..offline.clone() };
        assert_eq!(ask(fresh, &seen(9 * HOUR)), Permission::Allowed);
        assert_eq!(ask(fresh, &seen(11 * HOUR)), Permission::Allowed, "a clock that was set back");
        let answer = ask(fresh, &seen(9 * HOUR - 1));
        assert_eq!(
            answer.to_string(),
            "deferred: this needs a state not older than 1 h, and this device was last up to date 1 h ago; connect once"
        );

        let online = Facts { online: true, ..offline };
        assert_eq!(ask(Needs::Online, &online), Permission::Allowed);
    }

    #[test]
    fn what_only_people_can_mend_comes_first() {
        let violations = || vec![Violation::new("a", "b", "c"), Violation::new("d", "e", "f")];
        let facts = Facts::default();
        let answer = permission(Needs::Online, violations, &facts);
        assert_eq!(answer, Permission::Forbidden(Refusal::Violations(violations())));
        assert_eq!(answer.to_string(), "forbidden: a: b; c\nd: e; f");
        let facts = Facts { restricted: Some("the grant lapsed yesterday".into()), ..facts };
        assert_eq!(permission(Needs::Nothing, violations, &facts).to_string(), "forbidden: the grant lapsed yesterday");
    }
}
