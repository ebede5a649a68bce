//! Texts with `{names}`: templates that put values in, and patterns that take them out.

use changeset::Path;

/// A text with values to put in. `{{` and `}}` stand for the braces themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template<S> {
    pieces: Vec<Piece<S>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece<S> {
    Literal(String),
    Slot(S),
}

impl Template<String> {
    /// The template of this text, its slots named.
    pub(crate) fn new(text: &str) -> Result<Self, &'static str> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, found) = rest.split_at(at);
            literal.push_str(before);
            if let Some(after) = found.strip_prefix("{{") {
                literal.push('{');
                rest = after;
            } else if let Some(after) = found.strip_prefix("}}") {
                literal.push('}');
                rest = after;
            } else if let Some((name, after)) = found.strip_prefix('{').and_then(|open| open.split_once('}')) {
                if name.is_empty() || name.contains('{') {
                    return Err("between `{` and `}` there must be a name");
                }
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(core::mem::take(&mut literal)));
                }
                pieces.push(Piece::Slot(name.to_owned()));
                rest = after;
            } else {
                return Err("a brace has no partner");
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self { pieces })
    }

    /// With each name resolved.
    pub(crate) fn resolve<S, E>(&self, mut resolve: impl FnMut(&str) -> Result<S, E>) -> Result<Template<S>, E> {
        let pieces = self.pieces.iter().map(|piece| {
            Ok(match piece {
                Piece::Literal(text) => Piece::Literal(text.clone()),
                Piece::Slot(name) => Piece::Slot(resolve(name)?),
            })
        });
        Ok(Template { pieces: pieces.collect::<Result<_, E>>()? })
    }
}

impl<S> Template<S> {
    /// What is put in, in order.
    pub(crate) fn slots(&self) -> impl Iterator<Item = &S> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Literal(_) => None,
            Piece::Slot(slot) => Some(slot),
        })
    }

    /// The text with the values in it.
    pub(crate) fn render<E>(&self, mut value: impl FnMut(&S, &mut String) -> Result<(), E>) -> Result<String, E> {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Slot(slot) => value(slot, &mut out)?,
            }
        }
        Ok(out)
    }
}

/// A text as one segment of a path: lower case, and `-` for every character that a path cannot have. Two texts may give
/// the same segment; whoever makes paths of them has to look.
///
/// ```
/// assert_eq!(fieldbook_import::segment("North Wing / B.2"), "north-wing---b.2");
/// assert_eq!(fieldbook_import::segment("."), "-");
/// ```
pub fn segment(text: &str) -> String {
    let keep = |letter: char| match letter.to_ascii_lowercase() {
        plain @ ('a'..='z' | '0'..='9' | '_' | '.' | '-') => plain,
        _ => '-',
    };
    // A segment of points alone would look like the marker of an entry.
    if text.bytes().all(|byte| byte == b'.') { "-".repeat(text.len()) } else { text.chars().map(keep).collect() }
}

/// Whether a text could be a path if its slots were filled with segments.
pub(crate) fn is_path_template(text: &str) -> Option<Template<String>> {
    let template = Template::new(text).ok()?;
    let filled = template.render(|_, out| {
        out.push('x');
        Ok::<(), ()>(())
    });
    filled.is_ok_and(|path| Path::new(&path).is_ok()).then_some(template)
}

/// One way in which a piece of a cell may be written: literal text, and `{names}` that capture what stands between.
/// `{name:int}` captures digits only. A capture takes as little as it can; only one at the very end may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    pieces: Vec<PatternPiece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PatternPiece {
    Literal(String),
    Capture { capture: usize, digits: bool },
}

