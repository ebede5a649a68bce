//! The lines of an order: what, how many, at which price, and how many are picked.

use super::{OrderLine, OrderModel};
use crate::{Action, Amount, Change, Checks, EntryId, Exact, Place, Plan};
use changeset::{Decimal, Value};
use serde::{Deserialize, Serialize};

/// The path of a line's field.
fn at(line: &EntryId, field: &str) -> String {
    format!("lines/{line}/{field}")
}

fn example_line() -> EntryId {
    EntryId::numbered(1)
}

fn check_quantity(checks: &mut Checks<'_>, line: &EntryId, quantity: Amount) {
    if quantity.exact() == Exact::ZERO {
        checks.violation(at(line, "quantity"), "is 0", "write more than 0, or remove the line");
    }
}

/// Adds a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddLine {
    /// Its id.
    pub line: EntryId,
    /// The product's number.
    pub product: String,
    /// The product in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How many.
    pub quantity: Amount,
    /// What one costs; a negative price is a credit.
    pub unit_price: Amount,
    /// What share is let off, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discount: Option<Amount>,
    /// Where it goes; last, if left out.
    #[serde(default, skip_serializing_if = "Place::is_last")]
    pub place: Place,
}

impl Action for AddLine {
    type Model = OrderModel;
    const NAME: &'static str = "add_line";
    const SUMMARY: &'static str = "Adds a line.";

    fn example() -> Self {
        Self {
            line: example_line(),
            product: "14".to_owned(),
            description: Some("Tofu".to_owned()),
            quantity: Amount::from(9),
            unit_price: Amount::from(Decimal { mantissa: 1860, scale: 2 }),
            discount: Some(Amount::from(Decimal { mantissa: 15, scale: 2 })),
            place: Place::Last,
        }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.no_entry("lines", &self.line);
        check_quantity(checks, &self.line, self.quantity);
    }

    fn plan(&self) -> Plan {
        Plan::new()
            .add_entry("lines", &self.line, self.place.clone())
            .put(at(&self.line, "product"), self.product.as_str())
            .put_some(at(&self.line, "description"), self.description.as_deref())
            .put(at(&self.line, "quantity"), self.quantity.to_whole_value())
            .put(at(&self.line, "unit_price"), self.unit_price)
            .put_some(at(&self.line, "discount"), self.discount)
            .put(at(&self.line, "picked"), Value::Counter(0))
    }
}

/// Moves a line within the order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MoveLine {
    /// The line.
    pub line: EntryId,
    /// Where it goes.
    pub place: Place,
}

impl Action for MoveLine {
    type Model = OrderModel;
    const NAME: &'static str = "move_line";
    const SUMMARY: &'static str = "Moves a line within the order.";

    fn example() -> Self {
        Self { line: example_line(), place: Place::First }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.entry("lines", &self.line);
    }

    fn plan(&self) -> Plan {
        Plan::new().move_entry("lines", &self.line, self.place.clone())
    }
}

/// Removes a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveLine {
    /// The line.
    pub line: EntryId,
}

impl Action for RemoveLine {
    type Model = OrderModel;
    const NAME: &'static str = "remove_line";
    const SUMMARY: &'static str = "Removes a line; what was written in it is kept out of sight.";

    fn example() -> Self {
        Self { line: example_line() }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.entry("lines", &self.line);
    }

    fn plan(&self) -> Plan {
        Plan::new().remove_entry("lines", &self.line)
    }
}

/// Brings a removed line back, with everything that was written in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreLine {
    /// The line.
    pub line: EntryId,
}

impl Action for RestoreLine {
    type Model = OrderModel;
    const NAME: &'static str = "restore_line";
    const SUMMARY: &'static str = "Brings a removed line back, with everything that was written in it.";

    fn example() -> Self {
        Self { line: example_line() }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.removed_entry("lines", &self.line);
    }

    fn plan(&self) -> Plan {
        Plan::new().restore_entry("lines", &self.line)
    }
}

/// Changes how many are ordered; while picking, not below what is picked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeQuantity {
    /// The line.
    pub line: EntryId,
    /// How many.
    pub quantity: Amount,
}

impl Action for ChangeQuantity {
    type Model = OrderModel;
    const NAME: &'static str = "change_quantity";
    const SUMMARY: &'static str = "Changes how many are ordered.";

