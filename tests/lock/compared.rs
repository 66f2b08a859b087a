//! `diff`: environments compared with each other and with what runs.

use super::*;

#[test]
fn environments_are_compared_with_each_other_and_with_what_runs() {
    let world = quiet();
    load(&world);
    let base = "services:\n  web:\n    image: test\n    stop_signal: SIGKILL\n    environment: {LEVEL: '${LEVEL:-info}'}\n    \
                configs: [site]\nconfigs: {site: {content: inline-text}}\n";
    let files = [
        ("compose.yaml", base),
        (
            "dev.yaml",
            "services:\n  web: {ports: ['8080:80'], volumes: ['./src:/src']}\n  mail: {image: test, profiles: [mail]}\n",
        ),
        ("prod.yaml", "services:\n  web: {mem_limit: 64m, environment: {PASSWORD: hunter2}}\n"),
        ("prod.env", "LEVEL=warn\n"),
        ("src/x", ""),
    ];
    let folder = world.project("envs", &files);
    let windlass = |arguments: &[&str]| world.windlass(&folder, arguments);
    let ran = windlass(&["-f", "compose.yaml", "diff", "dev.yaml,profile=mail", "prod.yaml,env=prod.env"]).code(2);
    let expected = "--- dev.yaml,profile=mail\n+++ prod.yaml,env=prod.env\n- services.mail: image=test\n~ services.web.environment.LEVEL\n\
                    + services.web.environment.PASSWORD\n+ services.web.mem_limit: 67108864\n- services.web.ports[80]: mode=ingress";
    assert!(ran.stdout.starts_with(expected), "{}", ran.stdout);
    assert!(ran.stdout.contains("services.web.volumes[/src]") && !ran.stdout.contains("hunter2"), "{}", ran.stdout);
    let json =
        windlass(&["diff", "--format", "json", "--show-values", "compose.yaml", "compose.yaml,env=prod.env"]).code(2);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["differences"][0]["path"], "services.web.environment.LEVEL");
    assert_eq!((&json["differences"][0]["a"], &json["differences"][0]["b"]), (&json!("info"), &json!("warn")));
    windlass(&["diff", "compose.yaml", "compose.yaml"]).ok().says("the same");
    fs::write(folder.join("windlass.lock"), "broken").unwrap();
    windlass(&["diff", "compose.yaml", "compose.yaml"]).code(1).says("windlass.lock:1:");
    windlass(&["diff", "--no-lock", "compose.yaml", "compose.yaml"]).ok().says("the same");
    fs::remove_file(folder.join("windlass.lock")).unwrap();
    windlass(&["diff", "compose.yaml", "nothing.yaml"]).code(1);
    windlass(&["diff", "compose.yaml", "running"]).code(1).says("nothing of project `envs` is up");
    windlass(&["-f", "compose.yaml", "up", "-d"]).ok();
    windlass(&["diff", "compose.yaml", "running"]).ok().says("the same");
    world.sh("grep -q inline-text root/projects/envs/desired.json").code(1);
    windlass(&["-f", "compose.yaml", "scale", "web=2"]).ok();
    windlass(&["diff", "running", "compose.yaml"]).code(2).says("- services.web.scale: 2");
    windlass(&["diff", "compose.yaml,prod.yaml", "running"]).code(2).says("- services.web.mem_limit: 67108864");
    windlass(&["down"]).ok();
    world.assert_clean();
}

#[test]
fn what_configs_hold_and_images_are_built_from_is_compared_too() {
    let world = quiet();
    let text = "services:\n  web: {build: ./web, configs: [site]}\nconfigs: {site: {file: ./site.conf}}\n";
    let files = |site: &'static str, page: &'static str| {
        [("compose.yaml", text), ("site.conf", site), ("web/Dockerfile", "FROM scratch\n"), ("web/page", page)]
    };
    world.project("one", &files("listen 80\n", "old"));
    let folder = world.project("two", &files("listen 81\n", "old"));
    let diff = || world.windlass(&folder, &["-p", "same", "diff", "../one", "."]);
    let ran = diff().code(2).says("~ configs.site.digest: sha256:");
    assert_eq!(ran.stdout.lines().count(), 3, "{}", ran.stdout);
    fs::write(folder.join("web/page"), "new").unwrap();
    diff().code(2).says("~ services.web.build.digest: sha256:");
    fs::write(folder.join("compose.yaml"), "services:\n  web: {build: ./web}\n").unwrap();
    diff().code(2).says("- configs.site: ").says("file=./site.conf");
    world.assert_clean();
}

#[test]
fn what_runs_is_compared_by_the_configs_and_secrets_that_it_was_made_with() {
    let world = quiet();
    load(&world);
    let text = "services:\n  web: {image: test, stop_signal: SIGKILL, configs: [page, {source: named, target: /etc/named}], secrets: [page, variable]}\n\
                configs: {page: {file: ./page}, named: {file: ./named}, unused: {file: ./page}}\n\
                secrets: {page: {file: ./password}, variable: {environment: WORD}}\n";
    let files =
        [("compose.yaml", text), ("page", "old"), ("named", "1"), ("password", "hunter2"), (".env", "WORD=one\n")];
    let folder = world.project("made", &files);
    let diff = || world.windlass(&folder, &["diff", "--show-values", ".", "running"]);
    world.windlass(&folder, &["up", "-d"]).ok();
    diff().ok().says("the same");
    // A secret and a config of one name are told apart.
    fs::write(folder.join("password"), "hunter3").unwrap();
    assert_eq!(diff().code(2).stdout, "--- .\n+++ running\n~ secrets.page.digest\n");
    for (file, text) in [("page", "new"), ("named", "2"), ("password", "hunter2"), (".env", "WORD=two\n")] {
        fs::write(folder.join(file), text).unwrap();
    }
    let ran = diff().code(2);
    let told: Vec<&str> = ran.stdout.lines().skip(2).map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        told,
        ["~ configs.named.digest", "~ configs.page.digest", "~ secrets.variable.digest"],
        "{}",
        ran.stdout
    );
    assert_eq!(ran.stdout.matches("sha256:").count(), 4, "{}", ran.stdout);
    let json = world.windlass(&folder, &["diff", "--show-values", "--format", "json", ".", "running"]).code(2).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    let secret = json!({"path": "secrets.variable.digest", "change": "changed", "hidden": true});
    assert_eq!(json["differences"][2], secret, "{json}");
    world.windlass(&folder, &["up", "-d"]).ok();
    diff().ok().says("the same");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}
