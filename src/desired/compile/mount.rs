//! The mounts of a container: `volumes`, `tmpfs`, `volumes_from` and the volumes that its image declares.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::process::clean;
use super::{Compiler, Problems};
use crate::compose::model::{BindOptions, Mount, MountKind, Project, Service};
use crate::compose::units;
use crate::desired::{MountSource, MountSpec, VolumeSpec};
use crate::name::{ServiceName, VolumeName};

/// How mounts and their ends spread to where a mount is shared.
const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

/// No real file has a longer chain of `volumes_from`.
const DEEPEST: u8 = 16;

/// The mounts of one container and the anonymous volumes among them.
#[derive(Debug, Default)]
pub struct Mounts {
    /// Outermost first.
    pub list: Vec<MountSpec>,
    /// To be made.
    pub anonymous: Vec<VolumeSpec>,
}

/// Whose mounts are made.
#[derive(Clone, Copy)]
pub struct Owner<'a> {
    /// The service.
    pub name: &'a ServiceName,
    /// Its attributes.
    pub service: &'a Service,
    /// What makes the anonymous volumes of this container different from those of another: its name.
    pub container: &'a str,
    /// So many `volumes_from` led here; guards against a circle.
    pub depth: u8,
}

/// All mounts of a container, outermost first.
pub fn mounts(compiler: &Compiler<'_>, owner: Owner<'_>, problems: &mut Problems) -> Mounts {
    let mut all: BTreeMap<String, MountSpec> = BTreeMap::new();
    let mut anonymous = Vec::new();
    let at = format!("services.{}", owner.name);
    for (index, mount) in owner.service.volumes.iter().enumerate() {
        let path = format!("{at}.volumes[{index}]");
        let made = one(compiler, owner, mount, &mut anonymous);
        if let Some(made) = problems.take(path, made) {
            all.insert(made.target.clone(), made);
        }
    }
    for (index, text) in owner.service.tmpfs.iter().enumerate() {
        let path = format!("{at}.tmpfs[{index}]");
        let Some(made) = problems.take(path.clone(), tmpfs(text)) else { continue };
        if let Some(other) = all.insert(made.target.clone(), made) {
            problems.add(path, format!("`{}` is mounted twice: here and under `volumes`", other.target));
        }
    }
    borrowed(compiler, owner, &mut all, &mut anonymous, problems);
    let image = compiler.images.get(owner.name);
    for target in image.into_iter().flat_map(|image| &image.volumes).map(|target| clean(target)) {
        if !all.contains_key(&target) && target != "/" {
            let volume = anonymous_volume(compiler, owner, &target, BTreeMap::new());
            let source = MountSource::Volume { name: volume.name.clone(), subpath: String::new(), copy: true };
            anonymous.push(volume);
            all.insert(target.clone(), MountSpec { target, source, read_only: false });
        }
    }
    let mut list: Vec<MountSpec> = all.into_values().collect();
    list.sort_by_key(|mount| mount.target.matches('/').count());
    anonymous.retain(|volume| list.iter().any(|mount| uses(mount, &volume.name)));
    Mounts { list, anonymous }
}

/// Whether a mount is of this volume.
pub fn uses(mount: &MountSpec, volume: &VolumeName) -> bool {
    matches!(&mount.source, MountSource::Volume { name, .. } if name == volume)
}

fn one(
    compiler: &Compiler<'_>,
    owner: Owner<'_>,
    mount: &Mount,
    anonymous: &mut Vec<VolumeSpec>,
) -> Result<MountSpec, String> {
    if !mount.target.starts_with('/') {
        // Of `v:/v:ro` the source has what should be the target.
        let drive = [Some(&mount.target), mount.source.as_ref()].into_iter().flatten().find_map(|path| drive(path));
        let target = &mount.target;
        return Err(format!("`{target}` is not an absolute path inside the container{}", drive.unwrap_or_default()));
    }
    let target = clean(&mount.target);
    if target == "/" {
        return Err("nothing can be mounted over the root of a container".to_owned());
    }
    let source = match mount.kind {
        MountKind::Bind => bind(mount)?,
        MountKind::Volume => volume(compiler, owner, mount, &target, anonymous)?,
        MountKind::Tmpfs => {
            let options = mount.tmpfs.clone().unwrap_or_default();
            let size = u64::try_from(options.size.unwrap_or(0)).map_err(|_| "a size cannot be negative")?;
            MountSource::Tmpfs { size, mode: options.mode, options: tmpfs_options(&[]) }
        }
        MountKind::Image => image(compiler, mount)?,
        MountKind::Npipe => return Err("`npipe` is of Windows only".to_owned()),
        MountKind::Cluster => return Err("`cluster` is of a swarm only".to_owned()),
    };
    Ok(MountSpec { target, source, read_only: mount.read_only })
}