    fn example() -> Self {
        Self { line: example_line(), quantity: Amount::from(10) }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.entry("lines", &self.line);
        check_quantity(checks, &self.line, self.quantity);
        let picked = checks.fields().counter(&at(&self.line, "picked")).unwrap_or(0);
        let to_pick = self.quantity.exact().ceil();
        if to_pick.is_some_and(|to_pick| to_pick < picked) {
            let problem = format!("{} is less than the {picked} picked", self.quantity);
            checks.violation(at(&self.line, "quantity"), problem, "first put the surplus back with `pick`");
        }
    }

    fn plan(&self) -> Plan {
        Plan::new().put(at(&self.line, "quantity"), self.quantity.to_whole_value())
    }
}

/// Changes what one costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangePrice {
    /// The line.
    pub line: EntryId,
    /// What one costs; a negative price is a credit.
    pub unit_price: Amount,
}

impl Action for ChangePrice {
    type Model = OrderModel;
    const NAME: &'static str = "change_price";
    const SUMMARY: &'static str = "Changes what one unit costs.";

    fn example() -> Self {
        Self { line: example_line(), unit_price: Amount::from(Decimal { mantissa: 1795, scale: 2 }) }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.entry("lines", &self.line);
    }

    fn plan(&self) -> Plan {
        Plan::new().put(at(&self.line, "unit_price"), self.unit_price)
    }
}

/// Changes what share is let off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeDiscount {
    /// The line.
    pub line: EntryId,
    /// From 0 to 1; null for none.
    pub discount: Change<Amount>,
}

impl Action for ChangeDiscount {
    type Model = OrderModel;
    const NAME: &'static str = "change_discount";
    const SUMMARY: &'static str = "Changes what share of the line is let off.";

    fn example() -> Self {
        Self { line: example_line(), discount: Change::Set(Amount::from(Decimal { mantissa: 2, scale: 1 })) }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.entry("lines", &self.line);
    }

    fn plan(&self) -> Plan {
        Plan::new().change(at(&self.line, "discount"), &self.discount)
    }
}

/// Counts units as picked, or puts them back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pick {
    /// The line.
    pub line: EntryId,
    /// How many; negative if they are put back.
    pub units: i64,
}

impl Action for Pick {
    type Model = OrderModel;
    const NAME: &'static str = "pick";
    const SUMMARY: &'static str = "Counts units as picked; a negative number puts them back.";

    fn example() -> Self {
        Self { line: example_line(), units: 10 }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.entry("lines", &self.line);
        let fields = checks.fields().below(&format!("lines/{}", self.line));
        let line = OrderLine::read(self.line.to_string(), &fields);
        let path = at(&self.line, "picked");
        let after = line.picked.saturating_add(self.units);
        if self.units == 0 {
            checks.violation(&path, "nothing would change", "write how many units, negative to put them back");
        } else if after < 0 {
            let problem = format!("only {} are picked", line.picked);
            checks.violation(&path, problem, format!("put at most {} back", line.picked));
        } else if let Some(to_pick) = line.to_pick().filter(|to_pick| after > *to_pick && self.units > 0) {
            let left = to_pick.saturating_sub(line.picked).max(0);
            let problem = format!("would be {after} of {to_pick}");
            checks.violation(&path, problem, format!("pick at most {left} more, or change the quantity"));
        }
    }

    fn plan(&self) -> Plan {
        Plan::new().increment(at(&self.line, "picked"), self.units)
    }
}

#[cfg(test)]
mod tests {
    use super::{AddLine, ChangeDiscount, ChangeQuantity, MoveLine, Pick, RemoveLine, RestoreLine};
    use crate::kinds::fake::Fake;
    use crate::order::Order;
    use crate::{Amount, Change, EntryId, Intent, Place, Violation};
    use changeset::{Decimal, Value};

    fn refused(intent: &impl Intent, state: &Fake) -> Vec<String> {
        intent.validate(state).iter().map(Violation::to_string).collect()
    }

    fn amount(text: &str) -> Amount {
        Amount::parse(text).unwrap()
    }

    fn draft() -> Fake {
        let mut state = Fake::default();
        state.set("status", "draft");
        state.set("currency", "EUR");
        AddLine::example().apply(&mut state).unwrap();
        state
    }

