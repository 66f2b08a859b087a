//! `windlass up`.

mod attached;

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;

use crate::compose::model::Project;
use crate::name::ServiceName;

use super::super::backend::{Backend, Change, Loaded, Recreate, Until, UpWish};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::super::output::logs::LogStyle;
use super::super::settings::Settings;
use super::super::signals::{Interrupts, unless_interrupted};
use super::create::Pull;
use super::lock::LockFlags;
use super::watch::{Options, Session};
use super::{build, change, create};

use attached::{Attached, Ends};

/// Flags of `up`.
#[derive(Args, Debug, Default)]
pub struct Up {
    /// Services; all if none is named
    pub services: Vec<String>,
    /// Stop all as soon as one container ends
    #[arg(long, conflicts_with_all = ["detach", "wait", "abort_on_container_failure"])]
    pub abort_on_container_exit: bool,
    /// Stop all as soon as one container fails
    #[arg(long, conflicts_with_all = ["detach", "wait"])]
    pub abort_on_container_failure: bool,
    /// Make services anew that the named ones depend on
    #[arg(long, conflicts_with = "no_recreate")]
    pub always_recreate_deps: bool,
    /// Show only what these services print
    #[arg(long, value_name = "SERVICE", conflicts_with_all = ["detach", "wait", "attach_dependencies"])]
    pub attach: Vec<String>,
    /// Show what services print that the named ones depend on
    #[arg(long, conflicts_with_all = ["detach", "wait"])]
    pub attach_dependencies: bool,
    /// Build images first
    #[arg(long, conflicts_with = "no_build")]
    pub build: bool,
    /// Don't stay: containers run in the background
    #[arg(short, long)]
    pub detach: bool,
    /// Exit with the code of this service's container; implies --abort-on-container-exit
    #[arg(long, value_name = "SERVICE", conflicts_with_all = ["detach", "wait", "abort_on_container_failure"])]
    pub exit_code_from: Option<String>,
    /// Make all containers anew, even if nothing has changed
    #[arg(long, conflicts_with = "no_recreate")]
    pub force_recreate: bool,
    /// Don't show what these services print
    #[arg(long, value_name = "SERVICE")]
    pub no_attach: Vec<String>,
    /// Don't build an image, even if it is missing
    #[arg(long)]
    pub no_build: bool,
    /// Without colours
    #[arg(long)]
    pub no_color: bool,
    /// Don't start services that the named ones depend on
    #[arg(long)]
    pub no_deps: bool,
    /// Without the containers' names before what they print
    #[arg(long)]
    pub no_log_prefix: bool,
    /// Keep containers that exist, even if they differ
    #[arg(long, conflicts_with = "renew_anon_volumes")]
    pub no_recreate: bool,
    /// Create containers, but don't start them
    #[arg(long)]
    pub no_start: bool,
    /// When to pull images, instead of the file's `pull_policy`
    #[arg(long, value_enum, value_name = "WHEN")]
    pub pull: Option<Pull>,
    /// Say nothing of builds
    #[arg(long)]
    pub quiet_build: bool,
    /// Say nothing of pulls
    #[arg(long)]
    pub quiet_pull: bool,
    /// Remove containers of services that the files don't declare
    #[arg(long, env = "COMPOSE_REMOVE_ORPHANS", hide_env = true)]
    pub remove_orphans: bool,
    /// Make anonymous volumes anew
    #[arg(short = 'V', long)]
    pub renew_anon_volumes: bool,
    /// Whether the lock file holds
    #[command(flatten)]
    pub lock: LockFlags,
    /// Number of replicas of a service
    #[arg(long, value_name = "SERVICE=N")]
    pub scale: Vec<String>,
    /// Seconds before what does not stop is killed; -1: never
    #[arg(short, long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = change::patience)]
    pub timeout: Option<u32>,
    /// With the time of each line that is printed
    #[arg(long)]
    pub timestamps: bool,
    /// Copy files into containers, rebuild or restart them when files change
    #[arg(short, long, conflicts_with_all = ["detach", "wait", "no_start", "no_build"])]
    pub watch: bool,
    /// With --watch: apply changes of the compose files themselves, not only show their plan
    #[arg(long)]
    pub apply_config: bool,
    /// Wait until all run and are healthy; implies --detach
    #[arg(long)]
    pub wait: bool,
    /// Give up waiting after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub wait_timeout: Option<u64>,
    /// Nothing is asked: accepted for docker compose's sake
    #[arg(short, long)]
    pub yes: bool,
}

impl Up {
    /// Refuses flags that don't go together and that clap can't know of.
    ///
    /// # Errors
    /// [`CliError::Usage`].
    pub fn check(&self, settings: &Settings) -> Result<(), CliError> {
        if self.remove_orphans && settings.project.ignore_orphans {
            return Err(CliError::usage("COMPOSE_IGNORE_ORPHANS and `--remove-orphans` exclude one another"));
        }
        if self.wait_timeout.is_some() && !self.wait {
            return Err(CliError::usage("`--wait-timeout` goes with `--wait`"));
        }
        // clap's own `requires` says nothing where `-d` excludes what is required.
        if self.apply_config && !self.watch {
            return Err(CliError::usage("`--apply-config` goes with `--watch`"));
        }
        self.lock.check(self.build, self.pull.and_then(Pull::policy))
    }

