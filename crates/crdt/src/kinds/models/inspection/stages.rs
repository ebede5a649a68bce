//! The choices of an inspection, and its lifecycle.

use crate::{Code, Lifecycle, Row};
use serde::{Deserialize, Serialize};

/// How far an inspection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Being prepared.
    Draft,
    /// It has a date.
    Scheduled,
    /// Somebody is on site.
    InProgress,
    /// The inspector is done; a reviewer decides.
    Submitted,
    /// The reviewer agrees.
    Approved,
    /// The reviewer does not agree.
    Rejected,
    /// Nothing more is to be done.
    Closed,
}

/// What a checklist item came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should be.
    Pass,
    /// Not as it should be.
    Fail,
    /// The item does not apply here.
    NotApplicable,
}

/// How bad a failed item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// To be mended some time.
    Minor,
    /// To be mended soon.
    Major,
    /// To be mended before anything else.
    Critical,
}

/// How much is at stake at this subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
}

/// What the whole visit came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InspectionResult {
    /// All is well.
    Pass,
    /// Well enough, under conditions.
    PassWithConditions,
    /// Not well.
    Fail,
    /// Nobody let the inspector in.
    NoEntry,
    /// The subject was not ready to be inspected.
    NotReady,
    /// There is nothing left to inspect.
    OutOfBusiness,
}

impl InspectionResult {
    /// Whether the subject was looked at, so that every item must have an outcome.
    pub fn is_of_a_visit(self) -> bool {
        match self {
            Self::Pass | Self::PassWithConditions | Self::Fail => true,
            Self::NoEntry | Self::NotReady | Self::OutOfBusiness => false,
        }
    }
}

/// Every action on an inspection.
pub const LIFECYCLE: Lifecycle<Stage> = Lifecycle {
    path: "status",
    rows: &[
        Row::create("create", Stage::Draft),
        Row::stay("set_subject", OPEN),
        Row::stay("set_details", OPEN),
        Row::stay("add_item", OPEN),
        Row::stay("set_prompt", OPEN),
        Row::stay("move_item", OPEN),
        Row::stay("remove_item", OPEN),
        Row::stay("restore_item", OPEN),
        Row::step("schedule", &[Stage::Draft, Stage::Scheduled], Stage::Scheduled),
        Row::stay("assign", OPEN),
        Row::step("start", &[Stage::Scheduled], Stage::InProgress),
        Row::stay("record_outcome", &[Stage::InProgress]),
        Row::stay("set_severity", &[Stage::InProgress]),
        Row::stay("measure", &[Stage::InProgress]),
        Row::stay("edit_note", OPEN),
        Row::stay("attach", OPEN),
        Row::stay("detach", OPEN),
        Row::stay("edit_findings", OPEN),
        Row::stay("record_result", &[Stage::InProgress]),
        Row::stay("sign_off", &[Stage::InProgress, Stage::Submitted]),
        Row::step("submit", &[Stage::InProgress], Stage::Submitted),
        Row::step("reject", &[Stage::Submitted], Stage::Rejected),
        Row::step("reopen", &[Stage::Submitted, Stage::Approved, Stage::Rejected, Stage::Closed], Stage::InProgress),
        Row::step("approve", &[Stage::Submitted], Stage::Approved),
        Row::step("close", &[Stage::Approved, Stage::Rejected], Stage::Closed),
    ],
};

/// Before it is handed in.
const OPEN: &[Stage] = &[Stage::Draft, Stage::Scheduled, Stage::InProgress];

impl Code for Stage {
    const ALL: &'static [Self] = &[
        Self::Draft,
        Self::Scheduled,
        Self::InProgress,
        Self::Submitted,
        Self::Approved,
        Self::Rejected,
        Self::Closed,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Scheduled => "scheduled",
            Self::InProgress => "in_progress",
            Self::Submitted => "submitted",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Closed => "closed",
        }
    }
}

impl Code for Outcome {
    const ALL: &'static [Self] = &[Self::Pass, Self::Fail, Self::NotApplicable];

    fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotApplicable => "not_applicable",
        }
    }
}

impl Code for Severity {
    const ALL: &'static [Self] = &[Self::Minor, Self::Major, Self::Critical];

    fn name(self) -> &'static str {
        match self {
            Self::Minor => "minor",
            Self::Major => "major",
            Self::Critical => "critical",
        }
    }
}

impl Code for Risk {
    const ALL: &'static [Self] = &[Self::Low, Self::Medium, Self::High];

    fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

impl Code for InspectionResult {
    const ALL: &'static [Self] =
        &[Self::Pass, Self::PassWithConditions, Self::Fail, Self::NoEntry, Self::NotReady, Self::OutOfBusiness];

    fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::PassWithConditions => "pass_with_conditions",
            Self::Fail => "fail",
            Self::NoEntry => "no_entry",
            Self::NotReady => "not_ready",
            Self::OutOfBusiness => "out_of_business",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Model;
    use crate::inspection::{InspectionModel, definition};
    use crate::kinds::fake;

    fn agrees<C: Code + Serialize>(pattern: &str) {
        let names: Vec<&str> = C::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(InspectionModel::schema().unwrap().rule(pattern).unwrap().one_of, names, "{pattern}");
        for code in C::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.name());
            assert_eq!(C::from_name(code.name()), Some(*code));
        }
    }

    #[test]
    fn choices_are_named_alike_in_code_schema_and_json() {
        agrees::<Stage>("status");
        agrees::<Outcome>("items/7/outcome");
        agrees::<Severity>("items/7/severity");
        agrees::<Risk>("risk");
        agrees::<InspectionResult>("result");
    }

    #[test]
    fn the_lifecycle_has_one_row_for_each_intent_and_reaches_every_stage() {
        let names: Vec<&str> = definition().unwrap().intents().iter().map(|intent| intent.name()).collect();
        let rows: Vec<&str> = LIFECYCLE.rows.iter().map(|row| row.action).collect();
        assert_eq!(names, rows);
        let mut reached = vec![None];
        while let Some((_, to)) = LIFECYCLE
            .rows
            .iter()
            .flat_map(|row| Stage::ALL.iter().copied().map(Some).chain([None]).map(move |from| (from, row)))
            .filter(|(from, row)| reached.contains(from) && LIFECYCLE.actions(*from).any(|action| action == row.action))
            .map(|(from, row)| (from, row.to.or(from)))
            .find(|(_, to)| !reached.contains(to))
        {
            reached.push(to);
        }
        assert_eq!(reached.len(), Stage::ALL.len() + 1);
    }

    #[test]
    fn the_documented_order_is_the_only_one() {
        let allowed = |stage: &str, action: &str| {
            let mut state = fake::Fake::default();
            state.set("status", stage);
            LIFECYCLE.check(&state, action).is_none()
        };
        let moves = ["schedule", "start", "submit", "approve", "reject", "close", "reopen"];
        for (stage, possible) in [
            ("draft", vec!["schedule"]),
            ("scheduled", vec!["schedule", "start"]),
            ("in_progress", vec!["submit"]),
            ("submitted", vec!["approve", "reject", "reopen"]),
            ("approved", vec!["close", "reopen"]),
            ("rejected", vec!["close", "reopen"]),
            ("closed", vec!["reopen"]),
        ] {
            let found: Vec<&str> = moves.into_iter().filter(|action| allowed(stage, action)).collect();
            assert_eq!(found, possible, "{stage}");
        }
    }
}
