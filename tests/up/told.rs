//! What is told on which stream, and with which code, where scripts made for docker compose count on it.

use super::*;

#[test]
fn what_containers_print_goes_where_docker_compose_has_it() {
    let world = world();
    let text = "services:\n  c: {image: test, command: [sh, -c, 'echo from-out; echo from-err >&2']}\n";
    let folder = project(&world, "two", text);
    for flags in [&["up"][..], &["up", "--no-log-prefix", "--force-recreate"]] {
        let ran = world.windlass(&folder, flags).ok();
        assert!(ran.stdout.contains("from-out") && !ran.stdout.contains("from-err"), "{}", ran.stdout);
        assert!(ran.stdout.contains("c-1 exited with code 0"), "{}", ran.stdout);
        assert!(ran.stderr.contains("from-err"), "{}", ran.stderr);
    }
    for flags in [&["logs"][..], &["logs", "--no-log-prefix", "c"]] {
        let ran = world.windlass(&folder, flags).ok();
        assert!(ran.stdout.contains("from-out") && ran.stdout.contains("from-err"), "{}", ran.stdout);
        assert_eq!(ran.stderr, "");
    }
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn one_offs_are_named_by_their_id_and_their_output_is_in_no_logs() {
    let world = world();
    let folder = project(&world, "once", "services:\n  c: {image: test, command: [echo, of-the-service]}\n");
    world.windlass(&folder, &["up"]).ok();
    world.windlass(&folder, &["run", "--rm", "-T", "c", "echo", "of-a-run"]).ok().says("of-a-run");
    for (flags, is_left) in [(&["run", "-d"][..], true), (&["run", "-d", "--rm"], false)] {
        let ran = world.windlass(&folder, &[flags, &["c", "echo", "of-a-run"]].concat()).ok();
        let id = ran.stdout.trim_end();
        assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        if is_left {
            world.windlass(&folder, &["ps", "-a", "-q"]).ok().says(id);
        }
    }
    world.windlass(&folder, &["logs"]).ok().says("of-the-service");
    let ran = world.windlass(&folder, &["logs", "c"]).ok();
    assert!(!ran.stdout.contains("of-a-run"), "{}", ran.stdout);
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn an_attached_up_and_logs_show_what_pre_start_prints() {
    let world = world();
    let text = "services:\n  c: {image: test, command: [echo, main], pre_start: [{command: [echo, prepared]}]}\n";
    let folder = project(&world, "pre", text);
    world.windlass(&folder, &["up"]).ok().says("c-pre_start-0  | prepared").says("| main");
    world.windlass(&folder, &["run", "-T", "--name", "beside", "c", "echo", "of a run"]).ok();
    let logs = world.windlass(&folder, &["logs", "c"]).ok().says("c-pre_start-0  | prepared").says("| main");
    assert!(!logs.stdout.contains("of a run"), "{}", logs.stdout);
    let logs = world.windlass(&folder, &["logs", "--index", "1", "c"]).ok().says("main");
    assert!(!logs.stdout.contains("prepared"), "{}", logs.stdout);
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn a_rehearsal_of_what_changes_nothing_and_a_no_are_no_failures() {
    let world = world();
    let folder = project(&world, "calm", "services:\n  c: {image: test}\n");
    for verb in ["down", "stop", "restart", "kill", "pause", "unpause"] {
        world.windlass(&folder, &[verb]).ok().says("nothing of project `calm` is up");
        world.windlass(&folder, &["--dry-run", verb]).ok().says("nothing of project `calm` is up");
    }
    world.windlass(&folder, &["--dry-run", "start"]).code(1).says("nothing of project `calm` is up");
    world.windlass(&folder, &["create"]).ok();
    let program = env!("CARGO_BIN_EXE_windlass");
    world.sh_in(&folder, &format!("echo n | {program} rm")).ok().says("Going to remove calm-c-1");
    world.windlass(&folder, &["ps", "-a"]).ok().says("calm-c-1");
    world.sh_in(&folder, &format!("{program} rm < /dev/null")).code(1).says("nobody is there to answer");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn ps_tells_exposed_ports_of_what_runs() {
    let world = world();
    let text = "services:\n  c: {image: test, expose: ['99', '100/udp'], ports: ['127.0.0.1:8080:80'], stop_signal: SIGKILL}\n";
    let folder = project(&world, "open", text);
    world.windlass(&folder, &["up", "-d"]).ok();
    let told = world.windlass(&folder, &["ps", "--format", "{{.Ports}}"]).ok().stdout;
    assert_eq!(told, "99/tcp, 100/udp, 127.0.0.1:8080->80/tcp\n");
    let exposed = r#"{"Protocol":"tcp","PublishedPort":0,"TargetPort":99,"URL":""}"#;
    world.windlass(&folder, &["ps", "--format", "json"]).ok().says(exposed);
    world.windlass(&folder, &["stop"]).ok();
    assert_eq!(world.windlass(&folder, &["ps", "-a", "--format", "{{.Ports}}"]).ok().stdout, "\n");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn a_command_line_steers_no_terminal_and_forges_no_row() {
    let world = world();
    let text = r##"services: {c: {image: test, stop_signal: SIGKILL, command: [sh, -c, "sleep 9999 # \e]0;title\a\e[2Jx\n\rrow"]}}"##;
    let folder = project(&world, "hostile", &format!("{text}\n"));
    world.windlass(&folder, &["up", "-d"]).ok();
    for verb in [&["ps"][..], &["ps", "--no-trunc"], &["top"]] {
        let ran = world.windlass(&folder, verb).ok().says(r"sleep 9999 #");
        assert!(ran.stdout.chars().all(|ch| ch == '\n' || !ch.is_control()), "{verb:?}: {:?}", ran.stdout);
        assert_eq!(ran.stdout.lines().count(), 2 + usize::from(verb == ["top"]), "{verb:?}: {:?}", ran.stdout);
    }
    world.windlass(&folder, &["ps", "--no-trunc"]).ok().says(r"\x1b]0;title\x07\x1b[2Jx\n\rrow");
    world.windlass(&folder, &["ps", "--format", "json", "--no-trunc"]).ok().says(r"\\x1b]0;title\\x07");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}