    fn wish(&self, project: &Project, services: Vec<ServiceName>) -> Result<UpWish, CliError> {
        Ok(UpWish {
            services,
            no_deps: self.no_deps,
            no_start: self.no_start,
            scale: change::scaled(project, &self.scale)?,
            recreate: create::recreate(self.force_recreate, self.no_recreate),
            recreate_dependencies: self.always_recreate_deps,
            renew_anonymous_volumes: self.renew_anon_volumes,
            remove_orphans: self.remove_orphans,
            pull: self.pull.and_then(Pull::policy),
            quiet_pull: self.quiet_pull,
            timeout: change::seconds(self.timeout),
            rehearsal: false,
            builds: BTreeSet::new(),
            lock: self.lock.of(),
            oneoff: None,
        })
    }

    /// What `--watch` does beside; it begins before anything is built, so that no change is missed.
    fn watching<'a, B: Backend>(
        &self,
        cx: &'a Context<'a, B>,
        loaded: Loaded,
        wish: &UpWish,
    ) -> Result<Option<Session<'a, B>>, CliError> {
        if !self.watch || cx.settings.dry_run {
            return Ok(None);
        }
        let options = Options {
            services: self.services.clone(),
            prune: true,
            quiet: self.quiet_build,
            apply_config: self.apply_config,
            // What was asked for once is not asked for again with each change.
            wish: UpWish {
                recreate: Recreate::Different,
                recreate_dependencies: false,
                renew_anonymous_volumes: false,
                ..wish.clone()
            },
        };
        Session::new(cx, loaded, options).map(Some)
    }

    /// Whether it stays to show what is printed.
    pub fn is_attached(&self) -> bool {
        !(self.detach || self.wait || self.no_start)
    }

    fn ends(&self) -> Ends {
        match &self.exit_code_from {
            Some(service) => Ends::First { code_from: Some(service.as_str().into()) },
            None if self.abort_on_container_exit => Ends::First { code_from: None },
            None if self.abort_on_container_failure => Ends::FirstFailure,
            None => Ends::Last,
        }
    }

    /// The services whose output is shown.
    fn shown(&self, project: &Project) -> Result<Vec<ServiceName>, CliError> {
        let names = [&self.attach, &self.no_attach].into_iter().flatten().chain(&self.exit_code_from).cloned();
        change::services(project, &names.collect::<Vec<_>>())?;
        let named: BTreeSet<&str> = self.services.iter().map(String::as_str).collect();
        let shown = project.services.iter().filter(|(name, service)| {
            let name = name.as_str();
            if self.no_attach.iter().any(|no| no == name) {
                return false;
            }
            if !self.attach.is_empty() {
                return self.attach.iter().any(|yes| yes == name);
            }
            service.attach != Some(false) && (named.is_empty() || self.attach_dependencies || named.contains(name))
        });
        Ok(shown.map(|(name, _)| name.clone()).collect())
    }
}

/// Brings the project up; attached, shows what its containers print until they end or Ctrl-C stops them.
///
/// # Errors
/// Files that are wrong; what could not be made or started.
pub async fn run<'a, B: Backend>(cx: &'a Context<'a, B>, args: &Up) -> Result<ExitStatus, CliError> {
    let loaded = cx.load_with_files(&args.services, args.lock.of())?;
    let project = loaded.project.clone();
    if project.services.is_empty() {
        return Err(CliError::with_help(
            "no service selected",
            "the files declare none, or none whose profile is active: name a service, or give `--profile`",
        ));
    }
    let services = change::services(&project, &args.services)?;
    let shown = args.shown(&project)?;
    let wish = args.wish(&project, services.clone())?;
    let watching = args.watching(cx, loaded, &wish)?;
    let prepare = async {
        let when = args.lock.builds(args.build, args.no_build);
        let builds = build::before_up(cx, &project, args.quiet_build, when, &wish).await?;
        change::compile(cx, &project, &UpWish { builds, ..wish }).await
    };
    let desired = unless_interrupted(&mut Interrupts::new()?, prepare).await?;
    let declared = Change::Declare(Box::new(desired.clone()));
    if args.is_attached() && !cx.settings.dry_run {
        change::before(cx, &project.name, &declared).await?;
        let style = LogStyle {
            no_prefix: args.no_log_prefix,
            no_color: args.no_color,
            timestamps: args.timestamps,
            apart: true,
        };
        let timeout = change::seconds(args.timeout);
        let counted = if args.services.is_empty() { shown.clone() } else { services };
        let mut attached = Attached::new(cx, &desired, shown, style, args.ends(), timeout, Interrupts::new()?)?;
        attached.counted = counted.into_iter().collect();
        attached.watching = watching;
        return attached.run(desired).await;
    }
    let until = if args.wait { Until::Healthy } else { Until::Done };
    let work = change::apply(cx, &project.name, "Running", declared, until);
    change::within(args.wait_timeout.map(Duration::from_secs), work).await
}

#[cfg(test)]
mod tests;
