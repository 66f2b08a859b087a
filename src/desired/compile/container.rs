//! One container of a service: its spec, still without the addresses that are chosen, and all that goes with it.

use super::mount::{self, Owner};
use super::network::{self, Attachment};
use super::{
    Compiler, Problems, device, endpoint, file, hook, label, lifecycle, log, process, resource, runtime, security,
};
use crate::compose::model::{self, Service};
use crate::desired::{
    Condition, ContainerSpec, Dependency, DesiredContainer, ResolvedImage, RestartPolicy, Target, VolumeSpec,
};
use crate::name::{ContainerName, ServiceName};

/// Bytes of /dev/shm unless the file says otherwise: docker's.
const SHM: u64 = 64 << 20;

/// A container before its addresses are decided.
#[derive(Debug)]
pub struct Draft {
    /// The container.
    pub container: DesiredContainer,
    /// The networks it is on, in the order of its endpoints.
    pub attachments: Vec<Attachment>,
    /// Its anonymous volumes.
    pub anonymous: Vec<VolumeSpec>,
}

/// All containers of a service, or the one of `run`. What is wrong with the service is told once.
pub fn drafts(compiler: &Compiler<'_>, name: &ServiceName, service: &Service, problems: &mut Problems) -> Vec<Draft> {
    let at = format!("services.{name}");
    if service.provider.is_some() {
        // No container: a program outside provides it.
        return Vec::new();
    }
    let Some(image) = compiler.images.get(name) else {
        problems.add(format!("{at}.image"), "the image was not resolved");
        return Vec::new();
    };
    if let Some(run) = compiler.run().filter(|run| run.service == *name) {
        let container = compiler.oneoff_name(run);
        let mut draft = draft(compiler, name, service, image, (container, 0), problems);
        draft.container.restart = RestartPolicy::No;
        draft.container.auto_remove = run.remove;
        draft.container.spec.oneoff = true;
        label::oneoff(&mut draft.container.spec.labels, run);
        return vec![draft];
    }
    let replicas = replicas(compiler, &at, name, service, problems);
    let mut list = Vec::new();
    for number in 1..=replicas {
        let container = compiler.container_name(name, service, number);
        // What is wrong with the first replica is wrong with all.
        let mut later = Problems::default();
        let problems = if number == 1 { &mut *problems } else { &mut later };
        let mut draft = draft(compiler, name, service, image, (container, number), problems);
        label::numbered(&mut draft.container.spec.labels, number);
        list.push(draft);
    }
    if replicas == 0 {
        // A service that is scaled to nothing is checked all the same.
        let container = compiler.container_name(name, service, 1);
        draft(compiler, name, service, image, (container, 1), problems);
    }
    let mut before = hook::prepare(compiler, name, service, &mut list, problems);
    list.append(&mut before);
    list
}

/// So many containers does a service have: `--scale`, `scale`, `deploy.replicas`, 1.
fn replicas(compiler: &Compiler<'_>, at: &str, name: &ServiceName, service: &Service, problems: &mut Problems) -> u32 {
    let deploy = service.deploy.as_ref();
    let global = deploy.and_then(|deploy| deploy.mode.as_deref()).is_some_and(|mode| mode.starts_with("global"));
    let written = service.scale.or(deploy.and_then(|deploy| deploy.replicas)).filter(|_| !global).unwrap_or(1);
    let asked = compiler.request.scale.get(name).copied();
    let Ok(number) = asked.map_or_else(|| u32::try_from(written), Ok) else {
        problems.add(format!("{at}.scale"), format!("{written} replicas are not possible"));
        return 1;
    };
    if number > 1 && service.container_name.as_deref().is_some_and(|name| !name.is_empty()) {
        let message = format!("{number} replicas cannot share one name; take `container_name` out");
        problems.add(format!("{at}.container_name"), message);
        return 1;
    }
    number
}

/// One container of a service, of this name and number.
pub(super) fn draft(
    compiler: &Compiler<'_>,
    name: &ServiceName,
    service: &Service,
    image: &ResolvedImage,
    (container, number): (ContainerName, u32),
    problems: &mut Problems,
) -> Draft {
    let at = &format!("services.{name}");
    if !valid_name(&container) {
        let message =
            format!("`{container}` is no name for a container: letters, digits, `_`, `.` and `-`, at least two");
        problems.add(format!("{at}.container_name"), message);
    }
    let attachments = network::attachments(compiler, at, service, problems);
    let mounts = mount::mounts(compiler, Owner { name, service, container: &container, depth: 0 }, problems);
    let mut spec = shape(compiler, at, service, image, problems);
    spec.endpoints = endpoint::endpoints(compiler, name, service, &container, &attachments, problems);
    spec.name = container;
    spec.number = number;
    spec.service = name.clone();
    spec.labels = label::container(compiler, name, service);
    spec.mounts = mounts.list;
    spec.files = file::files(compiler, at, service, problems);
    let mut stop = spec.stop.clone();
    stop.grace = compiler.request.timeout.unwrap_or(stop.grace);
    let container = DesiredContainer {
        hash: String::new(),
        target: Target::Running,
        depends_on: dependencies(compiler, service),
        restart: lifecycle::restart(at, service, problems),
        health: lifecycle::health(at, service, image, problems),
        stop,
        recreate_before: None,
        restart_before: None,
        start_before: None,
        keep_different: false,
        auto_remove: false,
        pre_start: Vec::new(),
        prepares: false,
        restart_pace: lifecycle::pace(service),
        spec,
    };
    Draft { container, attachments, anonymous: mounts.anonymous }
}

