//! Path patterns such as `items/*/outcome`, found by path in one walk.

use changeset::Path;
use std::collections::BTreeMap;

/// A path in which whole segments may be `*`, which stands for any one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Segment>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Literal(String),
    Any,
}

impl Pattern {
    /// The checked pattern: what is left with every `*` replaced by a letter must be a path, and a lone `.`, the
    /// marker's name, may only stand at the end, behind a `*`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Path::new(&text.replace('*', "x")).ok()?;
        let segment = |text: &str| match text {
            "*" => Some(Segment::Any),
            _ if text.contains('*') => None,
            _ => Some(Segment::Literal(text.to_owned())),
        };
        let segments: Vec<Segment> = text.split('/').map(segment).collect::<Option<_>>()?;
        let is_dot = |segment: &Segment| matches!(segment, Segment::Literal(text) if text == ".");
        let (last, before) = segments.split_last()?;
        let dot_in_place = !is_dot(last) || before.last() == Some(&Segment::Any);
        (dot_in_place && !before.iter().any(is_dot)).then_some(Self(segments))
    }

    /// Whether it names the markers of a collection: it ends in `*/.`.
    pub(crate) fn is_marker(&self) -> bool {
        matches!(self.0.last(), Some(Segment::Literal(text)) if text == ".")
    }

    /// Whether its last segment is `*`.
    pub(crate) fn ends_in_any(&self) -> bool {
        self.0.last() == Some(&Segment::Any)
    }

    /// The markers of every entry that a path of this pattern lies in, outermost first: `items/*/.` of
    /// `items/*/outcome`.
    pub(crate) fn markers(&self) -> impl Iterator<Item = Self> {
        let ends = (1..self.0.len()).filter(|end| self.0.get(end - 1) == Some(&Segment::Any));
        ends.map(|end| {
            let entry = self.0.iter().take(end).cloned();
            Self(entry.chain([Segment::Literal(".".to_owned())]).collect())
        })
    }

    /// Every path of this pattern, where `entries` lists the ids that stand for a `*` below a collection.
    pub(crate) fn expand(&self, entries: &mut dyn FnMut(&str) -> Vec<String>) -> Vec<String> {
        let mut paths = vec![String::new()];
        for segment in &self.0 {
            let below =
                |path: &str, name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
            paths = match segment {
                Segment::Literal(name) => paths.iter().map(|path| below(path, name)).collect(),
                Segment::Any => {
                    let longer = paths.iter().map(|path| (path, entries(path)));
                    longer.flat_map(|(path, ids)| ids.into_iter().map(move |id| below(path, &id))).collect()
                }
            };
        }
        paths
    }
}

/// Patterns with a number each. A path finds the one that fits it best: from the left, a literal segment before a `*`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PatternIndex {
    here: Option<usize>,
    literal: BTreeMap<String, Self>,
    any: Option<Box<Self>>,
}

impl PatternIndex {
    /// Adds a pattern; gives the number of an equal one that is there already.
    pub(crate) fn insert(&mut self, pattern: &Pattern, number: usize) -> Result<(), usize> {
        let mut index = self;
        for segment in &pattern.0 {
            index = match segment {
                Segment::Literal(text) => index.literal.entry(text.clone()).or_default(),
                Segment::Any => index.any.get_or_insert_default(),
            };
        }
        match index.here {
            Some(other) => Err(other),
            None => {
                index.here = Some(number);
                Ok(())
            }
        }
    }

    /// The number of a pattern equal to this one.
    pub(crate) fn find(&self, pattern: &Pattern) -> Option<usize> {
        let mut index = self;
        for segment in &pattern.0 {
            index = match segment {
                Segment::Literal(text) => index.literal.get(text)?,
                Segment::Any => index.any.as_deref()?,
            };
        }
        index.here
    }

    /// The number of the pattern that fits the path best.
    pub(crate) fn lookup(&self, path: &str) -> Option<usize> {
        let (segment, rest) = match path.split_once('/') {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (path, None),
        };
        let go_on = |index: &Self| match rest {
            Some(rest) => index.lookup(rest),
            None => index.here,
        };
        self.literal.get(segment).and_then(go_on).or_else(|| self.any.as_deref().and_then(go_on))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn only_whole_segments_are_wild_and_dots_end_entries() {
        for text in ["status", "items/*/.", "a/*/b/*/.", "*/x", "a.b/c"] {
            assert!(Pattern::parse(text).is_some(), "{text}");
        }
        for text in ["", "/", "a//b", "A", "items/x*", "items/./x", ".", "items/7/.", "a/**", &"a/".repeat(16)] {
            assert_eq!(Pattern::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_best_fit_is_found_even_if_a_literal_beginning_misleads() {
        let mut index = PatternIndex::default();
        for (number, text) in
            ["status", "items/*/outcome", "items/7/outcome", "items/7/only", "*/*/outcome"].iter().enumerate()
        {
            assert_eq!(index.insert(&pattern(text), number), Ok(()));
        }
        assert_eq!(index.insert(&pattern("items/*/outcome"), 9), Err(1));
        for (path, number) in [
            ("status", Some(0)),
            ("items/8/outcome", Some(1)),
            ("items/7/outcome", Some(2)),
            ("items/7/only", Some(3)),
            ("lines/7/outcome", Some(4)),
            ("items/7", None),
            ("items/7/outcome/x", None),
            ("status/x", None),
        ] {
            assert_eq!(index.lookup(path), number, "{path}");
        }
        let mut misleading = PatternIndex::default();
        misleading.insert(&pattern("a/b/c"), 0).unwrap();
        misleading.insert(&pattern("*/b/d"), 1).unwrap();
        assert_eq!(misleading.lookup("a/b/d"), Some(1));
        assert_eq!(misleading.find(&pattern("*/b/d")), Some(1));
        assert_eq!(misleading.find(&pattern("*/b")), None);
    }

    #[test]
    fn a_pattern_knows_its_entries() {
        let markers: Vec<Pattern> = pattern("a/*/b/*/c").markers().collect();
        assert_eq!(markers, [pattern("a/*/."), pattern("a/*/b/*/.")]);
        assert_eq!(pattern("a/*").markers().count(), 0);
        let paths = pattern("a/*/b/*/c").expand(&mut |collection| match collection {
            "a" => vec!["1".into(), "2".into()],
            "a/1/b" => vec!["x".into()],
            _ => Vec::new(),
        });
        assert_eq!(paths, ["a/1/b/x/c"]);
        assert_eq!(pattern("status").expand(&mut |_| Vec::new()), ["status"]);
    }
}