impl Pattern {
    /// The pattern of this text. Its captures are numbered by `names`, which grows by those that are new.
    pub(crate) fn new(text: &str, names: &mut Vec<String>) -> Result<Self, &'static str> {
        let template = Template::new(text)?;
        let mut pieces = Vec::new();
        for piece in template.pieces {
            let piece = match piece {
                Piece::Literal(text) => PatternPiece::Literal(text),
                Piece::Slot(slot) => {
                    let (name, digits) = match slot.split_once(':') {
                        None => (slot.as_str(), false),
                        Some((name, "int")) if !name.is_empty() => (name, true),
                        Some(_) => return Err("after a capture's name only `:int` may follow"),
                    };
                    let known = names.iter().position(|known| known == name);
                    let capture = known.unwrap_or_else(|| {
                        names.push(name.to_owned());
                        names.len() - 1
                    });
                    if let Some(PatternPiece::Capture { .. }) = pieces.last() {
                        return Err("between two captures there must be text");
                    }
                    let captures_it = |piece: &PatternPiece| match piece {
                        PatternPiece::Literal(_) => false,
                        PatternPiece::Capture { capture: other, .. } => *other == capture,
                    };
                    if pieces.iter().any(captures_it) {
                        return Err("a pattern captures each name once");
                    }
                    PatternPiece::Capture { capture, digits }
                }
            };
            pieces.push(piece);
        }
        if pieces.iter().all(|piece| matches!(piece, PatternPiece::Literal(_))) {
            return Err("a pattern needs at least one capture");
        }
        Ok(Self { pieces })
    }

    /// What is captured of a text, by the number of the capture, if all of the text fits.
    pub(crate) fn capture<'a>(&self, text: &'a str, captures: &mut [Option<&'a str>]) -> bool {
        captures.fill(None);
        let mut rest = text;
        let mut pieces = self.pieces.iter().peekable();
        while let Some(piece) = pieces.next() {
            match piece {
                // Only the first piece comes here: others are consumed with the capture before them.
                PatternPiece::Literal(literal) => match rest.strip_prefix(literal.as_str()) {
                    Some(after) => rest = after,
                    None => return false,
                },
                PatternPiece::Capture { capture, digits } => {
                    let next = pieces.next_if(|piece| matches!(piece, PatternPiece::Literal(_)));
                    let cut = match next {
                        Some(PatternPiece::Literal(literal)) if pieces.peek().is_some() => cut_at(rest, literal),
                        Some(PatternPiece::Literal(literal)) => rest
                            .strip_suffix(literal.as_str())
                            .filter(|taken| !taken.is_empty())
                            .map(|taken| (taken, "")),
                        _ => Some((rest, "")),
                    };
                    let Some((taken, after)) = cut else { return false };
                    if *digits && (taken.is_empty() || !taken.bytes().all(|byte| byte.is_ascii_digit())) {
                        return false;
                    }
                    if let Some(place) = captures.get_mut(*capture) {
                        *place = Some(taken);
                    }
                    rest = after;
                }
            }
        }
        rest.is_empty()
    }
}

/// What stands before the first `literal` that leaves at least one character before it, and what after.
fn cut_at<'a>(text: &'a str, literal: &str) -> Option<(&'a str, &'a str)> {
    let first = text.chars().next()?.len_utf8();
    let at = first + text.get(first..)?.find(literal)?;
    Some((text.get(..at)?, text.get(at + literal.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_put_values_in() {
        let template = Template::new("{{{City}}}, {Country}!").unwrap();
        assert_eq!(template.slots().collect::<Vec<_>>(), ["City", "Country"]);
        let text = template.render(|slot, out| {
            out.push_str(&slot.to_uppercase());
            Ok::<(), ()>(())
        });
        assert_eq!(text, Ok("{CITY}, COUNTRY!".to_owned()));
        for bad in ["{", "}", "{}", "{a", "a}", "{{a}", "{a{b}"] {
            assert!(Template::new(bad).is_err(), "{bad}");
        }
        assert_eq!(Template::new("").unwrap().slots().count(), 0);
    }

    #[test]
    fn paths_may_have_slots() {
        for good in ["status", "tags/{Code}/name", "x{A}-{B}"] {
            assert!(is_path_template(good).is_some(), "{good}");
        }
        for bad in ["", "a//b", "A", "{a", "a/{b}/"] {
            assert!(is_path_template(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn segments_fit_into_paths() {
        for text in ["a", "São Paulo", "..", ".x", "A/B", "\0", "😀"] {
            assert!(Path::new(&format!("items/{}/.", segment(text))).is_ok(), "{text:?}");
        }
        assert_eq!(segment(""), "");
        assert_eq!(segment(".."), "--");
        assert_eq!(segment(".x"), ".x");
    }

    fn captured<'a>(pattern: &str, text: &'a str) -> Option<Vec<&'a str>> {
        let mut names = Vec::new();
        let pattern = Pattern::new(pattern, &mut names).unwrap();
        let mut captures = vec![None; names.len()];
        pattern.capture(text, &mut captures).then(|| captures.into_iter().flatten().collect())
    }

    #[test]
    fn patterns_take_values_out() {
        let full = "{number:int}. {prompt} - Comments: {note}";
        assert_eq!(captured(full, "5. A. B - Comments: c - Comments: d"), Some(vec!["5", "A. B", "c - Comments: d"]));
        assert_eq!(captured(full, "5. A - Comments: "), Some(vec!["5", "A", ""]));
        assert_eq!(captured(full, "5. A - Comments:"), None);
        assert_eq!(captured(full, "x5. A - Comments: "), None);
        assert_eq!(captured(full, ". A - Comments: "), None);
        assert_eq!(captured(full, "5.  - Comments:  - Comments: x"), Some(vec!["5", " - Comments: ", "x"]));
        assert_eq!(captured("{a} - Comments:", "x - Comments: - Comments:"), Some(vec!["x - Comments:"]));
        assert_eq!(captured("{a} - Comments:", " - Comments:"), None);
        assert_eq!(captured("<{a}>", "<é>"), Some(vec!["é"]));
        assert_eq!(captured("{a}", ""), Some(vec![""]));
        assert_eq!(captured("{a:int}", ""), None);
        for bad in ["plain", "{a}{b}", "{a} {a}", "{a:float}", "{:int}", "{a"] {
            assert!(Pattern::new(bad, &mut Vec::new()).is_err(), "{bad}");
        }
    }
}
