//! What programs and scripts expect of a container because docker has it.

use std::os::unix::fs::PermissionsExt;

use crate::support::image::project;
use crate::support::world::WINDLASS;
use crate::world;

#[test]
fn a_container_is_marked_and_its_primary_group_is_a_supplementary_one() {
    let world = world();
    let folder = project(&world, "m", "services: {a: {image: test, user: '12:34', group_add: ['56']}}\n");
    world.windlass(&folder, &["up", "-d"]).ok();
    let seen = world
        .windlass(&folder, &["exec", "-T", "a", "sh", "-c", "stat -c '%a %s' /.dockerenv; id -G; readlink /etc/mtab"])
        .ok();
    assert_eq!(seen.stdout, "755 0\n34 56\n/proc/mounts\n");
    let groups = "grep Groups: /proc/1/status | tr '\\t' ' '";
    assert_eq!(world.windlass(&folder, &["exec", "-T", "a", "sh", "-c", groups]).ok().stdout.trim(), "Groups: 34 56");
    world.windlass(&folder, &["down", "-t", "0"]).ok();
    world.assert_clean();
}

#[test]
fn volumes_go_also_when_nothing_else_is_left() {
    let world = world();
    let text = "services: {a: {image: test, volumes: ['data:/v']}}\nvolumes: {data: {}, never: {}}\n";
    let folder = project(&world, "m", text);
    world.windlass(&folder, &["up", "-d"]).ok();
    world.windlass(&folder, &["down", "-t", "0"]).ok();
    world.windlass(&folder, &["volume", "create", "other"]).ok();
    world.windlass(&folder, &["--dry-run", "down", "-v"]).ok().says("remove volume m_data");
    world.windlass(&folder, &["down", "-v"]).ok().says("m_data");
    assert_eq!(world.windlass(&folder, &["volume", "ls", "-q"]).ok().stdout.trim(), "other");
    world.windlass(&folder, &["down", "-v"]).ok().says("nothing of project");
    world.windlass(&folder, &["volume", "rm", "other"]).ok();
    world.assert_clean();
}

#[test]
fn the_long_form_of_a_bind_makes_its_source_unless_it_has_options() {
    let world = world();
    let text = "services:\n  a:\n    image: test\n    volumes: [{type: bind, source: ./new, target: /x}]\n";
    let folder = project(&world, "m", text);
    world.windlass(&folder, &["up", "-d"]).ok();
    assert!(folder.join("new").is_dir());
    world.windlass(&folder, &["down", "-t", "0"]).ok();
    let text = text.replace("/x}", "/x, bind: {propagation: rprivate}}").replace("./new", "./none");
    std::fs::write(folder.join("compose.yaml"), text).unwrap();
    let refused = world.windlass(&folder, &["up", "-d"]);
    assert_eq!(refused.code, 1);
    refused.says("none` on this machine");
    world.assert_clean();
}

#[test]
fn the_first_end_is_one_of_the_services_that_are_named() {
    let world = world();
    let text = "services:\n  first: {image: test, command: [sh, -c, echo first]}\n  \
                tests: {image: test, depends_on: [first], command: [sh, -c, 'sleep 1; exit 4']}\n";
    let folder = project(&world, "m", text);
    for flags in [&["--abort-on-container-exit"][..], &["--exit-code-from", "tests"], &["--abort-on-container-failure"]]
    {
        let ended = world.windlass(&folder, &[&["up"], flags, &["tests"]].concat());
        assert_eq!(ended.code, 4, "{flags:?}: {} {}", ended.stdout, ended.stderr);
    }
    let attached = world.windlass(&folder, &["up", "--abort-on-container-exit", "--no-attach", "first"]);
    assert_eq!(attached.code, 4, "{} {}", attached.stdout, attached.stderr);
    world.windlass(&folder, &["down", "-t", "0"]).ok();
    world.assert_clean();
}

#[test]
fn log_lines_have_the_name_that_a_container_was_given() {
    let world = world();
    let text = "services:\n  a: {image: test, container_name: m-own, command: [echo, hi]}\n  b: {image: test, command: [echo, hi]}\n";
    let folder = project(&world, "m", text);
    let attached = world.windlass(&folder, &["up"]);
    attached.says("m-own  | hi").says("b-1    | hi");
    let told = world.windlass(&folder, &["logs"]).ok().stdout;
    let mut lines: Vec<&str> = told.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["b-1    | hi", "m-own  | hi"]);
    world.windlass(&folder, &["down", "-t", "0"]).ok();
    world.assert_clean();
}

#[test]
fn a_tmpfs_runs_programs_where_it_is_told_to_and_keeps_the_mode_of_its_folder() {
    let world = world();
    let text = "services:\n  a:\n    image: test\n    read_only: true\n    tmpfs: ['/tmp:exec', /new, /etc, /b/in]\n    \
                volumes: ['./b:/b']\n";
    let folder = project(&world, "m", text);
    world.windlass(&folder, &["up", "-d"]).ok();
    let look = "stat -c %a /new /etc /b/in; grep ' /tmp ' /proc/mounts | grep -c noexec; grep ' /new ' /proc/mounts | grep -c noexec";
    for round in 0..2 {
        let seen = world.windlass(&folder, &["exec", "-T", "a", "sh", "-c", look]);
        assert_eq!(seen.stdout, "1777\n755\n1777\n0\n1\n", "{round}: {}", seen.stderr);
        world.windlass(&folder, &["restart", "-t", "0"]).ok();
    }
    let mode = std::fs::metadata(folder.join("b/in")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755, "what is made on a bind is not opened up");
    let refused = world.windlass(&folder, &["exec", "-T", "a", "sh", "-c", "echo x >> /etc/hosts"]);
    assert_ne!(refused.code, 0);
    world.windlass(&folder, &["down", "-t", "0"]).ok();
    world.assert_clean();
}

