//! The lifecycle of an order.

use crate::{Code, Lifecycle, Row};
use serde::{Deserialize, Serialize};

/// How far an order has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Being written.
    Draft,
    /// Handed in.
    Submitted,
    /// To be delivered.
    Approved,
    /// Being picked in the warehouse.
    Picking,
    /// On its way.
    Dispatched,
    /// At the customer's.
    Delivered,
    /// Not to be delivered.
    Cancelled,
}

/// Every action on an order.
pub const LIFECYCLE: Lifecycle<Stage> = Lifecycle {
    path: "status",
    rows: &[
        Row::create("create", Stage::Draft),
        Row::stay("set_details", DRAFT),
        Row::stay("set_customer", DRAFT),
        Row::stay("set_dates", UNSENT),
        Row::stay("set_ship_to", UNSENT),
        Row::stay("set_freight", UNSENT),
        Row::stay("add_line", DRAFT),
        Row::stay("move_line", DRAFT),
        Row::stay("remove_line", DRAFT),
        Row::stay("restore_line", DRAFT),
        // While picking, what the shelf does not hold is taken off the order.
        Row::stay("change_quantity", &[Stage::Draft, Stage::Picking]),
        Row::stay("change_price", DRAFT),
        Row::stay("change_discount", DRAFT),
        Row::stay("edit_notes", Stage::ALL),
        Row::step("submit", DRAFT, Stage::Submitted),
        Row::step("approve", &[Stage::Submitted], Stage::Approved),
        Row::step("start_picking", &[Stage::Approved], Stage::Picking),
        Row::stay("pick", &[Stage::Picking]),
        Row::step("dispatch", &[Stage::Picking], Stage::Dispatched),
        Row::step("deliver", &[Stage::Dispatched], Stage::Delivered),
        Row::step("cancel", UNSENT, Stage::Cancelled),
    ],
};

const DRAFT: &[Stage] = &[Stage::Draft];

/// Before it leaves the house.
const UNSENT: &[Stage] = &[Stage::Draft, Stage::Submitted, Stage::Approved, Stage::Picking];

impl Code for Stage {
    const ALL: &'static [Self] = &[
        Self::Draft,
        Self::Submitted,
        Self::Approved,
        Self::Picking,
        Self::Dispatched,
        Self::Delivered,
        Self::Cancelled,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Submitted => "submitted",
            Self::Approved => "approved",
            Self::Picking => "picking",
            Self::Dispatched => "dispatched",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Model;
    use crate::order::{OrderModel, definition};

    #[test]
    fn stages_are_named_alike_in_code_schema_and_json() {
        let names: Vec<&str> = Stage::ALL.iter().map(|stage| stage.name()).collect();
        assert_eq!(OrderModel::schema().unwrap().rule("status").unwrap().one_of, names);
        for stage in Stage::ALL {
            assert_eq!(serde_json::to_value(stage).unwrap(), stage.name());
        }
    }

    #[test]
    fn the_lifecycle_has_one_row_for_each_intent() {
        let names: Vec<&str> = definition().unwrap().intents().iter().map(|intent| intent.name()).collect();
        let rows: Vec<&str> = LIFECYCLE.rows.iter().map(|row| row.action).collect();
        assert_eq!(names, rows);
    }

    #[test]
    fn the_documented_order_is_the_only_one() {
        let moves = ["submit", "approve", "start_picking", "dispatch", "deliver", "cancel"];
        for (stage, possible) in [
            (Stage::Draft, vec!["submit", "cancel"]),
            (Stage::Submitted, vec!["approve", "cancel"]),
            (Stage::Approved, vec!["start_picking", "cancel"]),
            (Stage::Picking, vec!["dispatch", "cancel"]),
            (Stage::Dispatched, vec!["deliver"]),
            (Stage::Delivered, vec![]),
            (Stage::Cancelled, vec![]),
        ] {
            let found: Vec<&str> = LIFECYCLE.actions(Some(stage)).filter(|action| moves.contains(action)).collect();
            assert_eq!(found, possible, "{stage:?}");
        }
        assert_eq!(LIFECYCLE.actions(Some(Stage::Cancelled)).collect::<Vec<_>>(), ["edit_notes"]);
        assert_eq!(LIFECYCLE.actions(None).collect::<Vec<_>>(), ["create"]);
    }
}
