//! The mapping file: which columns of which files become which paths.

use crate::convert::{Otherwise, Rule, Type};
use crate::error::{ImportError, MappingFault};
use crate::limits::MAX_MAPPING_BYTES;
use crate::template::{Pattern, Template, is_path_template};
use crate::time::TimeFormat;
use changeset::{Kind, Path, Value};
use core::fmt;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::sync::Arc;
use toml::Spanned;

/// A mapping file that was read and found right in itself; whether the files have its columns shows when it is loaded
/// with them. The crate's front page shows one.
#[derive(Clone, Debug)]
pub struct Mapping {
    pub(crate) name: Arc<str>,
    pub(crate) kind: Kind,
    pub(crate) source: Named,
    /// Stands for the source in document ids.
    pub(crate) label: String,
    pub(crate) delimiter: u8,
    pub(crate) nulls: Arc<[String]>,
    pub(crate) key: Vec<Named>,
    pub(crate) created: Option<CreatedSpec>,
    pub(crate) fields: Vec<FieldSpec>,
    pub(crate) joins: Vec<JoinSpec>,
    pub(crate) splits: Vec<SplitSpec>,
}

/// Where in the mapping file something stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    line: u32,
    column: u32,
}

/// A name that the mapping gives, and where.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) at: Place,
}

#[derive(Clone, Debug)]
pub(crate) struct CreatedSpec {
    pub(crate) column: Named,
    pub(crate) rule: Rule,
}

#[derive(Clone, Debug)]
pub(crate) struct FieldSpec {
    pub(crate) path: TemplateSpec,
    pub(crate) from: OriginSpec,
    pub(crate) rule: Rule,
    pub(crate) text: bool,
    pub(crate) keep_null: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct TemplateSpec {
    pub(crate) text: String,
    pub(crate) template: Template<String>,
    pub(crate) at: Place,
}

/// Where a field takes its value from.
#[derive(Clone, Debug)]
pub(crate) enum OriginSpec {
    Column(Named),
    Capture(Named),
    Constant(Value),
    Lookup(LookupSpec),
    Template(TemplateSpec),
}

#[derive(Clone, Debug)]
pub(crate) struct LookupSpec {
    pub(crate) csv: Named,
    pub(crate) key: Vec<Named>,
    pub(crate) column: Named,
    pub(crate) from: Vec<Named>,
    pub(crate) missing: Missing,
}

/// The entries that joins and splits make.
#[derive(Clone, Debug)]
pub(crate) struct EntrySpec {
    pub(crate) into: Path,
    pub(crate) id: TemplateSpec,
    pub(crate) repeats: Repeats,
    pub(crate) fields: Vec<FieldSpec>,
}

#[derive(Clone, Debug)]
pub(crate) struct JoinSpec {
    pub(crate) csv: Named,
    pub(crate) key: Vec<Named>,
    pub(crate) from: Vec<Named>,
    pub(crate) orphans: Orphans,
    pub(crate) entry: EntrySpec,
}

#[derive(Clone, Debug)]
pub(crate) struct SplitSpec {
    pub(crate) column: Named,
    pub(crate) separator: String,
    pub(crate) patterns: Vec<Pattern>,
    pub(crate) captures: Vec<String>,
    pub(crate) entry: EntrySpec,
}

/// What a look-up that finds nothing gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Missing {
    #[default]
    Error,
    Null,
}

/// What rows of a join are that belong to no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Orphans {
    #[default]
    Error,
    Ignore,
}

/// What an entry becomes whose id is taken in its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Repeats {
    Error,
    /// The second gets `-2` behind its id, the third `-3`, and so on.
    Suffix,
}

impl Mapping {
    /// Reads a mapping file; `name` stands for it in errors.
    ///
    /// # Errors
    /// [`ImportError::Mapping`] with line and column of the first thing that is wrong.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, ImportError> {
        let text = core::str::from_utf8(bytes);
        let reading = Reading { name: name.into(), text: text.unwrap_or_default() };
        if bytes.len() > MAX_MAPPING_BYTES {
            return Err(reading.refuse(0, MappingFault::TooLarge { bytes: bytes.len() }));
        }
        if let Err(error) = text {
            let text = core::str::from_utf8(bytes.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default();
            let offset = text.len();
            return Err(Reading { text, ..reading }.refuse(offset, MappingFault::NotUtf8 { offset }));
        }
        let raw: RawMapping = toml::from_str(reading.text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            reading.refuse(at, MappingFault::Syntax { message: error.message().to_owned() })
        })?;
        reading.mapping(raw)
    }

    /// What the records are.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The CSV file with one row for each record.
    pub fn source(&self) -> &str {
        &self.source.name
    }

    /// The error for something that stands at this place.
    pub(crate) fn refuse(&self, at: Place, fault: MappingFault) -> ImportError {
        ImportError::Mapping { mapping: Arc::clone(&self.name), line: at.line, column: at.column, fault }
    }
}

