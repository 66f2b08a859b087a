//! Hooks, and containers that prepare others.

use super::*;

fn hook(word: &str) -> HookSpec {
    HookSpec { argv: vec![word.into()], ..HookSpec::default() }
}

/// web, which depends on a db with hooks.
fn hooked() -> Desired {
    let (mut web, mut db) = (replica("web", 1), replica("db", 1));
    web.depends_on = vec![on("db", Condition::ServiceStarted)];
    db.spec.post_start = vec![hook("one"), hook("two")];
    db.spec.pre_stop = vec![hook("flush")];
    db.hash = db.spec.hash();
    desired([web, db])
}

/// A db of two replicas, which one container prepares.
fn prepared() -> Desired {
    let (mut first, mut second, mut step) = (replica("db", 1), replica("db", 2), replica("db", 0));
    step.spec.name = "p-db-pre_start-0".into();
    (step.spec.oneoff, step.prepares) = (true, true);
    step.hash = step.spec.hash();
    for owner in [&mut first, &mut second] {
        owner.pre_start = vec![step.spec.name.clone()];
    }
    desired([first, second, step])
}

fn text(desired: &Desired, observed: &Observed) -> String {
    plan(desired, observed, &at(70)).to_string()
}

#[test]
fn who_depends_on_a_container_starts_after_its_post_start_hooks() {
    let desired = hooked();
    let plan = plan(&desired, &Observed::default(), &at(70));
    let step = |verb: &str, name: &str| {
        plan.steps.iter().find(|s| s.action.verb() == verb && s.action.object() == name).unwrap()
    };
    let hooks = step("run post_start", "p-db-1");
    assert_eq!(hooks.after, [step("start container", "p-db-1").id]);
    assert!(step("start container", "p-web-1").after.contains(&hooks.id));
}

#[test]
fn hooks_that_are_left_are_run_and_what_ran_is_not_run_again() {
    let desired = hooked();
    let mut observed = reached(&desired);
    of(&mut observed, "db").hooks.post_start = 1;
    assert_eq!(text(&desired, &observed), "run post_start  p-db-1  not run since its start\n");
    of(&mut observed, "db").hooks.post_start = 2;
    assert_eq!(text(&desired, &observed), "nothing to do\n");
}

#[test]
fn pre_stop_comes_before_a_stop_but_not_before_a_kill_or_after_an_end() {
    let mut desired = hooked();
    let mut observed = reached(&desired);
    of(&mut observed, "db").hooks.post_start = 2;
    let stopped = |desired: &mut Desired, stop: StopSpec| {
        let db = desired.containers.get_mut("p-db-1").unwrap();
        (db.target, db.stop) = (Target::Stopped, stop);
    };
    stopped(&mut desired, StopSpec::default());
    let order = "run pre_stop    p-db-1  asked to stop\nstop container  p-db-1  asked to stop\n";
    assert_eq!(text(&desired, &observed), order);
    of(&mut observed, "db").hooks.pre_stop = true;
    assert_eq!(text(&desired, &observed), "stop container  p-db-1  asked to stop\n");
    of(&mut observed, "db").hooks.pre_stop = false;
    // As docker compose: `stop -t 0` of what has `stop_signal: SIGKILL` is a stop, `kill` is none.
    let at_once = StopSpec { signal: 9, grace: Duration::ZERO, kill: false };
    stopped(&mut desired, at_once.clone());
    assert_eq!(text(&desired, &observed), order);
    stopped(&mut desired, StopSpec { kill: true, ..at_once });
    assert_eq!(text(&desired, &observed), "stop container  p-db-1  asked to stop\n");
    of(&mut observed, "db").state = exited(1, 65);
    of(&mut observed, "db").sandbox = false;
    assert_eq!(text(&desired, &observed), "nothing to do\n");
}

