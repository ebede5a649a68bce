//! A mapping brought together with its files.

use crate::convert::Rule;
use crate::error::{Fault, ImportError, ImportErrors, MappingFault, closest};
use crate::limits::MAX_FILES;
use crate::mapping::{
    EntrySpec, FieldSpec, LookupSpec, Mapping, Missing, Named, OriginSpec, Orphans, Repeats, TemplateSpec,
};
use crate::record::{Builder, Part, Record};
use crate::source::Source;
use crate::table::{Index, Problems, Table};
use crate::template::{Pattern, Template};
use changeset::{Kind, Path, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A mapping with the files that it names, read and held in memory.
///
/// [`Import::records`] hands out all records or none: every row of every file is checked before.
#[derive(Debug)]
pub struct Import {
    pub(crate) kind: Kind,
    pub(crate) label: String,
    /// The file with one row for each record is the first.
    pub(crate) tables: Vec<Table>,
    pub(crate) indexes: Vec<Index>,
    pub(crate) key: Vec<usize>,
    /// The texts that mean that there is no value, where no field has its own.
    pub(crate) nulls: Arc<[String]>,
    pub(crate) created: Option<(usize, Rule)>,
    pub(crate) fields: Vec<Field>,
    pub(crate) joins: Vec<Join>,
    pub(crate) splits: Vec<Split>,
    /// What is wrong with rows whatever the fields.
    problems: Problems,
    used: BTreeSet<(usize, usize)>,
}

/// A field with the columns found.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) path: PathTemplate,
    pub(crate) from: Origin,
    pub(crate) rule: Rule,
    pub(crate) text: bool,
    pub(crate) keep_null: bool,
}

#[derive(Debug)]
pub(crate) struct PathTemplate {
    pub(crate) text: String,
    pub(crate) template: Template<Slot>,
}

/// Where a field's value comes from.
#[derive(Debug)]
pub(crate) enum Origin {
    Slot(Slot),
    Constant(Value),
    Lookup { index: usize, from: Vec<Slot>, column: usize, missing: Missing },
    Template(Template<Slot>),
}

/// A value of the row at hand.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Slot {
    Column(usize),
    Capture(usize),
}

/// The entries that a join or split makes.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) into: Path,
    pub(crate) id: PathTemplate,
    pub(crate) repeats: Repeats,
    pub(crate) fields: Vec<Field>,
}

#[derive(Debug)]
pub(crate) struct Join {
    /// The rows of the joined file by key.
    pub(crate) children: usize,
    /// The rows of the source by the columns that the key is compared with.
    pub(crate) parents: usize,
    pub(crate) orphans: Orphans,
    pub(crate) entry: Entry,
}

#[derive(Debug)]
pub(crate) struct Split {
    pub(crate) column: usize,
    pub(crate) separator: String,
    pub(crate) patterns: Vec<Pattern>,
    pub(crate) captures: usize,
    pub(crate) entry: Entry,
}

impl Import {
    /// Reads the files that the mapping names and finds its columns in them.
    ///
    /// # Errors
    /// [`ImportError`] if a file cannot be read or lacks a column. Broken rows are no error here: [`Import::records`]
    /// reports all of them together.
    pub fn load(mapping: &Mapping, source: &dyn Source) -> Result<Self, ImportError> {
        let mut loader = Loader {
            mapping,
            source,
            tables: Vec::new(),
            indexes: Vec::new(),
            unique: BTreeSet::new(),
            problems: Problems::default(),
            used: BTreeSet::new(),
        };
        loader.load()
    }

    /// Every record, in the order of the rows.
    ///
    /// What a broken row may explain is reported only when the row is right: rows that are joined to it, and look-ups
    /// that may mean it.
    ///
    /// # Errors
    /// [`ImportErrors`] with everything that is wrong; then there are no records at all.
    pub fn records(&self) -> Result<Vec<Record>, ImportErrors> {
        self.part(Part::WHOLE)
    }

    /// The records of one part: several replicas that import a part each import everything once. All rows are checked,
    /// those of other parts too, so that either every replica can import or none.
    ///
    /// # Errors
    /// As [`Import::records`].
    pub fn part(&self, part: Part) -> Result<Vec<Record>, ImportErrors> {
        let mut problems = self.problems.clone();
        self.check_orphans(&mut problems);
        let mut records = Vec::new();
        for row in 0..self.rows() {
            if problems.is_full() {
                break;
            }
            match Builder::new(self, &mut problems, row).build() {
                Some(record) if problems.total() == 0 => records.extend(part.has(row as u64).then_some(record)),
                _ => records = Vec::new(),
            }
        }
        if problems.total() == 0 {
            return Ok(records);
        }
        let (total, complete) = (problems.total(), !problems.is_full());
        Err(ImportErrors { problems: problems.into_kept(), total, complete })
    }

