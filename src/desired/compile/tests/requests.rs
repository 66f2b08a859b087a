//! What a verb asks for.

use std::sync::Arc;

use super::*;

const STACK: &str = "
services:
  web: {depends_on: {api: {condition: service_started, required: true}}}
  api: {depends_on: {db: {condition: service_healthy, restart: true, required: true}}}
  db: {healthcheck: {test: [CMD, x]}, volumes: [{type: volume, source: data, target: /data}, {type: volume, target: /tmp/x}]}
  other: {}
volumes: {data: {}}
";

fn with(previous: &Desired, change: impl FnOnce(&mut Request)) -> Result<Desired, Vec<CompileError>> {
    let project = project(STACK);
    let mut request = Request { now: stamp(200), previous: Some(Arc::new(previous.clone())), ..request() };
    request.nonce = "another".into();
    change(&mut request);
    compile(&project, &images(&project), &Leases::default(), &request)
}

fn names(desired: &Desired) -> Vec<&str> {
    desired.containers.keys().map(|name| name.as_str()).collect()
}

#[test]
fn up_of_all_is_stable_and_counts_generations() {
    let first = up(STACK);
    assert_eq!(names(&first), ["shop-api-1", "shop-db-1", "shop-other-1", "shop-web-1"]);
    assert_eq!((first.generation, &first.applied), (1, &stamp(100)));
    let second = with(&first, |_| {}).unwrap();
    assert_eq!((second.generation, &second.applied), (2, &stamp(200)));
    for (name, container) in &second.containers {
        assert_eq!((&container.spec, &container.hash), (&first.containers[name].spec, &first.containers[name].hash));
        assert_eq!(container.hash, container.spec.hash());
    }
    assert_eq!(second.volumes, first.volumes);
    let edges: Vec<_> =
        second.containers["shop-api-1"].depends_on.iter().map(|edge| (edge.condition, edge.restart)).collect();
    assert_eq!(edges, [(Condition::ServiceHealthy, true)]);
}

#[test]
fn naming_services_touches_them_and_what_they_need_and_carries_the_rest_over() {
    let first = up(STACK);
    let api = BTreeSet::from(["api".into()]);
    let second = with(&first, |request| request.services = api.clone()).unwrap();
    assert_eq!(names(&second), names(&first));
    assert_eq!(second.applied, first.applied);
    let touched = |name: &str| second.containers[name].start_before == Some(stamp(200));
    assert!(touched("shop-api-1") && touched("shop-db-1") && !touched("shop-web-1") && !touched("shop-other-1"));
    let alone = with(&first, |request| {
        request.services = api.clone();
        request.no_deps = true;
    });
    let alone = alone.unwrap();
    assert_eq!(alone.containers["shop-db-1"], first.containers["shop-db-1"]);
    assert!(alone.containers["shop-api-1"].depends_on.is_empty());
    let fresh =
        compile(&project(STACK), &images(&project(STACK)), &Leases::default(), &Request { services: api, ..request() });
    assert_eq!(names(&fresh.unwrap()), ["shop-api-1", "shop-db-1"]);
    let unknown = with(&first, |request| request.services = BTreeSet::from(["nobody".into()])).unwrap_err();
    assert_eq!(unknown[0].help.as_deref(), Some("the services are api, db, other, web"));
}

#[test]
fn recreate_flags() {
    let first = up(STACK);
    let again = |recreate, deps| {
        let desired = with(&first, |request| {
            request.services = BTreeSet::from(["api".into()]);
            request.recreate = recreate;
            request.recreate_deps = deps;
        })
        .unwrap();
        let of = |name: &str| desired.containers[name].clone();
        (of("shop-api-1"), of("shop-db-1"), of("shop-web-1"))
    };
    let (api, db, web) = again(Recreate::Always, false);
    assert_eq!((api.recreate_before, db.recreate_before, web.recreate_before), (Some(stamp(200)), None, None));
    let (_, db, _) = again(Recreate::Always, true);
    assert_eq!(db.recreate_before, Some(stamp(200)));
    let (api, db, web) = again(Recreate::Changed, true);
    assert_eq!((api.recreate_before, db.recreate_before, web.recreate_before), (None, Some(stamp(200)), None));
    let (api, db, web) = again(Recreate::Never, false);
    assert!(api.keep_different && db.keep_different && !web.keep_different);
}

