//! `windlass image …`: the image store.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::super::backend::{Backend, LockUse, PullWish, StoredImage};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::super::output::listing::{Listing, row};
use super::super::output::{Tone, human};

/// Verbs of `image`.
#[derive(Subcommand, Debug)]
pub enum Image {
    /// Pull images
    Pull(ImagePull),
    /// List images
    #[command(alias = "list")]
    Ls(ImageLs),
    /// Remove images
    #[command(alias = "remove")]
    Rm(ImageRm),
    /// Remove images that have no name
    Prune(ImagePrune),
    /// Give an image one more name
    Tag(ImageTag),
    /// Take in an image from an OCI or docker archive
    Load(ImageLoad),
    /// Show all that is known of images
    Inspect(ImageInspect),
}

/// Flags of `image pull`.
#[derive(Args, Debug)]
pub struct ImagePull {
    /// Names of images
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
    /// For another platform than this machine's: os/arch[/variant]
    #[arg(long, env = "DOCKER_DEFAULT_PLATFORM", hide_env = true)]
    pub platform: Option<String>,
    /// Print names only
    #[arg(short, long)]
    pub quiet: bool,
}

/// Flags of `image ls`.
#[derive(Args, Debug)]
pub struct ImageLs {
    /// Only those of this name, with a tag or without
    pub name: Option<String>,
    /// Nothing is hidden: accepted for docker's sake
    #[arg(short, long)]
    pub all: bool,
    /// `table`, `json`, `table TEMPLATE` or a template
    #[arg(long, value_name = "FORM", default_value = "table")]
    pub format: String,
    /// Don't cut ids
    #[arg(long)]
    pub no_trunc: bool,
    /// Ids only
    #[arg(short, long)]
    pub quiet: bool,
}

/// Flags of `image rm`.
#[derive(Args, Debug)]
pub struct ImageRm {
    /// Names or ids of images
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Even if a container uses it
    #[arg(short, long)]
    pub force: bool,
}

/// Words of `image tag`.
#[derive(Args, Debug)]
pub struct ImageTag {
    /// Name or id of an image
    pub image: String,
    /// Its new name
    pub name: String,
}

/// Flags of `image prune`.
#[derive(Args, Debug)]
pub struct ImagePrune {
    /// All that no container uses, named or not
    #[arg(short, long)]
    pub all: bool,
    /// Don't ask
    #[arg(short, long)]
    pub force: bool,
}

/// Flags of `image load`.
#[derive(Args, Debug)]
pub struct ImageLoad {
    /// The archive; standard input if none is named
    #[arg(short, long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// What to call the image where the archive does not say
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

/// Flags of `image inspect`.
#[derive(Args, Debug)]
pub struct ImageInspect {
    /// Names or ids of images
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
    /// `json` or a template
    #[arg(short, long, value_name = "FORM")]
    pub format: Option<String>,
}

/// An image of the store as `image ls --format json` prints it, one a line.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Row {
    /// Its id; 12 digits without `--no-trunc`.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its name without the tag; `<none>` where it has none.
    pub repository: String,
    /// Its tag.
    pub tag: String,
    /// Its digest in a registry; `<none>` where it is of none.
    pub digest: String,
    /// When it was built, as text.
    pub created_at: String,
    /// How long ago that was.
    pub created_since: String,
    /// Its size, for people.
    pub size: String,
    /// `linux/amd64`.
    pub platform: String,
}

const COLUMNS: &[(&str, &str)] =
    &[("REPOSITORY", "Repository"), ("TAG", "Tag"), ("IMAGE ID", "ID"), ("CREATED", "CreatedSince"), ("SIZE", "Size")];

/// Does a verb of the image store.
///
/// # Errors
/// Whatever it could not do.
pub async fn run<B: Backend>(cx: &Context<'_, B>, verb: &Image) -> Result<ExitStatus, CliError> {
    match verb {
        Image::Pull(args) => pull(cx, args).await,
        Image::Ls(args) => ls(cx, args),
        Image::Rm(args) => rm(cx, args),
        Image::Prune(args) => prune(cx, args),
        Image::Tag(args) => tag(cx, args),
        Image::Load(args) => load(cx, args).await,
        Image::Inspect(args) => inspect(cx, args),
    }
}

