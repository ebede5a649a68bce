//! What is refused, with its place.

use std::fmt;

/// Bytes that the specification refuses: where, from the outside in, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Innermost first.
    places: Vec<String>,
    reason: &'static str,
}

impl Refused {
    /// Where: the places from the outside in, such as `bundle 1: page 0: entry 3`.
    pub fn place(&self) -> String {
        let places: Vec<&str> = self.places.iter().rev().map(String::as_str).collect();
        places.join(": ")
    }

    /// Why.
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.places.is_empty() { f.write_str(self.reason) } else { write!(f, "{}: {}", self.place(), self.reason) }
    }
}

impl std::error::Error for Refused {}

/// What must be so, else the bytes are refused.
pub(crate) trait Need {
    type Given;
    fn need(self, reason: &'static str) -> Result<Self::Given, Refused>;
}

impl Need for bool {
    type Given = ();
    fn need(self, reason: &'static str) -> Result<(), Refused> {
        self.then_some(()).need(reason)
    }
}

impl<T> Need for Option<T> {
    type Given = T;
    fn need(self, reason: &'static str) -> Result<T, Refused> {
        self.ok_or(Refused { places: Vec::new(), reason })
    }
}

/// Names the place of what is refused inside.
pub(crate) trait At {
    fn at(self, what: &str, number: usize) -> Self;
}

impl<T> At for Result<T, Refused> {
    fn at(self, what: &str, number: usize) -> Self {
        self.map_err(|mut refused| {
            refused.places.push(format!("{what} {number}"));
            refused
        })
    }
}
