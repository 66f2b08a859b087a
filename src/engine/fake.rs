//! A machine in memory: what a plan does to it shows as on a real one, and its rules are checked at every step.
//!
//! A breach of a rule that no fault excuses (a volume removed that nobody asked away, an orphan touched, a container made
//! on a network that is not there) is kept in [`Fake::breaches`]; a test asserts that there is none.

mod world;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::port::{Clock, HealthRecord, Host, HostError, ProbeResult};
use crate::desired::{Desired, HealthSpec, Stamp};
use crate::name::{ContainerId, ContainerName, ServiceName};
use crate::observed::{Exit, Loss, Observed, ObservedContainer, State};
use crate::plan::Action;

/// No test needs so many actions: more of them are a loop that never gets anywhere.
const HOT: usize = 1000;

/// The clock of tokio, which stands still in tests and leaps to the next sleeper.
#[derive(Clone, Debug)]
pub struct FakeClock(Instant);

impl FakeClock {
    /// An hour after the boot.
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Stamp {
        let nanos = u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Stamp { boot: "boot".into(), nanos: nanos + 3_600_000_000_000, wall: nanos }
    }

    async fn sleep(&self, time: Duration) {
        // One step of tokio's timer is a millisecond: a moment that is due now must have passed after the sleep.
        tokio::time::sleep(time + Duration::from_millis(1)).await;
    }
}

/// How the program of a service behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Life {
    /// It ends by itself after so many milliseconds, with this code.
    pub ends: Option<(u64, i32)>,
    /// So many of its first processes end with 1 after 20 ms, whatever `ends` says.
    pub crashes: u32,
    /// Its probes pass from so many milliseconds on; `None`: never.
    pub healthy: Option<u64>,
}

/// What goes wrong with an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It fails before it did anything.
    Refused,
    /// It fails when half is done.
    Halfway,
}

#[derive(Debug, Default)]
struct Inner {
    observed: Observed,
    records: BTreeMap<ContainerId, HealthRecord>,
    lives: BTreeMap<ServiceName, Life>,
    runs: BTreeMap<ContainerName, u32>,
    faults: VecDeque<Fault>,
    latency: VecDeque<u64>,
    busy: BTreeSet<String>,
    /// Of the latest desired state: what may be touched.
    desired: Option<Desired>,
    /// Volumes that any desired state asked away.
    given_up: BTreeSet<String>,
    breaches: Vec<String>,
    log: Vec<String>,
    probing: BTreeSet<ContainerId>,
    next_pid: i32,
}

/// A machine in memory.
#[derive(Clone, Debug)]
pub struct Fake {
    inner: Arc<Mutex<Inner>>,
    changed: Arc<Notify>,
    clock: FakeClock,
}

impl Fake {
    /// A machine on which there is nothing.
    pub fn new(clock: FakeClock) -> Self {
        Self { inner: Arc::default(), changed: Arc::new(Notify::new()), clock }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic of another test thread is told by that test.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How a service's program behaves from its next start on.
    pub fn live(&self, service: &str, life: Life) {
        self.lock().lives.insert(service.into(), life);
    }

    /// What happens to the next actions, one each.
    pub fn faults(&self, faults: impl IntoIterator<Item = Fault>) {
        self.lock().faults.extend(faults);
    }

    /// How long the next actions take, milliseconds each; 1 after that.
    pub fn latency(&self, millis: impl IntoIterator<Item = u64>) {
        self.lock().latency.extend(millis);
    }

    /// From now on nothing goes wrong, and nothing takes long.
    pub fn calm(&self) {
        let mut inner = self.lock();
        inner.faults.clear();
        inner.latency.clear();
    }

    /// The supervisor is dead, and what it had begun is cut short.
    pub fn abandon(&self) {
        let mut inner = self.lock();
        inner.busy.clear();
        inner.probing.clear();
    }

    /// What there is.
    pub fn world(&self) -> Observed {
        self.lock().observed()
    }

    /// What the actions were, in the order of their ends.
    pub fn log(&self) -> Vec<String> {
        self.lock().log.clone()
    }

    /// The last of them, to show.
    pub fn tail(&self) -> Vec<String> {
        let inner = self.lock();
        inner.log[inner.log.len().saturating_sub(40)..].to_vec()
    }

    /// Rules that were broken.
    pub fn breaches(&self) -> Vec<String> {
        self.lock().breaches.clone()
    }

    /// Puts a container there that nobody of these tests declared; not on a network that something is just done to: nobody
    /// joins one that is on its way out.
    pub fn plant(&self, container: ObservedContainer) {
        let mut inner = self.lock();
        if container.spec.endpoints.iter().any(|endpoint| inner.busy.contains(&format!("network {}", endpoint.network)))
        {
            return;
        }
        for endpoint in &container.spec.endpoints {
            if let Some(network) = inner.observed.networks.get_mut(&endpoint.network) {
                network.endpoints.insert(container.id.clone());
            }
        }
        inner.observed.containers.insert(container.id.clone(), container);
    }

    /// The process of a container is killed from outside.
    pub fn kill(&self, name: &str, code: i32) {
        let at = self.clock.now();
        self.lock().end(&name.into(), None, code, false, &at);
        self.changed.notify_one();
    }

    /// A bridge is taken away from outside.
    pub fn cut(&self, network: &str) {
        let mut inner = self.lock();
        let Some(cut) = inner.observed.networks.get_mut(network) else { return };
        cut.present = false;
        let on_it = cut.endpoints.clone();
        for id in on_it {
            if let Some(container) = inner.observed.containers.get_mut(&id) {
                container.lost.insert(Loss::Link(network.into()));
            }
        }
        drop(inner);
        self.changed.notify_one();
    }

    /// Somebody deletes a container that does not run, behind our back.
    pub fn lose(&self, name: &str) {
        let mut inner = self.lock();
        let gone = |c: &&ObservedContainer| c.spec.name.as_str() == name && !c.is_running();
        let id = inner.observed.containers.values().find(gone).map(|c| c.id.clone());
        if let Some(id) = id {
            inner.forget(&id);
        }
        drop(inner);
        self.changed.notify_one();
    }

    /// The container is to end by itself.
    fn schedule(&self, id: &ContainerId, pid: i32, life: Life, run: u32) {
        let plan = if run < life.crashes { Some((20, 1)) } else { life.ends };
        let Some((millis, code)) = plan else { return };
        let (fake, id) = (self.clone(), id.clone());
        tokio::spawn(async move {
            fake.clock.sleep(Duration::from_millis(millis)).await;
            let at = fake.clock.now();
            let name = fake.lock().observed.containers.get(&id).map(|c| c.spec.name.clone());
            if let Some(name) = name {
                fake.lock().end(&name, Some(pid), code, false, &at);
                fake.changed.notify_one();
            }
        });
    }

    fn act(&self, action: &Action, half: bool) -> Result<Vec<String>, HostError> {
        let now = self.clock.now();
        let mut inner = self.lock();
        if let Some(why) = inner.is_cut(action) {
            return Err(error(why));
        }
        inner.check(action);
        inner.log.push(format!("{} {}", action.verb(), action.object()));
        match action {
            Action::StartContainer { id, restart, .. } if !half => {
                let started = inner.start(id, *restart, &now);
                drop(inner);
                if let Some((pid, life, run)) = started {
                    self.schedule(id, pid, life, run);
                }
            }
            other => inner.apply(other, half, &now),
        }
        if half { Err(error("cut short")) } else { Ok(Vec::new()) }
    }
}

fn error(why: &str) -> HostError {
    HostError { message: why.to_owned(), transient: true, code: None }
}

/// A probe that is dropped before its end is killed.
struct Probing<'a> {
    fake: &'a Fake,
    id: &'a ContainerId,
}

