//! Orders: what a customer wants, at which price, and how far it has come.
//!
//! | path | what |
//! | --- | --- |
//! | `status` | draft → submitted → approved → picking → dispatched → delivered, or cancelled |
//! | `number`, `currency` (ISO 4217) | |
//! | `customer/number`, `customer/name` | who |
//! | `dates/ordered`, `required`, `dispatched`, `delivered` | when |
//! | `ship_to/name`, `street`, `city`, `region`, `postal_code`, `country` | where to |
//! | `freight`, `notes` (text), `cancellation` | |
//! | `lines/<id>/`: `.`, `position`, `product`, `description`, `quantity`, `unit_price`, `discount` | what |
//! | `lines/<id>/picked` (counter) | how much of it is picked; two people who pick at once are both counted |
//!
//! Money is stored as it is written, 18.00 as 18.00. A quantity is stored as an int if it is whole and as a decimal if not.
//! `picked` counts whole units: 2.5 m are picked at 3. How totals are rounded stands at [`Order::totals`].

mod handling;
mod lines;
mod ordering;
mod stages;
mod totals;
mod view;

pub use handling::{Approve, Cancel, Deliver, Dispatch, EditNotes, StartPicking, Submit};
pub use lines::{AddLine, ChangeDiscount, ChangePrice, ChangeQuantity, MoveLine, Pick, RemoveLine, RestoreLine};
pub use ordering::{Create, SetCustomer, SetDates, SetDetails, SetFreight, SetShipTo};
pub use stages::{LIFECYCLE, Stage};
pub use totals::{Totals, TotalsError, line_total, minor_digits};
pub use view::{Address, Customer, Dates, Order, OrderLine};

use crate::{KindDefinition, Lifecycle, Model, Schema, SchemaError};
use std::sync::LazyLock;

static SCHEMA: LazyLock<Result<Schema, SchemaError>> =
    LazyLock::new(|| Schema::from_json(include_str!("order/schema.json")));

/// The model of orders, for actions on them.
#[derive(Clone, Copy, Debug)]
pub struct OrderModel;

impl Model for OrderModel {
    type Stage = Stage;

    fn lifecycle() -> &'static Lifecycle<Stage> {
        &LIFECYCLE
    }

    fn schema() -> Result<&'static Schema, &'static SchemaError> {
        SCHEMA.as_ref()
    }
}

/// The kind `order` with all its intents.
///
/// # Errors
/// [`SchemaError`] if the schema in this crate is none; its tests hold that it is.
pub fn definition() -> Result<KindDefinition, SchemaError> {
    let schema = OrderModel::schema().map_err(Clone::clone)?;
    Ok(KindDefinition::new(schema.clone())
        .with::<Create>()
        .with::<SetDetails>()
        .with::<SetCustomer>()
        .with::<SetDates>()
        .with::<SetShipTo>()
        .with::<SetFreight>()
        .with::<AddLine>()
        .with::<MoveLine>()
        .with::<RemoveLine>()
        .with::<RestoreLine>()
        .with::<ChangeQuantity>()
        .with::<ChangePrice>()
        .with::<ChangeDiscount>()
        .with::<EditNotes>()
        .with::<Submit>()
        .with::<Approve>()
        .with::<StartPicking>()
        .with::<Pick>()
        .with::<Dispatch>()
        .with::<Deliver>()
        .with::<Cancel>())
}
