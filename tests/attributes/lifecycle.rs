//! Health, what follows an end, and what may be missing.

use crate::stack::Stack;

#[test]
fn health_is_found_out_at_its_own_pace_or_not_at_all() {
    let stack = Stack::up(
        r#"
services:
  web:
    image: test
    env_file: [{ path: none.env, required: false }]
    volumes: [{ type: bind, source: ./made, target: /made, bind: { create_host_path: true } }]
    # The first probe is the one of the start: nobody waits for the interval.
    healthcheck: { test: "exit 0", interval: 1h, start_period: 1h, start_interval: 100ms }
    logging: { driver: local }
  never:
    image: test
    healthcheck: { test: "exit 1", interval: 100ms, disable: true }
  after:
    image: test
    depends_on: { web: { condition: service_healthy }, gone: { condition: service_started, required: false } }
  gone: { image: test, profiles: [other] }
"#,
    );
    stack.run(&["ps", "web"]).ok().says("(healthy)");
    let never = stack.run(&["ps", "never"]).ok();
    assert!(never.stdout.contains("Up") && !never.stdout.contains("health"), "{}", never.stdout);
    assert!(stack.folder.join("made").is_dir());
    stack.run(&["ps", "--services"]).ok().says("after");
    stack.down();
}

#[test]
fn probes_keep_to_the_times_of_the_file() {
    let stack = Stack::up(
        r#"
services:
  often: { image: test, volumes: ["./:/out"], healthcheck: { test: "echo x >> /out/often", interval: 100ms } }
  early:
    image: test
    volumes: ["./:/out"]
    healthcheck: { test: "echo x >> /out/early; exit 1", interval: 1h, start_period: 1h, start_interval: 100ms, retries: 1 }
"#,
    );
    let probes = |file: &str| stack.read(file).lines().count();
    stack.world.wait_for("five probes of one that is healthy", || probes("often") >= 5);
    // windlass's own early probes come at doubling distances: they alone would take days.
    stack.world.wait_for("twenty probes of one that only starts", || probes("early") >= 20);
    stack.run(&["ps", "early"]).ok().says("(health: starting)");
    stack.down();
}

#[test]
fn an_end_is_followed_as_often_and_as_late_as_the_file_says() {
    let stack = Stack::up(
        r#"
services:
  late:
    image: test
    command: ["true"]
    deploy: { restart_policy: { condition: any, delay: 1h } }
  twice:
    image: test
    command: [sh, -c, "echo run"]
    deploy: { restart_policy: { condition: any, delay: 100ms, max_attempts: 2, window: 1h } }
  forgiven:
    image: test
    command: [sh, -c, "echo run; sleep 0.3"]
    deploy: { restart_policy: { condition: any, delay: 100ms, max_attempts: 1, window: 200ms } }
"#,
    );
    let lines = |service: &str| stack.run(&["logs", "--no-log-prefix", service]).stdout.lines().count();
    stack.world.wait_for("more attempts of one that lives longer than its window", || lines("forgiven") >= 4);
    // Once, and two attempts more.
    stack
        .world
        .wait_for("the last attempt", || stack.run(&["logs", "--no-log-prefix", "twice"]).stdout == "run\nrun\nrun\n");
    stack.world.wait_for("its end", || stack.run(&["ps", "-a", "twice"]).stdout.contains("Exited (0)"));
    stack.run(&["ps", "-a", "late"]).ok().says("Restarting (0)");
    assert_eq!(stack.run(&["logs", "--no-log-prefix", "twice"]).ok().stdout, "run\nrun\nrun\n");
    stack.down();
}

#[test]
fn edges_that_restart_follow_their_service() {
    let text = |value: u8| {
        format!(
            "services:\n  db: {{image: test, environment: {{V: '{value}'}}}}\n  tied: {{image: test, stop_signal: SIGKILL, depends_on: {{db: {{condition: service_started, restart: true}}}}}}\n  free: {{image: test, depends_on: [db]}}\n"
        )
    };
    let stack = Stack::up(&text(1));
    let (tied, free) = (stack.pid("tied"), stack.pid("free"));
    stack.write("compose.yaml", &text(2));
    stack.run(&["up", "-d", "-t", "0"]).ok();
    assert_ne!(stack.pid("tied"), tied);
    assert_eq!(stack.pid("free"), free);
    stack.down();
}

#[test]
fn a_log_is_kept_as_long_as_its_options_say() {
    let stack = Stack::up(
        r#"
services:
  talks:
    image: test
    command: [sh, -c, "for i in $$(seq 1000); do echo number $$i of a thousand lines; done; exec sleep 1000"]
    logging: { driver: json-file, options: { max-size: 4k, max-file: "3", compress: "true" } }
"#,
    );
    let lines = || stack.run(&["logs", "--no-log-prefix"]).ok().stdout;
    stack.world.wait_for("the last line", || lines().contains("number 1000 of"));
    assert!(!lines().contains("number 1 of"), "three files of 4 KiB do not hold it all");
    let files = || stack.world.sh("ls root/projects/app/logs/talks-1").ok().stdout;
    stack.world.wait_for("two compressed files and one that is not", || {
        let (packed, plain): (Vec<String>, _) = files()
            .lines()
            .map(str::to_owned)
            .filter(|name| name.contains(".log"))
            .partition(|name| name.ends_with(".gz"));
        (packed.len(), plain.len()) == (2, 1)
    });
    stack.down();
}
