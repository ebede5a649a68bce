//! A third kind of document, `meter-reading`, as an app declares it: a schema as data, a lifecycle as a table, and
//! intents through the public traits of `crdt`. The models of inspections and orders are made in the same way.
//!
//! ```
//! let mut kinds = crdt::standard_kinds()?;
//! kinds.register(example_meter::definition()?)?;
//! let intent = kinds.decode("meter-reading", "record_reading", r#"{
//!     "reading": "2026-03", "value": "18204.7", "read_at": "2026-03-31T16:00:00Z"
//! }"#)?;
//! assert_eq!(intent.name(), "record_reading");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crdt::{
    Action, Amount, Checks, Code, EditError, Edits, EntryId, Exact, Fields, Intent, KindDefinition, Lifecycle, Model,
    Needs, Place, Plan, Row, Schema, SchemaError, State, TextEdit, Timestamp, Violation,
};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

static SCHEMA: LazyLock<Result<Schema, SchemaError>> = LazyLock::new(|| Schema::from_json(include_str!("schema.json")));

/// Whether the meter is still read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is.
    Open,
    /// It was taken out.
    Closed,
}

impl Code for Stage {
    const ALL: &'static [Self] = &[Self::Open, Self::Closed];

    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

const LIFECYCLE: Lifecycle<Stage> = Lifecycle {
    path: "status",
    rows: &[
        Row::create("install", Stage::Open),
        Row::stay("record_reading", &[Stage::Open]),
        Row::step("close_meter", &[Stage::Open], Stage::Closed),
    ],
};

/// The model of meters.
#[derive(Clone, Copy, Debug)]
pub struct Meters;

impl Model for Meters {
    type Stage = Stage;

    fn lifecycle() -> &'static Lifecycle<Stage> {
        &LIFECYCLE
    }

    fn schema() -> Result<&'static Schema, &'static SchemaError> {
        SCHEMA.as_ref()
    }
}

/// The kind `meter-reading`, to be registered beside the others.
///
/// # Errors
/// [`SchemaError`] if `schema.json` is no schema; the tests hold that it is.
pub fn definition() -> Result<KindDefinition, SchemaError> {
    let schema = Meters::schema().map_err(Clone::clone)?;
    Ok(KindDefinition::new(schema.clone())
        .with::<Install>()
        .with::<RecordReading>()
        .with::<Remark>()
        .with::<CloseMeter>())
}

/// Begins the record of a meter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Install {
    /// Where it hangs.
    pub site: String,
    /// Its number.
    pub meter: String,
    /// `kWh` or `m3`.
    pub unit: String,
}

impl Action for Install {
    type Model = Meters;
    const NAME: &'static str = "install";
    const SUMMARY: &'static str = "Begins the record of a meter.";

    fn example() -> Self {
        Self { site: "Pump house 3".to_owned(), meter: "1EMH0010".to_owned(), unit: "kWh".to_owned() }
    }

    fn plan(&self) -> Plan {
        Plan::new().put("site", self.site.as_str()).put("meter", self.meter.as_str()).put("unit", self.unit.as_str())
    }
}

/// Records a reading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordReading {
    /// The reading's id, for example the month.
    pub reading: EntryId,
    /// What the meter shows.
    pub value: Amount,
    /// When.
    pub read_at: Timestamp,
}

impl Action for RecordReading {
    type Model = Meters;
    const NAME: &'static str = "record_reading";
    const SUMMARY: &'static str = "Records what the meter shows.";

    fn example() -> Self {
        Self {
            reading: EntryId::numbered(1),
            value: Amount::from(18_204),
            read_at: Timestamp::from_clock(1_774_972_800_000),
        }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.no_entry("readings", &self.reading);
        let readings = checks.fields().entries("readings");
        let last = readings.filter_map(|(_, fields)| fields.timestamp("read_at").zip(fields.exact("value"))).max();
        if let Some((at, value)) = last.filter(|(at, value)| *at <= self.read_at && *value > self.value.exact()) {
            let problem = format!("{} is less than the reading of {at}", self.value);
            let cure = format!("read again: it should be at least {}", shown(value));
            checks.violation(format!("readings/{}/value", self.reading), problem, cure);
        }
    }

    fn plan(&self) -> Plan {
        Plan::new()
            .add_entry("readings", &self.reading, Place::Last)
            .put(format!("readings/{}/value", self.reading), self.value)
            .put(format!("readings/{}/read_at", self.reading), self.read_at)
    }
}

fn shown(value: Exact) -> String {
    value.round(3).map(|decimal| decimal.to_string()).unwrap_or_default()
}

/// Writes a remark. An intent by hand, without lifecycle and plan: remarks are welcome at any time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remark {
    /// What to write at the end of the remarks.
    pub text: String,
}

impl Intent for Remark {
    const NAME: &'static str = "remark";
    const SUMMARY: &'static str = "Writes a remark.";

    fn example() -> Self {
        Self { text: "The cover is loose. ".to_owned() }
    }

    fn validate(&self, state: &dyn State) -> Vec<Violation> {
        let mut checks = Checks::new(state);
        if self.text.trim().is_empty() {
            checks.violation("remarks", "nothing would change", "write a remark");
        }
        if let Ok(schema) = Meters::schema() {
            checks.plan(schema, &self.plan());
        }
        checks.into_violations()
    }

    fn apply(&self, edits: &mut dyn Edits) -> Result<(), EditError> {
        self.plan().apply(edits)
    }
}

impl Remark {
    fn plan(&self) -> Plan {
        Plan::new().text("remarks", TextEdit::Append(self.text.clone()))
    }
}

/// Ends the record of a meter that was taken out. It needs a connection: the supplier must hear of it at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloseMeter {}

impl Action for CloseMeter {
    type Model = Meters;
    const NAME: &'static str = "close_meter";
    const SUMMARY: &'static str = "Ends the record of a meter that was taken out.";

    fn example() -> Self {
        Self {}
    }

    fn plan(&self) -> Plan {
        Plan::new()
    }

    fn needs(&self) -> Needs {
        Needs::Online
    }
}

/// A meter as people see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Meter {
    /// Its number.
    pub number: Option<String>,
    /// What it showed, in the order in which it was recorded.
    pub readings: Vec<(Timestamp, Exact)>,
}

impl Meter {
    /// Reads the meter.
    pub fn read(state: &dyn State) -> Self {
        let fields = Fields::new(state);
        let readings = fields.entries("readings");
        Self {
            number: fields.string("meter"),
            readings: readings
                .filter_map(|(_, fields)| fields.timestamp("read_at").zip(fields.exact("value")))
                .collect(),
        }
    }
}
