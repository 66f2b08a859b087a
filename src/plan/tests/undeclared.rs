//! Containers that are not declared: orphans, those of services whose profile is off, those that go.

use super::*;

#[test]
fn orphans_are_kept_unless_somebody_asks() {
    let observed = reached(&desired([replica("web", 1), replica("old", 1)]));
    let mut desired = desired([replica("web", 1)]);
    check(
        &desired,
        &observed,
        &[
            "warning: a container of this project belongs to no service of the files (p-old-1); `--remove-orphans` removes it",
            "nothing to do",
        ],
    );
    desired.remove_orphans = true;
    check(&desired, &observed, &["stop container    p-old-1  not declared", "remove container  p-old-1  not declared"]);
}

#[test]
fn several_orphans_are_told_in_one_sentence() {
    let observed = reached(&desired([replica("web", 1), replica("old", 1), replica("old", 2)]));
    let told = "warning: containers of this project belong to no service of the files (p-old-1, p-old-2); \
                `--remove-orphans` removes them";
    check(&desired([replica("web", 1)]), &observed, &[told, "nothing to do"]);
}

#[test]
fn what_a_service_has_whose_profile_is_off_is_neither_told_nor_removed() {
    let observed = reached(&desired([replica("web", 1), replica("debug", 1)]));
    let mut desired = desired([replica("web", 1)]);
    desired.off = ["debug".into()].into();
    check(&desired, &observed, &["nothing to do"]);
    desired.remove_orphans = true;
    check(&desired, &observed, &["nothing to do"]);
}

#[test]
fn a_timeout_holds_for_what_is_no_longer_declared_too() {
    let mut run = replica("web", 2);
    (run.spec.oneoff, run.spec.stop.grace) = (true, Duration::from_secs(30));
    let up = desired([replica("web", 1), run]);
    let graces = |grace| {
        let plan = plan(&Desired { grace, ..down(&up) }, &reached(&up), &at(100));
        let grace = |step: &Step| match &step.action {
            Action::StopContainer { grace, .. } => Some(grace.as_secs()),
            _ => None,
        };
        plan.steps.iter().filter_map(grace).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(graces(None), [10, 30].into(), "what each was made for");
    assert_eq!(graces(Some(Duration::from_secs(2))), [2].into());
}

/// `web` is declared; `old`, which nobody declares any more, is held.
fn with_old(change: impl Fn(&mut DesiredContainer)) -> Desired {
    let mut old = replica("old", 1);
    old.restart = RestartPolicy::Always;
    change(&mut old);
    let mut desired = desired([replica("web", 1), old]);
    desired.services.remove("old");
    desired.ignore_orphans = true;
    desired
}

#[test]
fn what_is_no_longer_declared_is_held_as_it_was() {
    let desired = with_old(|_| {});
    check(&desired, &reached(&desired), &["nothing to do"]);
    let mut ended = reached(&desired);
    of(&mut ended, "old").state = exited(1, 99);
    check(&desired, &ended, &["start container  p-old-1  exited 1"]);
    let stopped = with_old(|old| old.target = Target::Stopped);
    check(&stopped, &reached(&desired), &["stop container  p-old-1  asked to stop"]);
    // An `up` starts again what had ended; not this.
    let without_policy = with_old(|old| old.restart = RestartPolicy::No);
    of(&mut ended, "old").state = exited(1, 40);
    of(&mut ended, "old").sandbox = false;
    check(&without_policy, &ended, &["nothing to do"]);
}

#[test]
fn what_is_no_longer_declared_is_never_made_nor_made_anew() {
    let desired = with_old(|old| {
        old.recreate_before = Some(at(100));
        old.spec.env.push("B=2".into());
        old.hash = old.spec.hash();
    });
    let mut other = reached(&with_old(|_| {}));
    check(&desired, &other, &["nothing to do"]);
    other.containers.retain(|_, there| &*there.spec.service != "old");
    check(&desired, &other, &["nothing to do"]);
}

#[test]
fn what_is_no_longer_declared_goes_when_somebody_asks_for_that() {
    let held = with_old(|_| {});
    let mut desired = with_old(|_| {});
    desired.containers.remove("p-old-1");
    check(&desired, &reached(&held), &["nothing to do"]);
    desired.remove_containers = ["p-old-1".into()].into();
    check(
        &desired,
        &reached(&held),
        &["stop container    p-old-1  not declared", "remove container  p-old-1  not declared"],
    );
}
