//! Verbs on a back end in memory: what they ask for, print and end with.

mod store;

use std::time::Duration;

use super::fake::{Fake, always_restart, container, exited, run, running, stamp};
use crate::cli::backend::{Event, LogLine, StoredImage, StoredVolume, Usage};
use crate::desired::{MountSource, MountSpec, VolumeSpec};
use crate::observed::State;

fn line(service: &str, number: u32, text: &str) -> LogLine {
    LogLine {
        service: service.into(),
        label: format!("{service}-{number}"),
        stderr: false,
        time: 999_000_000_000,
        text: text.into(),
    }
}

fn died(service: &str, number: u32, code: i32) -> Event {
    let container = container(service, number, running());
    Event {
        time: 1_001_000_000_000,
        action: "die".into(),
        id: container.id,
        service: service.into(),
        name: format!("shop-{service}-{number}"),
        attributes: [("exitCode", code.to_string()), ("image", format!("{service}:1"))]
            .map(|(key, value)| (key.to_owned(), value))
            .into(),
        exit_code: Some(code),
        again: false,
        policy: false,
        oneoff: false,
    }
}

#[tokio::test]
async fn ps_lists_as_docker_compose_does() {
    let mut fake = Fake::shop();
    insta::assert_snapshot!(run(&fake, &["ps"]).await.out, @r#"
    NAME         IMAGE   COMMAND                  SERVICE   CREATED         STATUS                   PORTS
    shop-db-1    db:1    "/entrypoint --with …"   db        2 minutes ago   Up 5 seconds (healthy)
    shop-web-1   web:1   "/entrypoint --with …"   web       2 minutes ago   Up 5 seconds             0.0.0.0:8080->80/tcp, [::]:8080->80/tcp
    "#);
    insta::assert_snapshot!(run(&fake, &["ps", "-a", "--format", "{{.Name}} {{.State}} {{.Status}} {{.ExitCode}}"]).await.out, @r"
    shop-db-1 running Up 5 seconds (healthy) 0
    shop-web-1 running Up 5 seconds 0
    shop-web-2 exited Exited (3) 2 minutes ago 3
    ");
    insta::assert_snapshot!(run(&fake, &["ps", "--format", "json", "db"]).await.out, @r#"{"Command":"\"/entrypoint --with …\"","Created":880,"CreatedAt":"1970-01-01 00:14:40 +0000 UTC","ExitCode":0,"Health":"healthy","ID":"000000000000","Image":"db:1","Labels":"com.docker.compose.service=db","LocalVolumes":"0","Mounts":"","Name":"shop-db-1","Names":"shop-db-1","Networks":"","Ports":"","Project":"shop","Publishers":[],"RunningFor":"2 minutes ago","Service":"db","Size":"0B","SizeRootFs":null,"SizeRw":null,"State":"running","Status":"Up 5 seconds (healthy)"}"#);
    assert_eq!(run(&fake, &["ps", "--services", "-a"]).await.out, "db\nweb\n");
    assert_eq!(run(&fake, &["ps", "--status", "exited", "-q"]).await.out.trim_end().len(), 64);
    assert_eq!(run(&fake, &["ps", "--filter", "status=exited", "--services"]).await.out, "web\n");
    assert!(run(&fake, &["ps", "--status", "sleepy"]).await.err.contains("`sleepy` is no state"));
    always_restart(&mut fake, "shop-web-2");
    let out = run(&fake, &["ps", "--format", "{{.Name}} {{.Status}}"]).await.out;
    assert!(out.contains("shop-web-2 Restarting (3) 2 minutes ago"), "{out}");
}

#[tokio::test]
async fn ps_lists_exposed_ports_beside_published_ones() {
    let mut fake = Fake::shop();
    for container in fake.observed.containers.values_mut() {
        container.spec.exposed = ["99/tcp", "100/udp", "80/tcp"].map(String::from).into();
        container.spec.image_exposed = ["99/tcp", "7000-7002/tcp"].map(String::from).into();
    }
    let ports = run(&fake, &["ps", "-a", "--format", "{{.Name}}: {{.Ports}}"]).await.out;
    insta::assert_snapshot!(ports, @r"
    shop-db-1: 80/tcp, 99/tcp, 100/udp, 7000-7002/tcp
    shop-web-1: 99/tcp, 100/udp, 7000-7002/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp
    shop-web-2:
    ");
    let json = run(&fake, &["ps", "--format", "json", "db"]).await.out;
    let wanted = r#"{"Protocol":"udp","PublishedPort":0,"TargetPort":100,"URL":""}"#;
    assert!(json.contains(wanted), "{json}");
    for container in fake.observed.containers.values_mut() {
        container.spec.namespaces.net = crate::desired::NetMode::Host;
    }
    assert_eq!(run(&fake, &["ps", "--format", "{{.Ports}}", "db"]).await.out, "\n");
}

#[tokio::test]
async fn an_orphan_is_shown_unless_it_is_not_wanted() {
    let mut fake = Fake::shop();
    let orphan = container("older", 1, running());
    fake.observed.containers.insert(orphan.id.clone(), orphan);
    assert!(run(&fake, &["ps", "--services"]).await.out.contains("older"));
    assert!(!run(&fake, &["ps", "--services", "--orphans=false"]).await.out.contains("older"));
    // Declared when it was brought up, and not any more.
    fake.applied.as_mut().expect("applied").services.insert("older".into());
    assert_eq!(run(&fake, &["ps", "--services", "--orphans=false"]).await.out, "db\nweb\n");
    assert_eq!(run(&fake, &["ps", "--services"]).await.out, "db\nolder\nweb\n");
}

#[tokio::test]
async fn a_service_that_is_not_there_is_an_error_with_a_guess() {
    let fake = Fake::shop();
    for words in [
        &["ps", "wbe"][..],
        &["logs", "wbe"],
        &["stop", "wbe"],
        &["exec", "wbe", "ls"],
        &["up", "-d", "wbe"],
        &["up", "-d", "--scale", "wbe=1"],
        &["create", "--scale", "wbe=2"],
        &["plan", "--scale", "wbe=0"],
        &["scale", "wbe=1"],
    ] {
        let ran = run(&fake, words).await;
        assert_eq!(ran.code(), 1, "{words:?}");
        assert_eq!(ran.err, "error: no such service: wbe\n  = help: did you mean `web`?\n", "{words:?}");
    }
    assert!(fake.asked.borrow().iter().all(|asked| asked.starts_with("load")), "{:?}", fake.asked.borrow());
}

#[tokio::test]
async fn logs_are_aligned_over_all_containers() {
    let fake = Fake::shop();
    let sender = fake.logs_from();
    for line in [line("web", 1, "hello"), line("db", 1, "ready")] {
        sender.try_send(line).expect("sent");
    }
    drop(sender);
    let ran = run(&fake, &["logs", "-n", "5", "--timestamps"]).await;
    insta::assert_snapshot!(ran.out, @r"
    web-1  | 1970-01-01T00:16:39.000000000Z hello
    db-1   | 1970-01-01T00:16:39.000000000Z ready
    ");
    assert_eq!(*fake.asked.borrow(), ["logs [] follow=false tail=Some(5)"]);
    assert!(run(&fake, &["logs", "--since", "whenever"]).await.err.contains("`--since`: `whenever` is no time"));
}

#[tokio::test]
async fn plain_verbs_become_edits() {
    for (words, edit) in [
        (&["stop", "-t", "3", "web"][..], r#"Stop { services: {ServiceName("web")}, timeout: Some(3s) }"#),
        (&["stop", "-t", "-1", "web"], r#"Stop { services: {ServiceName("web")}, timeout: Some(4294967295s) }"#),
        (&["start"], "Start { services: {} }"),
        (&["restart", "--no-deps"], "Restart { services: {}, timeout: None, no_deps: true }"),
        (&["pause", "db"], r#"Pause { services: {ServiceName("db")}, down: {} }"#),
        (&["unpause"], "Unpause { services: {} }"),
        (&["kill"], "Kill { services: {} }"),
        (
            &["down", "-t", "1"],
            "Down { services: {}, timeout: Some(1s), volumes: false, declared: None, remove_orphans: false }",
        ),
        (&["rm", "-f", "-v"], r#"Remove { services: {}, only: Some({ContainerName("shop-web-2")}), volumes: true }"#),
    ] {
        let fake = Fake::shop();
        let ran = run(&fake, words).await;
        assert_eq!(ran.code(), 0, "{words:?}: {}", ran.err);
        assert_eq!(*fake.asked.borrow(), [edit], "{words:?}");
    }
}

#[tokio::test]
async fn dry_run_prints_the_plan_and_applies_nothing() {
    let fake = Fake::shop();
    for words in [&["up"][..], &["down"], &["stop"], &["restart"], &["scale", "web=3"], &["create"], &["run", "web"]] {
        let words: Vec<&str> = ["--dry-run"].iter().chain(words).copied().collect();
        let ran = run(&fake, &words).await;
        assert_eq!((ran.code(), ran.out.as_str()), (0, "1 steps\n"), "{words:?}: {}", ran.err);
    }
    for words in [
        &["exec", "web", "ls"][..],
        &["kill", "-s", "HUP"],
        &["volume", "rm", "v"],
        &["image", "rm", "i"],
        &["image", "pull", "i"],
        &["image", "prune"],
        &["image", "load", "-i", "a.tar"],
        &["pull"],
        &["build"],
        &["demo"],
        &["demo", "--down"],
        &["config", "-o", "never-written.yaml"],
    ] {
        let words: Vec<&str> = ["--dry-run"].iter().chain(words).copied().collect();
        assert_eq!(run(&fake, &words).await.code(), 0, "{words:?}");
    }
    assert!(!std::path::Path::new("never-written.yaml").exists());
    let asked = fake.asked.borrow();
    assert!(
        asked.iter().all(|asked| ["load", "compile", "config"].iter().any(|read| asked.starts_with(read))),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_plan_tells_whose_image_would_be_built() {
    let mut fake = Fake::shop();
    for service in fake.project.services.values_mut() {
        service.build = Some(Default::default());
    }
    fake.images = vec![StoredImage { names: vec!["docker.io/library/shop-db:latest".into()], ..Default::default() }];
    for words in [&["plan"][..], &["--dry-run", "up"], &["--dry-run", "create"], &["--dry-run", "run", "web"]] {
        fake.asked.borrow_mut().clear();
        let ran = run(&fake, words).await;
        assert_eq!((ran.code(), ran.err.contains("is built again first")), (0, false), "{words:?} {}", ran.err);
        assert!(fake.asked.borrow().iter().any(|asked| asked.ends_with(r#"builds={ServiceName("web")}"#)), "{words:?}");
    }
    let ran = run(&fake, &["plan", "--build"]).await;
    assert!(ran.err.contains("note: image shop-db is built again first"), "{}", ran.err);
    let ran = run(&fake, &["plan", "--no-build"]).await;
    assert_eq!(ran.code(), 0, "{}", ran.err);
    assert!(!fake.asked.borrow().last().is_some_and(|asked| asked.contains("builds=")), "{:?}", fake.asked.borrow());
}

#[tokio::test]
async fn up_of_nothing_is_an_error_and_a_number_that_is_not_there_is_told_of() {
    let mut fake = Fake::shop();
    for words in [
        &["exec", "--index", "9", "web", "ls"][..],
        &["port", "--index", "9", "web", "80"],
        &["logs", "--index", "9", "web"],
    ] {
        let ran = run(&fake, words).await;
        assert_eq!(ran.code(), 1, "{words:?}");
        assert!(ran.err.contains("it has the numbers 1, 2; `windlass scale` makes more"), "{}", ran.err);
    }
    for words in [&["logs", "--index", "1"][..], &["logs", "--index", "1", "web", "db"]] {
        let ran = run(&fake, words).await;
        assert_eq!(ran.code(), 1, "{words:?}");
        assert!(ran.err.contains("`--index` is the number of a replica of one service"), "{}", ran.err);
    }
    assert_eq!(run(&fake, &["logs", "--index", "0"]).await.code(), 0, "0 means all, as in docker compose");
    fake.project.services.clear();
    let ran = run(&fake, &["up", "-d"]).await;
    assert_eq!(ran.code(), 1);
    assert!(ran.err.starts_with("error: no service selected\n"), "{}", ran.err);
}

#[tokio::test]
async fn plan_can_tell_by_its_exit_code() {
    let mut fake = Fake::shop();
    assert_eq!(run(&fake, &["plan"]).await.code(), 0);
    assert_eq!(run(&fake, &["plan", "--detailed-exitcode"]).await.code(), 2);
    assert!(run(&fake, &["plan", "--format", "json"]).await.out.contains("\"action\": \"remove volume\""));
    fake.empty_plan = true;
    assert_eq!(run(&fake, &["plan", "--detailed-exitcode"]).await.code(), 0);
}

#[tokio::test]
async fn up_detached_ends_with_1_and_the_reason_when_a_container_fails() {
    let mut fake = Fake::shop();
    let ran = run(&fake, &["up", "-d", "--scale", "web=3", "--force-recreate", "web"]).await;
    assert_eq!((ran.code(), ran.err.as_str()), (0, " Container shop-web-1  Started\n"));
    assert_eq!(
        *fake.asked.borrow(),
        ["load web", r#"compile ["web"] {ServiceName("web"): 3} Force start=true"#, "declare until Done"]
    );
    fake.outcome.failures.push(crate::plan::Failure {
        container: "shop-web-1".into(),
        reason: "port 80 is taken".into(),
        culprit: None,
        obstacle: false,
    });
    let ran = run(&fake, &["up", "--wait"]).await;
    assert_eq!(ran.code(), 1);
    assert!(ran.err.ends_with("error: shop-web-1: port 80 is taken\n"), "{}", ran.err);
    assert_eq!(fake.asked.borrow().last().map(String::as_str), Some("declare until Healthy"));
}

#[tokio::test]
async fn up_begins_nothing_where_it_can_not_succeed_and_tells_of_the_machine() {
    let mut fake = Fake::shop();
    fake.notes.push("another firewall is in the way".into());
    assert_eq!(run(&fake, &["up", "-d"]).await.err.matches("warning: another firewall").count(), 1);
    let failure =
        crate::plan::Failure { container: "shop-web-1".into(), reason: "taken".into(), culprit: None, obstacle: true };
    fake.obstacles.push(failure);
    fake.asked.borrow_mut().clear();
    for arguments in [&["up", "-d"][..], &["up"], &["create"], &["--dry-run", "up", "-d"], &["plan"]] {
        let ran = run(&fake, arguments).await;
        assert_eq!(ran.code(), 1, "{arguments:?}");
    }
    assert!(!fake.asked.borrow().iter().any(|asked| asked.starts_with("declare")), "{:?}", fake.asked.borrow());
}

#[tokio::test(start_paused = true)]
async fn waiting_has_an_end() {
    let fake = Fake::shop();
    let _gate = fake.gate("declare");
    let ran = run(&fake, &["up", "--wait", "--wait-timeout", "7"]).await;
    assert_eq!(ran.code(), 1);
    assert!(ran.err.contains("not all services are up after 7 s"), "{}", ran.err);
}

#[tokio::test]
async fn attached_up_shows_lines_until_all_have_ended() {
    let fake = Fake::shop();
    let (lines, events) = (fake.logs_from(), fake.events_from());
    lines.try_send(line("web", 1, "hello")).expect("sent");
    events.send(died("web", 1, 0)).expect("sent");
    drop(lines);
    let ran = run(&fake, &["up"]).await;
    assert_eq!(ran.code(), 0, "{}", ran.err);
    insta::assert_snapshot!(ran.out, @r"
    web-1  | hello
    web-1 exited with code 0
    ");
    assert_eq!(fake.asked.borrow()[2], r#"logs ["db", "web"] follow=true tail=None"#);
}

#[tokio::test]
async fn the_first_end_takes_the_others_along_where_asked() {
    for (flags, code, first, second) in [
        (&["--abort-on-container-exit"][..], 3, ("web", 3), ("db", 0)),
        (&["--exit-code-from", "db"], 9, ("web", 0), ("db", 9)),
        (&["--abort-on-container-failure"], 4, ("web", 0), ("db", 4)),
    ] {
        let fake = Fake::shop();
        let (_lines, events) = (fake.logs_from(), fake.events_from());
        events.send(died(first.0, 1, first.1)).expect("sent");
        events.send(died(second.0, 1, second.1)).expect("sent");
        let words: Vec<&str> = ["up"].iter().chain(flags).copied().collect();
        let ran = run(&fake, &words).await;
        assert_eq!(ran.code(), code, "{words:?}: {}", ran.err);
        let stop = r#"Stop { services: {ServiceName("db"), ServiceName("web")}, timeout: None }"#;
        assert_eq!(fake.asked.borrow().last().map(String::as_str), Some(stop));
    }
}

#[tokio::test]
async fn commands_end_with_their_own_code() {
    let fake = Fake::shop();
    assert_eq!(run(&fake, &["exec", "-T", "-u", "me", "web", "false"]).await.code(), 42);
    assert_eq!(*fake.asked.borrow(), [r#"exec 000000000000 ["false"] Some("me") Piped"#], "{:?}", fake.asked.borrow());
    let ran = run(&fake, &["exec", "-T", "web", "missing"]).await;
    assert_eq!((ran.code(), ran.err.as_str()), (127, "error: no such program: missing\n"));
    assert_eq!(run(&fake, &["run", "--rm", "-T", "web", "true"]).await.code(), 7);
    assert_eq!(fake.asked.borrow().last().map(String::as_str), Some("run shop-web-run"));
    let mut fake = fake;
    let id = crate::name::ContainerId::from("7".repeat(64));
    fake.outcome.made =
        [("other", "8".repeat(64).into()), ("me", id.clone())].map(|(name, id)| (name.into(), id)).into();
    assert_eq!(run(&fake, &["run", "-d", "--name", "me", "web"]).await.out, format!("{id}\n"));
    let ran = run(&fake, &["exec", "--index", "2", "web", "ls"]).await;
    assert!(ran.err.contains("service `web` is not running"), "{}", ran.err);
    assert!(run(&fake, &["exec", "web"]).await.err.contains("needs a service and a command"));
}

#[tokio::test]
async fn wait_prints_each_code_and_ends_with_the_last() {
    let fake = Fake::shop();
    let events = fake.events_from();
    events.send(died("web", 1, 5)).expect("sent");
    let ran = run(&fake, &["wait", "web"]).await;
    insta::assert_snapshot!(ran.out, @r#"
    container "shop-web-2" exited with status code 3
    container "shop-web-1" exited with status code 5
    "#);
    assert_eq!(ran.code(), 5);
}

#[tokio::test]
async fn events_are_told_in_two_forms() {
    let fake = Fake::shop();
    for (words, text) in [
        (&["events"][..], "41.000000 container die 00000"),
        (&["events", "--json", "web"], r#"{"action":"die","attributes":{"exitCode":"1","image":"web:1"},"id":"00000"#),
    ] {
        let events = fake.events_from();
        events.send(died("web", 1, 1)).expect("sent");
        drop(events);
        let out = run(&fake, words).await.out;
        let local = if words.len() == 1 { "2006-01-02 15:04:".len() } else { 0 };
        assert!(out[local..].starts_with(text), "{out}");
    }
}

#[tokio::test]
async fn port_names_the_address() {
    let fake = Fake::shop();
    assert_eq!(run(&fake, &["port", "web", "80"]).await.out, "0.0.0.0:8080\n");
    let ran = run(&fake, &["port", "--protocol", "udp", "web", "80"]).await;
    assert!(ran.err.contains("no port 80/udp for container shop-web-1"), "{}", ran.err);
    assert!(ran.err.contains("it publishes 0.0.0.0:8080->80/tcp"), "{}", ran.err);
}

#[tokio::test]
async fn ls_counts_states() {
    let mut fake = Fake::shop();
    insta::assert_snapshot!(run(&fake, &["ls"]).await.out, @r"
    NAME   STATUS       CONFIG FILES
    shop   running(2)   /srv/shop/compose.yaml
    ");
    insta::assert_snapshot!(run(&fake, &["ls", "-a"]).await.out, @r"
    NAME   STATUS                  CONFIG FILES
    shop   exited(1), running(2)   /srv/shop/compose.yaml
    ");
    assert_eq!(run(&fake, &["ls", "--filter", "name=x", "-q"]).await.out, "");
    for container in fake.observed.containers.values_mut() {
        container.state = exited(0);
    }
    assert_eq!(run(&fake, &["ls", "-q"]).await.out, "");
    assert_eq!(run(&fake, &["ls", "-q", "-a"]).await.out, "shop\n");
}

#[tokio::test]
async fn a_signal_other_than_kill_is_only_sent() {
    let fake = Fake::shop();
    assert_eq!(run(&fake, &["kill", "-s", "HUP", "web"]).await.code(), 0);
    assert_eq!(*fake.asked.borrow(), ["signal 000000000000 1"]);
    assert_eq!(run(&fake, &["kill", "-s", "NOPE"]).await.code(), 1);
}

#[tokio::test]
async fn a_password_never_shows() {
    let fake = Fake::shop();
    let ran = run(&fake, &["login", "-u", "me", "-p", "hunter2"]).await;
    assert_eq!(ran.code(), 0);
    assert!(!format!("{}{}", ran.out, ran.err).contains("hunter2"));
    assert_eq!(*fake.asked.borrow(), ["login None me 7 letters"]);
    assert!(run(&fake, &["login", "--password-stdin"]).await.err.contains("needs `--username`"));
    assert_eq!(run(&fake, &["logout"]).await.out, "Removed the login for docker.io\n");
}

#[tokio::test]
async fn config_prints_what_compose_gives() {
    let fake = Fake::shop();
    let ran = run(&fake, &["config"]).await;
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("name: shop\n", "warning[W0508]: old\n"));
    assert_eq!(run(&fake, &["config", "-q"]).await.out, "");
    run(&fake, &["config", "--hash", "web"]).await;
    assert_eq!(fake.asked.borrow().last().map(String::as_str), Some(r#"config Hash("web")"#));
}

#[tokio::test]
async fn build_without_a_builder_names_both_and_the_service() {
    let mut fake = Fake::shop();
    let build = crate::compose::model::Build { context: "/src".into(), ..Default::default() };
    let service = crate::compose::model::Service { build: Some(build), ..Default::default() };
    fake.project.services.insert("app".into(), service);
    if crate::cli::build::find(&std::env::var("PATH").unwrap_or_default()).is_none() {
        let ran = run(&fake, &["build"]).await;
        assert!(
            ran.err.contains("service `app` has `build:`, and neither buildctl nor buildah is installed"),
            "{}",
            ran.err
        );
        assert_eq!(run(&fake, &["up", "-d"]).await.code(), 1);
    }
    // Its image is there already: nothing is built.
    fake.images.push(StoredImage { names: vec!["docker.io/library/shop-app:latest".into()], ..StoredImage::default() });
    assert_eq!(run(&fake, &["up", "-d"]).await.code(), 0);
    let ran = run(&fake, &["--dry-run", "build"]).await;
    assert!(ran.code() == 1 || ran.out == "build shop-app\n");
}

#[test]
fn moments_of_the_fake_are_seconds() {
    assert_eq!(stamp(880).until(&stamp(1000)), Duration::from_secs(120));
    assert!(matches!(running(), State::Running { .. }));
}

#[tokio::test]
async fn a_paused_container_takes_no_command_and_what_has_no_root_is_named() {
    let mut fake = Fake::shop();
    for container in fake.observed.containers.values_mut().filter(|c| c.spec.name.as_str() == "shop-web-1") {
        container.state = State::Paused { pid: 4_000_000 };
    }
    let ran = run(&fake, &["exec", "-T", "web", "true"]).await;
    assert_eq!(ran.code(), 1);
    assert!(ran.err.contains("container shop-web-1 is paused, unpause it first"), "{}", ran.err);
    assert!(!fake.asked.borrow().iter().any(|asked| asked.starts_with("exec")));
    let ran = run(&fake, &["cp", "db:/a", "."]).await;
    assert!(ran.err.contains("shop-db-1: no root here"), "{}", ran.err);
}
