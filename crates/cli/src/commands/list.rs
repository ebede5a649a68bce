//! `list`: the documents of a partition, from its lists alone: none is opened.

use crate::commands::{exact, minute, parse_day};
use crate::output::{Align, Table, line, shorten, things};
use crate::workspace::{Workspace, readings};
use crate::{Context, Outcome};
use anyhow::{anyhow, bail};
use changeset::{Kind, Value};
use fieldbook::{Filter, Listed, Listing};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Only documents of this kind
    kind: Option<String>,
    /// Only documents with this status
    #[arg(long)]
    status: Option<String>,
    /// Only documents of this assignee (an order's employee)
    #[arg(long, value_name = "NAME")]
    assignee: Option<String>,
    /// Only documents with this number
    #[arg(long)]
    number: Option<String>,
    /// Only from this day on, as 2026-03-02: inspections by when they are scheduled, orders by when they were ordered
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// Only up to this day, which is included
    #[arg(long, value_name = "DATE")]
    to: Option<String>,
    /// The field that --from and --to look at, for example dates/required
    #[arg(long, value_name = "FIELD")]
    by: Option<String>,
    /// Only documents whose field reads so; may be given several times
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    wheres: Vec<String>,
}

/// The fields by which a document of any kind stands in time, the first that it has.
const DATES: [&str; 2] = ["scheduled_at", "dates/ordered"];
/// The fields that say whose a document is.
const ASSIGNEES: [&str; 2] = ["assignee", "employee"];

/// What a document must say to be listed.
struct Wanted {
    /// One of these fields reads so.
    equal: Vec<(Vec<String>, String)>,
    /// One of these fields, the first that there is, lies between these times.
    dates: Vec<String>,
    from_ms: Option<i64>,
    to_ms: Option<i64>,
}

pub(crate) fn run(context: &Context, options: &Options) -> Outcome {
    let wanted = Wanted::of(options)?;
    let workspace = Workspace::open(context)?;
    workspace.refresh()?;
    let kind = options.kind.as_deref().map(Kind::new).transpose().map_err(|fault| anyhow!("{fault}"))?;
    let mut documents = candidates(&workspace, kind.as_ref(), &wanted)?;
    documents.retain(|listed| wanted.fits(&listed.summary.fields) && (kind.is_some() || is_shown(listed)));
    documents.sort_by(|a, b| a.key.cmp(&b.key));
    if context.json {
        let rows = documents.iter().map(|listed| {
            let summary = &listed.summary;
            json!({
                "kind": listed.key.kind.as_str(), "id": listed.key.id.to_uuid(),
                "number": summary.fields.get("number"), "title": summary.title, "status": summary.fields.get("status"),
                "change_sets": summary.change_sets, "conflicts": summary.conflicts,
                "last_change": exact(summary.last_change_ms), "fields": summary.fields,
            })
        });
        crate::output::json(&Json::Array(rows.collect()))?;
        return Ok(true);
    }
    if documents.is_empty() {
        line(if wanted.is_anything() && kind.is_none() {
            "no documents; make one with: fieldbook do new:inspection create …, or import some"
        } else {
            "no such documents"
        })?;
        return Ok(true);
    }
    let mut table = Table::new(&[
        ("kind", Align::Left),
        ("id", Align::Left),
        ("number", Align::Left),
        ("title", Align::Left),
        ("status", Align::Left),
        ("changes", Align::Right),
        ("conflicts", Align::Right),
        ("last change (UTC)", Align::Left),
    ]);
    let ids = short_ids(&documents);
    for (listed, id) in documents.iter().zip(ids) {
        let field = |name: &str| listed.summary.fields.get(name).cloned().unwrap_or_default();
        table.row([
            listed.key.kind.to_string(),
            id,
            field("number"),
            shorten(listed.summary.title.as_deref().unwrap_or_default(), 40),
            field("status"),
            listed.summary.change_sets.to_string(),
            listed.summary.conflicts.to_string(),
            minute(listed.summary.last_change_ms),
        ]);
    }
    table.print(0)?;
    line(&format!("\n{}", things(documents.len(), "document")))?;
    Ok(true)
}

/// What devices say of themselves, and records of access, have commands of their own: they are listed when asked for.
fn is_shown(listed: &Listed) -> bool {
    ![fieldbook::access::KIND_ACCESS, crate::device::KIND].contains(&listed.key.kind.as_str())
}

