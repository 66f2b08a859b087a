//! `windlass images`.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

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
    /// Ids only, without `sha256:`
    #[arg(short, long)]
    pub quiet: bool,
}

/// An image that a container uses as `images --format json` prints it, in one array.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Row {
    /// Its id: `sha256:…`.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its first 12 digits.
    #[serde(rename = "ShortID")]
    pub short_id: String,
    /// The container.
    pub container_name: String,
    /// Its name without the tag.
    pub repository: String,
    /// Its tag.
    pub tag: String,
    /// `linux/amd64`; empty where it is gone.
    pub platform: String,
    /// Bytes.
    pub size: u64,
    /// The same for people.
    pub human_size: String,
    /// When it was built (RFC 3339).
    pub created: Option<String>,
    /// How long ago that was, as text.
    pub created_since: String,
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
        let mut ids: Vec<&str> = containers.iter().map(|container| container.spec.image.id.hex()).collect();
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
        row(&Row {
            id: image.id.to_string(),
            short_id: image.id.hex().get(..12).unwrap_or_default().to_owned(),
            container_name: container.spec.name.to_string(),
            repository: repository.to_owned(),
            tag: tag.to_owned(),
            platform: known.map(|known| known.platform.clone()).unwrap_or_default(),
            size,
            human_size: human::short_size(size),
            created: created.map(human::rfc3339_nanos),
            created_since: created.map(|created| since(created, now)).unwrap_or_default(),
        })
    });
    let rows = rows.collect();
    Listing { columns: COLUMNS, rows, json_array: true }.print(cx.output, &args.format)?;
    Ok(ExitStatus::DONE)
}
