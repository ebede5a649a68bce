//! Reading typed views out of a flat state, and the codes that choices are stored as.

use crate::kinds::entries::entries;
use crate::kinds::exact::Exact;
use crate::kinds::timestamp::Timestamp;
use crate::state::State;
use changeset::{Decimal, Path, Value};
use core::fmt;

/// A closed set of choices, each stored as a short string. Derive serde with `rename_all = "snake_case"` and give the
/// same names here, so that intents, state and export agree.
pub trait Code: Copy + Eq + fmt::Debug + 'static {
    /// Every choice, in the order in which people see them.
    const ALL: &'static [Self];

    /// What the choice is stored as.
    fn name(self) -> &'static str;

    /// The choice that is stored so; none for a name of some newer version.
    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

/// The fields below one place of a state. Reading is lenient: what is absent, or of another type than asked for, is
/// none, and [`Schema::violations`](crate::Schema::violations) says so.
#[derive(Clone)]
pub struct Fields<'a> {
    state: &'a dyn State,
    prefix: String,
}

impl<'a> Fields<'a> {
    /// The fields of the whole document.
    pub fn new(state: &'a dyn State) -> Self {
        Self { state, prefix: String::new() }
    }

    /// The fields below a further path, for example `subject` or `items/7`.
    pub fn below(&self, path: &str) -> Self {
        Self { state: self.state, prefix: format!("{}{path}/", self.prefix) }
    }

    /// The existing entries of a collection in their order, each with its id.
    pub fn entries(&self, collection: &str) -> impl Iterator<Item = (String, Self)> + use<'a> {
        let collection = self.below(collection);
        let ids = entries(self.state, collection.prefix.trim_end_matches('/'));
        ids.into_iter().map(move |id| {
            let fields = collection.below(&id);
            (id, fields)
        })
    }

    /// Every value right below a path, with the last segment of its own path, sorted by it.
    pub fn values_below(&self, path: &str) -> Vec<(String, Value)> {
        let prefix = format!("{}{path}/", self.prefix);
        let leaf = |path: Path| {
            let name = path.as_str().strip_prefix(&prefix).filter(|name| !name.contains('/'))?;
            Some((name.to_owned(), self.state.value(&path)?))
        };
        self.state.paths(&prefix).into_iter().filter_map(leaf).collect()
    }

    /// The value of a field, of any type.
    pub fn value(&self, name: &str) -> Option<Value> {
        self.path(name).and_then(|path| self.state.value(&path))
    }

    /// The text of a field.
    pub fn text(&self, name: &str) -> Option<String> {
        self.path(name).and_then(|path| self.state.text(&path))
    }

    /// A string.
    pub fn string(&self, name: &str) -> Option<String> {
        if let Some(Value::String(text)) = self.value(name) { Some(text) } else { None }
    }

    /// A choice.
    pub fn code<C: Code>(&self, name: &str) -> Option<C> {
        self.string(name).and_then(|text| C::from_name(&text))
    }

    /// A truth value.
    pub fn bool(&self, name: &str) -> Option<bool> {
        if let Some(Value::Bool(value)) = self.value(name) { Some(value) } else { None }
    }

    /// A whole number.
    pub fn int(&self, name: &str) -> Option<i64> {
        if let Some(Value::Int(value)) = self.value(name) { Some(value) } else { None }
    }

    /// A decimal; whole numbers may be stored as ints.
    pub fn decimal(&self, name: &str) -> Option<Decimal> {
        match self.value(name) {
            Some(Value::Decimal(decimal)) => Some(decimal),
            Some(Value::Int(mantissa)) => Some(Decimal { mantissa, scale: 0 }),
            _ => None,
        }
    }

    /// A decimal for exact arithmetic.
    pub fn exact(&self, name: &str) -> Option<Exact> {
        self.decimal(name).map(Exact::from)
    }

    /// A moment of the years 0000 to 9999.
    pub fn timestamp(&self, name: &str) -> Option<Timestamp> {
        if let Some(Value::Timestamp(ms)) = self.value(name) { Timestamp::from_ms(ms) } else { None }
    }

    /// The sum of a counter.
    pub fn counter(&self, name: &str) -> Option<i64> {
        if let Some(Value::Counter(sum)) = self.value(name) { Some(sum) } else { None }
    }

    fn path(&self, name: &str) -> Option<Path> {
        Path::new(&format!("{}{name}", self.prefix)).ok()
    }
}

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fields").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::fake::Fake;

    #[test]
    fn values_of_another_type_are_none() {
        let mut fake = Fake::default();
        fake.set("items/7/.", true);
        fake.set("items/7/count", 3);
        fake.set("items/7/price", Decimal { mantissa: 1250, scale: 2 });
        fake.set("items/7/at", Value::Timestamp(i64::MAX));
        fake.set("items/7/picked", Value::Counter(4));
        fake.set("items/7/files/b", "2");
        fake.set("items/7/files/a", "1");
        fake.set("items/7/files/a/deeper", "3");
        let (id, item) = Fields::new(&fake).entries("items").next().unwrap();
        assert_eq!(id, "7");
        assert_eq!(item.decimal("count").unwrap().to_string(), "3");
        assert_eq!(item.decimal("price").unwrap().to_string(), "12.50");
        assert_eq!(
            (item.int("price"), item.string("count"), item.bool("."), item.timestamp("at")),
            (None, None, Some(true), None)
        );
        assert_eq!((item.counter("picked"), item.int("picked")), (Some(4), None));
        let files: Vec<String> = item.values_below("files").into_iter().map(|(name, _)| name).collect();
        assert_eq!(files, ["a", "b"]);
        assert_eq!(item.value("no such path"), None);
    }
}
