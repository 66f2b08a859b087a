//! `windlass images`.

use std::collections::BTreeMap;

use clap::Args;

use super::super::backend::{Backend, StoredImage};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::super::output::human;
use super::super::output::listing::{Listing, row};
use super::super::select::Found;
use super::image::{since, split_name};

/// Flags of `images`.
#[derive(Args, Debug)]
pub struct Images {
    /// Services; all if none is named
    pub services: Vec<String>,
    /// `table`, `json` or a template
    #[arg(long, value_name = "FORM", default_value = "table")]
    pub format: String,
    /// Ids only
    #[arg(short, long)]
    pub quiet: bool,
}

const COLUMNS: &[(&str, &str)] = &[
    ("CONTAINER", "ContainerName"),
    ("REPOSITORY", "Repository"),
    ("TAG", "Tag"),
    ("PLATFORM", "Platform"),
    ("IMAGE ID", "ShortID"),
    ("SIZE", "HumanSize"),
    ("CREATED", "CreatedSince"),
];

/// Lists the images that containers use.
///
/// # Errors
/// A service that is not there.
pub fn run<B: Backend>(cx: &Context<'_, B>, args: &Images) -> Result<ExitStatus, CliError> {
    let found = Found::look(cx)?;
    let containers = found.containers(&args.services, false)?;
    if args.quiet {
        let mut ids: Vec<&str> = containers.iter().map(|container| container.spec.image.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.iter().try_for_each(|id| cx.output.line(id))?;
        return Ok(ExitStatus::DONE);
    }
    let stored: BTreeMap<_, StoredImage> =
        cx.backend.images()?.into_iter().map(|image| (image.id.clone(), image)).collect();
    let now = cx.backend.now().wall;
    let rows = containers.iter().map(|container| {
        let image = &container.spec.image;
        let known = stored.get(&image.id);
        let (repository, tag) = split_name(&image.name);
        let size = known.map_or(0, |known| known.size);
        let created = known.and_then(|known| known.created);
        row([
            ("ID", image.id.as_str().into()),
            ("ShortID", image.id.hex().get(..12).unwrap_or_default().into()),
            ("ContainerName", container.spec.name.as_str().into()),
            ("Repository", repository.into()),
            ("Tag", tag.into()),
            ("Platform", known.map(|known| known.platform.as_str()).unwrap_or_default().into()),
            ("Size", size.into()),
            ("HumanSize", human::short_size(size).into()),
            ("Created", created.map(human::rfc3339_nanos).into()),
            ("CreatedSince", created.map(|created| since(created, now)).unwrap_or_default().into()),
        ])
    });
    let rows = rows.collect();
    Listing { columns: COLUMNS, rows, json_array: true }.print(cx.output, &args.format)?;
    Ok(ExitStatus::DONE)
}