#[test]
fn scale_and_names() {
    let first = up(STACK);
    let scaled = with(&first, |request| request.scale = BTreeMap::from([("web".into(), 3)])).unwrap();
    assert!(names(&scaled).ends_with(&["shop-web-1", "shop-web-2", "shop-web-3"]));
    let hash = |name: &str| scaled.containers[name].hash.clone();
    assert_eq!(hash("shop-web-1"), hash("shop-web-3"));
    let none = with(&first, |request| request.scale = BTreeMap::from([("web".into(), 0)])).unwrap();
    assert_eq!(names(&none), ["shop-api-1", "shop-db-1", "shop-other-1"]);
    assert!(none.services.contains("web"));
    let old = with(&first, |request| request.compatibility = true).unwrap();
    assert!(names(&old).contains(&"shop_web_1"));
    let error = error("    scale: 2\n    container_name: x1");
    assert_eq!(error, "container_name: 2 replicas cannot share one name; take `container_name` out");
    let twice = errors("services: {a: {container_name: same}, b: {container_name: same}}");
    assert_eq!(twice, ["services.b.container_name: `same` is the name of a container of service `a` too"]);
}

#[test]
fn anonymous_volumes_stay_until_they_are_renewed() {
    let first = up(STACK);
    let name = |desired: &Desired| {
        let anonymous = desired.volumes.values().find(|volume| volume.anonymous);
        anonymous.map(|volume| volume.name.clone()).unwrap()
    };
    assert_eq!(name(&with(&first, |_| {}).unwrap()), name(&first));
    let renewed = with(&first, |request| request.renew_anonymous = true).unwrap();
    assert_ne!(name(&renewed), name(&first));
    assert_ne!(renewed.containers["shop-db-1"].hash, first.containers["shop-db-1"].hash);
    assert!(renewed.remove_volumes.is_empty());
}

#[test]
fn a_service_whose_profile_is_off_is_known_unless_it_is_up() {
    let off: BTreeSet<ServiceName> = ["debug".into(), "other".into()].into();
    let first = up(STACK);
    let some = with(&first, |request| {
        (request.off, request.services) = (off, BTreeSet::from(["api".into()]));
    });
    let some = some.unwrap();
    assert_eq!(some.off, ["debug".into()].into(), "what was brought up with its profile stays as it is");
    assert!(some.services.contains("other") && !some.services.contains("debug"));
}

#[test]
fn what_the_files_no_longer_have_is_carried_over_unless_it_is_to_go() {
    let mut first = up(STACK);
    first.containers.get_mut("shop-db-1").unwrap().target = Target::Stopped;
    let other = project("services: {new: {container_name: shop-api-1}}");
    let with = |remove_orphans, off: &[&str]| {
        let off = off.iter().map(|name| ServiceName::from(*name)).collect();
        let request =
            Request { now: stamp(200), previous: Some(Arc::new(first.clone())), remove_orphans, off, ..request() };
        compile(&other, &images(&other), &Leases::default(), &request).unwrap()
    };
    let held = with(false, &["web"]);
    assert_eq!(names(&held), ["shop-api-1", "shop-db-1", "shop-other-1", "shop-web-1"]);
    assert_eq!(&*held.containers["shop-api-1"].spec.service, "new", "the files have the name now");
    assert_eq!(held.containers["shop-db-1"], first.containers["shop-db-1"]);
    assert_eq!(held.asked, Some(["shop-api-1".into()].into()), "what the others lack fails no `up`");
    assert_eq!(held.volumes.len(), 2, "what they use stays known");
    assert_eq!(held.services, ["new".into()].into());
    assert_eq!(names(&with(true, &["web"])), ["shop-api-1", "shop-web-1"]);
    assert_eq!(with(true, &[]).asked, None);
}