impl Drop for Probing<'_> {
    fn drop(&mut self) {
        self.fake.lock().probing.remove(self.id);
    }
}

impl Host for Fake {
    async fn observe(&self, desired: &Desired) -> Result<Observed, HostError> {
        // Looking takes time, so that things happen meanwhile.
        let observed = {
            let mut inner = self.lock();
            inner.desired = Some(desired.clone());
            let asked: Vec<String> = desired.remove_volumes.iter().map(ToString::to_string).collect();
            inner.given_up.extend(asked);
            inner.observed()
        };
        self.clock.sleep(Duration::from_millis(1)).await;
        Ok(observed)
    }

    async fn apply(&self, action: &Action) -> Result<Vec<String>, HostError> {
        let key = format!("{} {}", action.verb().rsplit(' ').next().unwrap_or_default(), action.object());
        if self.lock().log.len() > HOT {
            self.lock().breaches.push("a hot loop".to_owned());
            // It would go on for ever: the test is to end and tell of it.
            std::future::pending::<()>().await;
        }
        let (fault, millis) = {
            let mut inner = self.lock();
            inner.check_orphan(action);
            if !inner.busy.insert(key.clone()) {
                inner.breaches.push(format!("two steps at a time on {key}"));
            }
            (inner.faults.pop_front().unwrap_or(Fault::None), inner.latency.pop_front().unwrap_or(1))
        };
        self.clock.sleep(Duration::from_millis(millis)).await;
        let result = match fault {
            Fault::None => self.act(action, false),
            Fault::Refused => Err(error("refused")),
            Fault::Halfway => self.act(action, true),
        };
        self.lock().busy.remove(&key);
        result
    }

    async fn ended(&self, id: &ContainerId) -> Option<Exit> {
        match &self.lock().observed.containers.get(id)?.state {
            State::Exited(exit) => Some(exit.clone()),
            _ => None,
        }
    }

    async fn probe(&self, id: &ContainerId, _: &HealthSpec) -> ProbeResult {
        if !self.lock().probing.insert(id.clone()) {
            self.lock().breaches.push(format!("two probes at a time in {id}"));
        }
        let under_way = Probing { fake: self, id };
        self.clock.sleep(Duration::from_millis(5)).await;
        drop(under_way);
        let now = self.clock.now();
        let inner = self.lock();
        let code = match inner.observed.containers.get(id) {
            Some(c) if c.is_running() => {
                let healthy = inner.lives.get(&c.spec.service).and_then(|life| life.healthy);
                let age = c.started.as_ref().map(|started| started.until(&now)).unwrap_or_default();
                i32::from(healthy.is_none_or(|from| age < Duration::from_millis(from)))
            }
            _ => -1,
        };
        ProbeResult { code, output: String::new() }
    }

    async fn health(&self, id: &ContainerId) -> Option<HealthRecord> {
        self.lock().records.get(id).cloned()
    }

    async fn record_health(&self, id: &ContainerId, record: &HealthRecord) -> Result<(), HostError> {
        self.lock().records.insert(id.clone(), record.clone());
        Ok(())
    }

    async fn changed(&self) {
        self.changed.notified().await;
    }
}
