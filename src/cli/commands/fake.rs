//! A back end in memory: what exists is given, what is asked for is written down.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::compose::model::Project;
use crate::desired::{ContainerSpec, Desired, ImageSpec, PortSpec, Protocol, RestartPolicy, Stamp, VolumeSpec};
use crate::diag::{Code, Diagnostic, Diagnostics, SourceMap};
use crate::host::container::Root;
use crate::host::image::ImageDetails;
use crate::host::sync::Replica;
use crate::name::{ContainerId, ProjectName, ServiceName};
use crate::observed::{Exit, Health, Observed, ObservedContainer, State};

use super::super::backend::*;
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::super::output::{Capture, Output};
use super::super::progress::{Kind, Phase, Report, Tell};
use super::super::settings::{self, ProjectFiles, Settings};

/// One second after which `now` is told.
const NOW: u64 = 1_000_000_000_000;

/// A back end in memory.
#[derive(Default)]
pub struct Fake {
    pub project: Project,
    pub observed: Observed,
    pub applied: Option<Desired>,
    pub images: Vec<StoredImage>,
    pub volumes: Vec<StoredVolume>,
    pub usage: BTreeMap<ContainerId, Usage>,
    pub outcome: Outcome,
    pub empty_plan: bool,
    pub obstacles: Vec<crate::plan::Failure>,
    pub notes: Vec<String>,
    /// What was asked for, a line each.
    pub asked: RefCell<Vec<String>>,
    /// What the streams give.
    pub lines: RefCell<Option<Receiver<LogLine>>>,
    pub events: RefCell<Option<UnboundedReceiver<Event>>>,
    /// Where `apply` of what begins with this text waits until it is told to go on.
    pub gate: RefCell<Option<(&'static str, tokio::sync::oneshot::Receiver<()>)>>,
}

impl Fake {
    /// A project `shop` with the services `db` and `web` (two replicas), all running but the second `web`.
    pub fn shop() -> Self {
        let mut fake = Self::default();
        fake.project.name = "shop".into();
        for name in ["db", "web"] {
            fake.project.services.insert(name.into(), Default::default());
        }
        for (service, number, state) in [("db", 1, running()), ("web", 1, running()), ("web", 2, exited(3))] {
            let container = container(service, number, state);
            fake.observed.containers.insert(container.id.clone(), container);
        }
        fake.applied = Some(desired());
        fake
    }

    pub fn logs_from(&self) -> Sender<LogLine> {
        let (sender, receiver) = Lines::channel();
        *self.lines.borrow_mut() = Some(receiver);
        sender
    }

    pub fn events_from(&self) -> UnboundedSender<Event> {
        let (sender, receiver) = unbounded_channel();
        *self.events.borrow_mut() = Some(receiver);
        sender
    }

    /// The `apply` of what begins with this text waits until this is used or dropped.
    pub fn gate(&self, text: &'static str) -> tokio::sync::oneshot::Sender<()> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        *self.gate.borrow_mut() = Some((text, receiver));
        sender
    }

