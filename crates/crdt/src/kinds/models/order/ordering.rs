//! Writing an order: who, when, where to.

use super::OrderModel;
use crate::{Action, Amount, Change, Checks, Plan, Timestamp};
use changeset::Decimal;
use serde::{Deserialize, Serialize};

/// Begins an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Create {
    /// Its number.
    pub number: String,
    /// Three capital letters of ISO 4217.
    pub currency: String,
    /// The customer's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_number: Option<String>,
    /// The customer's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_name: Option<String>,
    /// When it was ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordered: Option<Timestamp>,
}

fn check_currency(checks: &mut Checks<'_>, currency: &str) {
    if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
        checks.violation("currency", format!("{currency:?} is no currency"), "write three capital letters such as EUR");
    }
}

impl Action for Create {
    type Model = OrderModel;
    const NAME: &'static str = "create";
    const SUMMARY: &'static str = "Begins an order.";

    fn example() -> Self {
        Self {
            number: "10249".to_owned(),
            currency: "EUR".to_owned(),
            customer_number: Some("TOMSP".to_owned()),
            customer_name: Some("Toms Spezialitäten".to_owned()),
            ordered: Timestamp::parse("2026-07-05"),
        }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        check_currency(checks, &self.currency);
    }

    fn plan(&self) -> Plan {
        Plan::new()
            .put("number", self.number.as_str())
            .put("currency", self.currency.as_str())
            .put_some("customer/number", self.customer_number.as_deref())
            .put_some("customer/name", self.customer_name.as_deref())
            .put_some("dates/ordered", self.ordered)
    }
}

/// Changes number or currency.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetDetails {
    /// The order's number.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub number: Change<String>,
    /// Three capital letters of ISO 4217.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub currency: Change<String>,
}

impl Action for SetDetails {
    type Model = OrderModel;
    const NAME: &'static str = "set_details";
    const SUMMARY: &'static str = "Changes number or currency.";

    fn example() -> Self {
        Self { number: Change::Set("10249-b".to_owned()), currency: Change::Keep }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.something(&self.plan(), "number, currency");
        if let Some(currency) = self.currency.set() {
            check_currency(checks, currency);
        }
    }

    fn plan(&self) -> Plan {
        Plan::new().change("number", &self.number).change("currency", &self.currency)
    }
}

/// Changes who ordered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetCustomer {
    /// The customer's number.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub number: Change<String>,
    /// The customer's name.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub name: Change<String>,
}

impl Action for SetCustomer {
    type Model = OrderModel;
    const NAME: &'static str = "set_customer";
    const SUMMARY: &'static str = "Changes who ordered.";

    fn example() -> Self {
        Self { name: Change::Set("Toms Spezialitäten GmbH".to_owned()), number: Change::Keep }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.something(&self.plan(), "number, name");
    }

    fn plan(&self) -> Plan {
        Plan::new().change("customer/number", &self.number).change("customer/name", &self.name)
    }
}

/// Changes when it was ordered and by when it is wanted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetDates {
    /// When it was ordered.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub ordered: Change<Timestamp>,
    /// By when the customer wants it.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub required: Change<Timestamp>,
}

impl Action for SetDates {
    type Model = OrderModel;
    const NAME: &'static str = "set_dates";
    const SUMMARY: &'static str = "Changes when it was ordered and by when it is wanted.";

    fn example() -> Self {
        let required = Timestamp::parse("2026-08-16").map_or(Change::Keep, Change::Set);
        Self { required, ordered: Change::Keep }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.something(&self.plan(), "ordered, required");
        let dates = checks.fields().below("dates");
        let after = |change: Change<Timestamp>, name: &str| match change {
            Change::Keep => dates.timestamp(name),
            Change::Clear => None,
            Change::Set(moment) => Some(moment),
        };
        let dates = after(self.ordered, "ordered").zip(after(self.required, "required"));
        if let Some((ordered, required)) = dates.filter(|(ordered, required)| required < ordered) {
            let problem = format!("{required} is before it was ordered, {ordered}");
            checks.violation("dates/required", problem, "write a later date");
        }
    }

    fn plan(&self) -> Plan {
        Plan::new().change("dates/ordered", &self.ordered).change("dates/required", &self.required)
    }
}

/// Changes where it goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetShipTo {
    /// To whom.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub name: Change<String>,
    /// Street and house.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub street: Change<String>,
    /// City.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub city: Change<String>,
    /// State, province or county.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub region: Change<String>,
    /// Postal code.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub postal_code: Change<String>,
    /// Country.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub country: Change<String>,
}