/// A hint for a path that begins as one of Windows does.
fn drive(path: &str) -> Option<String> {
    let drive = path.get(1..3) == Some(":/") && path.starts_with(|letter: char| letter.is_ascii_alphabetic());
    let (name, inside) = path.split_once(':').filter(|_| drive)?;
    Some(format!(
        ": one letter before a colon is taken for a drive of Windows; write `./{path}` for a folder, or a volume in its long \
         form, `{{type: volume, source: {name}, target: {inside}}}`"
    ))
}

fn bind(mount: &Mount) -> Result<MountSource, String> {
    let path = mount.source.as_ref().filter(|path| !path.is_empty()).ok_or("a bind mount needs a `source`")?;
    if !path.starts_with('/') {
        let drive = drive(path).unwrap_or_default();
        return Err(format!("`{path}` is not an absolute path of this machine{drive}"));
    }
    let create = mount.makes_source();
    let BindOptions { propagation, recursive, .. } = mount.bind.clone().unwrap_or_default();
    let propagation = propagation.unwrap_or_default();
    if !propagation.is_empty() && !PROPAGATIONS.contains(&propagation.as_str()) {
        return Err(format!("`{propagation}` is no propagation: {}", PROPAGATIONS.join(", ")));
    }
    let (recursive, deep) = match recursive.as_deref().unwrap_or("enabled") {
        // Docker makes what lies below read-only too, where it can.
        "enabled" => (true, mount.read_only),
        "disabled" => (false, false),
        "writable" => (true, false),
        "readonly" if !mount.read_only => return Err("`recursive: readonly` needs `read_only: true`".to_owned()),
        "readonly" => (true, true),
        other => return Err(format!("`{other}` is unknown: `recursive` is enabled, disabled, writable or readonly")),
    };
    Ok(MountSource::Bind { path: PathBuf::from(path), create, propagation, recursive, recursive_read_only: deep })
}

fn volume(
    compiler: &Compiler<'_>,
    owner: Owner<'_>,
    mount: &Mount,
    target: &str,
    anonymous: &mut Vec<VolumeSpec>,
) -> Result<MountSource, String> {
    let options = mount.volume.clone().unwrap_or_default();
    let name = match mount.source.as_deref().filter(|key| !key.is_empty()) {
        Some(key) => match compiler.project.volumes.get(key) {
            Some(volume) => VolumeName::from(volume.name.as_str()),
            // `run -v NAME:/path` makes a volume of just this name.
            None if compiler.run().is_some() => VolumeName::from(key),
            None => return Err(format!("volume `{key}` is not declared under the top-level `volumes`")),
        },
        None => {
            let volume = anonymous_volume(compiler, owner, target, options.labels.clone());
            let name = volume.name.clone();
            anonymous.push(volume);
            name
        }
    };
    let subpath = options.subpath.unwrap_or_default();
    if subpath.starts_with('/') || subpath.split('/').any(|part| part == "..") {
        return Err(format!("subpath `{subpath}` would lead out of the volume"));
    }
    Ok(MountSource::Volume { name, subpath, copy: !options.nocopy })
}

fn image(compiler: &Compiler<'_>, mount: &Mount) -> Result<MountSource, String> {
    let name = mount.source.as_deref().ok_or("an image mount needs a `source`: the image")?;
    let image = compiler.request.mount_images.get(name).ok_or_else(|| format!("image `{name}` was not found"))?;
    let subpath = mount.image.clone().unwrap_or_default().subpath.unwrap_or_default();
    if subpath.split('/').any(|part| part == "..") {
        return Err(format!("subpath `{subpath}` would lead out of the image"));
    }
    Ok(MountSource::Image { image: image.spec.clone(), subpath })
}

/// An anonymous volume: the one that the container of this name had at this path, else a new one.
fn anonymous_volume(
    compiler: &Compiler<'_>,
    owner: Owner<'_>,
    target: &str,
    mut labels: BTreeMap<String, String>,
) -> VolumeSpec {
    let request = compiler.request;
    let project = &compiler.project.name;
    let kept = request.previous.as_ref().filter(|_| !request.renew_anonymous).and_then(|previous| {
        let mounts = &previous.containers.get(owner.container)?.spec.mounts;
        let mount = mounts.iter().find(|mount| mount.target == target)?;
        let MountSource::Volume { name, .. } = &mount.source else { return None };
        previous.volumes.get(name).filter(|volume| volume.anonymous).map(|_| name.clone())
    });
    let fresh = || {
        let parts = [project, owner.container, target, request.nonce.as_str()].join("\0");
        VolumeName::new(super::sha256(&parts))
    };
    labels.insert("com.docker.volume.anonymous".to_owned(), String::new());
    VolumeSpec {
        name: kept.unwrap_or_else(fresh),
        project: Some(project.clone()),
        driver: "local".to_owned(),
        labels,
        anonymous: true,
        ..VolumeSpec::default()
    }
}

