//! Random desired states, events and faults always end in the declared state and an empty plan; what is declared away
//! leaves nothing; and no rule of the machine is broken on the way.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::Rig;
use super::sample::{health, mount, needs, network, port, project, reached, service, volume};
use crate::desired::edit::{Edit, edit};
use crate::desired::{Condition, Desired, NetMode, RestartPolicy};
use crate::engine::fake::{Fault, Life};
use crate::engine::port::Clock;
use crate::name::ServiceName;
use crate::observed::{ObservedContainer, State};
use crate::plan::plan;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// One service: everything about it that is drawn.
#[derive(Clone, Debug)]
struct Drawn {
    replicas: u32,
    /// For each earlier service: whether it is depended on, and whether with `restart`.
    needs: Vec<Option<bool>>,
    checked: bool,
    /// It ends by itself, with 0.
    ends: bool,
    crashes: u32,
    volume: bool,
    port: bool,
    second: bool,
    shares: bool,
    variant: u8,
    after: u64,
}

#[derive(Clone, Debug)]
enum Event {
    Wait(u64),
    Kill(usize, i32),
    Cut,
    Lose(usize),
    Revive,
    Apply(Vec<Drawn>, bool),
    Stop(usize),
    Start(usize),
    Restart(usize),
    Pause(usize),
    Orphan(bool),
    /// `down`, of one service or of all.
    Down(Option<usize>),
    /// The files lose a service, and nobody asks for the removal of its containers.
    Forget(usize),
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let flags = prop::array::uniform6(any::<bool>());
    let needs = prop::collection::vec(prop::option::of(any::<bool>()), 4);
    (0..=2_u32, needs, flags, 0..=2_u32, 0..3_u8, 0..2_500_u64).prop_map(
        |(replicas, needs, [checked, ends, volume, port, second, shares], crashes, variant, after)| Drawn {
            replicas,
            needs,
            checked: checked && !ends,
            ends,
            crashes,
            volume,
            port: port && replicas == 1,
            second,
            shares: shares && replicas == 1,
            variant,
            after,
        },
    )
}

fn stack() -> impl Strategy<Value = Vec<Drawn>> {
    prop::collection::vec(drawn(), 1..=5)
}