/// The mapping file as it lies.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMapping {
    kind: Spanned<String>,
    source: Spanned<String>,
    label: Option<Spanned<String>>,
    delimiter: Option<Spanned<String>>,
    key: Spanned<Names>,
    created: Option<RawCreated>,
    null: Option<Vec<String>>,
    #[serde(default)]
    field: Vec<RawField>,
    #[serde(default)]
    join: Vec<RawJoin>,
    #[serde(default)]
    split: Vec<RawSplit>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCreated {
    column: Spanned<String>,
    format: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawField {
    path: Spanned<String>,
    column: Option<Spanned<String>>,
    capture: Option<Spanned<String>>,
    constant: Option<Spanned<toml::Value>>,
    lookup: Option<RawLookup>,
    template: Option<Spanned<String>>,
    r#type: Option<Type>,
    format: Option<Spanned<String>>,
    exact: Option<bool>,
    map: Option<BTreeMap<String, Spanned<toml::Value>>>,
    otherwise: Option<Spanned<toml::Value>>,
    null: Option<Vec<String>>,
    #[serde(default)]
    keep_null: bool,
    #[serde(default)]
    text: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLookup {
    csv: Spanned<String>,
    key: Spanned<Names>,
    column: Spanned<String>,
    from: Spanned<Names>,
    #[serde(default)]
    missing: Missing,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawJoin {
    csv: Spanned<String>,
    key: Spanned<Names>,
    from: Spanned<Names>,
    #[serde(default)]
    orphans: Orphans,
    into: Spanned<String>,
    id: Spanned<String>,
    repeats: Option<Repeats>,
    #[serde(default)]
    field: Vec<RawField>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSplit {
    column: Spanned<String>,
    separator: Spanned<String>,
    patterns: Vec<Spanned<String>>,
    into: Spanned<String>,
    id: Spanned<String>,
    repeats: Option<Repeats>,
    #[serde(default)]
    field: Vec<RawField>,
}

/// `"A"` or `["A", "B"]`.
enum Names {
    One(String),
    Several(Vec<Spanned<String>>),
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NamesVisitor;
        impl<'de> Visitor<'de> for NamesVisitor {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a column name, or an array of column names")
            }

            fn visit_str<E>(self, text: &str) -> Result<Names, E> {
                Ok(Names::One(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = items.next_element()? {
                    names.push(name);
                }
                Ok(Names::Several(names))
            }
        }
        deserializer.deserialize_any(NamesVisitor)
    }
}

/// The text of a mapping file while it is read, to tell places in it.
struct Reading<'a> {
    name: Arc<str>,
    text: &'a str,
}

/// In which part of the mapping a field stands.
#[derive(Clone, Copy)]
enum Within<'a> {
    Record,
    Join(&'a Path),
    Split(&'a Path, &'a [String]),
}

impl Reading<'_> {
    fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|letter| *letter != '\n').count() + 1;
        Place { line: line as u32, column: column as u32 }
    }

    fn refuse(&self, offset: usize, fault: MappingFault) -> ImportError {
        let Place { line, column } = self.place(offset);
        ImportError::Mapping { mapping: Arc::clone(&self.name), line, column, fault }
    }

    fn rule_broken(&self, offset: usize, problem: &'static str, cure: &'static str) -> ImportError {
        self.refuse(offset, MappingFault::Rule { problem, cure })
    }

    fn named(&self, name: Spanned<String>) -> Named {
        let at = self.place(name.span().start);
        Named { name: name.into_inner(), at }
    }

    fn names(&self, names: Spanned<Names>) -> Result<Vec<Named>, ImportError> {
        let start = names.span().start;
        match names.into_inner() {
            Names::One(name) => Ok(vec![Named { name, at: self.place(start) }]),
            Names::Several(names) if names.is_empty() => {
                Err(self.rule_broken(start, "no column is named", "name at least one"))
            }
            Names::Several(names) => Ok(names.into_iter().map(|name| self.named(name)).collect()),
        }
    }

    /// Two lists of columns that are compared one by one.
    fn pair(&self, key: Spanned<Names>, from: Spanned<Names>) -> Result<(Vec<Named>, Vec<Named>), ImportError> {
        let start = from.span().start;
        let (key, from) = (self.names(key)?, self.names(from)?);
        if key.len() == from.len() {
            Ok((key, from))
        } else {
            Err(self.rule_broken(start, "`key` and `from` do not name equally many columns", "name them in pairs"))
        }
    }

    fn template(&self, text: Spanned<String>) -> Result<TemplateSpec, ImportError> {
        let start = text.span().start;
        let template = Template::new(text.get_ref()).map_err(|problem| {
            self.rule_broken(start, problem, "write `{Column}` for a value, `{{` and `}}` for braces")
        })?;
        Ok(TemplateSpec { template, at: self.place(start), text: text.into_inner() })
    }

    fn path(&self, text: &Spanned<String>) -> Result<Path, ImportError> {
        const WHAT: &str = "path (segments [a-z0-9_.-]+ joined by /)";
        Path::new(text.get_ref()).map_err(|_| {
            self.refuse(text.span().start, MappingFault::BadName { name: text.get_ref().clone(), what: WHAT })
        })
    }

    fn format(&self, text: &Spanned<String>) -> Result<TimeFormat, ImportError> {
        const CURE: &str = "use %Y %m %d %H %M %S, %.3f or %f, and %% for a percent sign";
        TimeFormat::new(text.get_ref()).map_err(|problem| self.rule_broken(text.span().start, problem, CURE))
    }

    fn mapping(&self, raw: RawMapping) -> Result<Mapping, ImportError> {
        const KIND: &str = "document kind ([a-z][a-z0-9_-]{0,31})";
        let kind = Kind::new(raw.kind.get_ref()).map_err(|_| {
            self.refuse(raw.kind.span().start, MappingFault::BadName { name: raw.kind.get_ref().clone(), what: KIND })
        })?;
        let delimiter = match raw.delimiter {
            None => b',',
            Some(text) => match text.get_ref().as_bytes() {
                [byte] if !b"\"\r\n".contains(byte) && byte.is_ascii() => *byte,
                _ => {
                    let problem = "a delimiter is one ASCII character and no quote";
                    return Err(self.rule_broken(text.span().start, problem, "write `,`, `;` or `\\t`"));
                }
            },
        };
        let nulls: Arc<[String]> = raw.null.unwrap_or_else(|| vec![String::new()]).into();
        let source = self.named(raw.source);
        let created = match raw.created {
            None => None,
            Some(created) => {
                let rule = Rule {
                    kind: Some(Type::Timestamp),
                    format: Some(self.format(&created.format)?),
                    exact: false,
                    map: BTreeMap::new(),
                    otherwise: Otherwise::Keep,
                    nulls: Arc::clone(&nulls),
                };
                Some(CreatedSpec { column: self.named(created.column), rule })
            }
        };
        if raw.field.is_empty() && raw.join.is_empty() && raw.split.is_empty() {
            return Err(self.rule_broken(
                0,
                "nothing would be imported",
                "add a `[[field]]`, `[[join]]` or `[[split]]`",
            ));
        }
        let label = match raw.label {
            None => source.name.clone(),
            Some(label) if label.get_ref().contains('\0') => {
                return Err(self.rule_broken(label.span().start, "the label has a NUL character", "remove it"));
            }
            Some(label) => label.into_inner(),
        };
        Ok(Mapping {
            name: Arc::clone(&self.name),
            kind,
            label,
            source,
            delimiter,
            key: self.names(raw.key)?,
            created,
            fields: self.fields(raw.field, Within::Record, &nulls)?,
            joins: raw.join.into_iter().map(|join| self.join(join, &nulls)).collect::<Result<_, _>>()?,
            splits: raw.split.into_iter().map(|split| self.split(split, &nulls)).collect::<Result<_, _>>()?,
            nulls,
        })
    }

    fn join(&self, raw: RawJoin, nulls: &Arc<[String]>) -> Result<JoinSpec, ImportError> {
        let (key, from) = self.pair(raw.key, raw.from)?;
        let into = self.path(&raw.into)?;
        let fields = self.fields(raw.field, Within::Join(&into), nulls)?;
        let id = self.entry_id(raw.id)?;
        let entry = EntrySpec { into, id, repeats: raw.repeats.unwrap_or(Repeats::Error), fields };
        Ok(JoinSpec { csv: self.named(raw.csv), key, from, orphans: raw.orphans, entry })
    }

    fn split(&self, raw: RawSplit, nulls: &Arc<[String]>) -> Result<SplitSpec, ImportError> {
        if raw.separator.get_ref().is_empty() {
            let cure = "write what stands between the parts, such as \" | \"";
            return Err(self.rule_broken(raw.separator.span().start, "the separator is empty", cure));
        }
        let mut captures = Vec::new();
        let mut patterns = Vec::new();
        for text in &raw.patterns {
            const CURE: &str = "write what a part looks like, such as \"{number:int}. {prompt}\"";
            let pattern = Pattern::new(text.get_ref(), &mut captures);
            patterns.push(pattern.map_err(|problem| self.rule_broken(text.span().start, problem, CURE))?);
        }
        if patterns.is_empty() {
            let cure = "write at least one, such as \"{all}\"";
            return Err(self.rule_broken(raw.column.span().start, "the split has no patterns", cure));
        }
        let into = self.path(&raw.into)?;
        let fields = self.fields(raw.field, Within::Split(&into, &captures), nulls)?;
        let id = self.entry_id(raw.id)?;
        let entry = EntrySpec { into, id, repeats: raw.repeats.unwrap_or(Repeats::Suffix), fields };
        let separator = raw.separator.into_inner();
        Ok(SplitSpec { column: self.named(raw.column), separator, patterns, captures, entry })
    }

    fn entry_id(&self, text: Spanned<String>) -> Result<TemplateSpec, ImportError> {
        let start = text.span().start;
        let spec = self.template(text)?;
        let cure = "write one segment with at least one value, such as \"{ProductID}\"";
        if spec.text.contains('/') || is_path_template(&spec.text).is_none() {
            return Err(self.rule_broken(start, "the id of an entry is one segment of a path", cure));
        }
        if spec.template.slots().next().is_none() {
            return Err(self.rule_broken(start, "all entries would have the same id", cure));
        }
        Ok(spec)
    }

    fn fields(
        &self,
        raw: Vec<RawField>,
        within: Within<'_>,
        nulls: &Arc<[String]>,
    ) -> Result<Vec<FieldSpec>, ImportError> {
        // The paths so far that are the same in every record, each entry's marker and position among them.
        let mut taken: BTreeMap<String, ()> = match within {
            Within::Record => BTreeMap::new(),
            Within::Join(_) | Within::Split(..) => [".", "position"].map(|path| (path.to_owned(), ())).into(),
        };
        let mut fields = Vec::with_capacity(raw.len());
        for field in raw {
            let start = field.path.span().start;
            let spec = self.field(field, within, nulls)?;
            if spec.path.template.slots().next().is_none() {
                let path = &spec.path.text;
                if let Some(other) = clash(&taken, path) {
                    return Err(self.refuse(start, MappingFault::SamePath { path: path.clone(), other }));
                }
                taken.insert(path.clone(), ());
            }
            fields.push(spec);
        }
        Ok(fields)
    }

    fn field(&self, raw: RawField, within: Within<'_>, nulls: &Arc<[String]>) -> Result<FieldSpec, ImportError> {
        let start = raw.path.span().start;
        let whole = match within {
            Within::Record => raw.path.get_ref().clone(),
            Within::Join(into) | Within::Split(into, _) => format!("{into}/x/{}", raw.path.get_ref()),
        };
        if is_path_template(&whole).is_none() {
            let what = "path (segments [a-z0-9_.-]+ joined by /, {Column} for the value of a column)";
            return Err(self.refuse(start, MappingFault::BadName { name: raw.path.into_inner(), what }));
        }
        let mut rule = Rule {
            kind: raw.r#type,
            format: raw.format.as_ref().map(|format| self.format(format)).transpose()?,
            exact: raw.exact.unwrap_or(true),
            map: BTreeMap::new(),
            otherwise: Otherwise::Keep,
            nulls: raw.null.map_or_else(|| Arc::clone(nulls), Into::into),
        };
        match (rule.kind, &raw.format) {
            (Some(Type::Timestamp), None) => {
                let cure = "add `format`, such as \"%Y-%m-%d\"";
                return Err(self.rule_broken(start, "a timestamp needs to know how it is written", cure));
            }
            (Some(Type::Timestamp), Some(_)) | (_, None) => {}
            (_, Some(format)) => {
                let problem = "only a timestamp has a format";
                return Err(self.rule_broken(format.span().start, problem, "add `type = \"timestamp\"`, or remove it"));
            }
        }
        if raw.text && (raw.keep_null || !matches!(rule.kind, None | Some(Type::String))) {
            let problem = "a text is a string and never null";
            return Err(self.rule_broken(start, problem, "remove `type` and `keep_null`, or `text`"));
        }
        let literal = |rule: &Rule, literal: &Spanned<toml::Value>| {
            let value = rule.literal(literal.get_ref());
            let value = value.map_err(|fault| self.refuse(literal.span().start, fault))?;
            if raw.text && !matches!(value, Value::String(_)) {
                return Err(self.rule_broken(literal.span().start, "a text is a string", "write it in quotes"));
            }
            Ok(value)
        };
        if let Some(map) = &raw.map {
            rule.map = map
                .iter()
                .map(|(text, value)| Ok((text.clone(), literal(&rule, value)?)))
                .collect::<Result<_, ImportError>>()?;
            rule.otherwise = match &raw.otherwise {
                None => Otherwise::Error,
                Some(value) => match value.get_ref().as_str() {
                    Some("error") => Otherwise::Error,
                    Some("keep") => Otherwise::Keep,
                    _ => Otherwise::Value(literal(&rule, value)?),
                },
            };
        } else if let Some(otherwise) = &raw.otherwise {
            let problem = "`otherwise` says what a map does not have, and there is none";
            return Err(self.rule_broken(otherwise.span().start, problem, "add `map`, or remove it"));
        }
        let mut sources = Vec::new();
        if let Some(column) = raw.column {
            sources.push(OriginSpec::Column(self.named(column)));
        }
        if let Some(capture) = raw.capture {
            let Within::Split(_, captures) = within else {
                let problem = "captures exist only in the fields of a split";
                return Err(self.rule_broken(capture.span().start, problem, "use `column`"));
            };
            let capture = self.named(capture);
            if !captures.contains(&capture.name) {
                return Err(self.unknown_capture(&capture, captures));
            }
            sources.push(OriginSpec::Capture(capture));
        }
        if let Some(constant) = &raw.constant {
            if raw.map.is_some() {
                return Err(self.rule_broken(constant.span().start, "a constant needs no map", "remove the map"));
            }
            sources.push(OriginSpec::Constant(literal(&rule, constant)?));
        }
        if let Some(RawLookup { csv, key, column, from, missing }) = raw.lookup {
            let (key, from) = self.pair(key, from)?;
            let (csv, column) = (self.named(csv), self.named(column));
            sources.push(OriginSpec::Lookup(LookupSpec { csv, key, column, from, missing }));
        }
        if let Some(template) = raw.template {
            sources.push(OriginSpec::Template(self.template(template)?));
        }
        match <[OriginSpec; 1]>::try_from(sources) {
            Ok([from]) => {
                let path = self.template(raw.path)?;
                Ok(FieldSpec { path, from, rule, text: raw.text, keep_null: raw.keep_null })
            }
            Err(_) => {
                let problem = "a field takes its value from exactly one place";
                let cure = "keep one of `column`, `capture`, `constant`, `lookup` and `template`";
                Err(self.rule_broken(start, problem, cure))
            }
        }
    }

    fn unknown_capture(&self, capture: &Named, captures: &[String]) -> ImportError {
        let fault = MappingFault::UnknownCapture {
            capture: capture.name.clone(),
            suggestion: crate::error::closest(&capture.name, captures.iter().map(String::as_str)),
            captures: captures.to_vec(),
        };
        let Place { line, column } = capture.at;
        ImportError::Mapping { mapping: Arc::clone(&self.name), line, column, fault }
    }
}

/// A path among `taken` that is `path`, lies inside it, or holds it.
fn clash(taken: &BTreeMap<String, ()>, path: &str) -> Option<String> {
    let ancestors = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
    if let Some(other) = ancestors.chain([path]).find(|ancestor| taken.contains_key(*ancestor)) {
        return Some(other.to_owned());
    }
    let inside = format!("{path}/");
    taken.range(inside.clone()..).next().map(|(other, ())| other.clone()).filter(|other| other.starts_with(&inside))
}
