//! `windlass build`, and what `up --build` does first.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::process::Stdio;

use clap::{ArgAction, Args};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use crate::compose::model::{Build as Spec, Project, Service};
use crate::name::ServiceName;

use super::super::backend::{Backend, LockUse, PullWish, UpWish};
use super::super::build::{Builder, Wish, commands, failed_step, find};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::super::settings::go_bool;
use super::change;

/// Flags of `build`.
#[derive(Args, Debug, Default)]
pub struct Build {
    /// Services; all if none is named
    pub services: Vec<String>,
    /// Argument of the build
    #[arg(long, value_name = "KEY=VALUE")]
    pub build_arg: Vec<String>,
    /// Old flag without effect
    #[arg(long, hide = true, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub compress: Option<bool>,
    /// Old flag without effect
    #[arg(long, hide = true, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub force_rm: Option<bool>,
    /// Without cache
    #[arg(long)]
    pub no_cache: bool,
    /// Old flag without effect
    #[arg(long, hide = true)]
    pub no_rm: bool,
    /// Old flag without effect
    #[arg(long, hide = true, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub parallel: Option<bool>,
    /// Old flag without effect: use the global one
    #[arg(long, hide = true, value_name = "HOW")]
    pub progress: Option<String>,
    /// Pull the images that are built upon
    #[arg(long)]
    pub pull: bool,
    /// Say nothing of the builds
    #[arg(short, long)]
    pub quiet: bool,
    /// SSH agent or key for the build
    #[arg(long, value_name = "ID")]
    pub ssh: Option<String>,
    /// Services that they depend on too
    #[arg(long)]
    pub with_dependencies: bool,
}

/// When images are built before containers are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// All that can be built.
    Always,
    /// Those that are not there.
    Missing,
    /// None.
    Never,
}

impl When {
    /// What `--build` and `--no-build` come to.
    pub fn of(build: bool, no_build: bool) -> Self {
        match (build, no_build) {
            (true, _) => Self::Always,
            (_, true) => Self::Never,
            _ => Self::Missing,
        }
    }
}

/// Builds the images of services.
///
/// # Errors
/// A service that is not there; a build that fails; no builder.
pub async fn run<B: Backend>(cx: &Context<'_, B>, args: &Build) -> Result<ExitStatus, CliError> {
    let old = [
        ("--compress", args.compress.is_some()),
        ("--force-rm", args.force_rm.is_some()),
        ("--no-rm", args.no_rm),
        ("--parallel", args.parallel.is_some()),
        ("--progress", args.progress.is_some()),
    ];
    for (flag, _) in old.iter().filter(|(_, used)| *used) {
        cx.output.warn(&format!("`build {flag}` has no effect"))?;
    }
    let project = cx.load(&args.services, LockUse::default())?;
    let named: BTreeSet<ServiceName> = change::services(&project, &args.services)?.into_iter().collect();
    let wanted = |name: &ServiceName| named.is_empty() || args.with_dependencies || named.contains(name);
    let services = buildable(&project).filter(|(name, ..)| wanted(name)).collect();
    let show = if args.quiet { Show::Nothing } else { Show::Directly };
    build(cx, &project, services, args, show).await?;
    Ok(ExitStatus::DONE)
}

/// Builds the images of some services, and says in its error which step failed (`watch`).
///
/// # Errors
/// As [`run`].
pub async fn again<B: Backend>(
    cx: &Context<'_, B>,
    project: &Project,
    name: &ServiceName,
    quiet: bool,
) -> Result<(), CliError> {
    let services = buildable(project).filter(|(other, ..)| *other == name).collect();
    let show = if quiet { Show::OnFailure } else { Show::AsItComes };
    build(cx, project, services, &Build { quiet, ..Build::default() }, show).await
}

/// Builds what containers are about to be made of; with `--dry-run`, says whose images would be built.
///
/// # Errors
/// As [`run`]; a project that is not as it is locked, where it must be.
pub async fn before_up<B: Backend>(
    cx: &Context<'_, B>,
    project: &Project,
    quiet: bool,
    when: When,
    wish: &UpWish,
) -> Result<BTreeSet<ServiceName>, CliError> {
    if cx.settings.dry_run {
        return to_come(cx, project, when, wish).await;
    }
    let show = if quiet { Show::Nothing } else { Show::Directly };
    let (missing, again) = wanted(cx, project, when, wish).await?;
    // What may only be as it is locked is either not among them, or not locked.
    let pulls = when == When::Missing && !wish.lock.is_strict();
    let missing = if pulls { not_pulled(cx, project, missing, wish.lock, quiet).await? } else { missing };
    let services = missing.into_iter().chain(again).collect();
    build(cx, project, services, &Build { quiet, ..Build::default() }, show).await?;
    Ok(BTreeSet::new())
}