    fn ask(&self, text: impl Into<String>) {
        self.asked.borrow_mut().push(text.into());
    }
}

pub fn stamp(seconds: u64) -> Stamp {
    Stamp { boot: "b".into(), nanos: seconds * 1_000_000_000, wall: seconds * 1_000_000_000 }
}

pub fn running() -> State {
    State::Running { pid: 4_000_000 }
}

pub fn exited(code: i32) -> State {
    State::Exited(Exit { code, oom: false, at: stamp(880), stopped: false, error: None })
}

pub fn container(service: &str, number: u32, state: State) -> ObservedContainer {
    let port = PortSpec { host_ip: None, published: 8080, published_end: 8080, target: 80, protocol: Protocol::Tcp };
    let started = (!matches!(state, State::Created)).then(|| stamp(995));
    ObservedContainer {
        id: ContainerId::new(format!("{:064x}", service.len() as u64 * 1000 + u64::from(number))),
        spec: ContainerSpec {
            name: format!("shop-{service}-{number}").into(),
            project: "shop".into(),
            service: service.into(),
            number,
            labels: [("com.docker.compose.service".to_owned(), service.to_owned())].into(),
            image: ImageSpec {
                name: format!("{service}:1"),
                id: "sha256:0123456789abcdef".into(),
                ..ImageSpec::default()
            },
            argv: vec!["/entrypoint".into(), "--with".into(), "many-arguments".into()],
            ..ContainerSpec::default()
        },
        hash: String::new(),
        created: stamp(880),
        health: if service == "db" { Health::Healthy } else { Health::None },
        ports: if matches!(state, State::Running { .. }) && service == "web" { vec![port] } else { Vec::new() },
        sandbox: matches!(state, State::Running { .. } | State::Paused { .. }),
        state,
        started,
        restarts: 0,
        streak: 0,
        hooks: Default::default(),
        lost: Default::default(),
    }
}

fn desired() -> Desired {
    let json = serde_json::json!({
        "schema": 1, "project": "shop", "generation": 1, "applied": stamp(1),
        "source": {"working_dir": "/srv/shop", "config_files": ["/srv/shop/compose.yaml"], "environment_files": []},
        "services": ["db", "web"], "remove_orphans": false, "networks": {}, "volumes": {}, "remove_volumes": [],
        "containers": {},
    });
    serde_json::from_value(json).expect("a desired state")
}

/// Marks a container of the applied state as one that is always restarted.
pub fn always_restart(fake: &mut Fake, name: &str) {
    let spec = fake.observed.containers.values().find(|c| c.spec.name.as_str() == name).expect("there").spec.clone();
    let applied = fake.applied.as_mut().expect("applied");
    applied.containers.insert(
        name.into(),
        crate::desired::DesiredContainer {
            hash: String::new(),
            target: crate::desired::Target::Running,
            depends_on: Vec::new(),
            restart: RestartPolicy::Always,
            health: None,
            stop: spec.stop.clone(),
            recreate_before: None,
            restart_before: None,
            start_before: None,
            keep_different: false,
            auto_remove: false,
            pre_start: Vec::new(),
            prepares: false,
            restart_pace: Default::default(),
            spec,
        },
    );
}

/// A context without any flags.
pub fn context<'a>(fake: &'a Fake, output: &'a Output) -> Context<'a, &'a Fake> {
    let settings = Settings::new(&settings::Global { parallel: -1, ..settings::Global::default() }).expect("settings");
    Context { settings, output, backend: fake }
}

/// What a verb has printed, and how it ended.
pub struct Ran {
    pub out: String,
    pub err: String,
    pub result: Result<ExitStatus, CliError>,
}

impl Ran {
    pub fn code(&self) -> u8 {
        match &self.result {
            Ok(status) => status.0,
            Err(error) => error.code(),
        }
    }
}

/// Runs a command line on a back end.
pub async fn run(fake: &Fake, words: &[&str]) -> Ran {
    let (output, out, err) = Output::captured(false);
    let result = run_on(fake, words, &output).await;
    if let Err(error) = &result {
        error.print(&output);
    }
    Ran { out: Capture::text(&out), err: Capture::text(&err), result }
}

pub async fn run_on(fake: &Fake, words: &[&str], output: &Output) -> Result<ExitStatus, CliError> {
    let argv = std::iter::once("windlass").chain(words.iter().copied()).map(Into::into).collect();
    let cli = settings::parse(argv)?;
    let settings = Settings::new(&cli.global)?;
    super::check(&cli.verb, &settings)?;
    let context = Context { settings, output, backend: fake };
    super::run(&context, cli.verb).await
}

impl Backend for &Fake {
    fn load(&self, _: &ProjectFiles, services: &[String], _: LockUse) -> Result<Loaded, CliError> {
        self.ask(format!("load {}", services.join(" ")).trim_end());
        Ok(Loaded { project: self.project.clone(), ..Loaded::default() })
    }

    fn project_name(&self, files: &ProjectFiles) -> Result<Named, CliError> {
        let services = files.name.is_none().then(|| self.project.services.keys().cloned().collect());
        Ok(Named { name: files.name.as_deref().unwrap_or("shop").into(), services, warning: None })
    }

    async fn config(&self, _: &ProjectFiles, wish: &ConfigWish) -> Result<ConfigOutput, CliError> {
        self.ask(format!("config {:?}", wish.what));
        let old = Diagnostics::new(vec![Diagnostic::new(Code::Version, "old")], SourceMap::default());
        Ok(ConfigOutput { text: "name: shop\n".into(), warnings: old })
    }

    fn environment(&self, side: &Side, _: &ProjectFiles, _: LockUse) -> Result<Environment, CliError> {
        let image = if *side == Side::Running { "web:1" } else { "web:2" };
        let model = serde_json::json!({ "services": { "web": { "image": image, "environment": { "A": image } } } });
        Ok(Environment { model, warnings: Vec::new() })
    }

