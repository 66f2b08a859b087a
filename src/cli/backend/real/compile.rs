//! From the project to its desired state: images are resolved, addresses looked up, files read; the rest is pure.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::super::super::error::CliError;
use super::super::super::progress::{Kind, Phase, Report, Tell};
use super::super::{LockUse, PullPolicy, Recreate, UpWish};
use super::{Real, failed, lacking, oneoff, pull};
use crate::compose;
use crate::compose::model::{Project, Service};
use crate::desired::compile::{self, CompileError, Request, Verb, compile};
use crate::desired::{Desired, EndpointLease, Leases, MountSpec, NetworkLease, ResolvedImage, Source};
use crate::diag::Diagnostics;
use crate::host::image::{self, Client, Store};
use crate::host::{cgroup, clock};
use crate::lock::{self, Lock};
use crate::name::ServiceName;

impl Real {
    pub(super) async fn compile_project(
        &self,
        project: &Project,
        wish: &UpWish,
        tell: &Tell,
    ) -> Result<Desired, CliError> {
        self.refuse_undone()?;
        let lock = self.held_lock(wish.lock).await?;
        let touched = wish.touched(project);
        let needed = self.needed_images(project, &touched, wish, lock.as_ref())?;
        let provides = touched.iter().any(|name| project.services.get(name).is_some_and(|one| one.provider.is_some()));
        if provides || needed.is_anything_missing(&self.images()?) {
            self.check_first(project, &touched, wish, &needed)?;
        }
        let provided = self.provide(project, &touched, wish.rehearsal, tell).await?;
        let project = &self.with_provided(project, &provided, (&touched, wish.rehearsal), tell).await?;
        let references = lock::wanted(project);
        let missed = references.iter().filter(|(_, one)| !one.may_be_built);
        let used = missed.filter(|(_, one)| one.users.iter().any(|user| touched.contains(user)));
        self.tell_unlocked(lock.as_ref(), used.map(|(name, _)| name.as_str()), tell);
        let (images, mount_images) = self.resolve(needed, tell).await?;
        let request = self.request(project, wish, mount_images)?;
        for service in compile::without_default(project, &request) {
            let text = "runs without runc, which is not installed";
            tell.report(Report::new(Kind::Container, service.as_str(), Phase::Warning, text));
        }
        let mut desired = self.decide(project, &touched, &images, &request)?;
        let generation = request.previous.as_ref().map_or(0, |previous| previous.generation);
        desired.generation = generation + 1;
        desired.providers = provided;
        Ok(desired)
    }

    /// What is wrong whatever the images are, told before a program of the caller's is run and before anything is fetched.
    fn check_first(
        &self,
        project: &Project,
        touched: &BTreeSet<ServiceName>,
        wish: &UpWish,
        needed: &Needed,
    ) -> Result<(), CliError> {
        let store = self.images()?;
        let known = |one: &pull::Wanted| match one.local(&store) {
            Ok(Some(image)) => image,
            _ => ResolvedImage::unbuilt(&one.name),
        };
        let images = needed.unbuilt.iter().chain(&needed.services).map(|(name, one)| (name.clone(), known(one)));
        let mounts = needed.mounts.iter().map(|one| (one.name.clone(), known(one)));
        let request = self.request(project, wish, mounts.collect())?;
        self.decide(project, touched, &images.collect(), &request).map(drop)
    }

    /// The desired state, or all that is wrong.
    fn decide(
        &self,
        project: &Project,
        touched: &BTreeSet<ServiceName>,
        images: &BTreeMap<ServiceName, ResolvedImage>,
        request: &Request,
    ) -> Result<Desired, CliError> {
        let leases = self.leases()?;
        let lacking = lacking::of(project, touched);
        match compile(project, images, &leases, request) {
            Ok(desired) if lacking.is_empty() => Ok(desired),
            wrong => Err(self.point(&[wrong.err().unwrap_or_default(), lacking].concat())),
        }
    }