/// Fetches those of the missing images that have a name of their own, as a registry may have them; the others are left, to be
/// built (spec.md, `image` beside `build`).
async fn not_pulled<'a, B: Backend>(
    cx: &Context<'_, B>,
    project: &Project,
    missing: Vec<Buildable<'a>>,
    lock: LockUse,
    quiet: bool,
) -> Result<Vec<Buildable<'a>>, CliError> {
    let (named, mut left): (Vec<_>, Vec<_>) = missing.into_iter().partition(|(_, service, _)| may_be_pulled(service));
    if named.is_empty() {
        return Ok(left);
    }
    let wishes: Vec<PullWish> = named
        .iter()
        .map(|(name, service, _)| PullWish {
            name: image_name(project, name, service),
            platform: service.platform.clone(),
            always: false,
        })
        .collect();
    let wishes = &wishes;
    let work = |tell| async move { Ok(cx.backend.pull(wishes, lock, &tell).await) };
    let mut progress = if quiet { cx.silent() } else { cx.progress() };
    let results = progress.show("Pulling", work).await?;
    left.extend(named.into_iter().zip(results).filter(|(_, result)| result.is_err()).map(|(service, _)| service));
    Ok(left)
}

/// Whether an image that can be built is looked for in a registry first.
fn may_be_pulled(service: &Service) -> bool {
    let policy = service.pull_policy.as_deref().unwrap_or("missing");
    service.image.is_some() && matches!(policy, "missing" | "if_not_present")
}

/// The services whose images would be built before a plan is made. Of an image that is there already and would be built again
/// it is told that the plan can't know what comes of it.
///
/// # Errors
/// When the store can't be read; a project that is not as it is locked, where it must be.
pub async fn to_come<B: Backend>(
    cx: &Context<'_, B>,
    project: &Project,
    when: When,
    wish: &UpWish,
) -> Result<BTreeSet<ServiceName>, CliError> {
    let (missing, again) = wanted(cx, project, when, wish).await?;
    for (name, service, _) in again {
        let image = image_name(project, name, service);
        cx.output.note(&format!(
            "note: image {image} is built again first; what comes of it is not known before, and the plan is made of what is there"
        ))?;
    }
    Ok(missing.into_iter().map(|(name, ..)| name.clone()).collect())
}

/// What is built of the services that are brought up: the images that are not there, and those that are. Where nothing may
/// differ from the lock file, a registry's image that it has is not built.
async fn wanted<'a, B: Backend>(
    cx: &Context<'_, B>,
    project: &'a Project,
    when: When,
    wish: &UpWish,
) -> Result<(Vec<Buildable<'a>>, Vec<Buildable<'a>>), CliError> {
    let (locked, touched) = (cx.backend.hold_lock(wish.lock).await?, wish.touched(project));
    let is_pinned = |(name, service, _): &Buildable<'_>| {
        wish.lock.is_strict() && locked.contains(&image_name(project, name, service))
    };
    let all: Vec<Buildable<'_>> = buildable(project).filter(|one| touched.contains(one.0) && !is_pinned(one)).collect();
    if when == When::Never || all.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let there: BTreeSet<String> = cx.backend.images()?.into_iter().flat_map(|image| image.names).collect();
    let is_there = |(name, service, _): &Buildable<'_>| {
        let image = image_name(project, name, service);
        there.iter().any(|there| same_image(there, &image))
    };
    let (mut again, mut missing): (Vec<_>, Vec<_>) = all.into_iter().partition(is_there);
    if when == When::Missing {
        let always = |service: &Service| service.pull_policy.as_deref() == Some("build");
        again.retain(|(_, service, _)| always(service));
        missing.retain(|(_, service, _)| always(service) || service.image.is_none() || may_be_pulled(service));
    }
    Ok((missing, again))
}

type Buildable<'a> = (&'a ServiceName, &'a Service, &'a Spec);

fn buildable(project: &Project) -> impl Iterator<Item = Buildable<'_>> {
    project.services.iter().filter_map(|(name, service)| Some((name, service, service.build.as_ref()?)))
}

/// The name of a service's image (spec.md 12.1).
fn image_name(project: &Project, name: &ServiceName, service: &Service) -> String {
    service.image.clone().unwrap_or_else(|| format!("{}-{name}", project.name))
}

/// Whether a name of the store is that of an image as the file has it.
fn same_image(stored: &str, wanted: &str) -> bool {
    let tagged = if wanted.rsplit('/').next().is_some_and(|last| last.contains(':')) {
        wanted.to_owned()
    } else {
        format!("{wanted}:latest")
    };
    stored == wanted || stored == tagged || stored.strip_prefix("docker.io/library/") == Some(tagged.as_str())
}

