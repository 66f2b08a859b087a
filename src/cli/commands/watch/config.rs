//! Changes of the project's own files: compose files, env files, the files of configs and secrets.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc::UnboundedSender;

use super::super::super::backend::{Backend, Change, Loaded, Until};
use super::super::super::context::Context;
use super::super::super::error::CliError;
use super::super::super::progress::Tell;
use super::follow::outcome_of;
use super::{Options, Said};

/// Loads the files anew and says what they would change; with `--apply-config`, changes it. Returns the project where it is
/// now the one that runs.
pub async fn changed<B: Backend>(
    cx: &Context<'_, B>,
    files: &BTreeSet<PathBuf>,
    options: &Options,
    say: &UnboundedSender<Said>,
) -> Result<Option<Loaded>, CliError> {
    let names = files.iter().map(|file| file.file_name().map_or(file.as_path(), Path::new).display().to_string());
    let names = names.collect::<Vec<_>>().join(", ");
    let tell = |said| {
        // Whoever listened has gone.
        let _ = say.send(said);
    };
    let loaded = cx.backend.load(&cx.settings.project, &options.services, options.wish.lock)?;
    loaded.warnings.iter().for_each(|warning| tell(Said::Line(warning.clone())));
    let desired = cx.backend.compile(&loaded.project, &options.wish, &Tell::nobody()).await?;
    let project = loaded.project.name.clone();
    let change = Change::Declare(Box::new(desired));
    let planned = cx.backend.plan(&project, &change).await?;
    if planned.plan.is_empty() {
        tell(Said::Line(format!("{names} changed: nothing to do")));
        return Ok(Some(loaded));
    }
    tell(Said::Line(format!("{names} changed:\n{}", planned.text.trim_end())));
    if !options.apply_config {
        tell(Said::Line("apply it with `windlass up -d`, or watch with --apply-config".to_owned()));
        return Ok(None);
    }
    let outcome = cx.backend.apply(&project, change, Until::Done, &Tell::nobody()).await?;
    outcome_of(&outcome, say)?;
    tell(Said::Line(format!("{names}: applied")));
    Ok(Some(loaded))
}
