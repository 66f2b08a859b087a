//! What a verb asks for, beside the file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::compose::model::{self, MountKind, Project};
use crate::desired::{Desired, MountSpec, ResolvedImage, Source, Stamp};
use crate::name::{ContainerName, ServiceName, VolumeName};

/// What a verb asks for, and all that [`super::compile`] needs to know of the world.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Now.
    pub now: Stamp,
    /// The files, for labels.
    pub source: Source,
    /// The state that was applied last; what is not touched is carried over from it.
    pub previous: Option<Arc<Desired>>,
    /// What is done.
    pub verb: Verb,
    /// The services that were named; none: all.
    pub services: BTreeSet<ServiceName>,
    /// Leave alone what the named services depend on.
    pub no_deps: bool,
    /// `--scale`.
    pub scale: BTreeMap<ServiceName, u32>,
    /// Which containers are made anew.
    pub recreate: Recreate,
    /// `--always-recreate-deps`: what the named services depend on is made anew.
    pub recreate_deps: bool,
    /// `--renew-anon-volumes`.
    pub renew_anonymous: bool,
    /// `--timeout`: takes the place of the grace time when a container is stopped.
    pub timeout: Option<Duration>,
    /// The services that the files declare and whose profile is off.
    pub off: BTreeSet<ServiceName>,
    /// `--remove-orphans`.
    pub remove_orphans: bool,
    /// `--compatibility`: names have `_` where they have `-` otherwise.
    pub compatibility: bool,
    /// Orphans are not told of.
    pub ignore_orphans: bool,
    /// Random hexadecimal digits, at least 32: anonymous volumes that are new get their names from them.
    pub nonce: String,
    /// The files that [`wanted_files`] named: their bytes, or why they can't be read.
    pub files: BTreeMap<PathBuf, Result<Vec<u8>, String>>,
    /// What the containers have mounted that [`super::wanted_lenders`] named; `None`: there is none of that name.
    pub lenders: BTreeMap<String, Option<Vec<MountSpec>>>,
    /// Where the programs are that [`super::wanted_programs`] named; `None`: nowhere.
    pub programs: BTreeMap<String, Option<PathBuf>>,
    /// systemd runs the machine.
    pub systemd: bool,
    /// The images that [`wanted_images`] named.
    pub mount_images: BTreeMap<String, ResolvedImage>,
}

/// What is done.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Verb {
    /// `up`, `scale`: containers exist and run.
    #[default]
    Up,
    /// `create`, `up --no-start`: containers exist.
    Create,
    /// `run`: one container more.
    Run(Box<Run>),
}

/// Which containers are made anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recreate {
    /// Those that differ.
    #[default]
    Changed,
    /// All that were named (`--force-recreate`).
    Always,
    /// None (`--no-recreate`).
    Never,
}

/// A container of its own for one command (`run`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    /// The service.
    pub service: ServiceName,
    /// 64 random hexadecimal digits; the first 12 are part of the name.
    pub slug: String,
    /// Its name, if one is given.
    pub name: Option<ContainerName>,
    /// Arguments, if any are given.
    pub command: Option<Vec<String>>,
    /// Program, if one is given; clears the arguments too. `Some([])` clears it.
    pub entrypoint: Option<Vec<String>>,
    /// Variables that are set; `None` as a value: unset.
    pub environment: BTreeMap<String, Option<String>>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `user[:group]`.
    pub user: Option<String>,
    /// Working directory.
    pub workdir: Option<String>,
    /// Mounts beside the service's; a volume that the file does not have is made under the name given.
    pub volumes: Vec<model::Mount>,
    /// Published ports beside those of the service.
    pub publish: Vec<model::Port>,
    /// Publish the service's ports too.
    pub service_ports: bool,
    /// Answer to the service's names.
    pub use_aliases: bool,
    /// A terminal.
    pub tty: bool,
    /// Standard input stays open.
    pub stdin_open: bool,
    /// Remove it when it has ended.
    pub remove: bool,
    /// Capabilities added.
    pub cap_add: Vec<String>,
    /// Capabilities taken away.
    pub cap_drop: Vec<String>,
}

/// The files of the host whose bytes must be in [`Request::files`]: secrets, configs and seccomp profiles of `services`.
pub fn wanted_files(project: &Project, source: &Source) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for service in project.services.values() {
        let secrets = service.secrets.iter().filter_map(|grant| project.secrets.get(&grant.source));
        let configs = service.configs.iter().filter_map(|grant| project.configs.get(&grant.source));
        files.extend(secrets.chain(configs).filter_map(|object| object.file.as_ref()).map(PathBuf::from));
        files.extend(service.security_opt.iter().filter_map(|option| super::security::profile_path(option, source)));
    }
    files
}

/// The images that are mounted (`type: image`) or prepare a service (`pre_start`), as written; they must be in
/// [`Request::mount_images`].
pub fn wanted_images(project: &Project) -> BTreeSet<String> {
    let mounts = project.services.values().flat_map(|service| &service.volumes);
    let mounted = mounts.filter(|mount| mount.kind == MountKind::Image).filter_map(|mount| mount.source.clone());
    let steps = project.services.values().flat_map(|service| &service.pre_start);
    mounted.chain(steps.filter_map(|step| step.image.clone())).collect()
}

/// The volumes that the file declares and that `down -v` removes: all but the external ones.
pub fn declared_volumes(project: &Project) -> BTreeSet<VolumeName> {
    let own = project.volumes.values().filter(|volume| !volume.external);
    own.map(|volume| VolumeName::from(volume.name.as_str())).collect()
}