    #[test]
    fn a_line_is_stored_as_documented() {
        let state = draft();
        assert_eq!(state.get("lines/1/quantity"), Some(Value::Int(9)));
        assert_eq!(state.get("lines/1/unit_price"), Some(Value::Decimal(Decimal { mantissa: 1860, scale: 2 })));
        assert_eq!(state.get("lines/1/picked"), Some(Value::Counter(0)));
        let line = AddLine { line: EntryId::numbered(2), quantity: amount("2.50"), ..AddLine::example() };
        let mut state = state;
        line.apply(&mut state).unwrap();
        assert_eq!(state.get("lines/2/quantity"), Some(Value::Decimal(Decimal { mantissa: 250, scale: 2 })));
        let first = MoveLine { line: EntryId::numbered(2), place: Place::First };
        first.apply(&mut state).unwrap();
        let order = Order::read(&state);
        assert_eq!(order.lines.iter().map(|line| line.id.as_str()).collect::<Vec<_>>(), ["2", "1"]);
        // 2.50 × 18.60 × 0.85 = 39.525 and 9 × 18.60 × 0.85 = 142.29
        assert_eq!(order.totals().unwrap().total.to_string(), "181.82");
        assert_eq!(order.lines.first().and_then(|line| line.to_pick()), Some(3));
    }

    #[test]
    fn a_bad_line_is_refused_for_every_reason() {
        let mut state = draft();
        state.set("status", "picking");
        let line = AddLine {
            product: String::new(),
            quantity: amount("-1"),
            discount: Some(amount("1.01")),
            place: Place::After(EntryId::numbered(9)),
            ..AddLine::example()
        };
        assert_eq!(
            refused(&line, &state),
            [
                "status: `add_line` is not possible while picking; it cannot be any more; possible now: set_dates, \
                 set_ship_to, set_freight, change_quantity, edit_notes, pick, dispatch, cancel",
                "lines/1: exists already; change it, or choose another id",
                "lines/9: does not exist; add it first, or name another entry",
                "lines/1/product: is missing; write a string (Product)",
                "lines/1/quantity: -1 is out of range; write a number from 0 to 1000000000",
                "lines/1/discount: 1.01 is out of range; write a number from 0 to 1",
            ]
        );
        let zero = ChangeQuantity { line: EntryId::numbered(1), quantity: amount("0.00") };
        assert_eq!(refused(&zero, &state), ["lines/1/quantity: is 0; write more than 0, or remove the line"]);
        let discount = ChangeDiscount { line: EntryId::numbered(2), discount: Change::Clear };
        assert_eq!(refused(&discount, &draft()), ["lines/2: does not exist; add it first, or name another entry"]);
    }

    #[test]
    fn no_more_is_picked_than_ordered_and_no_less_than_nothing() {
        let mut state = draft();
        state.set("status", "picking");
        let pick = |units| Pick { line: EntryId::numbered(1), units };
        assert_eq!(
            refused(&pick(10), &state),
            ["lines/1/picked: would be 10 of 9; pick at most 9 more, or change the quantity"]
        );
        assert_eq!(refused(&pick(-1), &state), ["lines/1/picked: only 0 are picked; put at most 0 back"]);
        assert_eq!(
            refused(&pick(0), &state),
            ["lines/1/picked: nothing would change; write how many units, negative to put them back"]
        );
        assert_eq!(refused(&pick(i64::MAX), &state).len(), 2);
        assert!(refused(&pick(9), &state).is_empty());
        pick(9).apply(&mut state).unwrap();
        pick(-2).apply(&mut state).unwrap();
        assert_eq!(state.get("lines/1/picked"), Some(Value::Counter(7)));
        let fewer = |text| ChangeQuantity { line: EntryId::numbered(1), quantity: amount(text) };
        assert_eq!(
            refused(&fewer("6"), &state),
            ["lines/1/quantity: 6 is less than the 7 picked; first put the surplus back with `pick`"]
        );
        assert!(refused(&fewer("6.5"), &state).is_empty());
        // Two devices may have picked too much together; then what is put back is welcome even if it is not enough.
        state.set("lines/1/quantity", 2);
        assert!(refused(&pick(-1), &state).is_empty());
    }

    #[test]
    fn a_removed_line_counts_for_nothing_until_it_is_restored() {
        let mut state = draft();
        RemoveLine::example().apply(&mut state).unwrap();
        assert!(Order::read(&state).lines.is_empty());
        assert_eq!(
            refused(&RemoveLine::example(), &state),
            ["lines/1: was removed; restore it, or name another entry"]
        );
        assert!(refused(&RestoreLine::example(), &state).is_empty());
        RestoreLine::example().apply(&mut state).unwrap();
        assert_eq!(Order::read(&state), Order::read(&draft()));
    }
}