impl Action for SetShipTo {
    type Model = OrderModel;
    const NAME: &'static str = "set_ship_to";
    const SUMMARY: &'static str = "Changes where it goes.";

    fn example() -> Self {
        Self {
            street: Change::Set("Luisenstr. 48".to_owned()),
            city: Change::Set("Münster".to_owned()),
            postal_code: Change::Set("44087".to_owned()),
            country: Change::Set("Germany".to_owned()),
            ..Self::default()
        }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.something(&self.plan(), "name, street, city, region, postal_code, country");
    }

    fn plan(&self) -> Plan {
        Plan::new()
            .change("ship_to/name", &self.name)
            .change("ship_to/street", &self.street)
            .change("ship_to/city", &self.city)
            .change("ship_to/region", &self.region)
            .change("ship_to/postal_code", &self.postal_code)
            .change("ship_to/country", &self.country)
    }
}

/// Changes what the way costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetFreight {
    /// In the order's currency; null for none.
    pub freight: Change<Amount>,
}

impl Action for SetFreight {
    type Model = OrderModel;
    const NAME: &'static str = "set_freight";
    const SUMMARY: &'static str = "Changes what the way costs.";

    fn example() -> Self {
        Self { freight: Change::Set(Amount::from(Decimal { mantissa: 1161, scale: 2 })) }
    }

    fn plan(&self) -> Plan {
        Plan::new().change("freight", &self.freight)
    }
}

#[cfg(test)]
mod tests {
    use super::{Create, SetDates, SetFreight, SetShipTo};
    use crate::kinds::fake::Fake;
    use crate::order::Order;
    use crate::{Amount, Change, Intent, Timestamp, Violation};

    fn refused(intent: &impl Intent, state: &Fake) -> Vec<String> {
        intent.validate(state).iter().map(Violation::to_string).collect()
    }

    #[test]
    fn creating_names_everything_that_is_wrong() {
        let create = Create { number: " ".into(), currency: "Euro".into(), ..Create::example() };
        assert_eq!(
            refused(&create, &Fake::default()),
            [
                "currency: \"Euro\" is no currency; write three capital letters such as EUR",
                "number: is missing; write a string (Order number)",
                "currency: has 4 characters; shorten it to 3",
            ]
        );
    }

    #[test]
    fn only_the_named_fields_of_an_address_are_written() {
        let mut state = Fake::default();
        Create::example().apply(&mut state).unwrap();
        state.set("ship_to/region", "NRW");
        SetShipTo { region: Change::Clear, ..SetShipTo::example() }.apply(&mut state).unwrap();
        SetShipTo { city: Change::Set("Hamm".into()), ..SetShipTo::default() }.apply(&mut state).unwrap();
        let address = Order::read(&state).ship_to;
        assert_eq!((address.city.as_deref(), address.street.as_deref()), (Some("Hamm"), Some("Luisenstr. 48")));
        assert_eq!((address.region, address.name), (None, None));
        assert_eq!(
            refused(&SetShipTo::default(), &state),
            ["nothing would change; set at least one of name, street, city, region, postal_code, country"]
        );
    }

    #[test]
    fn an_order_is_not_wanted_before_it_was_ordered() {
        let mut state = Fake::default();
        Create::example().apply(&mut state).unwrap();
        let at = |text: &str| Change::Set(Timestamp::parse(text).unwrap());
        let early = SetDates { ordered: Change::Keep, required: at("2026-07-04") };
        assert_eq!(
            refused(&early, &state),
            ["dates/required: 2026-07-04T00:00:00Z is before it was ordered, 2026-07-05T00:00:00Z; write a later date"]
        );
        for ordered in [at("2026-07-01"), Change::Clear] {
            assert!(refused(&SetDates { ordered, required: early.required }, &state).is_empty());
        }
    }

    #[test]
    fn freight_is_not_negative_and_keeps_its_digits() {
        let mut state = Fake::default();
        Create::example().apply(&mut state).unwrap();
        let freight = |text: &str| SetFreight { freight: Change::Set(Amount::parse(text).unwrap()) };
        assert_eq!(refused(&freight("-0.01"), &state), ["freight: -0.01 is out of range; write at least 0"]);
        freight("11.50").apply(&mut state).unwrap();
        assert_eq!(Order::read(&state).freight.unwrap().to_string(), "11.50");
    }
}
