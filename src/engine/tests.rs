//! The loop on a machine in memory: whatever happens, the declared state is reached in the end.

mod ends;
mod random;
mod sample;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use super::fake::{Fake, FakeClock, Fault, Life};
use super::port::Clock;
use super::progress::{Progress, Settled};
use super::{Engine, Settings};
use crate::desired::{Condition, Desired, RestartPolicy, Target};
use crate::observed::{Health, State};
use crate::plan::plan;
use sample::{health, mount, needs, port, project, service, volume};

/// A machine, its clock and an engine.
struct Rig {
    host: Fake,
    clock: FakeClock,
    engine: Arc<Engine<Fake, FakeClock>>,
    task: tokio::task::JoinHandle<()>,
}

impl Rig {
    fn new() -> Self {
        let clock = FakeClock::start();
        Self::on(Fake::new(clock.clone()), clock)
    }

    /// Another supervisor on a machine.
    fn on(host: Fake, clock: FakeClock) -> Self {
        let engine = Arc::new(Engine::new(Arc::new(host.clone()), Arc::new(clock.clone()), Settings::default()));
        let runner = engine.clone();
        let task = tokio::spawn(async move { runner.run().await });
        Self { host, clock, engine, task }
    }

    /// The supervisor is killed, and another takes over.
    async fn revive(self) -> Self {
        self.task.abort();
        // Its steps end with it, at the next moment when anything runs.
        let _ = self.task.await;
        self.host.abandon();
        let desired = self.engine.desired();
        let next = Self::on(self.host.clone(), self.clock.clone());
        if let Some(desired) = desired {
            next.engine.set_desired((*desired).clone());
        }
        next
    }