#[test]
fn a_container_is_stopped_by_the_signal_that_it_was_made_for_and_killed_by_any() {
    let mut desired = hooked();
    let mut observed = reached(&desired);
    of(&mut observed, "db").hooks.post_start = 2;
    of(&mut observed, "db").hooks.pre_stop = true;
    let made = of(&mut observed, "db");
    made.spec.stop = StopSpec { signal: 3, ..StopSpec::default() };
    let signal = |desired: &mut Desired, stop: StopSpec| {
        let db = desired.containers.get_mut("p-db-1").unwrap();
        (db.target, db.stop) = (Target::Stopped, stop);
        let plan = plan(desired, &observed, &at(100));
        plan.steps.iter().find_map(|step| match &step.action {
            Action::StopContainer { signal, grace, .. } => Some((*signal, *grace)),
            _ => None,
        })
    };
    let grace = Duration::from_secs(7);
    assert_eq!(signal(&mut desired, StopSpec { grace, ..StopSpec::default() }), Some((3, grace)));
    let kill = StopSpec { signal: 9, grace: Duration::ZERO, kill: true };
    assert_eq!(signal(&mut desired, kill), Some((9, Duration::ZERO)));
}

#[test]
fn what_prepares_a_service_is_made_after_it_and_ends_before_it_starts() {
    let desired = prepared();
    let plan = plan(&desired, &Observed::default(), &at(70));
    let at = |verb: &str, name: &str| {
        plan.steps.iter().position(|s| s.action.verb() == verb && s.action.object() == name).unwrap()
    };
    let created = at("create container", "p-db-pre_start-0");
    assert!(plan.steps[created].after.contains(&StepId(at("create container", "p-db-1"))));
    for owner in ["p-db-1", "p-db-2"] {
        let start = &plan.steps[at("start container", owner)];
        assert!(start.after.contains(&StepId(at("start container", "p-db-pre_start-0"))));
        assert_eq!(start.waits[0].condition, Condition::ServiceCompletedSuccessfully);
    }
    let steps = plan.steps.iter().filter(|s| s.action.object() == "p-db-pre_start-0");
    assert_eq!(steps.count(), 2, "once for both replicas");
}

#[test]
fn a_step_that_succeeded_is_not_run_again_until_all_that_it_prepares_is_made_anew() {
    let mut desired = prepared();
    let mut observed = reached(&desired);
    let step = ContainerId::new("id of p-db-pre_start-0");
    let done = observed.containers.get_mut(&step).unwrap();
    (done.state, done.sandbox) = (exited(0, 61), false);
    // A later `up`, a restart, a replica that is lost: no reason.
    desired.applied = at(65);
    let restart = desired.containers.get_mut("p-db-1").unwrap();
    restart.restart_before = Some(at(69));
    let lost = ContainerId::new("id of p-db-2");
    observed.containers.remove(&lost);
    assert!(!text(&desired, &observed).contains("pre_start"), "{}", text(&desired, &observed));
    change(&mut desired, "db", |spec| {
        if spec.number > 0 {
            spec.argv = vec!["other".into()];
        }
    });
    let plan = text(&desired, &observed);
    assert!(plan.contains("remove container  p-db-pre_start-0  what it prepares is made anew"), "{plan}");
    assert!(plan.contains("create container  p-db-pre_start-0"), "{plan}");
}

#[test]
fn a_step_that_failed_keeps_the_service_down_until_the_next_up() {
    let mut desired = prepared();
    let mut observed = reached(&desired);
    let step = ContainerId::new("id of p-db-pre_start-0");
    observed.containers.get_mut(&step).unwrap().state = exited(3, 61);
    for container in observed.containers.values_mut().filter(|c| c.spec.number > 0) {
        (container.state, container.started) = (State::Created, None);
    }
    let failure = "error: p-db-1 can't be started: dependency pre_start[0] exited with 3\n";
    assert!(text(&desired, &observed).contains(failure), "{}", text(&desired, &observed));
    desired.applied = at(65);
    let plan = text(&desired, &observed);
    assert!(plan.contains("start container  p-db-pre_start-0"), "{plan}");
    assert!(plan.contains("when pre_start[0] has ended with 0"), "{plan}");
}