async fn pull<B: Backend>(cx: &Context<'_, B>, args: &ImagePull) -> Result<ExitStatus, CliError> {
    let wish = |name: &String| PullWish { name: name.clone(), platform: args.platform.clone(), always: true };
    let images: Vec<PullWish> = args.images.iter().map(wish).collect();
    if cx.settings.dry_run {
        images.iter().try_for_each(|image| cx.output.line(&format!("pull {}", image.name)))?;
        return Ok(ExitStatus::DONE);
    }
    let wanted = &images;
    let work = |tell| async move { Ok(cx.backend.pull(wanted, LockUse::Ignore, &tell).await) };
    let mut progress = if args.quiet { cx.silent() } else { cx.progress() };
    let results = progress.show("Pulling", work).await?;
    let mut status = ExitStatus::DONE;
    for (name, result) in args.images.iter().zip(results) {
        match result {
            Ok(()) if args.quiet => cx.output.line(name)?,
            Ok(()) => {}
            Err(error) => {
                cx.output.say(Tone::Error, "error", &format!("{name}: {error}"))?;
                status = ExitStatus::FAILED;
            }
        }
    }
    Ok(status)
}

fn ls<B: Backend>(cx: &Context<'_, B>, args: &ImageLs) -> Result<ExitStatus, CliError> {
    let now = cx.backend.now().wall;
    let mut images = cx.backend.images()?;
    if let Some(wanted) = &args.name {
        images.iter_mut().for_each(|image| image.names.retain(|name| goes_by(name, wanted)));
        images.retain(|image| !image.names.is_empty());
    }
    images.sort_by_key(|image| std::cmp::Reverse(image.created));
    let id = |image: &StoredImage| {
        if args.no_trunc { image.id.to_string() } else { image.id.hex().get(..12).unwrap_or_default().to_owned() }
    };
    if args.quiet {
        images.iter().try_for_each(|image| cx.output.line(&id(image)))?;
        return Ok(ExitStatus::DONE);
    }
    let mut rows = Vec::new();
    for image in &images {
        let nameless = [String::new()];
        let names = if image.names.is_empty() { &nameless[..] } else { &image.names[..] };
        for name in names {
            let (repository, tag) = split_name(name);
            rows.push(row(&Row {
                id: id(image),
                repository: repository.to_owned(),
                tag: tag.to_owned(),
                digest: image.digest.as_ref().map_or("<none>", |digest| digest.as_str()).to_owned(),
                created_at: image.created.map(human::created_at).unwrap_or_default(),
                created_since: image.created.map(|at| since(at, now)).unwrap_or_default(),
                size: human::short_size(image.size),
                platform: image.platform.clone(),
            }));
        }
    }
    Listing { columns: COLUMNS, rows, json_array: false }.print(cx.output, &args.format)?;
    Ok(ExitStatus::DONE)
}

fn rm<B: Backend>(cx: &Context<'_, B>, args: &ImageRm) -> Result<ExitStatus, CliError> {
    let mut status = ExitStatus::DONE;
    for name in &args.images {
        if cx.settings.dry_run {
            cx.output.line(&format!("remove image {name}"))?;
            continue;
        }
        match cx.backend.image_remove(name, args.force) {
            Ok(lines) => lines.iter().try_for_each(|line| cx.output.line(line))?,
            Err(error) => {
                cx.output.say(Tone::Error, "error", &error.to_string())?;
                status = ExitStatus::FAILED;
            }
        }
    }
    Ok(status)
}

fn tag<B: Backend>(cx: &Context<'_, B>, args: &ImageTag) -> Result<ExitStatus, CliError> {
    if cx.settings.dry_run {
        cx.output.line(&format!("tag {} as {}", args.image, args.name))?;
        return Ok(ExitStatus::DONE);
    }
    cx.backend.image_tag(&args.image, &args.name)?;
    Ok(ExitStatus::DONE)
}

