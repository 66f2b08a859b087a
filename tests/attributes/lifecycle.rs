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
"#,
    );
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
