//! What an order comes to, exactly.

use super::{Order, OrderLine};
use crate::Exact;
use changeset::Decimal;

/// What an order comes to, in the digits of its currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals {
    /// The total of each line, by line id, in the order of the lines.
    pub lines: Vec<(String, Decimal)>,
    /// The sum of the lines.
    pub goods: Decimal,
    /// The freight, rounded.
    pub freight: Decimal,
    /// Goods and freight.
    pub total: Decimal,
}

/// Why an order has no totals.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TotalsError {
    /// A value that is needed is not there.
    #[error("{path}: is missing; totals need it")]
    Missing {
        /// Where.
        path: String,
    },
    /// A total has too many digits.
    #[error("{path}: the total does not fit into 18 digits; check the numbers")]
    TooLarge {
        /// The line, or `total`.
        path: String,
    },
}

impl Order {
    /// What the order comes to. A line is quantity × unit price × (1 − discount), computed exactly and rounded once, at
    /// its end, half away from zero to the digits of the currency (2 for most); so is the freight. The sums of what was
    /// rounded are exact, so that the printed lines add up to the printed total.
    ///
    /// # Errors
    /// [`TotalsError`]: something is missing, or a number does not fit.
    pub fn totals(&self) -> Result<Totals, TotalsError> {
        let missing = |path: &str| TotalsError::Missing { path: path.to_owned() };
        let too_large = |path: &str| TotalsError::TooLarge { path: path.to_owned() };
        let digits = minor_digits(self.currency.as_deref().ok_or_else(|| missing("currency"))?);
        let mut lines = Vec::with_capacity(self.lines.len());
        let mut goods = Exact::ZERO;
        for line in &self.lines {
            let total = line.total(digits)?;
            goods = goods.checked_add(total.into()).ok_or_else(|| too_large("total"))?;
            lines.push((line.id.clone(), total));
        }
        let freight = Exact::from(self.freight.unwrap_or(Decimal { mantissa: 0, scale: 0 }));
        let freight = freight.round(digits).ok_or_else(|| too_large("freight"))?;
        let total = goods.checked_add(freight.into()).and_then(|total| total.round(digits));
        Ok(Totals {
            lines,
            goods: goods.round(digits).ok_or_else(|| too_large("total"))?,
            freight,
            total: total.ok_or_else(|| too_large("total"))?,
        })
    }
}

impl OrderLine {
    /// What the line comes to, rounded to this many digits: see [`Order::totals`].
    ///
    /// # Errors
    /// [`TotalsError`]: quantity or price is missing, or the total does not fit.
    pub fn total(&self, digits: u8) -> Result<Decimal, TotalsError> {
        let at = |field: &str| format!("lines/{}/{field}", self.id);
        let quantity = self.quantity.ok_or_else(|| TotalsError::Missing { path: at("quantity") })?;
        let unit_price = self.unit_price.ok_or_else(|| TotalsError::Missing { path: at("unit_price") })?;
        let total = line_total(quantity, unit_price, self.discount, digits);
        total.ok_or_else(|| TotalsError::TooLarge { path: format!("lines/{}", self.id) })
    }
}

/// quantity × unit price × (1 − discount), rounded half away from zero to `digits` digits; none if it does not fit. Up
/// to 36 digits are exact in between, more than 9 of quantity, 12 of price and 4 of discount need.
pub fn line_total(quantity: Decimal, unit_price: Decimal, discount: Option<Decimal>, digits: u8) -> Option<Decimal> {
    let share = match discount {
        Some(discount) => Exact::ONE.checked_sub(discount.into())?,
        None => Exact::ONE,
    };
    Exact::from(quantity).checked_mul(unit_price.into())?.checked_mul(share)?.round(digits)
}