    /// What is valid and has no effect yet is refused at its place, never left out in silence.
    fn refuse_undone(&self) -> Result<(), CliError> {
        let loaded = self.loaded.borrow();
        let Some(loaded) = loaded.as_ref() else { return Ok(()) };
        let refused = compose::support::refused(loaded);
        if refused.is_empty() {
            return Ok(());
        }
        Err(CliError::Diagnostics(Box::new(Diagnostics::new(refused, loaded.sources.clone()))))
    }

    fn request(
        &self,
        project: &Project,
        wish: &UpWish,
        mount_images: BTreeMap<String, ResolvedImage>,
    ) -> Result<Request, CliError> {
        let source = self.source();
        let read = |path: PathBuf| {
            let bytes = std::fs::read(&path).map_err(|e: io::Error| e.to_string());
            (path, bytes)
        };
        let verb = match &wish.oneoff {
            Some(wish) => Verb::Run(Box::new(oneoff::run(wish, project).map_err(|e| self.point(&[e]))?)),
            None if wish.no_start => Verb::Create,
            None => Verb::Up,
        };
        Ok(Request {
            now: clock::now(),
            previous: self.held(&project.name)?,
            verb,
            services: wish.services.iter().cloned().collect(),
            no_deps: wish.no_deps,
            scale: wish.scale.clone(),
            recreate: match wish.recreate {
                Recreate::Different => compile::Recreate::Changed,
                Recreate::Force => compile::Recreate::Always,
                Recreate::Never => compile::Recreate::Never,
            },
            recreate_deps: wish.recreate_dependencies,
            renew_anonymous: wish.renew_anonymous_volumes,
            timeout: wish.timeout,
            off: self.loaded.borrow().iter().flat_map(|loaded| loaded.disabled()).map(ServiceName::from).collect(),
            remove_orphans: wish.remove_orphans,
            compatibility: self.compatibility,
            ignore_orphans: self.ignore_orphans,
            nonce: oneoff::random()?,
            files: compile::wanted_files(project, &source).into_iter().map(read).collect(),
            lenders: self.lenders(project),
            programs: compile::wanted_programs(project).into_iter().map(|name| (name.clone(), find(&name))).collect(),
            systemd: cgroup::systemd_booted(),
            mount_images,
            source,
        })
    }

    pub(super) fn source(&self) -> Source {
        match self.loaded.borrow().as_ref() {
            Some(loaded) => Source {
                working_dir: loaded.working_dir.clone(),
                config_files: loaded.config_files.clone(),
                environment_files: loaded.env_files.clone(),
                told: self.told(),
                model: compose::config::record(loaded),
            },
            None => Source::default(),
        }
    }

    /// What the containers have mounted whose volumes are taken by their names. One that can't be read is not there.
    fn lenders(&self, project: &Project) -> BTreeMap<String, Option<Vec<MountSpec>>> {
        let mut lenders: BTreeMap<_, _> =
            compile::wanted_lenders(project).into_iter().map(|name| (name, None)).collect();
        if lenders.is_empty() {
            return lenders;
        }
        for id in super::ledger::every_container(&self.paths).unwrap_or_default() {
            if let Ok(Some(made)) = self.cache.made(&self.paths, &id, &mut Vec::new())
                && let Some(found) = lenders.get_mut(made.spec.name.as_str())
            {
                *found = Some(made.spec.mounts.clone());
            }
        }
        lenders
    }

    /// What addresses are taken on this machine.
    fn leases(&self) -> Result<Leases, CliError> {
        let net = self.net()?;
        let mut leases = Leases::default();
        let routes = net.routes_now().map_err(|e| failed(&e))?;
        leases.routes = routes.into_iter().map(|route| (route.destination, route.prefix)).collect();
        for spec in net.specs_now().map_err(|e| failed(&e))? {
            leases.networks.insert(spec.name.clone(), NetworkLease { spec, endpoints: BTreeMap::new() });
        }
        for endpoint in net.endpoints_now(|_| false).map_err(|e| failed(&e))? {
            let Ok(Some(made)) = self.cache.made(&self.paths, &endpoint.container, &mut Vec::new()) else { continue };
            if let Some(network) = leases.networks.get_mut(&endpoint.spec.network) {
                let lease = EndpointLease { ipv4: endpoint.spec.ipv4, ipv6: endpoint.spec.ipv6 };
                network.endpoints.insert(made.spec.name.clone(), lease);
            }
        }
        Ok(leases)
    }