    /// Applies a state and waits until there is nothing left to do for it.
    async fn apply(&self, mut desired: Desired) -> Settled {
        desired.applied = self.clock.now();
        let mut progress = self.engine.subscribe();
        let generation = desired.generation;
        self.engine.set_desired(desired);
        let settled = async {
            loop {
                match progress.recv().await {
                    Ok(Progress::Settled(settled)) if settled.generation == generation => return settled,
                    Ok(_) => {}
                    Err(error) => panic!("the engine is silent: {error}"),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(600), settled).await.expect("settles within ten minutes")
    }

    async fn wait(&self, millis: u64) {
        self.clock.sleep(Duration::from_millis(millis)).await;
    }

    /// The plan that is left, as text.
    fn left(&self) -> String {
        let desired = self.engine.desired().expect("something is desired");
        plan(&desired, &self.host.world(), &self.clock.now()).to_string()
    }

    fn is_sound(&self) {
        assert_eq!(self.host.breaches(), Vec::<String>::new(), "{:#?}", self.host.tail());
    }
}

fn stack() -> Desired {
    let mut desired = project();
    volume(&mut desired, "app_data");
    service(&mut desired, "db", 1, |c| {
        c.health = Some(health());
        c.restart = RestartPolicy::Always;
        c.spec.mounts.push(mount("app_data"));
    });
    service(&mut desired, "migrate", 1, |c| c.depends_on.push(needs("db", Condition::ServiceHealthy)));
    service(&mut desired, "web", 1, |c| {
        c.depends_on.push(needs("db", Condition::ServiceHealthy));
        c.depends_on.push(needs("migrate", Condition::ServiceCompletedSuccessfully));
        c.restart = RestartPolicy::Always;
        c.spec.ports.push(port(8080));
    });
    desired
}

fn lives(host: &Fake) {
    host.live("db", Life { healthy: Some(400), ..Life::default() });
    host.live("migrate", Life { ends: Some((300, 0)), ..Life::default() });
    host.live("web", Life::default());
}

/// `down -v`.
fn nothing(of: &Desired) -> Desired {
    let mut desired = of.clone();
    desired.generation += 1;
    desired.remove_volumes = desired.volumes.keys().cloned().collect();
    desired.volumes.clear();
    desired.networks.clear();
    desired.containers.clear();
    desired
}

#[tokio::test(start_paused = true)]
async fn a_stack_comes_up_in_the_order_of_its_dependencies_and_goes_down_without_a_trace() {
    let rig = Rig::new();
    lives(&rig.host);
    let settled = rig.apply(stack()).await;
    assert_eq!(settled.failures, Vec::<String>::new());
    assert_eq!(rig.left(), "nothing to do\n");
    let starts: Vec<String> = rig.host.log().into_iter().filter(|line| line.starts_with("start")).collect();
    assert_eq!(starts, ["start container app-db-1", "start container app-migrate-1", "start container app-web-1"]);

    let settled = rig.apply(nothing(&stack())).await;
    assert!(settled.empty, "{settled:?}");
    let stops: Vec<String> = rig.host.log().into_iter().filter(|line| line.starts_with("stop")).collect();
    assert_eq!(stops.len(), 2, "the one-shot had ended: {stops:?}");
    let world = rig.host.world();
    assert!(world.containers.is_empty() && world.networks.is_empty() && world.volumes.is_empty(), "{world:?}");
    rig.is_sound();
}

#[tokio::test(start_paused = true)]
async fn a_second_up_runs_the_one_shot_again_and_touches_nothing_else() {
    let rig = Rig::new();
    lives(&rig.host);
    rig.apply(stack()).await;
    let before = rig.host.log().len();
    let mut again = stack();
    again.generation = 2;
    rig.apply(again).await;
    assert_eq!(rig.host.log()[before..], ["start container app-migrate-1"]);
    rig.is_sound();
}

#[tokio::test(start_paused = true)]
async fn a_change_is_judged_by_those_that_it_asks_for() {
    let rig = Rig::new();
    lives(&rig.host);
    rig.host.live("migrate", Life { ends: Some((300, 3)), ..Life::default() });
    let ask = |generation: u64, name: &str| {
        let mut desired = stack();
        (desired.generation, desired.asked) = (generation, Some([name.into()].into()));
        desired
    };
    let settled = rig.apply(ask(1, "app-db-1")).await;
    assert_eq!((settled.failures, settled.culprits.len(), settled.broken.len()), (Vec::new(), 0, 0));
    let settled = rig.apply(ask(2, "app-web-1")).await;
    assert_eq!(settled.failures, ["app-web-1 can't be started: dependency migrate exited with 3"]);
    // It is not up for good before it stays up, which does not wait for those who wait for it.
    let mut progress = rig.engine.subscribe();
    let settled = rig.apply(ask(3, "app-migrate-1")).await;
    assert_eq!((settled.unready, settled.broken.len()), (vec!["app-migrate-1".into()], 0));
    rig.wait(1000).await;
    let mut last = None;
    while let Ok(told) = progress.try_recv() {
        if let Progress::Settled(settled) = told {
            last = Some(settled.broken.into_values().collect::<Vec<_>>());
        }
    }
    assert_eq!(last, Some(vec!["app-migrate-1 exited with 3".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_failed_one_shot_keeps_its_dependents_down_and_says_why() {
    let rig = Rig::new();
    lives(&rig.host);
    rig.host.live("migrate", Life { ends: Some((300, 3)), ..Life::default() });
    let settled = rig.apply(stack()).await;
    assert_eq!(settled.failures, ["app-web-1 can't be started: dependency migrate exited with 3"]);
    let running =
        |name: &str| rig.host.world().containers.values().any(|c| c.spec.name.as_str() == name && c.is_running());
    assert!(running("app-db-1") && !running("app-web-1"));
    rig.is_sound();
}

#[tokio::test(start_paused = true)]
async fn a_killed_process_is_started_again_by_its_policy_and_counted() {
    let rig = Rig::new();
    lives(&rig.host);
    rig.apply(stack()).await;
    rig.wait(20_000).await;
    rig.host.kill("app-web-1", 137);
    rig.wait(30).await;
    let web = |rig: &Rig| rig.host.world().containers.values().find(|c| c.spec.service.as_str() == "web").cloned();
    let first = web(&rig).expect("web is there");
    assert!(first.is_running(), "at once, after ten seconds of life: {:?}", first.state);
    assert_eq!((first.restarts, first.streak), (1, 0));
    rig.host.kill("app-web-1", 137);
    rig.wait(50).await;
    assert!(!web(&rig).expect("web is there").is_running(), "not before 100 ms");
    rig.wait(100).await;
    let second = web(&rig).expect("web is there");
    assert!(second.is_running());
    assert_eq!((second.restarts, second.streak), (2, 1));
    rig.is_sound();
}

#[tokio::test(start_paused = true)]
async fn a_container_that_crashes_on_and_on_is_not_restarted_in_a_hot_loop() {
    let rig = Rig::new();
    let mut desired = project();
    service(&mut desired, "web", 1, |c| c.restart = RestartPolicy::Always);
    rig.host.live("web", Life { crashes: 1000, ..Life::default() });
    rig.apply(desired).await;
    rig.wait(600_000).await;
    let starts = rig.host.log().iter().filter(|line| line.starts_with("start")).count();
    assert!((15..25).contains(&starts), "{starts} starts in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn a_long_stop_keeps_nobody_else_waiting() {
    let rig = Rig::new();
    let mut desired = project();
    service(&mut desired, "slow", 1, |_| {});
    service(&mut desired, "web", 1, |c| c.restart = RestartPolicy::Always);
    rig.apply(desired.clone()).await;
    desired.generation = 2;
    if let Some(slow) = desired.containers.get_mut("app-slow-1") {
        slow.target = Target::Stopped;
    }
    rig.host.latency([10_000]);
    rig.engine.set_desired(desired);
    rig.wait(5).await;
    rig.host.kill("app-web-1", 1);
    rig.wait(1_000).await;
    let web = rig.host.world().containers.values().any(|c| c.spec.service.as_str() == "web" && c.is_running());
    assert!(web, "web is up again while slow still stops");
    rig.is_sound();
}

#[tokio::test(start_paused = true)]
async fn a_new_supervisor_goes_on_where_the_old_one_was_killed() {
    for killed_after in 0..40 {
        let mut rig = Rig::new();
        lives(&rig.host);
        rig.engine.set_desired(Desired { applied: rig.clock.now(), ..stack() });
        rig.wait(killed_after * 2).await;
        rig = rig.revive().await;
        rig.wait(30_000).await;
        assert_eq!(rig.left(), "nothing to do\n", "killed after {killed_after}");
        let running = rig.host.world().containers.values().filter(|c| matches!(c.state, State::Running { .. })).count();
        assert_eq!(running, 2, "killed after {killed_after}");
        rig.is_sound();
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_supervisor_counts_failed_probes_on() {
    let mut rig = Rig::new();
    let mut desired = project();
    service(&mut desired, "db", 1, |c| c.health = Some(health()));
    rig.host.live("db", Life { healthy: None, ..Life::default() });
    rig.apply(desired).await;
    rig.wait(2_500).await;
    let health = |rig: &Rig| rig.host.world().containers.values().next().map(|c| c.health);
    assert_eq!(health(&rig), Some(Health::Starting));
    rig = rig.revive().await;
    rig.wait(1_000).await;
    assert_eq!(health(&rig), Some(Health::Unhealthy), "the third failure in a row, whoever saw the first two");
    rig.is_sound();
}

#[tokio::test(start_paused = true)]
async fn a_fault_is_told_and_what_can_be_tried_again_is() {
    let rig = Rig::new();
    lives(&rig.host);
    rig.host.faults([Fault::Refused, Fault::Halfway, Fault::None, Fault::Halfway]);
    let settled = rig.apply(stack()).await;
    assert!(!settled.failures.is_empty());
    rig.wait(60_000).await;
    assert_eq!(rig.left(), "nothing to do\n");
    rig.is_sound();
}