async fn build<B: Backend>(
    cx: &Context<'_, B>,
    project: &Project,
    services: Vec<Buildable<'_>>,
    args: &Build,
    show: Show,
) -> Result<(), CliError> {
    let Some((first, ..)) = services.first() else { return Ok(()) };
    let path = std::env::var("PATH").unwrap_or_default();
    let builder = find(&path).ok_or_else(|| {
        CliError::with_help(
            format!("service `{first}` has `build:`, and neither buildctl nor buildah is installed"),
            "install one of them (buildctl needs a running buildkitd), or give the service an `image:` that exists",
        )
    })?;
    for (name, service, spec) in services {
        let image = image_name(project, name, service);
        if cx.settings.dry_run {
            cx.output.line(&format!("build {image}"))?;
            continue;
        }
        let scratch =
            tempfile::tempdir().map_err(|e| CliError::failed(format!("can't make a folder to build in: {e}")))?;
        let archive = scratch.path().join("image.tar");
        let wish = Wish {
            image: &image,
            args: &args.build_arg,
            no_cache: args.no_cache,
            pull: args.pull,
            ssh: args.ssh.as_deref(),
            platform: service.platform.as_deref(),
            secrets: project.secrets.clone(),
            scratch: scratch.path().to_owned(),
        };
        cx.output.note(&format!(" Image {image}  Building"))?;
        for words in commands(builder, spec, &wish, &archive)? {
            call(&words, builder, name, show).await?;
        }
        load(cx, &archive, &image, &spec.tags).await?;
        cx.output.note(&format!(" Image {image}  Built"))?;
    }
    Ok(())
}

async fn load<B: Backend>(cx: &Context<'_, B>, archive: &Path, image: &str, tags: &[String]) -> Result<(), CliError> {
    for name in std::iter::once(image).chain(tags.iter().map(String::as_str)) {
        cx.backend.image_load(archive, Some(name)).await?;
    }
    Ok(())
}

/// What is shown of what a builder prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Show {
    /// It has our standard error.
    Directly,
    /// Its lines, and in the error the step that failed.
    AsItComes,
    /// Its last lines and the step that failed, if it fails.
    OnFailure,
    /// Nothing.
    Nothing,
}

/// Runs the builder; what it prints goes to our standard error.
async fn call(words: &[String], builder: Builder, service: &ServiceName, show: Show) -> Result<(), CliError> {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let output = || match show {
        Show::Directly => Stdio::from(std::io::stderr()),
        Show::AsItComes | Show::OnFailure => Stdio::piped(),
        Show::Nothing => Stdio::null(),
    };
    let cannot = |e: std::io::Error| CliError::failed(format!("can't run {program} for service `{service}`: {e}"));
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(output())
        .stderr(output())
        .kill_on_drop(true)
        .spawn()
        .map_err(cannot)?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (_, told) = tokio::join!(lines(out, show), lines(err, show));
    let status = child.wait().await.map_err(cannot)?;
    if status.success() {
        return Ok(());
    }
    let mut message = format!("service `{service}` could not be built: {program} ended with {status}");
    if let Some(step) = failed_step(&told) {
        message = format!("service `{service}` could not be built: the step `{step}` failed");
    }
    if show == Show::OnFailure {
        message = format!("{message}\n{}", told.join("\n"));
    }
    let help = match (show, builder) {
        (Show::OnFailure, _) => "its last messages stand above",
        (_, Builder::Buildctl) => "its messages stand above; `buildctl debug workers` tells whether buildkitd answers",
        (_, Builder::Buildah) => "its messages stand above",
    };
    Err(CliError::with_help(message, help))
}

/// Reads what a builder prints, shows it if it is to be shown, and returns the last lines.
async fn lines(from: Option<impl AsyncRead + Unpin>, show: Show) -> Vec<String> {
    const LAST: usize = 40;
    let mut last = VecDeque::new();
    let Some(from) = from else { return Vec::new() };
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    while matches!(reader.read_until(b'\n', &mut line).await, Ok(1..)) {
        if show == Show::AsItComes {
            // A closed terminal takes nothing any more, and the build goes on.
            let _ = std::io::Write::write_all(&mut std::io::stderr(), &line);
        }
        last.push_back(String::from_utf8_lossy(&line).trim_end().to_owned());
        if last.len() > LAST {
            last.pop_front();
        }
        line.clear();
    }
    last.into()
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_of_the_store_are_found_under_what_the_file_says() {
        assert!(super::same_image("shop-web:latest", "shop-web"));
        assert!(super::same_image("docker.io/library/shop-web:latest", "shop-web"));
        assert!(super::same_image("localhost:5000/a:1", "localhost:5000/a:1"));
        assert!(!super::same_image("localhost:5000/a:1", "localhost:5000/a"));
    }
}