fn prune<B: Backend>(cx: &Context<'_, B>, args: &ImagePrune) -> Result<ExitStatus, CliError> {
    let which = if args.all { "all images that no container uses" } else { "all images that have no name" };
    if cx.settings.dry_run {
        cx.output.line(&format!("remove {which}"))?;
        return Ok(ExitStatus::DONE);
    }
    if !args.force && !cx.output.confirm(&format!("This removes {which}.\nAre you sure?"))? {
        return Err(CliError::Interrupted);
    }
    let pruned = cx.backend.image_prune(args.all)?;
    pruned.removed.iter().try_for_each(|line| cx.output.line(line))?;
    cx.output.line(&format!("Total reclaimed space: {}", human::size(pruned.bytes)))?;
    Ok(ExitStatus::DONE)
}

async fn load<B: Backend>(cx: &Context<'_, B>, args: &ImageLoad) -> Result<ExitStatus, CliError> {
    let archive = args.input.as_deref().unwrap_or(Path::new("/dev/stdin"));
    if cx.settings.dry_run {
        cx.output.line(&format!("load {}", archive.display()))?;
        return Ok(ExitStatus::DONE);
    }
    for name in cx.backend.image_load(archive, args.name.as_deref()).await? {
        cx.output.line(&format!("Loaded image: {name}"))?;
    }
    Ok(ExitStatus::DONE)
}

fn inspect<B: Backend>(cx: &Context<'_, B>, args: &ImageInspect) -> Result<ExitStatus, CliError> {
    let one = |name: &String| -> Result<serde_json::Value, CliError> {
        let details = cx.backend.image_inspect(name)?;
        serde_json::to_value(details).map_err(|error| CliError::failed(error.to_string()))
    };
    let images = args.images.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    super::volume::print_inspected(cx.output, images, args.format.as_deref())?;
    Ok(ExitStatus::DONE)
}

/// Repository and tag of a name; `<none>` for what is missing.
pub fn split_name(name: &str) -> (String, String) {
    let none = || "<none>".to_owned();
    let repository = name.split('@').next().unwrap_or_default();
    match repository.rsplit_once(':') {
        _ if repository.is_empty() => (none(), none()),
        // A colon before a slash belongs to the registry's port.
        Some((repository, tag)) if !tag.contains('/') => (repository.to_owned(), tag.to_owned()),
        _ if name.contains('@') => (repository.to_owned(), none()),
        _ => (repository.to_owned(), "latest".into()),
    }
}

/// Whether a name of the store is what somebody has written, with a tag or without.
fn goes_by(name: &str, wanted: &str) -> bool {
    let familiar = |text: &str| {
        let text = text.strip_prefix("docker.io/").unwrap_or(text);
        text.strip_prefix("library/").unwrap_or(text).to_owned()
    };
    let (name, wanted) = (familiar(name), familiar(wanted));
    name == wanted || split_name(&name).0 == wanted
}

/// How long ago something was, from two times in nanoseconds since 1970.
pub fn since(then: u64, now: u64) -> String {
    human::ago(Duration::from_nanos(now.saturating_sub(then)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_image_is_listed_by_its_name_with_a_tag_or_without() {
        for (name, wanted) in [("web:1", "web"), ("web:1", "web:1"), ("docker.io/library/web:1", "web")] {
            assert!(super::goes_by(name, wanted), "{name} {wanted}");
        }
        for (name, wanted) in [("web:1", "web:2"), ("localhost:5000/web:2", "web"), ("web:1", "we")] {
            assert!(!super::goes_by(name, wanted), "{name} {wanted}");
        }
    }

    #[test]
    fn a_registrys_port_is_no_tag() {
        let cases = [
            ("nginx:1.27", "nginx", "1.27"),
            ("nginx", "nginx", "latest"),
            ("localhost:5000/a/b", "localhost:5000/a/b", "latest"),
            ("localhost:5000/a:2", "localhost:5000/a", "2"),
            ("a@sha256:00", "a", "<none>"),
            ("", "<none>", "<none>"),
        ];
        for (name, repository, tag) in cases {
            assert_eq!(super::split_name(name), (repository.to_owned(), tag.to_owned()), "{name}");
        }
    }
}