/// All of a spec that is the same for every container of the service.
fn shape(
    compiler: &Compiler<'_>,
    at: &str,
    service: &Service,
    image: &ResolvedImage,
    problems: &mut Problems,
) -> ContainerSpec {
    let namespaces = endpoint::namespaces(compiler, at, service, problems);
    let (devices, cdi) = device::devices(at, service, problems);
    let (argv, env) = (process::argv(service, image), process::environment(service, image));
    if argv.first().is_none_or(String::is_empty) {
        problems.add(format!("{at}.command"), "no command is given, neither here nor by the image");
    }
    texts(at, service, (&argv, &env), problems);
    let shm = u64::try_from(service.shm_size.unwrap_or(0)).ok().filter(|bytes| *bytes > 0);
    ContainerSpec {
        project: compiler.project.name.clone(),
        annotations: service.annotations.clone(),
        image: image.spec.clone(),
        argv,
        env,
        cwd: problems.take(format!("{at}.working_dir"), process::cwd(service, image)).unwrap_or_default(),
        user: service.user.clone().filter(|user| !user.is_empty()).unwrap_or_else(|| image.user.clone()),
        groups: service.group_add.clone(),
        hostname: service.hostname.clone().filter(|name| !name.is_empty()),
        domainname: service.domainname.clone().filter(|name| !name.is_empty()),
        tty: service.tty,
        stdin_open: service.stdin_open,
        init: service.init.unwrap_or(false),
        runtime: runtime::runtime(at, service, compiler.request, problems),
        read_only: service.read_only,
        shm_size: shm.unwrap_or(SHM),
        devices,
        cdi,
        device_rules: device::device_rules(at, service, problems),
        security: security::security(at, service, compiler.request, problems),
        ulimits: security::ulimits(at, &service.ulimits, problems),
        sysctls: security::sysctls(at, service, &namespaces, problems),
        resources: resource::resources(at, service, compiler.request, problems),
        ports: endpoint::ports(at, service, &namespaces.net, problems),
        exposed: endpoint::exposed(&service.expose),
        image_exposed: endpoint::exposed(&image.exposed_ports),
        dns: endpoint::dns(at, service, problems),
        extra_hosts: endpoint::extra_hosts(at, service, problems),
        log: log::log(at, service, problems),
        stop: lifecycle::stop(at, service, image, problems),
        post_start: hook::hooks(at, "post_start", &service.post_start, problems),
        pre_stop: hook::hooks(at, "pre_stop", &service.pre_stop, problems),
        namespaces,
        ..ContainerSpec::default()
    }
}

/// Texts that the kernel would refuse later, with an error that names nothing.
fn texts(at: &str, service: &Service, (argv, env): (&[String], &[String]), problems: &mut Problems) {
    if argv.iter().any(|word| word.contains('\0')) {
        problems.add(format!("{at}.command"), "a command cannot have a NUL character in it");
    }
    for key in service.environment.keys().filter(|key| key.is_empty() || key.contains(['=', '\0'])) {
        problems.add(format!("{at}.environment.{key}"), "is no name for a variable");
    }
    if let Some(key) =
        env.iter().filter(|entry| entry.contains('\0')).filter_map(|entry| entry.split('=').next()).next()
    {
        problems.add(format!("{at}.environment.{key}"), "a value cannot have a NUL character in it");
    }
    for (key, name) in [("hostname", &service.hostname), ("domainname", &service.domainname)] {
        let bad = |name: &&String| name.len() > 64 || name.contains(|c: char| c.is_whitespace() || c.is_control());
        if let Some(name) = name.as_ref().filter(bad) {
            problems.add(
                format!("{at}.{key}"),
                format!("`{name}` is no name for a host: at most 64 characters, no blanks"),
            );
        }
    }
}

/// Docker's rule for names.
fn valid_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    name.len() >= 2 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(inner)
}

/// The edges of the dependency graph; the implied ones are in `depends_on` already. A service that is not there (not
/// required, and of another profile) is no edge, and with `--no-deps` only those that were named are.
fn dependencies(compiler: &Compiler<'_>, service: &Service) -> Vec<Dependency> {
    let request = compiler.request;
    let counts = |other: &ServiceName| {
        compiler.project.services.contains_key(other) && (!request.no_deps || request.services.contains(other))
    };
    let edges = service.depends_on.iter().filter(|(other, _)| counts(other));
    edges
        .map(|(other, edge)| Dependency {
            service: other.clone(),
            condition: match edge.condition {
                model::Condition::ServiceStarted => Condition::ServiceStarted,
                model::Condition::ServiceHealthy => Condition::ServiceHealthy,
                model::Condition::ServiceCompletedSuccessfully => Condition::ServiceCompletedSuccessfully,
            },
            restart: edge.restart,
            required: edge.required,
        })
        .collect()
}