/// The containers that services take volumes from by their names, whichever project they are of; their mounts must be in
/// [`Request::lenders`](super::Request::lenders).
pub fn wanted_lenders(project: &Project) -> BTreeSet<String> {
    let all = project.services.values().flat_map(|service| &service.volumes_from);
    all.filter_map(|text| lender(text)).map(|(name, _)| name.to_owned()).collect()
}

/// Name and mode of `container:NAME[:ro|rw]`.
fn lender(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix("container:")?;
    Some(rest.split_once(':').unwrap_or((rest, "rw")))
}

/// `volumes_from: service[:ro|rw]` or `container:name[:ro|rw]`: what another service's first container, or another
/// container, has, where nothing is mounted yet.
fn borrowed(
    compiler: &Compiler<'_>,
    owner: Owner<'_>,
    all: &mut BTreeMap<String, MountSpec>,
    anonymous: &mut Vec<VolumeSpec>,
    problems: &mut Problems,
) {
    for (index, text) in owner.service.volumes_from.iter().enumerate() {
        let path = format!("services.{}.volumes_from[{index}]", owner.name);
        if let Some((name, mode)) = lender(text) {
            match compiler.request.lenders.get(name) {
                Some(Some(mounts)) => lend(mounts.clone(), mode, all),
                _ => problems.add_with_help(
                    path,
                    format!("there is no container `{name}`"),
                    "it must be one of windlass's, and made before: `windlass ls`, `windlass -p PROJECT ps -a`",
                ),
            }
            continue;
        }
        let (name, mode) = text.split_once(':').unwrap_or((text, "rw"));
        let Some((name, service)) = compiler.project.services.get_key_value(name) else {
            problems.add(path, format!("there is no service `{name}`"));
            continue;
        };
        if owner.depth >= DEEPEST {
            problems.add(path, "`volumes_from` leads in a circle");
            continue;
        }
        let container = compiler.container_name(name, service, 1);
        // What is wrong with the other service is told where it is made.
        let owner = Owner { name, service, container: &container, depth: owner.depth + 1 };
        let other = mounts(compiler, owner, &mut Problems::default());
        anonymous.extend(other.anonymous);
        lend(other.list, mode, all);
    }
}

/// Adds another container's mounts; memory is nobody else's.
fn lend(mounts: Vec<MountSpec>, mode: &str, all: &mut BTreeMap<String, MountSpec>) {
    for mut mount in mounts.into_iter().filter(|mount| !matches!(mount.source, MountSource::Tmpfs { .. })) {
        mount.read_only |= mode == "ro";
        all.entry(mount.target.clone()).or_insert(mount);
    }
}

/// One entry of `tmpfs`: `path[:options]`.
fn tmpfs(text: &str) -> Result<MountSpec, String> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    if !target.starts_with('/') || clean(target) == "/" {
        return Err(format!("`{target}` is not an absolute path below the root"));
    }
    let (mut size, mut mode, mut read_only) = (0, None, false);
    let mut further = Vec::new();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            // Of the memory, or no bound at all: the kernel's own words.
            Some(("size", share)) if share == "0" || is_percentage(share) => further.push(option),
            Some(("size", bytes)) => {
                further.retain(|other| !other.starts_with("size="));
                size = u64::try_from(units::bytes(bytes)?).map_err(|_| format!("`{option}` is negative"))?;
            }
            Some(("mode", bits)) => {
                let bits = u32::from_str_radix(bits, 8).map_err(|_| format!("`{option}` is no octal number"))?;
                mode = Some(bits);
            }
            _ if option == "ro" => read_only = true,
            _ if option == "rw" => read_only = false,
            // Docker takes them; nobody else sees what is mounted inside a container.
            _ if PROPAGATIONS.contains(&option) => {}
            _ => further.push(option),
        }
    }
    let source = MountSource::Tmpfs { size, mode, options: tmpfs_options(&further) };
    Ok(MountSpec { target: clean(target), source, read_only })
}

/// `10%`; more than all is possible.
fn is_percentage(text: &str) -> bool {
    text.strip_suffix('%').is_some_and(|number| number.parse::<u32>().is_ok())
}

/// Docker mounts tmpfs without programs, setuid and devices, unless the options say otherwise.
fn tmpfs_options(written: &[&str]) -> Vec<String> {
    let defaults = ["noexec", "nosuid", "nodev"];
    let undone = |default: &&str| !default.strip_prefix("no").is_some_and(|word| written.contains(&word));
    let kept = defaults.iter().copied().filter(undone).filter(|default| !written.contains(default));
    kept.chain(written.iter().copied()).map(str::to_owned).collect()
}