    /// The image of every service that is touched, and those that are mounted.
    fn needed_images(
        &self,
        project: &Project,
        touched: &BTreeSet<ServiceName>,
        wish: &UpWish,
        lock: Option<&Lock>,
    ) -> Result<Needed, CliError> {
        let store = self.images()?;
        let locked = |wanted: pull::Wanted| wanted.locked(lock).map_err(|e| failed(&e));
        let mut needed = Needed {
            unbuilt: BTreeMap::new(),
            services: BTreeMap::new(),
            mounts: BTreeSet::new(),
            extent: if wish.rehearsal { pull::Extent::Identity } else { pull::Extent::Whole },
            lock: wish.lock,
        };
        for name in touched {
            let Some(service) = project.services.get(name) else { continue };
            if service.provider.is_some() {
                continue;
            }
            let image = service.image.clone().unwrap_or_else(|| format!("{}-{name}", project.name));
            let one = pull::Wanted::new(image, service.platform.clone(), policy(service, wish)?);
            // What was built here has the name of its image for itself, unless nothing but what is locked will do.
            let is_own = service.build.is_some() && !wish.lock.is_strict() && matches!(one.local(&store), Ok(Some(_)));
            let one = if is_own { one } else { locked(one)? };
            let unbuilt = wish.rehearsal && wish.builds.contains(name) && matches!(one.local(&store), Ok(None));
            if unbuilt { &mut needed.unbuilt } else { &mut needed.services }.insert(name.clone(), one);
        }
        let policy = if wish.lock == LockUse::Frozen { image::PullPolicy::Never } else { image::PullPolicy::Missing };
        for image in compile::wanted_images(project) {
            needed.mounts.insert(locked(pull::Wanted::new(image, None, policy))?);
        }
        Ok(needed)
    }

    /// The needed images: found here, or by their registries; their layers are here afterwards, but in a rehearsal.
    async fn resolve(
        &self,
        needed: Needed,
        tell: &Tell,
    ) -> Result<(BTreeMap<ServiceName, ResolvedImage>, BTreeMap<String, ResolvedImage>), CliError> {
        let store = self.images()?;
        let Needed { unbuilt, services, mounts, extent, lock } = needed;
        let found = self.obtain(&store, services.values().cloned().collect(), extent, tell).await?;
        let mut images: BTreeMap<_, _> =
            unbuilt.into_iter().map(|(name, one)| (name, ResolvedImage::unbuilt(&one.name))).collect();
        images.extend(self.each_at_its_place(services, &found, lock)?);
        let mounted = self.obtain(&store, mounts, extent, tell).await?;
        let mounted = mounted.into_iter().map(|(wanted, image)| Ok((wanted.name, image?)));
        Ok((images, mounted.collect::<Result<_, CliError>>()?))
    }

    /// The images of services; those that can't be had are all told, each where its service names it.
    fn each_at_its_place(
        &self,
        wanted: BTreeMap<ServiceName, pull::Wanted>,
        found: &BTreeMap<pull::Wanted, Result<ResolvedImage, CliError>>,
        lock: LockUse,
    ) -> Result<BTreeMap<ServiceName, ResolvedImage>, CliError> {
        let (mut images, mut problems) = (BTreeMap::new(), Vec::new());
        for (name, one) in wanted {
            match &found[&one] {
                Ok(image) => drop(images.insert(name, image.clone())),
                Err(_) if lock == LockUse::Frozen => problems.push(frozen_out(&name, &one.name)),
                Err(error) => problems.push(CompileError {
                    path: format!("services.{name}.image"),
                    message: format!("service `{name}`: {error}"),
                    help: error.help(),
                }),
            }
        }
        if problems.is_empty() { Ok(images) } else { Err(self.point(&problems)) }
    }