    async fn compile(&self, _: &Project, wish: &UpWish, _: &Tell) -> Result<Desired, CliError> {
        let services: Vec<&str> = wish.services.iter().map(|name| name.as_str()).collect();
        let builds = if wish.builds.is_empty() { String::new() } else { format!(" builds={:?}", wish.builds) };
        self.ask(format!("compile {services:?} {:?} {:?} start={}{builds}", wish.scale, wish.recreate, !wish.no_start));
        Ok(desired())
    }

    fn projects(&self) -> Result<Vec<ProjectName>, CliError> {
        Ok(vec!["shop".into()])
    }

    fn applied(&self, _: &ProjectName) -> Result<Option<Desired>, CliError> {
        Ok(self.applied.clone())
    }

    fn observe(&self, _: &ProjectName) -> Result<Observed, CliError> {
        Ok(self.observed.clone())
    }

    fn observe_service(&self, _: &ProjectName, service: &ServiceName) -> Result<Observed, CliError> {
        let mut observed = self.observed.clone();
        observed.containers.retain(|_, container| container.spec.service == *service);
        Ok(observed)
    }

    fn now(&self) -> Stamp {
        stamp(NOW / 1_000_000_000)
    }

    async fn plan(&self, _: &ProjectName, _: &Change) -> Result<Planned, CliError> {
        let mut plan = crate::plan::Plan::default();
        if !self.empty_plan {
            let action = crate::plan::Action::RemoveVolume { name: "v".into() };
            let causes = vec![crate::plan::Cause("asked".into())];
            let id = crate::plan::StepId(0);
            plan.steps.push(crate::plan::Step { id, action, causes, after: Vec::new(), waits: Vec::new() });
        }
        plan.failures = self.obstacles.clone();
        Ok(Planned {
            text: format!("{} steps\n", plan.steps.len()),
            plan,
            notes: self.notes.clone(),
            providers: Vec::new(),
        })
    }

    fn holds(&self, _: &ProjectName, _: &Desired) -> Result<bool, CliError> {
        Ok(false)
    }

    async fn apply(&self, _: &ProjectName, change: Change, until: Until, tell: &Tell) -> Result<Outcome, CliError> {
        let text = match change {
            Change::Declare(_) => format!("declare until {until:?}"),
            Change::Edit(edit) => format!("{edit:?}"),
        };
        self.ask(text.as_str());
        let gate = self.gate.borrow_mut().take_if(|(start, _)| text.starts_with(*start));
        if let Some((_, gate)) = gate {
            let _ = gate.await;
        }
        tell.report(Report::new(Kind::Container, "shop-web-1", Phase::Done, "Started"));
        Ok(self.outcome.clone())
    }

    async fn run(&self, _: &ProjectName, _: Desired, name: &str, _: &Tell) -> Result<Session, CliError> {
        self.ask(format!("run {}", name.rsplit_once('-').map_or(name, |(head, _)| head)));
        Ok(session(7))
    }

    fn logs(&self, _: &ProjectName, query: LogQuery) -> Result<Lines, CliError> {
        let services: Vec<&str> = query.services.iter().map(|name| name.as_str()).collect();
        self.ask(format!("logs {services:?} follow={} tail={:?}", query.follow, query.tail));
        Ok(Lines::new(self.lines.borrow_mut().take().unwrap_or_else(|| Lines::channel().1), None))
    }

    fn events(&self, _: &ProjectName, _: Span) -> Result<UnboundedReceiver<Event>, CliError> {
        Ok(self.events.borrow_mut().take().unwrap_or_else(|| unbounded_channel().1))
    }

    async fn exec(&self, id: &ContainerId, wish: ExecWish) -> Result<Session, CliError> {
        self.ask(format!("exec {} {:?} {:?} {:?}", id.short(), wish.argv, wish.user, wish.stdio));
        match wish.argv[0].as_str() {
            "missing" => Err(CliError::Host(crate::engine::port::HostError {
                message: "no such program: missing".into(),
                transient: false,
                code: Some(127),
            })),
            _ => Ok(session(42)),
        }
    }

    async fn attach(&self, id: &ContainerId) -> Result<Session, CliError> {
        self.ask(format!("attach {}", id.short()));
        Ok(session(0))
    }

    fn signal(&self, id: &ContainerId, signal: i32) -> Result<(), CliError> {
        self.ask(format!("signal {} {signal}", id.short()));
        Ok(())
    }

    fn root(&self, _: &ContainerId) -> Result<Root, CliError> {
        Err(CliError::failed("no root here"))
    }

    fn replica(&self, _: &ContainerId, _: &ContainerSpec) -> Result<Replica, CliError> {
        Err(CliError::failed("nothing is copied here"))
    }