    /// How many rows the source has: one for each record.
    pub fn rows(&self) -> usize {
        self.tables.first().map_or(0, Table::rows)
    }

    /// Each file with its number of rows; the source first.
    pub fn files(&self) -> impl Iterator<Item = (&str, usize)> {
        self.tables.iter().map(|table| (&*table.name, table.rows()))
    }

    /// The columns that the mapping makes no use of, each with its file: what would not be imported.
    pub fn unused_columns(&self) -> impl Iterator<Item = (&str, &str)> {
        self.tables.iter().enumerate().flat_map(move |(number, table)| {
            let unused =
                table.columns.iter().enumerate().filter(move |(column, _)| !self.used.contains(&(number, *column)));
            unused.map(|(_, name)| (&*table.name, name.as_str()))
        })
    }

    /// Rows of joins that no row of the source takes.
    fn check_orphans(&self, problems: &mut Problems) {
        let Some(source) = self.tables.first() else { return };
        // Where a row of the source is broken, the rows that belong to it are no orphans.
        for join in self.joins.iter().filter(|join| join.orphans == Orphans::Error && source.whole) {
            let (Some(children), Some(parents)) = (self.indexes.get(join.children), self.indexes.get(join.parents))
            else {
                continue;
            };
            let Some(table) = self.tables.get(children.table) else { continue };
            for row in 0..table.rows() {
                let key = table.key(row, &children.columns);
                if parents.find(source, &key).is_empty() {
                    let fault = Fault::NoParent { parent: source.name.clone() };
                    let column = children.columns.first().copied();
                    problems.add(children.table, table, table.line(row), column, Some(&key.join(", ")), fault);
                }
            }
        }
    }
}

/// What is read and found so far.
struct Loader<'a> {
    mapping: &'a Mapping,
    source: &'a dyn Source,
    tables: Vec<Table>,
    indexes: Vec<Index>,
    /// The indexes whose keys must not repeat.
    unique: BTreeSet<usize>,
    problems: Problems,
    used: BTreeSet<(usize, usize)>,
}

/// What the names of a field mean.
#[derive(Clone, Copy)]
struct Scope<'a> {
    table: usize,
    captures: &'a [String],
}