/// How many digits after the point amounts of a currency have (ISO 4217): 2 unless it is one of the few others.
pub fn minor_digits(currency: &str) -> u8 {
    const NONE: &[&str] = &[
        "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF",
        "XPF",
    ];
    const THREE: &[&str] = &["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];
    const FOUR: &[&str] = &["CLF", "UYW"];
    [(NONE, 0), (THREE, 3), (FOUR, 4)]
        .into_iter()
        .find_map(|(codes, digits)| codes.contains(&currency).then_some(digits))
        .unwrap_or(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::fake::Fake;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    fn line(quantity: &str, unit_price: &str, discount: &str) -> Option<String> {
        let discount = (!discount.is_empty()).then(|| decimal(discount));
        line_total(decimal(quantity), decimal(unit_price), discount, 2).map(|total| total.to_string())
    }

    #[test]
    fn a_line_is_exact_and_rounded_once() {
        for (quantity, unit_price, discount, total) in [
            ("9", "18.60", "", "167.40"),
            ("12", "9.80", "0.15", "99.96"),
            ("3", "0.335", "", "1.01"),
            ("1", "0.005", "", "0.01"),
            ("1", "-0.005", "", "-0.01"),
            ("-3", "0.335", "", "-1.01"),
            ("1", "0.004999999999999999", "", "0.00"),
            ("2.5", "1.99", "0.1", "4.48"),
            ("7", "12.50", "1", "0.00"),
            ("7", "12.50", "1.5", "-43.75"),
            ("0.000001", "0.000001", "0.9999", "0.00"),
            ("123456789.123456", "123456.789012", "0.0625", "14288980093981.39"),
        ] {
            assert_eq!(line(quantity, unit_price, discount).as_deref(), Some(total), "{quantity} × {unit_price}");
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error_value() {
        let huge = "9223372036854775807";
        assert_eq!(line(huge, huge, ""), None);
        assert_eq!(line(huge, huge, "0.000000000000000001"), None);
        assert_eq!(line(huge, "1", ""), None);
        assert_eq!(line("1000000000", "9223372036.85", ""), None);
        let order = order(&[("a", huge, "0.01"), ("b", huge, "0.01")], "EUR", None);
        assert_eq!(order.totals(), Err(TotalsError::TooLarge { path: "total".into() }));
        let order = self::order(&[("a", huge, "1")], "EUR", None);
        assert_eq!(order.totals(), Err(TotalsError::TooLarge { path: "lines/a".into() }));
    }

    fn order(lines: &[(&str, &str, &str)], currency: &str, freight: Option<&str>) -> Order {
        let mut state = Fake::default();
        state.set("currency", currency);
        if let Some(freight) = freight {
            state.set("freight", decimal(freight));
        }
        for (id, quantity, unit_price) in lines {
            state.set(&format!("lines/{id}/."), true);
            state.set(&format!("lines/{id}/quantity"), decimal(quantity));
            state.set(&format!("lines/{id}/unit_price"), decimal(unit_price));
        }
        Order::read(&state)
    }

    #[test]
    fn printed_lines_add_up_to_the_printed_total() {
        let totals = order(&[("a", "1", "0.335"), ("b", "1", "0.335"), ("c", "1", "-0.335")], "EUR", Some("11.615"));
        let totals = totals.totals().unwrap();
        let lines: Vec<String> = totals.lines.iter().map(|(id, total)| format!("{id} {total}")).collect();
        assert_eq!(lines, ["a 0.34", "b 0.34", "c -0.34"]);
        assert_eq!((totals.goods.to_string(), totals.freight.to_string()), ("0.34".into(), "11.62".into()));
        assert_eq!(totals.total.to_string(), "11.96");
    }

    #[test]
    fn the_currency_tells_the_digits() {
        let total = |currency| order(&[("a", "3", "12.3456")], currency, None).totals().unwrap().total.to_string();
        assert_eq!((total("EUR"), total("JPY"), total("KWD")), ("37.04".into(), "37".into(), "37.037".into()));
        assert_eq!(order(&[], "EUR", None).totals().unwrap().total.to_string(), "0.00");
    }

    #[test]
    fn what_is_missing_is_named() {
        let mut state = Fake::default();
        let error = |state: &Fake| Order::read(state).totals().unwrap_err().to_string();
        assert_eq!(error(&state), "currency: is missing; totals need it");
        state.set("currency", "EUR");
        state.set("lines/a/.", true);
        assert_eq!(error(&state), "lines/a/quantity: is missing; totals need it");
        state.set("lines/a/quantity", 1);
        assert_eq!(error(&state), "lines/a/unit_price: is missing; totals need it");
    }
}
