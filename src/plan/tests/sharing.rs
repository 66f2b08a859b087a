//! Namespaces that several containers live in.

use super::*;

/// app, which lives in the network namespace of vpn.
fn vpn_and_app() -> Desired {
    let mut desired = desired([replica("vpn", 1), replica("app", 1)]);
    change(&mut desired, "app", |spec| {
        spec.endpoints.clear();
        spec.namespaces.net = NetMode::Container("p-vpn-1".into());
    });
    desired
}

#[test]
fn namespaces_that_others_live_in_stay_until_the_last_of_them_has_ended() {
    let desired = vpn_and_app();
    let mut observed = reached(&desired);
    of(&mut observed, "vpn").state = exited(0, 70);
    check(&desired, &observed, &["nothing to do"]);
    of(&mut observed, "app").state = exited(1, 80);
    let release = [
        "release container  p-app-1  exited 1, and stays down",
        "release container  p-vpn-1  exited 0, and stays down",
    ];
    check(&desired, &observed, &release);
}

#[test]
fn users_of_a_network_namespace_enter_the_new_one_when_its_owner_is_started_again() {
    let mut desired = vpn_and_app();
    desired.applied = at(90);
    let mut observed = reached(&desired);
    let vpn = of(&mut observed, "vpn");
    (vpn.state, vpn.sandbox) = (exited(0, 70), false);
    check(
        &desired,
        &observed,
        &[
            "stop container   p-app-1  shares namespaces of p-vpn-1, which is started with new ones",
            "start container  p-vpn-1  exited 0, up asks again",
            "start container  p-app-1  shares namespaces of p-vpn-1, which is started with new ones",
        ],
    );
}

#[test]
fn users_of_a_network_namespace_are_made_anew_with_its_owner() {
    let mut desired = vpn_and_app();
    let observed = reached(&desired);
    change(&mut desired, "vpn", |spec| spec.env = vec!["A=2".into()]);
    check(
        &desired,
        &observed,
        &[
            "stop container    p-app-1  shares namespaces of p-vpn-1, which is made anew",
            "remove container  p-app-1  shares namespaces of p-vpn-1, which is made anew",
            "stop container    p-vpn-1  environment.A changed",
            "remove container  p-vpn-1  environment.A changed",
            "create container  p-vpn-1  environment.A changed",
            "start container   p-vpn-1  environment.A changed",
            "create container  p-app-1  shares namespaces of p-vpn-1, which is made anew",
            "start container   p-app-1  shares namespaces of p-vpn-1, which is made anew",
        ],
    );
}

#[test]
fn a_namespace_stays_also_for_who_lives_in_it_through_another() {
    let mut desired = vpn_and_app();
    let mut log = replica("log", 1);
    log.spec.endpoints.clear();
    log.spec.namespaces.net = NetMode::Container("p-app-1".into());
    desired.services.insert("log".into());
    desired.containers.insert(log.spec.name.clone(), log);
    let mut observed = reached(&desired);
    of(&mut observed, "vpn").state = exited(0, 70);
    of(&mut observed, "app").state = exited(0, 70);
    check(&desired, &observed, &["nothing to do"]);
    of(&mut observed, "log").state = exited(0, 80);
    let plan = plan(&desired, &observed, &at(100)).to_string();
    assert_eq!(plan.lines().filter(|line| line.starts_with("release container")).count(), 3, "{plan}");
}