impl Loader<'_> {
    fn load(&mut self) -> Result<Import, ImportError> {
        let mapping = self.mapping;
        let table = self.table(&mapping.source)?;
        let scope = Scope { table, captures: &[] };
        let key = self.columns(table, &mapping.key)?;
        let key_index = self.index(table, key.clone());
        self.unique.insert(key_index);
        let created = match &mapping.created {
            Some(created) => Some((self.column(table, &created.column)?, created.rule.clone())),
            None => None,
        };
        let fields = self.fields(&mapping.fields, scope)?;
        let mut joins = Vec::new();
        for join in &mapping.joins {
            let child = self.table(&join.csv)?;
            let (child_columns, parent_columns) = (self.columns(child, &join.key)?, self.columns(table, &join.from)?);
            let children = self.index(child, child_columns);
            let parents = self.index(table, parent_columns);
            let entry = self.entry(&join.entry, Scope { table: child, captures: &[] })?;
            joins.push(Join { children, parents, orphans: join.orphans, entry });
        }
        let mut splits = Vec::new();
        for split in &mapping.splits {
            splits.push(Split {
                column: self.column(table, &split.column)?,
                separator: split.separator.clone(),
                patterns: split.patterns.clone(),
                captures: split.captures.len(),
                entry: self.entry(&split.entry, Scope { table, captures: &split.captures })?,
            });
        }
        self.check_repeats();
        Ok(Import {
            kind: mapping.kind.clone(),
            label: mapping.label.clone(),
            tables: core::mem::take(&mut self.tables),
            indexes: core::mem::take(&mut self.indexes),
            key,
            nulls: Arc::clone(&mapping.nulls),
            created,
            fields,
            joins,
            splits,
            problems: core::mem::take(&mut self.problems),
            used: core::mem::take(&mut self.used),
        })
    }

    /// The number of a file, which is read when it is first named.
    fn table(&mut self, file: &Named) -> Result<usize, ImportError> {
        if let Some(known) = self.tables.iter().position(|table| *table.name == *file.name) {
            return Ok(known);
        }
        let number = self.tables.len();
        if number == MAX_FILES {
            return Err(self.mapping.refuse(file.at, MappingFault::TooManyFiles));
        }
        let bytes = self.source.open(&file.name)?;
        let table = Table::read(number, &file.name, &bytes, self.mapping.delimiter, &mut self.problems)?;
        self.tables.push(table);
        Ok(number)
    }

    fn column(&mut self, table: usize, column: &Named) -> Result<usize, ImportError> {
        let Some(file) = self.tables.get(table) else { return Ok(0) };
        let mut found = file.columns.iter().enumerate().filter(|(_, name)| **name == column.name).map(|(at, _)| at);
        let fault = match (found.next(), found.next()) {
            (Some(at), None) => {
                self.used.insert((table, at));
                return Ok(at);
            }
            (Some(_), Some(_)) => {
                MappingFault::AmbiguousColumn { file: file.name.clone(), column: column.name.clone() }
            }
            (None, _) => MappingFault::UnknownColumn {
                file: file.name.clone(),
                column: column.name.clone(),
                suggestion: closest(&column.name, file.columns.iter().map(String::as_str)),
                columns: file.columns.clone(),
            },
        };
        Err(self.mapping.refuse(column.at, fault))
    }

    fn columns(&mut self, table: usize, columns: &[Named]) -> Result<Vec<usize>, ImportError> {
        columns.iter().map(|column| self.column(table, column)).collect()
    }

    /// The number of an index, which look-ups and joins of the same columns share.
    fn index(&mut self, table: usize, columns: Vec<usize>) -> usize {
        if let Some(known) = self.indexes.iter().position(|index| index.table == table && index.columns == columns) {
            return known;
        }
        if let Some(file) = self.tables.get(table) {
            self.indexes.push(Index::new(table, file, columns));
        }
        self.indexes.len() - 1
    }

    /// Captures hide columns of the same name.
    fn slot(&mut self, scope: Scope<'_>, name: &Named) -> Result<Slot, ImportError> {
        match scope.captures.iter().position(|capture| *capture == name.name) {
            Some(capture) => Ok(Slot::Capture(capture)),
            None => self.column(scope.table, name).map(Slot::Column),
        }
    }

    fn template(&mut self, spec: &TemplateSpec, scope: Scope<'_>) -> Result<Template<Slot>, ImportError> {
        spec.template.resolve(|name| self.slot(scope, &Named { name: name.to_owned(), at: spec.at }))
    }

    fn path(&mut self, spec: &TemplateSpec, scope: Scope<'_>) -> Result<PathTemplate, ImportError> {
        Ok(PathTemplate { text: spec.text.clone(), template: self.template(spec, scope)? })
    }

    fn fields(&mut self, specs: &[FieldSpec], scope: Scope<'_>) -> Result<Vec<Field>, ImportError> {
        specs.iter().map(|spec| self.field(spec, scope)).collect()
    }

    fn field(&mut self, spec: &FieldSpec, scope: Scope<'_>) -> Result<Field, ImportError> {
        let from = match &spec.from {
            OriginSpec::Column(column) => Origin::Slot(Slot::Column(self.column(scope.table, column)?)),
            OriginSpec::Capture(capture) => Origin::Slot(self.slot(scope, capture)?),
            OriginSpec::Constant(value) => Origin::Constant(value.clone()),
            OriginSpec::Lookup(lookup) => self.lookup(lookup, scope)?,
            OriginSpec::Template(template) => Origin::Template(self.template(template, scope)?),
        };
        let path = self.path(&spec.path, scope)?;
        Ok(Field { path, from, rule: spec.rule.clone(), text: spec.text, keep_null: spec.keep_null })
    }

    fn lookup(&mut self, spec: &LookupSpec, scope: Scope<'_>) -> Result<Origin, ImportError> {
        let from = spec.from.iter().map(|name| self.slot(scope, name)).collect::<Result<_, _>>()?;
        let table = self.table(&spec.csv)?;
        let key = self.columns(table, &spec.key)?;
        let column = self.column(table, &spec.column)?;
        let index = self.index(table, key);
        self.unique.insert(index);
        Ok(Origin::Lookup { index, from, column, missing: spec.missing })
    }

    fn entry(&mut self, spec: &EntrySpec, scope: Scope<'_>) -> Result<Entry, ImportError> {
        let id = self.path(&spec.id, scope)?;
        Ok(Entry { into: spec.into.clone(), id, repeats: spec.repeats, fields: self.fields(&spec.fields, scope)? })
    }

    /// Keys that must be of one row each, null keys apart.
    fn check_repeats(&mut self) {
        for index in self.unique.iter().filter_map(|index| self.indexes.get(*index)) {
            let Some(table) = self.tables.get(index.table) else { continue };
            for (row, first) in index.repeats(table) {
                let key = table.key(row, &index.columns);
                if key.iter().any(|cell| self.mapping.nulls.iter().any(|null| null == cell)) {
                    continue;
                }
                let fault = Fault::SameKey { first: table.line(first) };
                let column = index.columns.first().copied();
                self.problems.add(index.table, table, table.line(row), column, Some(&key.join(", ")), fault);
            }
        }
    }
}