    /// Resolves images and fetches their layers (where they are wanted whole), each once, side by side.
    pub(super) async fn obtain(
        &self,
        store: &Store,
        wanted: BTreeSet<pull::Wanted>,
        extent: pull::Extent,
        tell: &Tell,
    ) -> Result<BTreeMap<pull::Wanted, Result<ResolvedImage, CliError>>, CliError> {
        let mut found = BTreeMap::new();
        let mut missing = Vec::new();
        for one in wanted {
            match one.local(store) {
                Err(error) => drop(found.insert(one, Err(failed(&error)))),
                Ok(Some(image)) if is_enough(store, &one, &image, extent) => drop(found.insert(one, Ok(image))),
                Ok(_) => missing.push(one),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let client = Arc::new(Client::new(image::Settings::from_env()).map_err(|e| failed(&e))?);
        for (one, result) in pull::side_by_side(store, &client, (missing, extent), self.parallel, tell).await {
            found.insert(one, result);
        }
        Ok(found)
    }
}

/// The images that a change needs.
struct Needed {
    /// Those of services that are to be built first, in a rehearsal: nothing is known of them.
    unbuilt: BTreeMap<ServiceName, pull::Wanted>,
    /// Those of the other services.
    services: BTreeMap<ServiceName, pull::Wanted>,
    /// Those that are mounted.
    mounts: BTreeSet<pull::Wanted>,
    /// How much of them.
    extent: pull::Extent,
    /// How the lock file is used.
    lock: LockUse,
}

impl Needed {
    /// Whether a registry has to be asked for any of them.
    fn is_anything_missing(&self, store: &Store) -> bool {
        let all: BTreeSet<&pull::Wanted> = self.services.values().chain(&self.mounts).collect();
        let here = |one: &pull::Wanted| {
            one.local(store).is_ok_and(|image| image.is_some_and(|image| is_enough(store, one, &image, self.extent)))
        };
        !all.into_iter().all(here)
    }
}

/// Whether what is here of an image will do.
fn is_enough(store: &Store, one: &pull::Wanted, image: &ResolvedImage, extent: pull::Extent) -> bool {
    one.is_satisfied() && (extent == pull::Extent::Identity || store.layers_present(&image.spec))
}

/// A program of this machine: in PATH, and then where administrators' programs are, which not everybody's PATH names.
fn find(name: &str) -> Option<PathBuf> {
    let executable =
        |path: &PathBuf| nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok() && path.is_file();
    if name.starts_with('/') {
        return Some(PathBuf::from(name)).filter(executable);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.filter(|folder| folder.is_absolute()).map(|folder| folder.join(name)).find(executable)
}

/// `--frozen`, and the image is not here.
fn frozen_out(service: &ServiceName, image: &str) -> CompileError {
    CompileError {
        path: format!("services.{service}.image"),
        message: format!(
            "service `{service}`: image {image} is not on this machine as it is locked, and `--frozen` neither pulls nor builds"
        ),
        help: Some("`windlass pull` gets what is locked, `windlass build` makes what is built".to_owned()),
    }
}

fn policy(service: &Service, wish: &UpWish) -> Result<image::PullPolicy, CliError> {
    // What is built here is not looked for elsewhere.
    let built = service.build.is_some();
    match wish.pull {
        _ if wish.lock == LockUse::Frozen => return Ok(image::PullPolicy::Never),
        Some(PullPolicy::Always) if !built => return Ok(image::PullPolicy::Always),
        Some(PullPolicy::Missing) => return Ok(image::PullPolicy::Missing),
        Some(PullPolicy::Never) => return Ok(image::PullPolicy::Never),
        _ => {}
    }
    match service.pull_policy.as_deref() {
        None | Some("build") => Ok(image::PullPolicy::Missing),
        Some("refresh") => match service.pull_refresh_after.as_deref().filter(|time| !time.is_empty()) {
            Some(time) => image::PullPolicy::parse(&format!("every_{time}")).map_err(|e| failed(&e)),
            None => Ok(image::PullPolicy::Always),
        },
        Some(text) => image::PullPolicy::parse(text).map_err(|e| failed(&e)),
    }
}
