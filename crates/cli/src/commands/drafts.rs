//! `drafts`: what was typed and could not be saved.

use crate::commands::{act, exact, minute, text};
use crate::output::{Align, Table, error, line, shorten, things};
use crate::workspace::Workspace;
use crate::{Context, Outcome};
use anyhow::{Context as _, anyhow, bail};
use changeset::{DocumentId, DocumentKey, Kind};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// List them (the default)
    List,
    /// Show what was typed
    Show {
        /// The draft's number
        draft: String,
    },
    /// Try again, and forget the draft if it was saved
    Retry {
        /// The draft's number
        draft: String,
    },
    /// Forget one for good
    Discard {
        /// The draft's number
        draft: String,
    },
}

/// What a person typed. Only ever on this device.
#[derive(Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Draft {
    kind: String,
    id: String,
    pub(crate) intent: String,
    /// What the command says, or what the text should read.
    pub(crate) what: String,
    /// The text field; none for a command.
    pub(crate) field: Option<String>,
    time_ms: u64,
    why: String,
}

impl Draft {
    fn new(key: &DocumentKey, intent: &str, what: &str, field: Option<&str>) -> Self {
        Self {
            kind: key.kind.to_string(),
            id: key.id.to_uuid(),
            intent: intent.to_owned(),
            what: what.to_owned(),
            field: field.map(str::to_owned),
            time_ms: 0,
            why: String::new(),
        }
    }

    pub(crate) fn of_intent(key: &DocumentKey, intent: &str, what: &str) -> Self {
        Self::new(key, intent, what, None)
    }

    pub(crate) fn of_text(key: &DocumentKey, field: &str, text: &str) -> Self {
        Self::new(key, "edit_text", text, Some(field))
    }

    pub(crate) fn key(&self) -> anyhow::Result<DocumentKey> {
        let id = DocumentId::from_uuid(&self.id).ok_or_else(|| anyhow!("{} is no document id", self.id))?;
        Ok(DocumentKey { kind: Kind::new(&self.kind)?, id })
    }

    fn as_json(&self, name: &str) -> Json {
        json!({
            "draft": name, "kind": self.kind, "document": self.id, "intent": self.intent, "field": self.field,
            "what": self.what, "time": exact(self.time_ms), "why": self.why,
        })
    }
}

/// Keeps what could not be saved, and says why and where it is.
pub(crate) fn keep(
    context: &Context,
    workspace: &Workspace,
    mut draft: Draft,
    why: &str,
    kept: Option<&str>,
) -> Outcome {
    draft.why = why.to_owned();
    draft.time_ms = workspace.book.replica().now_ms();
    let taken = workspace.partition.drafts()?;
    let next = taken.iter().filter_map(|(name, _)| name.parse::<u64>().ok()).max().unwrap_or(0) + 1;
    let name = kept.map_or_else(|| next.to_string(), str::to_owned);
    workspace.partition.keep_draft(&name, &serde_json::to_vec(&draft)?)?;
    if context.json {
        crate::output::json(&json!({ "not_permitted": why, "draft": name }))?;
    } else {
        error(&format!("{} was not saved: {why}", draft.intent));
        error(&format!(
            "what you typed is kept as draft {name} on this device; once you may: fieldbook drafts retry {name}"
        ));
    }
    Ok(false)
}

pub(crate) fn run(context: &Context, options: &Options) -> Outcome {
    let workspace = Workspace::open(context)?;
    let find = |name: &str| -> anyhow::Result<Draft> {
        let drafts = workspace.partition.drafts()?;
        let Some((_, bytes)) = drafts.iter().find(|(known, _)| known == name) else {
            bail!("there is no draft {name}; see: fieldbook drafts")
        };
        serde_json::from_slice(bytes).with_context(|| format!("draft {name} was not written by this command"))
    };
    match options.action.as_ref().unwrap_or(&Action::List) {
        Action::List => list(context, &workspace),
        Action::Show { draft: name } => {
            let draft = find(name)?;
            if context.json {
                crate::output::json(&draft.as_json(name))?;
            } else {
                line(&draft.what)?;
            }
            Ok(true)
        }
        Action::Retry { draft: name } => {
            let draft = find(name)?;
            match draft.field {
                None => act::act(context, &workspace, draft, Some(name)),
                Some(_) => text::write(context, &workspace, draft, Some(name)),
            }
        }
        Action::Discard { draft: name } => {
            find(name)?;
            workspace.partition.discard_draft(name)?;
            line(&format!("draft {name} is forgotten"))?;
            Ok(true)
        }
    }
}

fn list(context: &Context, workspace: &Workspace) -> Outcome {
    let mut drafts = workspace.partition.drafts()?;
    drafts.sort_by_key(|(name, _)| (name.len(), name.clone()));
    let mut table = Table::new(&[
        ("draft", Align::Right),
        ("when (UTC)", Align::Left),
        ("document", Align::Left),
        ("would do", Align::Left),
        ("what", Align::Left),
        ("why not", Align::Left),
    ]);
    let mut rows = Vec::new();
    for (name, bytes) in &drafts {
        // What another program keeps here is not this command's to show.
        let Ok(draft) = serde_json::from_slice::<Draft>(bytes) else { continue };
        let id = draft.key()?.id.to_string();
        table.row([
            name.clone(),
            minute(draft.time_ms),
            format!("{} {}", draft.kind, id.get(id.len() - 8..).unwrap_or(&id)),
            draft.field.clone().unwrap_or_else(|| draft.intent.clone()),
            shorten(&draft.what, 40),
            shorten(&draft.why, 60),
        ]);
        rows.push(draft.as_json(name));
    }
    if context.json {
        crate::output::json(&Json::Array(rows))?;
    } else if rows.is_empty() {
        line("no drafts")?;
    } else {
        table.print(0)?;
        line(&format!("\n{}", things(rows.len(), "draft")))?;
    }
    Ok(true)
}
