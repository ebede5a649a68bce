//! CSV files to records, through a mapping file.
//!
//! A mapping names one CSV file with a row for each record, and says what its columns become: paths with types, looked
//! up in other files, joined from other files, or split out of one cell. [`Mapping::parse`] reads it, [`Import::load`]
//! brings it together with its files, and [`Import::records`] hands out one [`Record`] for each row: the values and
//! texts that one intent writes. It hands out all of them or none: every row of every file is checked before, and
//! [`ImportErrors`] names what is wrong by file, line and column, with the cure.
//!
//! Nothing is guessed and nothing is lost: a value that would not be kept as it is written is an error, so is a row
//! that belongs to no record, and [`Import::unused_columns`] tells what the mapping leaves out.
//!
//! This crate knows no documents and reads no clock; files come through a [`Source`].
//!
//! ```
//! use changeset::Value;
//! use fieldbook_import::{Import, Mapping, MemorySource};
//!
//! let mapping = r#"
//! kind = "order"
//! source = "orders.csv"
//! key = "No"                          # or ["A", "B"]; what names the document, see `document_id`
//! created = { column = "Date", format = "%m/%d/%Y" }   # optional: the time in the document's id
//! null = ["", "NULL"]                 # cells that mean "no value", in all files; nothing is written. [""] if left out
//! ## delimiter = ";"                   # "," if left out
//! ## label = "orders"                  # stands for the source in document ids; its name if left out
//!
//! [[field]]
//! path = "dates/ordered"              # may have values in it: "tags/{Code}"
//! column = "Date"                     # or capture, constant, lookup, template
//! type = "timestamp"                  # string, int, decimal, float, bool, timestamp, counter
//! format = "%m/%d/%Y"                 # %Y %m %d %H %M %S %.3f %f; UTC
//! ## exact = false                     # allow what is not kept as it is written: 007, +5, .5
//! ## keep_null = true                  # write null for null cells
//! ## null = []                         # what means "no value" to this field alone
//!
//! [[field]]
//! path = "priority"
//! column = "Priority"
//! map = { "1 (High)" = "high", "2 (Low)" = "low" }
//! ## otherwise = "keep"                # or "error", or a value, for what the map does not have
//!
//! [[field]]
//! path = "customer/name"
//! lookup = { csv = "customers.csv", key = "ID", from = "Customer", column = "Name", missing = "error" }  # or "null"
//!
//! [[field]]
//! path = "status"
//! constant = "approved"
//!
//! [[field]]
//! path = "notes"
//! template = "{Priority}, {Remarks}"  # nulls are empty; null if all are
//! text = true                         # a text that several can write in at once
//!
//! [[join]]                            # entries lines/<id>, with the marker `.` and a `position`
//! csv = "lines.csv"
//! key = "Order"                       # its column, equal to
//! from = "No"                         # this one of the source
//! into = "lines"
//! id = "{Product}"
//! ## orphans = "ignore"                # allow rows that belong to no record
//! ## repeats = "suffix"                # allow an id twice in one record: 7, 7-2, 7-3
//! [[join.field]]
//! path = "quantity"
//! column = "Quantity"
//! type = "int"
//!
//! [[split]]                           # entries items/<id>
//! column = "Remarks"
//! separator = " | "
//! patterns = ["{number:int}. {prompt} - Comments: {note}", "{number:int}. {prompt}"]  # the first that fits
//! into = "items"
//! id = "{number}"                     # repeats = "suffix" if left out
//! [[split.field]]
//! path = "prompt"
//! capture = "prompt"
//! [[split.field]]
//! path = "note"
//! capture = "note"
//! text = true
//! "#;
//! let files = MemorySource::new()
//!     .with("orders.csv", "No,Date,Priority,Customer,Remarks\n7,3/6/2020,1 (High),A,1. Box - Comments: dry | 2. Go\n")
//!     .with("customers.csv", "ID,Name\nA,Alfreds Futterkiste\n")
//!     .with("lines.csv", "Order,Product,Quantity\n7,X 1,12\n");
//!
//! let import = Import::load(&Mapping::parse("orders.toml", mapping.as_bytes())?, &files)?;
//! assert_eq!(import.unused_columns().count(), 0);
//! let records = import.records()?;
//! let value = |path: &str| records[0].puts.iter().find(|(at, _)| at.as_str() == path).map(|(_, value)| value.clone());
//! assert_eq!(value("dates/ordered"), Some(Value::Timestamp(1_583_452_800_000)));
//! assert_eq!(value("customer/name"), Some("Alfreds Futterkiste".into()));
//! assert_eq!(value("lines/x-1/quantity"), Some(Value::Int(12)));
//! assert_eq!(value("items/2/prompt"), Some("Go".into()));
//! assert_eq!(records[0].texts[1].1, "dry");
//!
//! let broken = files.with("lines.csv", "Order,Product,Quantity\n7,X 1,a dozen\n");
//! let errors = Import::load(&Mapping::parse("orders.toml", mapping.as_bytes())?, &broken)?.records().unwrap_err();
//! let place = r#"lines.csv, line 2, column "Quantity", value "a dozen": it is no whole number"#;
//! assert!(errors.to_string().contains(place));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod convert;
mod error;
mod generated;
mod import;
pub mod limits;
mod mapping;
mod record;
mod source;
mod table;
mod template;
mod time;

pub use error::{Fault, FileFault, ImportError, ImportErrors, MappingFault, Problem, SourceError};
pub use generated::generated;
pub use import::Import;
pub use mapping::Mapping;
pub use record::{Part, Record, document_id, position};
pub use source::{FolderSource, MemorySource, Source};
pub use template::segment;

/// The mapping of `food_inspections.csv`, the City of Chicago's food inspections, to documents of kind `inspection`.
pub const FOOD_INSPECTIONS_MAPPING: &str = include_str!("../mappings/food_inspections.toml");
/// The mapping of `northwind_orders.csv` and the files beside it to documents of kind `order`.
pub const NORTHWIND_ORDERS_MAPPING: &str = include_str!("../mappings/northwind_orders.toml");