    fn explain(&self, path: &str, message: &str, _: Option<&str>) -> CliError {
        let wrong = Diagnostic::new(Code::Unusable, format!("{path}: {message}"));
        CliError::Diagnostics(Box::new(Diagnostics::new(vec![wrong], SourceMap::default())))
    }

    fn processes(&self, _: &ContainerId) -> Result<Vec<i32>, CliError> {
        Ok(vec![i32::try_from(std::process::id()).unwrap_or_default(), -1])
    }

    fn usage(&self, id: &ContainerId) -> Result<Usage, CliError> {
        self.usage.get(id).cloned().ok_or_else(|| CliError::failed("gone"))
    }

    async fn lock(&self, _: &ProjectFiles, wish: &LockWish) -> Result<Relocked, CliError> {
        self.ask(format!("lock {wish:?}"));
        let new = crate::lock::Lock::new(Default::default(), Default::default());
        Ok(Relocked { path: "windlass.lock".into(), old: None, new, notes: Vec::new() })
    }

    async fn check_lock(&self, _: &ProjectFiles) -> Result<LockCheck, CliError> {
        let drift = crate::lock::Drift { kind: "image", name: "db:1".into(), moved: crate::lock::Move::Added };
        Ok(LockCheck { path: "windlass.lock".into(), drift: vec![drift], ..LockCheck::default() })
    }

    async fn hold_lock(&self, _: LockUse) -> Result<BTreeSet<String>, CliError> {
        Ok(BTreeSet::new())
    }

    async fn moved_upstream(&self, _: &[ServiceName]) -> Result<Vec<String>, CliError> {
        Ok(Vec::new())
    }

    async fn pull(&self, images: &[PullWish], _: LockUse, _: &Tell) -> Vec<Result<(), CliError>> {
        let one = |wish: &PullWish| match wish.name.starts_with("bad") {
            true => Err(CliError::failed("no such image")),
            false => Ok(()),
        };
        images.iter().inspect(|wish| self.ask(format!("pull {} always={}", wish.name, wish.always))).map(one).collect()
    }

    fn images(&self) -> Result<Vec<StoredImage>, CliError> {
        Ok(self.images.clone())
    }

    fn image_remove(&self, name: &str, force: bool) -> Result<Vec<String>, CliError> {
        self.ask(format!("remove image {name} force={force}"));
        Ok(vec![format!("Untagged: {name}")])
    }

    fn image_prune(&self, _: bool) -> Result<Pruned, CliError> {
        Ok(Pruned { removed: vec!["sha256:aa".into()], bytes: 1_500 })
    }

    async fn image_load(&self, archive: &Path, name: Option<&str>) -> Result<Vec<String>, CliError> {
        self.ask(format!("load {} as {name:?}", archive.display()));
        Ok(vec!["loaded:latest".into()])
    }

    fn image_inspect(&self, name: &str) -> Result<ImageDetails, CliError> {
        Ok(ImageDetails { id: "sha256:aa".into(), repo_tags: vec![name.to_owned()], ..ImageDetails::default() })
    }

    fn image_tag(&self, image: &str, name: &str) -> Result<(), CliError> {
        self.ask(format!("tag {image} {name}"));
        Ok(())
    }

    fn volumes(&self) -> Result<Vec<StoredVolume>, CliError> {
        Ok(self.volumes.clone())
    }

    fn volume_create(&self, spec: &VolumeSpec) -> Result<(), CliError> {
        self.ask(format!("create volume {} {:?} {:?}", spec.name, spec.labels, spec.driver_opts));
        Ok(())
    }

    fn volume_remove(&self, name: &str) -> Result<(), CliError> {
        self.ask(format!("remove volume {name}"));
        Ok(())
    }

    async fn login(&self, registry: Option<&str>, user: &str, password: &str) -> Result<LoginResult, CliError> {
        self.ask(format!("login {registry:?} {user} {} letters", password.len()));
        Ok(LoginResult { registry: "docker.io".into(), kept: "/root/.docker/config.json".into(), clear: true })
    }

    async fn logout(&self, registry: Option<&str>) -> Result<bool, CliError> {
        Ok(registry.is_none())
    }

    async fn demo(&self, down: bool, _: &Output) -> Result<ExitStatus, CliError> {
        self.ask(format!("demo down={down}"));
        Ok(ExitStatus::DONE)
    }
}

fn session(code: i32) -> Session {
    Session {
        input: None,
        output: None,
        error: None,
        terminal: false,
        size: None,
        exit: Box::pin(async move { Ok(code) }),
    }
}