/// With a kind, those that one index gives; else all, of which the rest is picked by what their lists say.
fn candidates(workspace: &Workspace, kind: Option<&Kind>, wanted: &Wanted) -> anyhow::Result<Vec<Listed>> {
    let partition = &workspace.partition;
    let Some(kind) = kind else { return Ok(partition.list(None, &Filter::all())?) };
    let mut found: BTreeMap<_, Listed> = BTreeMap::new();
    if let Some((fields, text)) = wanted.equal.first() {
        for (field, value) in
            fields.iter().flat_map(|field| readings(text).into_iter().map(move |value| (field, value)))
        {
            let listed = partition.list(Some(kind), &Filter::equal(field, &value))?;
            found.extend(listed.into_iter().map(|listed| (listed.key.clone(), listed)));
        }
    } else if wanted.from_ms.is_some() || wanted.to_ms.is_some() {
        let (from, to) = (wanted.from_ms.unwrap_or(i64::MIN), wanted.to_ms.unwrap_or(i64::MAX));
        for field in &wanted.dates {
            let filter = Filter::between(field, &Value::Timestamp(from), &Value::Timestamp(to));
            let listed = partition.list(Some(kind), &filter)?;
            found.extend(listed.into_iter().map(|listed| (listed.key.clone(), listed)));
        }
    } else {
        return Ok(partition.list(Some(kind), &Filter::all())?);
    }
    Ok(found.into_values().collect())
}

impl Wanted {
    fn of(options: &Options) -> anyhow::Result<Self> {
        let indexed = Listing::standard().indexed;
        let check = |field: &str| match indexed.iter().any(|known| known == field) {
            true => Ok(field.to_owned()),
            false => bail!("{field} is not among the fields by which documents are found: {}", indexed.join(", ")),
        };
        let mut equal: Vec<(Vec<String>, String)> = Vec::new();
        let mut want = |fields: &[&str], text: &Option<String>| {
            equal.extend(
                text.iter().map(|text| (fields.iter().map(|field| (*field).to_owned()).collect(), text.clone())),
            );
        };
        // What leaves the least comes first: that is what the index is asked for.
        want(&["number"], &options.number);
        want(&ASSIGNEES, &options.assignee);
        for text in &options.wheres {
            let Some((field, value)) = text.split_once('=') else { bail!("--where {text}: write FIELD=VALUE") };
            equal.push((vec![check(field)?], value.to_owned()));
        }
        equal.extend(options.status.iter().map(|status| (vec!["status".to_owned()], status.clone())));
        let dates = match &options.by {
            Some(field) => vec![check(field)?],
            None => DATES.map(str::to_owned).to_vec(),
        };
        let from_ms = options.from.as_deref().map(parse_day).transpose()?;
        let to_ms = options.to.as_deref().map(parse_day).transpose()?.map(|ms| ms + DAY_MS);
        Ok(Self { equal, dates, from_ms, to_ms })
    }

    fn is_anything(&self) -> bool {
        self.equal.is_empty() && self.from_ms.is_none() && self.to_ms.is_none()
    }

    fn fits(&self, fields: &BTreeMap<String, String>) -> bool {
        let reads = |(names, text): &(Vec<String>, String)| names.iter().any(|name| fields.get(name) == Some(text));
        if !self.equal.iter().all(reads) {
            return false;
        }
        if self.from_ms.is_none() && self.to_ms.is_none() {
            return true;
        }
        let at = self.dates.iter().find_map(|name| fields.get(name)).and_then(|text| crdt::Timestamp::parse(text));
        at.is_some_and(|at| {
            let ms = at.ms();
            self.from_ms.is_none_or(|from| ms >= from) && self.to_ms.is_none_or(|to| ms < to)
        })
    }
}

const DAY_MS: i64 = 86_400_000;

/// As much of each id as tells the document apart from the others; ids made at one time begin alike.
fn short_ids(documents: &[Listed]) -> Vec<String> {
    const SHORTEST: usize = 8;
    let mut sorted: Vec<String> = documents.iter().map(|listed| listed.key.id.to_string()).collect();
    sorted.sort();
    let shared = |a: &str, b: &str| a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let short = |id: String| {
        let at = sorted.partition_point(|other| *other < id);
        let before = at.checked_sub(1).and_then(|at| sorted.get(at)).map_or(0, |other| shared(other, &id));
        let after = sorted.get(at + 1).map_or(0, |other| shared(other, &id));
        let length = (before.max(after) + 1).max(SHORTEST);
        id.get(..length).unwrap_or(&id).to_owned()
    };
    documents.iter().map(|listed| short(listed.key.id.to_string())).collect()
}
