//! A schema binds the author while a transaction is edited.

use crate::kinds::schema::Schema;
use crate::state::{EditError, EditRules};
use changeset::{Path, Value};

impl EditRules for Schema {
    fn check_put(&self, path: &Path, value: &Value) -> Result<(), EditError> {
        Self::check_put(self, path, value).map_err(EditError::from)
    }

    fn check_increment(&self, path: &Path) -> Result<(), EditError> {
        Self::check_increment(self, path).map_err(EditError::from)
    }

    fn check_text(&self, path: &Path) -> Result<(), EditError> {
        Self::check_text(self, path).map_err(EditError::from)
    }
}
