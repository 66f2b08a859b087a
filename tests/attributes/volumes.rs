//! Volumes, mounts, secrets and configs.

use std::fs;

use crate::stack::{Stack, refused};

#[test]
fn volumes_from_a_container_of_another_project() {
    let lender = Stack::up(
        "services: { db: { image: test, command: [sh, -c, 'echo kept > /data/x; sleep 1000'], volumes: ['data:/data'] } }\nvolumes: { data: {} }\n",
    );
    lender.world.wait_for("the file", || lender.inside("db", "test -s /data/x").code == 0);
    let text =
        "services: { web: { image: test, command: [sleep, '1000'], volumes_from: ['container:app-db-1:ro'] } }\n";
    let folder = crate::support::image::project(&lender.world, "taker", text);
    lender.world.windlass(&folder, &["up", "-d"]).ok();
    lender.world.windlass(&folder, &["exec", "-T", "web", "cat", "/data/x"]).ok().says("kept");
    lender.world.windlass(&folder, &["exec", "-T", "web", "touch", "/data/y"]).code(1);
    lender.world.windlass(&folder, &["down", "-v"]).ok();
    lender.inside("db", "test -s /data/x").ok();
    lender.down();
}

#[test]
fn labels_of_volumes_with_and_without_a_name() {
    let stack = Stack::up(
        r#"
services:
  web:
    image: test
    volumes: ["data:/data", { type: volume, target: /own, volume: { labels: { org.example.of: nobody } } }]
volumes:
  data: { labels: { org.example.of: data, org.example.more: "" } }
"#,
    );
    let labels = |filter: &str| {
        let names = stack.run(&["volume", "ls", "-q", "--filter", filter]).ok().stdout;
        assert_eq!(names.lines().count(), 1, "{filter}: {names}");
        let shown = stack.run(&["volume", "inspect", names.trim()]).ok().stdout;
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        shown[0]["Labels"].clone()
    };
    let named = labels("name=app_data");
    assert_eq!((&named["org.example.of"], &named["org.example.more"]), (&"data".into(), &"".into()), "{named}");
    assert_eq!(named["com.docker.compose.volume"], "data");
    let nameless = labels("label=org.example.of=nobody");
    assert_eq!(nameless["com.docker.volume.anonymous"], "", "{nameless}");
    stack.down();
}

#[test]
fn volumes_of_every_kind() {
    let stack = Stack::new("");
    fs::create_dir_all(stack.folder.join("bound/inner")).unwrap();
    stack.write("bound/inner/file", "bound\n");
    stack.write(
        "compose.yaml",
        r#"
services:
  web:
    image: test
    user: root
    volumes:
      - data:/data
      - { type: volume, source: data, target: /part, volume: { subpath: sub } }
      - { type: volume, source: bound, target: /bound }
      - { type: volume, source: memory, target: /memory }
      - { type: tmpfs, target: /tmpfs, tmpfs: { size: 2m, mode: 0700 } }
      - { type: image, source: test, target: /image, image: { subpath: etc } }
      - { type: bind, source: ./bound, target: /read, read_only: true, consistency: cached }
      - ./made:/made
    tmpfs: ["/own:size=1m,mode=1770,uid=1234,gid=2345,exec"]
    depends_on: { init: { condition: service_completed_successfully } }
  init: { image: test, user: root, command: [mkdir, -p, /data/sub], volumes: ["data:/data"] }
  other: { image: test, volumes_from: ["web:ro"] }
  bare: { image: test, user: root, volumes: [{ type: volume, source: empty, target: /data, volume: { nocopy: true } }] }
volumes:
  data: {}
  empty: {}
  bound: { driver: local, driver_opts: { type: none, o: bind, device: ./bound } }
  memory: { driver_opts: { type: tmpfs, device: tmpfs, o: "size=3m,uid=1234" } }
"#,
    );
    stack.run(&["up", "-d"]).ok();
    stack.inside("web", "cat /data/content").ok().says("from the image");
    stack.inside("web", "touch /part/x && ls /data/sub").ok().says("x");
    assert_eq!(stack.line("bare", "ls /data"), "", "what the image has there is not copied");
    stack.inside("web", "cat /bound/inner/file; echo new > /bound/new").ok().says("bound");
    assert_eq!(stack.read("bound/new"), "new\n");
    let size = |path: &str| stack.line("web", &format!("df -k {path} | tail -1 | sed 's/  */ /g' | cut -d' ' -f2"));
    assert_eq!((size("/memory"), size("/tmpfs"), size("/own")), ("3072".into(), "2048".into(), "1024".into()));
    assert_eq!(stack.line("web", "stat -c %u /memory"), "1234");
    assert_eq!(stack.line("web", "stat -c %a /tmpfs"), "700");
    assert_eq!(stack.line("web", "stat -c '%a %u %g' /own"), "1770 1234 2345");
    stack.inside("web", "cat /image/passwd").ok().says("ann");
    stack.inside("web", "touch /image/x").code(1);
    stack.inside("web", "cat /read/inner/file; touch /read/x").code(1).says("bound");
    assert!(stack.folder.join("made").is_dir(), "the short form makes the folder");
    stack.inside("other", "cat /bound/inner/file; touch /data/y").code(1).says("bound").says("Read-only");
    stack.down();
}

