//! A document in a map, for the unit tests of schemas, intents and models.

use crate::state::{EditError, Edits, State};
use changeset::{Path, Value};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fake {
    values: BTreeMap<Path, Value>,
    texts: BTreeMap<Path, String>,
    now_ms: u64,
    /// How many puts there were, so that a needless one shows.
    puts: usize,
}

impl Fake {
    pub(crate) fn at(now_ms: u64) -> Self {
        Self { now_ms, ..Self::default() }
    }

    pub(crate) fn set(&mut self, path: &str, value: impl Into<Value>) {
        self.values.insert(Path::new(path).unwrap(), value.into());
    }

    pub(crate) fn unset(&mut self, path: &str) {
        self.values.remove(path);
    }

    pub(crate) fn write(&mut self, path: &str, text: &str) {
        self.replace_text(&Path::new(path).unwrap(), text).unwrap();
    }

    pub(crate) fn string(&self, path: &str) -> String {
        match self.values.get(path) {
            Some(Value::String(text)) => text.clone(),
            other => panic!("{path}: {other:?}"),
        }
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.values.get(path).cloned()
    }

    fn splice(&mut self, path: &Path, position: usize, length: usize, new: &str) -> Result<(), EditError> {
        let mut text: Vec<char> = self.texts.get(path).map(|text| text.chars().collect()).unwrap_or_default();
        if position + length > text.len() {
            return Err(EditError::OutOfRange { path: path.clone(), position, length: text.len() });
        }
        text.splice(position..position + length, new.chars());
        self.texts.insert(path.clone(), text.into_iter().collect());
        Ok(())
    }
}

impl State for Fake {
    fn value(&self, path: &Path) -> Option<Value> {
        self.values.get(path).cloned()
    }

    fn text(&self, path: &Path) -> Option<String> {
        self.texts.get(path).filter(|text| !text.is_empty()).cloned()
    }

    fn paths(&self, prefix: &str) -> Vec<Path> {
        let mut paths: Vec<Path> = self.values.keys().cloned().collect();
        paths.extend(self.texts.iter().filter(|(_, text)| !text.is_empty()).map(|(path, _)| path.clone()));
        paths.retain(|path| path.as_str().starts_with(prefix));
        paths.sort();
        paths.dedup();
        paths
    }
}

impl Edits for Fake {
    fn put(&mut self, path: &Path, value: Value) -> Result<(), EditError> {
        value.check().map_err(|error| EditError::Value { path: path.clone(), error })?;
        self.values.insert(path.clone(), value);
        self.puts += 1;
        Ok(())
    }

    fn delete(&mut self, path: &Path) -> Result<(), EditError> {
        self.values.remove(path);
        Ok(())
    }

    fn increment(&mut self, path: &Path, amount: i64) -> Result<(), EditError> {
        match self.values.get_mut(path) {
            Some(Value::Counter(sum)) => {
                *sum += amount;
                Ok(())
            }
            _ => Err(EditError::NoCounter { path: path.clone() }),
        }
    }

    fn insert_text(&mut self, path: &Path, position: usize, text: &str) -> Result<(), EditError> {
        self.splice(path, position, 0, text)
    }

    fn delete_text(&mut self, path: &Path, position: usize, length: usize) -> Result<(), EditError> {
        self.splice(path, position, length, "")
    }

    fn replace_text(&mut self, path: &Path, text: &str) -> Result<(), EditError> {
        self.texts.insert(path.clone(), text.to_owned());
        Ok(())
    }

    fn now_ms(&self) -> u64 {
        self.now_ms
    }
}