fn event() -> impl Strategy<Value = Event> {
    let which = || 0..NAMES.len();
    prop_oneof![
        6 => (0..3_000_u64).prop_map(Event::Wait),
        3 => (which(), prop_oneof![Just(0), Just(1), Just(137)]).prop_map(|(one, code)| Event::Kill(one, code)),
        1 => Just(Event::Cut),
        2 => which().prop_map(Event::Lose),
        2 => Just(Event::Revive),
        3 => (stack(), any::<bool>()).prop_map(|(drawn, internal)| Event::Apply(drawn, internal)),
        1 => which().prop_map(Event::Stop),
        1 => which().prop_map(Event::Start),
        1 => which().prop_map(Event::Restart),
        1 => which().prop_map(Event::Pause),
        1 => any::<bool>().prop_map(Event::Orphan),
        1 => prop::option::of(which()).prop_map(Event::Down),
        1 => which().prop_map(Event::Forget),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![8 => Just(Fault::None), 1 => Just(Fault::Refused), 1 => Just(Fault::Halfway)]
}

/// The desired state of a drawn stack.
fn compile(stack: &[Drawn], internal: bool) -> Desired {
    let mut desired = project();
    // What a state does not have is scaled down: an orphan would keep its port, rightly.
    desired.services = NAMES.iter().map(|name| ServiceName::from(*name)).collect();
    for (index, drawn) in stack.iter().enumerate() {
        if drawn.second {
            network(&mut desired, "app_second");
        }
        if drawn.volume {
            volume(&mut desired, &format!("app_{}", NAMES[index]));
        }
        service(&mut desired, NAMES[index], drawn.replicas, |container| declare(container, stack, index));
    }
    if internal && let Some(network) = desired.networks.get_mut("app_default") {
        network.internal = true;
    }
    desired
}

fn declare(container: &mut crate::desired::DesiredContainer, stack: &[Drawn], index: usize) {
    let drawn = &stack[index];
    // A program that lives otherwise is another program.
    container.spec.env = vec![format!("ENDS={}", drawn.ends), format!("VARIANT={}", drawn.variant)];
    container.health = drawn.checked.then(health);
    container.restart = match (drawn.ends, drawn.crashes) {
        (true, _) => RestartPolicy::OnFailure { retries: 0 },
        (false, 0) => RestartPolicy::No,
        (false, _) => RestartPolicy::Always,
    };
    for (other, restart) in drawn.needs.iter().enumerate().take(index) {
        let Some(restart) = restart else { continue };
        let condition = match (stack[other].ends, stack[other].checked) {
            (true, _) => Condition::ServiceCompletedSuccessfully,
            (false, true) => Condition::ServiceHealthy,
            (false, false) => Condition::ServiceStarted,
        };
        container.depends_on.push(crate::desired::Dependency { restart: *restart, ..needs(NAMES[other], condition) });
    }
    if drawn.volume {
        container.spec.mounts.push(mount(&format!("app_{}", NAMES[index])));
    }
    if drawn.port {
        // Ports wander from one service to another between two states.
        let number = (index + usize::from(stack[0].variant)) % NAMES.len();
        container.spec.ports.push(port(8000 + u16::try_from(number).unwrap_or_default()));
    }
    if drawn.second {
        let endpoint = crate::desired::EndpointSpec { network: "app_second".into(), ..Default::default() };
        container.spec.endpoints.push(endpoint);
    }
    if drawn.shares && index > 0 && stack[0].replicas > 0 && !stack[0].ends {
        container.spec.namespaces.net = NetMode::Container("app-a-1".into());
        container.spec.endpoints.clear();
        container.spec.ports.clear();
        container
            .depends_on
            .push(crate::desired::Dependency { restart: true, ..needs("a", Condition::ServiceStarted) });
    }
}

fn enliven(rig: &Rig, stack: &[Drawn]) {
    for (index, drawn) in stack.iter().enumerate() {
        let ends = drawn.ends.then_some((drawn.after, 0));
        let life = Life { ends, crashes: drawn.crashes, healthy: Some(drawn.after) };
        let crashes = if drawn.ends || drawn.crashes > 0 { drawn.crashes } else { 0 };
        rig.host.live(NAMES[index], Life { crashes, ..life });
    }
}

/// The world of one run.
struct Run {
    rig: Rig,
    generation: u64,
    volumes: BTreeSet<crate::name::VolumeName>,
}

impl Run {
    fn set(&mut self, mut desired: Desired) {
        self.generation += 1;
        desired.generation = self.generation;
        self.volumes.extend(desired.volumes.keys().cloned());
        self.rig.engine.set_desired(desired);
    }

    fn declare(&mut self, stack: &[Drawn], internal: bool) {
        enliven(&self.rig, stack);
        let desired = Desired { applied: self.rig.clock.now(), ..compile(stack, internal) };
        self.set(desired);
    }

    fn down(&mut self, service: Option<usize>) {
        let Some(desired) = self.rig.engine.desired() else { return };
        let services = service.iter().map(|one| ServiceName::from(NAMES[*one])).collect();
        let down = Edit::Down { services, timeout: None, volumes: false, declared: None, remove_orphans: false };
        let next = edit(&desired, &down, &self.rig.clock.now()).expect("`down` is never refused");
        self.set(next);
    }

    fn forget(&mut self, service: usize) {
        let Some(desired) = self.rig.engine.desired() else { return };
        let mut next = (*desired).clone();
        next.services.remove(NAMES[service]);
        next.applied = self.rig.clock.now();
        self.set(next);
    }

    fn change(&mut self, service: usize, verb: impl Fn(BTreeSet<ServiceName>) -> Edit) {
        let Some(desired) = self.rig.engine.desired() else { return };
        let services = [ServiceName::from(NAMES[service])].into();
        // A service that this state does not have: nothing is changed.
        if let Ok(next) = edit(&desired, &verb(services), &self.rig.clock.now()) {
            self.set(next);
        }
    }

    async fn happen(mut self, event: Event) -> Self {
        match event {
            Event::Wait(millis) => self.rig.wait(millis).await,
            Event::Kill(one, code) => self.rig.host.kill(&format!("app-{}-1", NAMES[one]), code),
            Event::Cut => self.rig.host.cut("app_default"),
            Event::Lose(one) => self.rig.host.lose(&format!("app-{}-1", NAMES[one])),
            Event::Revive => self.rig = self.rig.revive().await,
            Event::Apply(stack, internal) => self.declare(&stack, internal),
            Event::Stop(one) => self.change(one, |services| Edit::Stop { services, timeout: None }),
            Event::Start(one) => self.change(one, |services| Edit::Start { services }),
            Event::Restart(one) => {
                self.change(one, |services| Edit::Restart { services, timeout: None, no_deps: false });
            }
            Event::Pause(one) => self.change(one, |services| Edit::Pause { services, down: BTreeSet::new() }),
            Event::Orphan(networked) => orphan(&self.rig, networked),
            Event::Down(one) => self.down(one),
            Event::Forget(one) => self.forget(one),
        }
        self
    }
}

/// A running container of a service that no file has.
fn orphan(rig: &Rig, networked: bool) {
    let mut other = project();
    service(&mut other, "ghost", 1, |c| {
        if !networked {
            c.spec.endpoints.clear();
        }
    });
    for container in reached(&other).containers.into_values() {
        rig.host.plant(container);
    }
}

async fn run(first: Vec<Drawn>, events: Vec<Event>, faults: Vec<Fault>, latency: Vec<u64>, last: Vec<Drawn>) {
    let mut run = Run { rig: Rig::new(), generation: 0, volumes: BTreeSet::new() };
    run.rig.host.faults(faults);
    run.rig.host.latency(latency);
    run.declare(&first, false);
    for event in events {
        run = run.happen(event).await;
    }
    run.rig.host.calm();
    // What ends under `restart: no` after the last `up` stays down, rightly: what was killed before has ended.
    run.rig.wait(10).await;
    run.declare(&last, false);
    run.rig.wait(90_000).await;
    is_reached(&run.rig);
    let mut end = Desired { remove_orphans: true, ..project() };
    end.services = NAMES.iter().map(|name| ServiceName::from(*name)).collect();
    end.remove_volumes = run.volumes.clone();
    run.set(end);
    run.rig.wait(90_000).await;
    let world = run.rig.host.world();
    assert!(world.containers.is_empty(), "{:#?}", world.containers);
    assert!(world.networks.is_empty() && world.volumes.is_empty(), "{world:#?}");
    run.rig.is_sound();
}

fn is_reached(rig: &Rig) {
    let desired = rig.engine.desired().expect("something is desired");
    let world = rig.host.world();
    let left = plan(&desired, &world, &rig.clock.now());
    assert!(left.is_empty() && left.failures.is_empty(), "{left}\n{:#?}", rig.host.tail());
    for (name, declared) in &desired.containers {
        let there: Vec<_> = world.containers.values().filter(|c| c.spec.name == *name).collect();
        assert_eq!(there.len(), 1, "{name}");
        assert_eq!(there[0].hash, declared.hash, "{name}");
        let ended = matches!(&there[0].state, State::Exited(exit) if exit.code == 0);
        assert!(there[0].is_running() || ended, "{name}: {:?}", there[0].state);
        let shared = |other: &ObservedContainer| other.spec.namespaces.net == NetMode::Container(name.clone());
        let needed = there[0].is_running() || world.containers.values().any(shared);
        assert!(needed || !there[0].sandbox, "{name} has ended and still holds its links and ports");
    }
    rig.is_sound();
}

proptest! {
    #![proptest_config(ProptestConfig {
        // 32 unless PROPTEST_CASES asks for more.
        cases: ProptestConfig::default().cases / 8,
        max_shrink_iters: 3000,
        max_shrink_time: 40_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_the_declared_state_is_reached(
        first in stack(),
        events in prop::collection::vec(event(), 0..12),
        faults in prop::collection::vec(fault(), 0..40),
        latency in prop::collection::vec(0..800_u64, 0..30),
        last in stack(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime can be made").block_on(run(first, events, faults, latency, last));
    }
}
