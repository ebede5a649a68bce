//! Handling an order: from handing it in to delivery.

use super::{Order, OrderModel};
use crate::{Action, Checks, Exact, Model, Needs, Plan, TextEdit, Timestamp};
use serde::{Deserialize, Serialize};

/// Approving and cancelling decide about what others do meanwhile: they need a state of the last hour.
const DECISION: Needs = Needs::FreshState { age_ms_max: 3_600_000 };

/// Edits the notes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EditNotes {
    /// The change.
    pub edit: TextEdit,
}

impl Action for EditNotes {
    type Model = OrderModel;
    const NAME: &'static str = "edit_notes";
    const SUMMARY: &'static str = "Edits the notes.";

    fn example() -> Self {
        Self { edit: TextEdit::Append("Ring at the side door.".to_owned()) }
    }

    fn plan(&self) -> Plan {
        Plan::new().text("notes", self.edit.clone())
    }
}

/// Hands the order in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submit {}

impl Action for Submit {
    type Model = OrderModel;
    const NAME: &'static str = "submit";
    const SUMMARY: &'static str =
        "Hands the order in; needs a customer, at least one line, and totals that can be computed.";

    fn example() -> Self {
        Self {}
    }

    fn check(&self, checks: &mut Checks<'_>) {
        let order = Order::read(checks.state());
        if order.customer.number.is_none() && order.customer.name.is_none() {
            checks.violation("customer", "is missing", "first `set_customer`");
        }
        if order.lines.is_empty() {
            checks.violation("lines", "there are none", "first `add_line`");
        }
        for line in &order.lines {
            if line.quantity.is_some_and(|quantity| Exact::from(quantity) == Exact::ZERO) {
                checks.violation(
                    format!("lines/{}/quantity", line.id),
                    "is 0",
                    "first `change_quantity`, or remove the line",
                );
            }
        }
        if let Ok(schema) = OrderModel::schema() {
            checks.extend(schema.violations(checks.state()));
        }
        if let Err(super::TotalsError::TooLarge { path }) = order.totals() {
            checks.violation(path, "the total does not fit into 18 digits", "check quantity and price");
        }
    }

    fn plan(&self) -> Plan {
        Plan::new()
    }
}

/// Agrees to deliver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approve {}

impl Action for Approve {
    type Model = OrderModel;
    const NAME: &'static str = "approve";
    const SUMMARY: &'static str = "Agrees to deliver a submitted order.";

    fn example() -> Self {
        Self {}
    }

    fn plan(&self) -> Plan {
        Plan::new()
    }

    fn needs(&self) -> Needs {
        DECISION
    }
}

/// Begins to pick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartPicking {}

impl Action for StartPicking {
    type Model = OrderModel;
    const NAME: &'static str = "start_picking";
    const SUMMARY: &'static str = "Begins to pick an approved order.";

    fn example() -> Self {
        Self {}
    }

    fn plan(&self) -> Plan {
        Plan::new()
    }
}

/// Sends the order off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dispatch {
    /// When; the time of the change set, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Whether what is picked goes although lines are short.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub partial: bool,
}

impl Action for Dispatch {
    type Model = OrderModel;
    const NAME: &'static str = "dispatch";
    const SUMMARY: &'static str = "Sends the order off; every line must be picked, unless `partial` is true.";

    fn example() -> Self {
        Self { at: Timestamp::parse("2026-07-10T15:00:00Z"), partial: false }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        let order = Order::read(checks.state());
        if order.lines.iter().all(|line| line.picked <= 0) {
            checks.violation("lines", "nothing is picked", "first `pick`");
        }
        for line in &order.lines {
            let Some(to_pick) = line.to_pick() else { continue };
            let path = format!("lines/{}/picked", line.id);
            let problem = format!("is {} of {to_pick}", line.picked);
            if line.picked < to_pick && !self.partial {
                let left = to_pick.saturating_sub(line.picked);
                checks.violation(path, problem, format!("pick {left} more, change the quantity, or set `partial`"));
            } else if line.picked > to_pick {
                let surplus = line.picked.saturating_sub(to_pick);
                checks.violation(path, problem, format!("put {surplus} back with `pick`"));
            }
        }
    }

    fn plan(&self) -> Plan {
        put_at("dates/dispatched", self.at)
    }
}

/// Records that the order arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deliver {
    /// When; the time of the change set, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

impl Action for Deliver {
    type Model = OrderModel;
    const NAME: &'static str = "deliver";
    const SUMMARY: &'static str = "Records that the order arrived.";

    fn example() -> Self {
        Self { at: None }
    }

    fn plan(&self) -> Plan {
        put_at("dates/delivered", self.at)
    }
}

fn put_at(path: &str, at: Option<Timestamp>) -> Plan {
    match at {
        Some(at) => Plan::new().put(path, at),
        None => Plan::new().put_now(path),
    }
}

/// Calls the order off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// Why.
    pub reason: String,
}

impl Action for Cancel {
    type Model = OrderModel;
    const NAME: &'static str = "cancel";
    const SUMMARY: &'static str = "Calls an order off that was not sent yet, and says why.";

    fn example() -> Self {
        Self { reason: "The customer closed the shop.".to_owned() }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.reason(&self.reason);
    }

    fn plan(&self) -> Plan {
        Plan::new().put("cancellation", self.reason.as_str())
    }

    fn needs(&self) -> Needs {
        DECISION
    }

