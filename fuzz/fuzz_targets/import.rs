#![no_main]
//! The bytes up to the first line `===` are a mapping file, those behind it are every CSV file that it names. Bytes
//! without such a line are CSV for the mappings of the crate, so that their readers are reached without a mapping.

use fieldbook_import::{
    FOOD_INSPECTIONS_MAPPING, Import, Mapping, NORTHWIND_ORDERS_MAPPING, Part, Source, SourceError,
};
use libfuzzer_sys::fuzz_target;

/// The same bytes under every name.
struct Everywhere<'a>(&'a [u8]);

impl Source for Everywhere<'_> {
    fn open(&self, _name: &str) -> Result<Vec<u8>, SourceError> {
        Ok(self.0.to_vec())
    }
}

fn run(mapping: &[u8], csv: &[u8]) {
    let mapping = match Mapping::parse("mapping.toml", mapping) {
        Ok(mapping) => mapping,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let import = match Import::load(&mapping, &Everywhere(csv)) {
        Ok(import) => import,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    match import.records() {
        Ok(records) => {
            assert_eq!(records.len(), import.rows());
            let part = |part| import.part(Part::new(part, 2).expect("one of two")).expect("all rows are right");
            assert_eq!(part(1).len() + part(2).len(), records.len());
            for record in &records {
                assert!(record.puts.iter().all(|(_, value)| value.check().is_ok()));
                assert!(record.texts.iter().all(|(_, text)| !text.is_empty()));
            }
        }
        Err(errors) => {
            assert!(errors.total() >= errors.problems().len() as u64 && !errors.problems().is_empty());
            assert!(!errors.to_string().is_empty());
        }
    }
}

fuzz_target!(|data: &[u8]| {
    const BETWEEN: &[u8] = b"\n===\n";
    match data.windows(BETWEEN.len()).position(|window| window == BETWEEN) {
        Some(at) => run(&data[..at], &data[at + BETWEEN.len()..]),
        None => {
            run(FOOD_INSPECTIONS_MAPPING.as_bytes(), data);
            run(NORTHWIND_ORDERS_MAPPING.as_bytes(), data);
        }
    }
});