#[test]
fn a_service_of_a_profile_is_reached_after_an_up_without_it() {
    let world = world();
    let folder = project(&world, "m", "services: {a: {image: test}, d: {image: test, profiles: [d]}}\n");
    let up = || {
        world.windlass(&folder, &["--profile", "d", "up", "-d"]).ok();
        world.windlass(&folder, &["up", "-d"]).ok();
    };
    let running = || world.windlass(&folder, &["-p", "m", "ps", "--services"]).ok().stdout;
    up();
    world.windlass(&folder, &["--profile", "d", "stop", "-t", "0", "d"]).ok();
    assert!(!running().contains('d'));
    world.windlass(&folder, &["--profile", "d", "restart", "-t", "0", "d"]).ok();
    assert!(running().contains('d'));
    world.windlass(&folder, &["--profile", "d", "down", "-t", "0"]).ok();
    world.assert_clean();
}

#[test]
fn verbs_of_a_whole_project_pass_over_what_was_never_made() {
    let world = world();
    let text = "services: {a: {image: test}, b: {image: test}, tool: {image: test, profiles: [t]}}\n";
    let folder = project(&world, "m", text);
    world.windlass(&folder, &["--profile", "t", "up", "-d", "a", "tool"]).ok();
    for verb in [&["restart", "-t", "0"][..], &["pause"], &["unpause"], &["start"], &["restart", "-t", "0", "a", "b"]] {
        world.windlass(&folder, verb).ok();
    }
    world.windlass(&folder, &["restart", "b"]).says("has no container");
    world.windlass(&folder, &["--profile", "t", "down", "-t", "0"]).ok();
    world.assert_clean();
}

#[test]
fn limits_and_signals_of_the_callers_shell_reach_no_container() {
    let world = world();
    let folder = project(&world, "m", "services: {a: {image: test}}\n");
    let show = |process: &str| {
        let what = "file size|open files|cpu time|address|processes|SigIgn";
        ["grep", "-hE", what]
            .map(str::to_owned)
            .into_iter()
            .chain(["limits", "status"].map(|f| format!("/proc/{process}/{f}")))
    };
    let mut run: Vec<String> = ["run", "--rm", "-T", "a"].map(str::to_owned).into();
    run.extend(show("self"));
    let plainly = world.windlass(&folder, &run.iter().map(String::as_str).collect::<Vec<_>>()).ok().stdout;
    let limited = |script: &str| {
        // Soft ones: the others may be taken off only with CAP_SYS_RESOURCE, which the machine of a test may lack.
        let limits = "ulimit -Sf 10; ulimit -St 999; ulimit -Sn 60; ulimit -Su 400; trap '' QUIT HUP";
        let mut command = world.command("sh", &folder);
        command.args(["-c", &format!("{limits}; {script}"), WINDLASS]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    limited("exec $0 up -d --scale a=8");
    assert!(plainly.contains("SigIgn:\t0000000000000000") && !plainly.contains(" 999 "), "{plainly}");
    for p in ["1", "self"] {
        let words: Vec<String> = show(p).map(|word| format!("'{word}'")).collect();
        let script = format!("exec $0 exec -T a {}", words.join(" "));
        assert_eq!(limited(&script), plainly, "{p}");
    }
    world.windlass(&folder, &["down", "-t", "0"]).ok();
    world.assert_clean();
}

#[test]
fn a_command_is_looked_for_in_the_path_that_it_is_given() {
    let world = world();
    let text = "services:\n  a:\n    image: test\n    environment: {A: own}\n    stop_signal: KILL\n";
    let folder = project(&world, "m", text);
    world.windlass(&folder, &["up", "-d"]).ok();
    let exec = |arguments: &[&str]| world.windlass(&folder, &[&["exec", "-T"], arguments].concat());
    exec(&["-e", "PATH=/nowhere", "a", "ls"]).code(127).says("/nowhere");
    exec(&["a", "sh", "-c", "mkdir /mine; cp $(which busybox) /mine/echo"]).ok();
    assert_eq!(exec(&["-e", "PATH=/mine", "a", "echo", "found"]).ok().stdout, "found\n");
    let variables = exec(&["-e", "A=1", "-e", "A=2", "a", "env"]).ok().stdout;
    let seen: Vec<&str> = variables.lines().filter(|line| line.starts_with("A=")).collect();
    assert_eq!(seen, ["A=2"]);
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn what_run_prints_is_what_its_command_prints() {
    let world = world();
    let text = "services:\n  a: {image: test, depends_on: [b]}\n  b: {image: test, stop_signal: KILL}\n";
    let folder = project(&world, "m", text);
    let first =
        world.windlass(&folder, &["run", "--rm", "-T", "a", "echo", "out"]).ok().says("Container m-b-1  Started");
    assert!(!first.stderr.contains("m-a-run"), "{}", first.stderr);
    let again = world.windlass(&folder, &["run", "--rm", "-T", "a", "echo", "out"]).ok();
    assert_eq!((again.stdout.as_str(), again.stderr.as_str()), ("out\n", ""));
    let detached = world.windlass(&folder, &["run", "-d", "a", "true"]).ok();
    assert_eq!((detached.stdout.trim().len(), detached.stderr.as_str()), (64, ""));
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}