#[test]
fn mounts_below_a_bind_come_along_or_not() {
    let stack = Stack::new(
        r#"
services:
  web:
    image: test
    volumes:
      - { type: bind, source: ./top, target: /all }
      - { type: bind, source: ./top, target: /flat, bind: { recursive: disabled } }
      - { type: bind, source: ./top, target: /read, read_only: true, bind: { recursive: writable } }
      - { type: bind, source: ./top, target: /deep, read_only: true, bind: { recursive: readonly } }
      - { type: bind, source: ./slave, target: /slave, bind: { propagation: rslave, selinux: z } }
"#,
    );
    let folder = stack.folder.display().to_string();
    stack.world.sh(&format!("mkdir -p {folder}/top/sub {folder}/slave/sub && mount -t tmpfs none {folder}/top/sub && touch {folder}/top/sub/file && mount --bind {folder}/slave {folder}/slave && mount --make-rshared {folder}/slave")).ok();
    stack.run(&["up", "-d"]).ok();
    stack.inside("web", "ls /all/sub").ok().says("file");
    assert_eq!(stack.line("web", "ls /flat/sub"), "");
    stack.inside("web", "touch /read/sub/x").ok();
    stack.inside("web", "touch /deep/sub/y").code(1);
    stack.world.sh(&format!("mount -t tmpfs none {folder}/slave/sub && touch {folder}/slave/sub/late")).ok();
    stack.inside("web", "ls /slave/sub").ok().says("late");
    stack.world.sh(&format!("umount {folder}/slave/sub {folder}/slave {folder}/top/sub")).ok();
    stack.down();
}

#[test]
fn secrets_and_configs_of_every_source() {
    let stack = Stack::new(
        r#"
services:
  web:
    image: test
    user: root
    secrets: [plain, { source: variable, target: other, uid: "1234", gid: "2345", mode: 0440 }]
    configs:
      - text
      - { source: file, target: /etc/file.conf, uid: "1234", gid: "2345", mode: 0400 }
      - shown
secrets:
  plain: { file: ./plain }
  variable: { environment: THE_SECRET }
configs:
  text: { content: "hello ${WHO:-world}\n" }
  file: { file: ./plain }
  shown: { environment: THE_SECRET }
"#,
    );
    stack.write("plain", "from a file");
    stack.write(".env", "THE_SECRET=from a variable\n");
    stack.run(&["up", "-d"]).ok();
    assert_eq!(stack.line("web", "cat /run/secrets/plain"), "from a file");
    assert_eq!(
        stack.line("web", "cat /run/secrets/other; stat -c ' %a %u %g' /run/secrets/other"),
        "from a variable 440 1234 2345"
    );
    assert_eq!(stack.line("web", "cat /text"), "hello world");
    assert_eq!(
        stack.line("web", "cat /etc/file.conf; stat -c ' %a %u %g' /etc/file.conf"),
        "from a file 400 1234 2345"
    );
    assert_eq!(stack.line("web", "cat /shown"), "from a variable");
    stack.down();
}

#[test]
fn what_is_external_must_be_there() {
    refused(
        "services:\n  web: {image: test, volumes: ['outer:/v']}\nvolumes: {outer: {external: true}}\n",
        &["external"],
    );
    refused("services:\n  web: {image: test, networks: [n]}\nnetworks: {n: {external: true}}\n", &["external"]);
    refused(
        "services:\n  web: {image: test, volumes: ['outer:/v']}\nvolumes: {outer: {driver: other}}\n",
        &["driver `other`"],
    );
    refused("services:\n  web: {image: test, secrets: [s]}\nsecrets: {s: {external: true}}\n", &["external"]);
}

#[test]
fn an_external_volume_is_shared_by_its_name() {
    let stack = Stack::new(
        "services:\n  web: {image: test, user: root, volumes: ['outer:/outer', 'own:/own']}\nvolumes:\n  outer: {external: true, name: the-outer}\n  own: {name: the-own}\n",
    );
    stack.run(&["volume", "create", "the-outer"]).ok();
    stack.run(&["up", "-d"]).ok();
    stack.inside("web", "echo kept > /outer/x").ok();
    stack.run(&["volume", "ls"]).ok().says("the-own").says("the-outer");
    stack.run(&["down", "-v", "-t", "0"]).ok();
    assert!(!stack.run(&["volume", "ls"]).ok().stdout.contains("the-own"));
    stack.run(&["up", "-d"]).ok();
    assert_eq!(stack.line("web", "cat /outer/x"), "kept");
    stack.run(&["down", "-v", "-t", "0"]).ok();
    stack.run(&["volume", "rm", "the-outer"]).ok();
    stack.world.assert_clean();
}