#[test]
fn create_starts_nothing_and_stops_nothing() {
    let first = up(STACK);
    let project = project(STACK);
    let create = Request { verb: Verb::Create, ..request() };
    let fresh = compile(&project, &images(&project), &Leases::default(), &create).unwrap();
    assert!(fresh.containers.values().all(|one| one.target == Target::Created && one.start_before.is_none()));
    let over = with(&first, |request| request.verb = Verb::Create).unwrap();
    assert!(over.containers.values().all(|one| one.target == Target::Running));
    assert_eq!(over.applied, first.applied);
}

#[test]
fn timeout_goes_over_the_grace_time_but_not_into_the_spec() {
    let desired = with(&up(STACK), |request| request.timeout = Some(Duration::from_secs(1))).unwrap();
    let web = &desired.containers["shop-web-1"];
    assert_eq!((web.stop.grace, web.spec.stop.grace), (Duration::from_secs(1), Duration::from_secs(10)));
    assert_eq!(desired.grace, Some(Duration::from_secs(1)), "what is scaled away has no more time");
}

fn run() -> Run {
    Run { service: "api".into(), slug: "0123456789abcdef".repeat(4), ..Run::default() }
}

#[test]
fn run_adds_one_container_and_what_it_needs() {
    let once = Run {
        command: Some(vec!["ls".into()]),
        environment: BTreeMap::from([("A".into(), Some("run".into()))]),
        labels: BTreeMap::from([("l".into(), "1".into())]),
        user: Some("root".into()),
        tty: true,
        remove: true,
        ..run()
    };
    let request = Request { verb: Verb::Run(Box::new(once)), ..request() };
    let project = project(STACK);
    let desired = compile(&project, &images(&project), &Leases::default(), &request).unwrap();
    assert_eq!(names(&desired), ["shop-api-run-0123456789ab", "shop-db-1"]);
    let container = &desired.containers["shop-api-run-0123456789ab"];
    let spec = &container.spec;
    assert_eq!(spec.argv, ["/entry", "ls"]);
    assert!(spec.env.contains(&"A=run".to_owned()) && spec.tty && spec.oneoff && container.auto_remove);
    assert_eq!((container.restart, spec.number, spec.user.as_str()), (RestartPolicy::No, 0, "root"));
    let label = |key: &str| spec.labels.get(&format!("com.docker.compose.{key}")).map(String::as_str);
    assert_eq!((label("oneoff"), label("container-number")), (Some("True"), None));
    assert_eq!(label("slug").unwrap().len(), 64);
    assert_eq!(spec.endpoints[0].aliases, ["shop-api-run-0123456789ab"]);
}

#[test]
fn run_leaves_the_service_alone_and_up_leaves_its_container() {
    let first = up(STACK);
    let again = Run { use_aliases: true, entrypoint: Some(vec!["/bin/sh".into()]), ..run() };
    let second = with(&first, |request| {
        request.verb = Verb::Run(Box::new(again));
        request.no_deps = true;
    })
    .unwrap();
    assert_eq!(second.containers["shop-api-1"], first.containers["shop-api-1"]);
    assert_eq!(second.containers["shop-db-1"], first.containers["shop-db-1"]);
    let spec = &second.containers["shop-api-run-0123456789ab"].spec;
    assert_eq!(spec.argv, ["/bin/sh"]);
    assert_eq!(spec.endpoints[0].aliases, ["shop-api-run-0123456789ab", "api"]);
    let third = with(&second, |_| {}).unwrap();
    assert_eq!(third.containers["shop-api-run-0123456789ab"].target, Target::Created);
}

