//! Intents that are a row of a lifecycle and a plan of writes. Most are.

use crate::kinds::checks::Checks;
use crate::kinds::fields::Code;
use crate::kinds::intent::{Intent, Violation};
use crate::kinds::lifecycle::Lifecycle;
use crate::kinds::needs::Needs;
use crate::kinds::plan::Plan;
use crate::kinds::schema::{Schema, SchemaError};
use crate::state::{EditError, Edits, State};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What the actions of one kind of document share.
pub trait Model: 'static {
    /// The stages.
    type Stage: Code;

    /// The lifecycle, with a row for every action.
    fn lifecycle() -> &'static Lifecycle<Self::Stage>;

    /// The schema, parsed once.
    ///
    /// # Errors
    /// [`SchemaError`] if the schema that the app carries is none; its tests should have told.
    fn schema() -> Result<&'static Schema, &'static SchemaError>;
}

/// An intent that is possible in certain stages, writes a plan, and perhaps leads to another stage. The rest follows:
/// validation asks the lifecycle, then [`Action::check`], then holds every write to the schema.
pub trait Action: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The kind of document.
    type Model: Model;

    /// The intent's name, which is also the name of its row.
    const NAME: &'static str;

    /// What it does, in one line.
    const SUMMARY: &'static str;

    /// A typical one.
    fn example() -> Self;

    /// What it writes beside the stage.
    fn plan(&self) -> Plan;

    /// What else must hold. Neither the stage nor what the plan writes needs a word here.
    fn check(&self, checks: &mut Checks<'_>) {
        let _ = checks;
    }

    /// What it needs beyond the local state.
    fn needs(&self) -> Needs {
        Needs::Nothing
    }

    /// The person's reason.
    fn reason(&self) -> Option<&str> {
        None
    }
}

impl<A: Action> Intent for A {
    const NAME: &'static str = A::NAME;
    const SUMMARY: &'static str = A::SUMMARY;

    fn example() -> Self {
        A::example()
    }

    fn needs(&self) -> Needs {
        Action::needs(self)
    }

    fn reason(&self) -> Option<&str> {
        Action::reason(self)
    }

    fn validate(&self, state: &dyn State) -> Vec<Violation> {
        let mut checks = Checks::new(state);
        checks.extend(A::Model::lifecycle().check(state, A::NAME));
        self.check(&mut checks);
        match A::Model::schema() {
            Ok(schema) => checks.plan(schema, &self.plan()),
            Err(error) => checks.violation("", error.to_string(), "this app carries a broken schema: report it"),
        }
        checks.into_violations()
    }

    fn apply(&self, edits: &mut dyn Edits) -> Result<(), EditError> {
        self.plan().apply(edits)?;
        A::Model::lifecycle().advance(edits, A::NAME)
    }
}
