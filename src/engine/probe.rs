//! Runs the health probes: a task for each process that has a health check, at most one probe of it at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::health::Course;
use super::port::{Clock, HealthRecord, Host};
use crate::desired::{Desired, HealthSpec, Stamp, Target};
use crate::name::ContainerId;
use crate::observed::{Health, Observed, State};

/// The probes that are under way.
#[derive(Debug)]
pub struct Probes {
    tasks: BTreeMap<ContainerId, Task>,
    verdict: Arc<Notify>,
}

#[derive(Debug)]
struct Task {
    started: Stamp,
    spec: HealthSpec,
    handle: JoinHandle<()>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl Probes {
    /// None yet. `verdict` is notified when a container's health has changed.
    pub fn new(verdict: Arc<Notify>) -> Self {
        Self { tasks: BTreeMap::new(), verdict }
    }

    /// Probes what runs and has a health check, and nothing else.
    pub fn follow<H: Host, C: Clock>(&mut self, host: &Arc<H>, clock: &Arc<C>, desired: &Desired, observed: &Observed) {
        let mut wanted = BTreeMap::new();
        for (id, container) in &observed.containers {
            let declared = desired.containers.get(&container.spec.name);
            let spec = declared.filter(|d| d.target == Target::Running).and_then(|d| d.health.as_ref());
            // A frozen process answers nothing; that says nothing of its health.
            if let (Some(spec), State::Running { .. }, Some(started)) = (spec, &container.state, &container.started) {
                wanted.insert(id.clone(), (spec.clone(), started.clone()));
            }
        }
        self.tasks.retain(|id, task| {
            wanted.get(id).is_some_and(|(spec, started)| *spec == task.spec && *started == task.started)
        });
        for (id, (spec, started)) in wanted {
            if self.tasks.contains_key(&id) {
                continue;
            }
            let (host, clock, verdict) = (host.clone(), clock.clone(), self.verdict.clone());
            let handle = tokio::spawn(probe(host, clock, verdict, id.clone(), spec.clone(), started.clone()));
            self.tasks.insert(id, Task { started, spec, handle });
        }
    }
}

async fn probe<H: Host, C: Clock>(
    host: Arc<H>,
    clock: Arc<C>,
    verdict: Arc<Notify>,
    id: ContainerId,
    spec: HealthSpec,
    started: Stamp,
) {
    // What an earlier supervisor found out of this very process goes on.
    let known = host.health(&id).await.filter(|record| record.started.as_ref() == Some(&started));
    let mut course = Course::new(started.clone(), known.as_ref());
    let mut record = match known.filter(|record| record.health != Health::None) {
        Some(record) => record,
        None => {
            let record = HealthRecord { health: Health::Starting, started: Some(started), ..HealthRecord::default() };
            save(&host, &id, &record).await;
            verdict.notify_one();
            record
        }
    };
    loop {
        let (due, kind) = course.next(&spec);
        clock.sleep(clock.now().until(&due)).await;
        let began = clock.now();
        let result = host.probe(&id, &spec).await;
        let next = course.ended(&spec, &record, kind, result, (&began, clock.now()));
        let changed = next.health != record.health;
        record = next;
        save(&host, &id, &record).await;
        if changed {
            verdict.notify_one();
        }
    }
}

async fn save<H: Host>(host: &Arc<H>, id: &ContainerId, record: &HealthRecord) {
    if let Err(error) = host.record_health(id, record).await {
        tracing::warn!(%error, container = id.short(), "a health record was not written");
    }
}
