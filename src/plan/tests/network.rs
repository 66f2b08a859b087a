//! What somebody took away comes back, and ports that somebody has are told.

use super::*;
use crate::observed::{Loss, NetworkLoss, ObservedPort, PortHolder};

#[test]
fn what_somebody_took_away_is_put_back() {
    let mut desired = desired([replica("web", 1), replica("db", 1)]);
    let mut observed = reached(&desired);
    let network = observed.networks.get_mut("p_default").unwrap();
    network.present = false;
    network.lost = [NetworkLoss::Rules].into();
    of(&mut observed, "web").lost = [Loss::Link("p_default".into()), Loss::Ports, Loss::NameServer].into();
    let mends = [
        "create network  p_default  its bridge is gone, its rules are gone",
        "mend container  p-web-1    its link to network p_default is gone, the rules of its published ports are gone, \
         its way to the name server is gone",
    ];
    check(&desired, &observed, &mends);
    assert_eq!(plan(&desired, &observed, &at(100)).steps[1].after, [StepId(0)]);
    // One that has ended for good is released: the next start makes its surroundings anew.
    of(&mut observed, "web").state = exited(0, 70);
    desired.containers.get_mut("p-web-1").unwrap().target = Target::Stopped;
    check(
        &desired,
        &observed,
        &[
            "create network     p_default  its bridge is gone, its rules are gone",
            "release container  p-web-1    exited 0, and stays down",
        ],
    );
    // One whose process is started again goes on in those that it has.
    let web = desired.containers.get_mut("p-web-1").unwrap();
    (web.target, web.start_before) = (Target::Running, Some(at(80)));
    let plan = plan(&desired, &observed, &at(100));
    assert_eq!(plan.steps[2].action.verb(), "start container");
    assert!(plan.steps[2].after.contains(&StepId(1)), "{plan}");
}

#[test]
fn a_network_of_another_project_is_mended_as_it_is() {
    let mut desired = desired([replica("web", 1)]);
    let mut observed = reached(&desired);
    let there = observed.networks.get_mut("p_default").unwrap();
    there.spec.project = Some("other".into());
    there.present = false;
    desired.networks.get_mut("p_default").unwrap().project = None;
    let plan = plan(&desired, &observed, &at(100));
    let spec = &observed.networks["p_default"].spec;
    assert!(matches!(&plan.steps[..], [Step { action: Action::CreateNetwork { spec: mended }, .. }] if mended == spec));
}

fn port(first: u16, last: u16) -> PortSpec {
    PortSpec { host_ip: None, published: first, published_end: last, target: 80, protocol: Protocol::Tcp }
}

fn taken(spec: PortSpec, numbers: &[u16]) -> ObservedPort {
    let by = PortHolder { pid: 7, command: "nginx".into(), project: None, container: None };
    ObservedPort { spec, local: true, taken: numbers.iter().map(|number| (*number, Some(by.clone()))).collect() }
}

#[test]
fn a_port_that_somebody_has_is_an_obstacle() {
    let mut desired = desired([replica("web", 1)]);
    change(&mut desired, "web", |spec| spec.ports = vec![port(8080, 8080)]);
    let mut observed = reached(&desired);
    observed.containers.clear();
    observed.ports = vec![taken(port(8080, 8080), &[8080])];
    let error = "error: p-web-1 can't be started: port 8080/tcp on 0.0.0.0 is already in use by process 7 (nginx): stop that, \
                 or publish another port";
    check(&desired, &observed, &[error]);
    assert_eq!(plan(&desired, &observed, &at(100)).obstacles().count(), 1);
    change(&mut desired, "web", |spec| spec.ports = vec![port(8080, 8080), port(9090, 9090)]);
    observed.ports.push(taken(port(9090, 9090), &[9090]));
    let told = plan(&desired, &observed, &at(100)).to_string();
    assert!(told.contains("port 8080/tcp") && told.contains("; port 9090/tcp on 0.0.0.0 is already in use"), "{told}");
    change(&mut desired, "web", |spec| spec.ports = vec![port(8080, 8080)]);
    observed.ports.truncate(1);
    // What is only to be made takes no port yet.
    desired.containers.get_mut("p-web-1").unwrap().target = Target::Created;
    check(&desired, &observed, &["create container  p-web-1  missing"]);
    desired.containers.get_mut("p-web-1").unwrap().target = Target::Running;
    change(&mut desired, "web", |spec| spec.ports = vec![port(8080, 8081)]);
    observed.ports = vec![taken(port(8080, 8081), &[8080])];
    assert!(plan(&desired, &observed, &at(100)).failures.is_empty(), "one of the range is free");
    observed.ports = vec![taken(port(8080, 8081), &[8080, 8081])];
    let error = "error: p-web-1 can't be started: no port from 8080 to 8081/tcp on 0.0.0.0 is free: give a wider range";
    check(&desired, &observed, &[error]);
}

#[test]
fn a_port_of_the_project_itself_is_one_while_its_holder_stays() {
    let mut before = desired([replica("old", 1)]);
    change(&mut before, "old", |spec| spec.ports = vec![port(8080, 8080)]);
    let mut observed = reached(&before);
    of(&mut observed, "old").ports = vec![port(8080, 8080)];
    let mut desired = desired([replica("web", 1)]);
    change(&mut desired, "web", |spec| spec.ports = vec![port(8080, 8080)]);
    let text = plan(&desired, &observed, &at(100)).to_string();
    assert!(text.contains("in use by p-old-1, which no service of the files declares: remove it"), "{text}");
    desired.remove_orphans = true;
    let plan = plan(&desired, &observed, &at(100));
    assert!(plan.failures.is_empty() && plan.steps.len() == 4, "{plan}");
}

#[test]
fn an_old_one_whose_successor_gets_no_port_stays() {
    let mut desired = desired([replica("web", 1)]);
    let mut observed = reached(&desired);
    change(&mut desired, "web", |spec| spec.ports = vec![port(8080, 8080)]);
    observed.ports = vec![taken(port(8080, 8080), &[8080])];
    let plan = plan(&desired, &observed, &at(100));
    assert!(plan.steps.is_empty() && plan.obstacles().count() == 1, "{plan}");
}
