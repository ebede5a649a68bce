//! The two models that come with Fieldbook. They are made of the same public parts as the kinds of an app.

pub mod inspection;
pub mod order;

use crate::{KindRegistry, SchemaError};

/// A registry that knows inspections and orders; an app registers its own kinds beside them.
///
/// # Errors
/// [`SchemaError`] if a schema that this crate carries is none; its tests hold that they are.
pub fn standard_kinds() -> Result<KindRegistry, SchemaError> {
    let mut registry = KindRegistry::new();
    for definition in [inspection::definition()?, order::definition()?] {
        // Fresh registry, two different kinds, names that the tests hold to be good.
        let registered = registry.register(definition);
        debug_assert_eq!(registered, Ok(()));
    }
    Ok(registry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::fake::Fake;
    use crate::{AnyIntent, KindDefinition};

    fn kinds() -> KindRegistry {
        standard_kinds().unwrap()
    }

    fn all() -> impl Iterator<Item = (KindDefinition, AnyIntent)> {
        let kinds: Vec<KindDefinition> = kinds().kinds().cloned().collect();
        kinds.into_iter().flat_map(|kind| {
            let examples: Vec<AnyIntent> = kind.intents().iter().map(|intent| intent.example()).collect();
            examples.into_iter().map(move |example| (kind.clone(), example))
        })
    }

    #[test]
    fn both_models_are_registered_with_good_names() {
        let registry = kinds();
        let names: Vec<&str> = registry.kinds().map(|kind| kind.schema().kind().as_str()).collect();
        assert_eq!(names, ["inspection", "order"]);
        for definition in [inspection::definition().unwrap(), order::definition().unwrap()] {
            assert_eq!(KindRegistry::new().register(definition), Ok(()));
        }
    }

    #[test]
    fn every_example_comes_back_from_its_json() {
        for (kind, example) in all() {
            let json = example.to_json().unwrap();
            let back = kind.decode(example.name(), &json).unwrap();
            assert_eq!(back.to_json().unwrap(), json, "{example:?}");
            assert_eq!((back.name(), back.needs(), back.reason()), (example.name(), example.needs(), example.reason()));
        }
    }

    #[test]
    fn every_intent_refuses_fields_it_does_not_know() {
        for (kind, example) in all() {
            let json = example.to_json().unwrap();
            let inner = json.trim_start_matches('{').trim_end_matches('}');
            let more =
                if inner.is_empty() { r#"{"extra": 1}"#.to_owned() } else { json.replacen('{', r#"{"extra": 1, "#, 1) };
            let error = kind.decode(example.name(), &more).unwrap_err().to_string();
            assert!(error.contains("unknown field `extra`") && error.contains("for example {"), "{error}");
        }
    }

    #[test]
    fn every_violation_names_the_cure_even_without_a_document() {
        for (_, example) in all().filter(|(_, example)| example.name() != "create") {
            let violations = example.validate(&Fake::default());
            let first = violations.first().unwrap();
            assert_eq!(first.path, "status", "{example:?}");
            assert!(first.cure.starts_with("first `create`"), "{example:?}: {first}");
            assert!(violations.iter().all(|violation| !violation.problem.is_empty() && !violation.cure.is_empty()));
        }
    }
}