#[test]
fn run_that_publishes_a_port_of_its_service_is_told_what_to_leave_out() {
    let yaml = "services:\n  api: {ports: [{target: 80, published: '80'}]}";
    let project = project(yaml);
    let first = compile(&project, &images(&project), &Leases::default(), &request()).unwrap();
    let again = Run { service_ports: true, ..run() };
    let request = Request { verb: Verb::Run(Box::new(again)), previous: Some(Arc::new(first)), ..request() };
    let errors = compile(&project, &images(&project), &Leases::default(), &request).unwrap_err();
    assert_eq!(errors[0].to_string(), "services.api.ports[0]: host port 80:80 is published by shop-api-1 already");
    assert!(errors[0].help.as_deref().unwrap().starts_with("leave `-P`"), "{errors:?}");
}

#[test]
fn a_circle_is_told_and_not_walked() {
    let errors =
        errors("services: {a: {depends_on: {b: {}}, volumes_from: [b]}, b: {depends_on: {a: {}}, volumes_from: [a]}}");
    assert!(errors.iter().any(|error| error.contains("a → b → a")), "{errors:?}");
}

#[test]
fn all_errors_come_at_once() {
    let errors = errors("services: {a: {restart: x, cap_add: [y]}, b: {stop_signal: z}}");
    let places: Vec<&str> = errors.iter().filter_map(|error| error.split(':').next()).collect();
    assert_eq!(places, ["services.a.cap_add[0]", "services.a.restart", "services.b.stop_signal"]);
}

#[test]
fn nobody_waits_for_the_health_of_what_has_no_health_check() {
    let stack = |required: bool| {
        format!("services: {{a: {{depends_on: {{b: {{condition: service_healthy, required: {required}}}}}}}, b: {{}}}}")
    };
    let errors = |required| errors(&stack(required));
    assert_eq!(
        errors(true),
        [
            "services.a.depends_on.b.condition: waits for `b` to be healthy, but `b` has no health check, nor has its image"
        ]
    );
    assert!(errors(false).is_empty());
}

#[test]
fn a_desired_state_survives_being_written_down() {
    let desired = up(STACK);
    let text = serde_json::to_string(&desired).unwrap();
    assert_eq!(serde_json::from_str::<Desired>(&text).unwrap(), desired);
}

#[test]
fn a_project_of_only_what_was_named_makes_no_orphans_of_the_others() {
    let first = up(STACK);
    let mut reduced = project(STACK);
    reduced.services.retain(|name, _| matches!(name.as_str(), "api" | "db"));
    let services = BTreeSet::from(["api".into()]);
    let request = Request { now: stamp(200), previous: Some(Arc::new(first.clone())), services, ..request() };
    let second = compile(&reduced, &images(&reduced), &Leases::default(), &request).unwrap();
    assert_eq!(second.services, first.services);
    assert_eq!(second.containers["shop-web-1"], first.containers["shop-web-1"]);
    assert_eq!(second.networks, first.networks);
}

#[test]
fn dockers_default_runtime_is_needed_by_nobody() {
    const RUNTIMES: &str = "services:\n  a: {runtime: runc}\n  b: {runtime: io.containerd.runc.v2}\n  c: {}\n";
    let project = project(RUNTIMES);
    let mut request = request();
    let runtimes = |request: &Request| -> Vec<bool> {
        let desired = compile(&project, &images(&project), &Leases::default(), request).unwrap();
        desired.containers.values().map(|container| container.spec.runtime.is_some()).collect()
    };
    request.programs = BTreeMap::from([("runc".to_owned(), None)]);
    let told: Vec<&str> = without_default(&project, &request).into_iter().map(ServiceName::as_str).collect();
    assert_eq!(told, ["a", "b"]);
    assert_eq!(runtimes(&request), [false, false, false]);
    request.programs = BTreeMap::from([("runc".to_owned(), Some("/usr/sbin/runc".into()))]);
    assert!(without_default(&project, &request).is_empty());
    assert_eq!(runtimes(&request), [true, true, false]);
    assert_eq!(error("    runtime: crun").split(':').next(), Some("runtime"));
}
