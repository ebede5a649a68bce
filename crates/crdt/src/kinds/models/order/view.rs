//! An order as people see it.

use super::Stage;
use crate::{Exact, Fields, State, Timestamp};
use changeset::Decimal;

/// An order, read out of a state. A field that is absent is none, and so is a status that only a newer version knows;
/// [`Schema::violations`](crate::Schema::violations) names the latter.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// How far it has come; none if it was not created.
    pub status: Option<Stage>,
    /// Its number.
    pub number: Option<String>,
    /// Three letters of ISO 4217.
    pub currency: Option<String>,
    /// Who ordered.
    pub customer: Customer,
    /// When.
    pub dates: Dates,
    /// Where to.
    pub ship_to: Address,
    /// What the way costs.
    pub freight: Option<Decimal>,
    /// What was ordered, in order.
    pub lines: Vec<OrderLine>,
    /// What else is to be said.
    pub notes: Option<String>,
    /// Why it was cancelled.
    pub cancellation: Option<String>,
}

/// Who ordered.
#[derive(Clone, Debug, PartialEq)]
pub struct Customer {
    /// The customer's number.
    pub number: Option<String>,
    /// The customer's name.
    pub name: Option<String>,
}

/// The dates of an order.
#[derive(Clone, Debug, PartialEq)]
pub struct Dates {
    /// When it was ordered.
    pub ordered: Option<Timestamp>,
    /// By when the customer wants it.
    pub required: Option<Timestamp>,
    /// When it left.
    pub dispatched: Option<Timestamp>,
    /// When it arrived.
    pub delivered: Option<Timestamp>,
}

/// Where an order goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    /// To whom.
    pub name: Option<String>,
    /// Street and house.
    pub street: Option<String>,
    /// City.
    pub city: Option<String>,
    /// State, province or county.
    pub region: Option<String>,
    /// Postal code.
    pub postal_code: Option<String>,
    /// Country.
    pub country: Option<String>,
}

/// One line of an order.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderLine {
    /// Its id.
    pub id: String,
    /// The product's number.
    pub product: Option<String>,
    /// The product in words.
    pub description: Option<String>,
    /// How many.
    pub quantity: Option<Decimal>,
    /// What one costs.
    pub unit_price: Option<Decimal>,
    /// What share is let off, from 0 to 1.
    pub discount: Option<Decimal>,
    /// How many whole units were picked.
    pub picked: i64,
}

impl Order {
    /// Reads the order.
    pub fn read(state: &dyn State) -> Self {
        let fields = Fields::new(state);
        let (customer, dates) = (fields.below("customer"), fields.below("dates"));
        Self {
            status: fields.code("status"),
            number: fields.string("number"),
            currency: fields.string("currency"),
            customer: Customer { number: customer.string("number"), name: customer.string("name") },
            dates: Dates {
                ordered: dates.timestamp("ordered"),
                required: dates.timestamp("required"),
                dispatched: dates.timestamp("dispatched"),
                delivered: dates.timestamp("delivered"),
            },
            ship_to: Address::read(&fields.below("ship_to")),
            freight: fields.decimal("freight"),
            lines: fields.entries("lines").map(|(id, fields)| OrderLine::read(id, &fields)).collect(),
            notes: fields.text("notes"),
            cancellation: fields.string("cancellation"),
        }
    }
}

impl Address {
    fn read(fields: &Fields<'_>) -> Self {
        Self {
            name: fields.string("name"),
            street: fields.string("street"),
            city: fields.string("city"),
            region: fields.string("region"),
            postal_code: fields.string("postal_code"),
            country: fields.string("country"),
        }
    }
}

impl OrderLine {
    pub(super) fn read(id: String, fields: &Fields<'_>) -> Self {
        Self {
            id,
            product: fields.string("product"),
            description: fields.string("description"),
            quantity: fields.decimal("quantity"),
            unit_price: fields.decimal("unit_price"),
            discount: fields.decimal("discount"),
            picked: fields.counter("picked").unwrap_or(0),
        }
    }

    /// How many whole units are to be picked; none without a quantity that can be counted.
    pub fn to_pick(&self) -> Option<i64> {
        self.quantity.and_then(|quantity| Exact::from(quantity).ceil())
    }
}