    fn reason(&self) -> Option<&str> {
        Some(&self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cancel, Dispatch, Submit};
    use crate::kinds::fake::Fake;
    use crate::order::{Create, Order, OrderModel, Stage, definition};
    use crate::{Deferral, Facts, Intent, Model, Permission, Refusal, Timestamp, Violation, check};
    use changeset::{Decimal, Value};

    fn refused(intent: &impl Intent, state: &Fake) -> Vec<String> {
        intent.validate(state).iter().map(Violation::to_string).collect()
    }

    fn act(state: &mut Fake, names: &[&str]) {
        for name in names {
            let intent = definition().unwrap().intent(name).unwrap().example();
            let violations = intent.validate(state);
            assert!(violations.is_empty(), "{intent:?}: {violations:?}");
            intent.apply(state).unwrap();
        }
    }

    /// Every intent up to picking, in an order in which an order could see them.
    fn picking() -> Fake {
        let mut state = Fake::at(1_783_900_800_000);
        act(
            &mut state,
            &["create", "set_details", "set_customer", "set_dates", "set_ship_to", "set_freight", "add_line"],
        );
        act(&mut state, &["move_line", "remove_line", "restore_line", "change_quantity", "change_price"]);
        act(&mut state, &["change_discount", "edit_notes", "submit", "approve", "start_picking"]);
        state
    }

    #[test]
    fn the_examples_tell_one_order_from_draft_to_delivered() {
        let mut state = picking();
        act(&mut state, &["pick", "dispatch", "deliver"]);
        let order = Order::read(&state);
        assert_eq!((order.status, order.number.as_deref()), (Some(Stage::Delivered), Some("10249-b")));
        assert_eq!(order.dates.dispatched, Timestamp::parse("2026-07-10T15:00:00Z"));
        assert_eq!(order.dates.delivered, Timestamp::parse("2026-07-13T00:00:00Z"));
        assert_eq!(order.notes.as_deref(), Some("Ring at the side door."));
        // 10 × 17.95 × 0.8 = 143.60, and 11.61 freight
        assert_eq!(order.totals().unwrap().total.to_string(), "155.21");
        assert_eq!(OrderModel::schema().unwrap().violations(&state), []);
    }

    #[test]
    fn submitting_lists_everything_that_is_missing() {
        let mut state = Fake::default();
        let create = Create { customer_name: None, customer_number: None, ..Create::example() };
        create.apply(&mut state).unwrap();
        assert_eq!(
            refused(&Submit {}, &state),
            ["customer: is missing; first `set_customer`", "lines: there are none; first `add_line`"]
        );
        state.set("customer/number", "TOMSP");
        state.set("lines/1/.", true);
        state.set("lines/1/quantity", 0);
        state.set("lines/2/.", true);
        state.set("lines/2/position", "i0");
        state.set("lines/2/product", "14");
        state.set("lines/2/quantity", 1_000_000_000);
        state.set("lines/2/unit_price", Decimal { mantissa: i64::MAX, scale: 0 });
        state.set("lines/2/picked", Value::Counter(0));
        assert_eq!(
            refused(&Submit {}, &state),
            [
                "lines/1/quantity: is 0; first `change_quantity`, or remove the line",
                "lines/1/picked: is missing; write a counter (Picked)",
                "lines/1/position: is missing; write a string",
                "lines/1/product: is missing; write a string (Product)",
                "lines/1/unit_price: is missing; write a decimal such as 12.50 (Unit price)",
                "lines/2: the total does not fit into 18 digits; check quantity and price",
            ]
        );
    }

    #[test]
    fn an_order_goes_only_when_picked_or_knowingly_short() {
        let mut state = picking();
        let (whole, partial) = (Dispatch::default(), Dispatch { partial: true, at: None });
        assert_eq!(
            refused(&whole, &state),
            [
                "lines: nothing is picked; first `pick`",
                "lines/1/picked: is 0 of 10; pick 10 more, change the quantity, or set `partial`",
            ]
        );
        assert_eq!(refused(&partial, &state), ["lines: nothing is picked; first `pick`"]);
        state.set("lines/1/picked", Value::Counter(9));
        assert_eq!(refused(&whole, &state).len(), 1);
        assert!(refused(&partial, &state).is_empty());
        state.set("lines/1/picked", Value::Counter(12));
        assert_eq!(refused(&partial, &state), ["lines/1/picked: is 12 of 10; put 2 back with `pick`"]);
    }

    #[test]
    fn cancelling_needs_a_fresh_state_a_reason_and_an_order_in_the_house() {
        let mut state = picking();
        let facts = Facts { now_ms: 10_000_000, ..Facts::default() };
        let cancel = Cancel { reason: "no stock".into() };
        let stale = Permission::Deferred(Deferral::Stale { age_ms: None, age_ms_max: 3_600_000 });
        assert_eq!(check(&cancel, &state, &facts), stale);
        let fresh = Facts { up_to_date_at_ms: Some(9_000_000), ..facts };
        assert_eq!(check(&cancel, &state, &fresh), Permission::Allowed);
        cancel.apply(&mut state).unwrap();
        assert_eq!(Order::read(&state).cancellation.as_deref(), Some("no stock"));
        let Permission::Forbidden(Refusal::Violations(violations)) =
            check(&Cancel { reason: String::new() }, &state, &fresh)
        else {
            panic!("a cancelled order was cancelled again");
        };
        let violations: Vec<String> = violations.iter().map(ToString::to_string).collect();
        assert_eq!(
            violations,
            [
                "status: `cancel` is not possible while cancelled; it cannot be any more; possible now: edit_notes",
                "reason: is missing; write why, in a sentence that others will understand",
            ]
        );
    }
}
