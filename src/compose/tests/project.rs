//! Finding the files, variables, profiles, selection, names, the typed project.

use std::time::Duration;

use super::Stage;
use crate::compose::config::{self, Format};
use crate::compose::model::Condition;
use crate::compose::{LoadOptions, load, project_name, support};

#[test]
fn files_are_found_above_and_overrides_beside() {
    let stage = Stage::new(&[
        ("app/compose.yaml", "services:\n  s: {image: \"i:$TAG\"}\n"),
        ("app/compose.override.yml", "services:\n  s: {user: u}\n"),
        ("app/.env", "TAG=1\n"),
        ("app/deep/down/x", ""),
    ]);
    let options = LoadOptions { cwd: stage.options.cwd.join("app/deep/down"), ..stage.options.clone() };
    let loaded = load(&options).expect("valid");
    let service = &loaded.project.services["s"];
    assert_eq!((service.image.as_deref(), service.user.as_deref()), (Some("i:1"), Some("u")));
    assert_eq!(loaded.project.name.as_str(), "app");
    assert_eq!(loaded.config_files.len(), 2);
    assert!(stage.above().is_dir());
}

#[test]
fn compose_file_may_stand_in_dot_env() {
    let stage = Stage::new(&[
        ("a.yaml", "services:\n  s: {image: i}\n"),
        (".env", "COMPOSE_FILE=a.yaml\nCOMPOSE_PROJECT_NAME=p\n"),
    ]);
    assert_eq!(stage.load().expect("valid").project.name.as_str(), "p");
    let stage = stage.env("COMPOSE_DISABLE_ENV_FILE", "1");
    assert!(stage.wrong().contains("no compose file"), "{}", stage.wrong());
    let stage = stage.env("COMPOSE_DISABLE_ENV_FILE", "F");
    assert_eq!(stage.load().expect("valid").project.name.as_str(), "p");
    let stage = stage.env("COMPOSE_DISABLE_ENV_FILE", "yes");
    assert!(stage.wrong().contains("error[E0110]: `COMPOSE_DISABLE_ENV_FILE` cannot be `yes`"), "{}", stage.wrong());
}

#[test]
fn compose_file_has_no_empty_entry() {
    let stage = Stage::new(&[("a.yaml", "services: {s: {image: i}}\n"), ("docker-compose.yml", "services: {}\n")]);
    for (value, told) in [("", "names no file"), ("a.yaml:", "is empty: `a.yaml:`"), (":a.yaml", "is empty")] {
        let options =
            LoadOptions { env: [("COMPOSE_FILE".to_owned(), value.to_owned())].into(), ..stage.options.clone() };
        let wrong = load(&options).expect_err(value).to_string();
        assert!(wrong.contains("error[E0110]") && wrong.contains(told), "{wrong}");
    }
}

#[test]
fn compose_files_may_be_utf_16() {
    let text = "services: {s: {image: i, user: é🎉}}\n";
    let stage = Stage::new(&[("compose.yaml", "")]);
    let file = stage.options.cwd.join("compose.yaml");
    let write = |mark: &[u8], bytes: &dyn Fn(u16) -> [u8; 2]| {
        let text: Vec<u8> = text.encode_utf16().flat_map(bytes).collect();
        std::fs::write(&file, [mark, &text].concat()).expect("files can be written");
    };
    write(&[0xff, 0xfe], &u16::to_le_bytes);
    assert!(stage.config().contains("user: \"é\\U0001F389\""), "{}", stage.config());
    write(&[0xfe, 0xff], &u16::to_be_bytes);
    assert!(stage.config().contains("user: \"é"), "{}", stage.config());
    write(&[0xff, 0xfe], &u16::to_be_bytes);
    assert!(stage.wrong().contains("E0"), "{}", stage.wrong());
    std::fs::write(&file, [0xff, 0xfe, b'a']).expect("files can be written");
    assert!(stage.wrong().contains("it begins as UTF-16 text and is none"), "{}", stage.wrong());
}

#[test]
fn names() {
    let stage =
        Stage::new(&[("compose.yaml", "name: ${X:-My App}\nservices:\n  s: {image: \"$COMPOSE_PROJECT_NAME\"}\n")]);
    let name = |options: &LoadOptions| project_name(options).map_err(|e| e.to_string());
    assert_eq!(name(&stage.options).as_deref(), Ok("myapp"));
    assert!(stage.config().contains("image: myapp"));
    let given = LoadOptions { project_name: Some("p2".to_owned()), ..stage.options.clone() };
    assert_eq!(name(&given).as_deref(), Ok("p2"));
    let bad = LoadOptions { project_name: Some("P 2".to_owned()), ..stage.options.clone() };
    assert!(name(&bad).is_err_and(|e| e.contains("as `p2`")));
    let stage = Stage::new(&[("compose.yaml", "name: 123\nservices: {}\n")]);
    assert!(stage.wrong().contains("must be text"));
}

#[test]
fn variables_come_from_the_caller_first() {
    let files = [
        ("compose.yaml", "services:\n  s: {image: \"$A-$B-$C\"}\n"),
        (".env", "A=dot\nB=dot\n"),
        ("e.env", "A=e\nC=${A}c\n"),
    ];
    let stage = Stage::new(&files).env("B", "caller");
    assert!(stage.config().contains("image: dot-caller-"));
    let options = LoadOptions { env_files: vec!["e.env".to_owned()], ..stage.options.clone() };
    let loaded = load(&options).expect("valid");
    assert_eq!(loaded.project.services["s"].image.as_deref(), Some("e-caller-ec"));
    let warnings: Vec<String> = stage.load().expect("valid").warnings.into_iter().map(|w| w.message).collect();
    assert_eq!(warnings, ["the variable `C` is not set, so it is empty"]);
}

#[test]
fn env_file_stands_below_environment() {
    let stage = Stage::new(&[
        ("compose.yaml", "services:\n  s:\n    image: i\n    env_file: [a.env, {path: none.env, required: false}, {path: r.env, format: raw}]\n    environment: {A: own, BARE: , INHERITED: }\n"),
        ("a.env", "A=file\nB=${A}-${P}\n"),
        ("r.env", "R='$A'\n"),
    ])
    .env("P", "p")
    .env("INHERITED", "yes");
    let loaded = stage.load().expect("valid");
    let environment = &loaded.project.services["s"].environment;
    let value = |name: &str| environment.get(name).cloned().flatten();
    assert_eq!(value("A").as_deref(), Some("own"));
    assert_eq!(value("B").as_deref(), Some("own-p"));
    assert_eq!(value("R").as_deref(), Some("'$A'"));
    assert_eq!(value("INHERITED").as_deref(), Some("yes"));
    assert_eq!(environment.get("BARE"), Some(&None));
    let stage = Stage::new(&[("compose.yaml", "services:\n  s: {image: i, env_file: gone.env}\n")]);
    assert!(stage.wrong().contains("cannot read the env_file"), "{}", stage.wrong());
}

#[test]
fn profiles_and_selection() {
    let text = "services:\n  a: {image: i}\n  b: {image: i, profiles: [x], depends_on: [c]}\n  c: {image: i, profiles: [x]}\n  d: {image: i, profiles: [y]}\n";
    let stage = Stage::new(&[("compose.yaml", text)]);
    let names = |options: &LoadOptions| config::services(&load(options).expect("valid")).join(" ");
    assert_eq!(names(&stage.options), "a");
    let with = |profiles: &[&str], services: &[&str]| LoadOptions {
        profiles: profiles.iter().map(|p| (*p).to_owned()).collect(),
        services: services.iter().map(|s| (*s).to_owned()).collect(),
        ..stage.options.clone()
    };
    assert_eq!(names(&with(&["x"], &[])), "a b c");
    assert_eq!(names(&with(&["*"], &[])), "a b c d");
    assert_eq!(names(&with(&[], &["b"])), "b c", "naming a service switches its profiles on");
    assert_eq!(config::profiles(&load(&stage.options).expect("valid")), ["x", "y"]);
    assert!(load(&with(&[], &["e"])).is_err());
}

#[test]
fn a_named_service_forgets_optional_dependencies_that_are_off() {
    let text = "services:\n  a: {image: i, depends_on: {b: {condition: service_started, required: false}}}\n  b: {image: i, profiles: [x]}\n";
    let stage = Stage::new(&[("compose.yaml", text)]);
    let has_dependencies = |services: &[&str]| {
        let services = services.iter().map(|s| (*s).to_owned()).collect();
        let loaded = load(&LoadOptions { services, ..stage.options.clone() }).expect("valid");
        config::print(&loaded, Format::Yaml).contains("depends_on")
    };
    assert!(has_dependencies(&[]) && !has_dependencies(&["a"]));
}

#[test]
fn unused_things_are_dropped_and_kept_when_asked() {
    let text = "services:\n  a: {image: i}\nvolumes: {v: }\nnetworks: {n: }\n";
    let stage = Stage::new(&[("compose.yaml", text)]);
    let loaded = stage.load().expect("valid");
    assert!(loaded.project.volumes.is_empty());
    let all = load(&LoadOptions { all_resources: true, ..stage.options.clone() }).expect("valid");
    assert_eq!(all.project.volumes["v"].name, "stage_v");
    assert_eq!(all.project.networks["n"].name, "stage_n");
}

#[test]
fn the_typed_project() {
    let text = "x-a: {b: 1}\nservices:\n  web:\n    image: i\n    depends_on: {db: {condition: service_healthy, restart: true}}\n    ports: ['127.0.0.1:8000-8010:80/udp']\n    network_mode: service:db\n    stop_grace_period: 1m\n    mem_limit: 1g\n    ulimits: {nofile: 7}\n    secrets: [{source: s, mode: 0440}]\n    x-mine: 1\n    deploy: {replicas: 2, resources: {limits: {cpus: '0.5', memory: 1g}}}\n  db: {image: i, healthcheck: {test: [NONE]}}\nsecrets: {s: {environment: HUSH}}\n";
    let stage = Stage::new(&[("compose.yaml", text)]).env("HUSH", "very secret");
    let loaded = stage.load().expect("valid");
    let web = &loaded.project.services["web"];
    assert_eq!(web.depends_on["db"].condition, Condition::ServiceHealthy);
    assert!(web.depends_on["db"].restart && web.depends_on["db"].required);
    let range = web.ports[0].published.expect("a range");
    assert_eq!((range.first, range.last, web.ports[0].target), (8000, 8010, 80));
    assert_eq!(web.stop_grace_period, Some(Duration::from_secs(60)));
    assert_eq!(web.mem_limit, Some(1 << 30));
    assert_eq!((web.ulimits["nofile"].soft, web.ulimits["nofile"].hard), (7, 7));
    assert_eq!(web.secrets[0].mode, Some(0o440));
    assert!(web.extensions.contains_key("x-mine") && loaded.project.extensions.contains_key("x-a"));
    assert_eq!(loaded.project.secrets["s"].value.as_ref().map(|v| v.reveal()), Some("very secret"));
    assert!(!format!("{loaded:?} {:?}", loaded.project).contains("very secret"));
    assert!(!config::print(&loaded, Format::Json).contains("very secret"));
}

#[test]
fn paths_find_their_places() {
    let stage = Stage::new(&[("compose.yaml", "services:\n  web:\n    image: i\n    ports:\n      - '80:80'\n")]);
    let loaded = stage.load().expect("valid");
    let place = |path: &str| loaded.sources.place(loaded.locate(path).expect("known")).map(|p| (p.line, p.column));
    assert_eq!(place("services.web.ports[0]"), Some((5, 9)));
    assert_eq!(place("services.web.ports[0].target"), Some((5, 9)));
    assert_eq!(place("services.web.image"), Some((3, 12)));
    assert!(loaded.locate("networks.default").is_some() || loaded.locate("services").is_some());
}

#[test]
fn what_is_not_done_is_told_with_its_place() {
    let stage = Stage::new(&[(
        "compose.yaml",
        "services:\n  a:\n    image: i\n    use_api_socket: true\n    restart: alwys\n    deploy:\n      placement: {constraints: [x]}\n",
    )]);
    let loaded = stage.load().expect("config passes it");
    let told: Vec<String> =
        support::unsupported(&loaded).into_iter().map(|d| format!("{}: {}", d.severity(), d.message)).collect();
    assert_eq!(
        told,
        [
            "error: `services.a.use_api_socket` cannot be carried out: there is no API socket yet",
            "error: `services.a.restart` cannot be `alwys`",
            "warning: `services.a.deploy.placement.constraints` has no effect: there is one host",
        ]
    );
    assert_eq!(support::refused(&loaded).len(), 2);
}

#[test]
fn ports_that_mean_nothing_are_told_once() {
    let stage = Stage::new(&[(
        "compose.yaml",
        "services:\n  a: {image: i, network_mode: host, ports: ['80:80']}\n  b: {image: i, networks: [lan], ports: ['81:80']}\n  \
         c: {image: i, networks: [lan, net], ports: ['82:80']}\nnetworks: {net: {}, lan: {driver: macvlan}}\n",
    )]);
    let told = support::without_effect(&stage.load().expect("valid"));
    let messages: Vec<&str> = told.iter().map(|diag| diag.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "`services.a.ports` has no effect: on the host's network each port is the host's already",
            "`services.b.ports` has no effect: on a macvlan or ipvlan a container is reached by its own address",
        ]
    );
    assert!(told.iter().all(|diag| diag.once));
}

#[test]
fn values_that_nobody_carries_out() {
    let refused = |line: &str| {
        let text = format!("services:\n  a:\n    image: i\n    {line}\n");
        let stage = Stage::new(&[("compose.yaml", &text)]);
        support::refused(&stage.load().expect("config passes it")).len()
    };
    for (line, count) in [
        ("expose: [80, '80/udp']", 0),
        ("expose: [http, '70000']", 2),
        ("deploy: {mode: global}", 0),
        ("deploy: {mode: bogus}", 1),
        ("pull_policy: xalways", 1),
        ("build: ''", 1),
        ("build: .", 0),
        ("userns_mode: host", 0),
        ("userns_mode: x", 1),
        ("isolation: default", 0),
        ("isolation: hyperv", 1),
        ("volumes: [{type: npipe, source: a, target: /b}]", 1),
        ("volumes: [/b]", 0),
    ] {
        assert_eq!(refused(line), count, "{line}");
    }
}

#[test]
fn what_config_prints_and_nobody_uses() {
    let text = "services:\n  a:\n    image: i\n    ports: [{target: 70000}]\n    deploy: {mode: bogus}\n    expose: [http]\n    gpus: [{x: 1}]\n";
    let stage = Stage::new(&[("compose.yaml", text)]);
    let printed = super::super::load(&LoadOptions { untyped: true, ..stage.options.clone() }).expect("printed");
    let told: Vec<String> =
        printed.warnings.iter().map(|diag| format!("{} {}", diag.code.number(), diag.message)).collect();
    assert_eq!(
        told,
        [
            "W0610 `services.a.ports[0].target` cannot be 70000; `plan` and `up` refuse it",
            "W0610 `services.a.deploy.mode` cannot be `bogus`; `plan` and `up` refuse it",
            "W0610 `http` is no port: `http` is no number; `plan` and `up` refuse it",
            "W0611 the key `x` in `services.a.gpus[0]` is left out: there is no such attribute",
        ]
    );
    let refused = stage.load().expect_err("no port").to_string();
    for code in ["E0505", "E0504", "E0602", "W0611"] {
        assert_eq!(refused.matches(code).count(), 1, "{code}: {refused}");
    }
}

#[test]
fn where_a_value_came_from() {
    let stage = Stage::new(&[
        (
            "compose.yaml",
            "services:\n  base: {image: i, user: u}\n  web:\n    extends: base\n    ports:\n      - '80:80'\n      - '${PORT:-81}:81'\n",
        ),
        ("compose.more.yaml", "services:\n  web:\n    image: j\n    ports: ['82:82']\n"),
    ]);
    let loaded = super::super::load(&LoadOptions { history: true, ..stage.options.clone() }).expect("valid");
    let origin = |path: &str| loaded.origin(path).expect(path);
    assert_eq!(
        origin("services.web.image"),
        "services.web.image = \"j\"\n  from compose.more.yaml:3:12  image: j\n  steps of services.web.image, a later one replaces it:\n    \
         1. web extends base: compose.yaml:2:17  base: {image: i, user: u}\n    2. compose.more.yaml: compose.more.yaml:3:12  image: j\n"
    );
    let port = origin("services.web.ports[1].published");
    assert!(port.contains("from compose.yaml:7:9") && port.contains("`PORT` is not set"), "{port}");
    assert!(origin("services.web.ports[2]").contains("2. compose.more.yaml: compose.more.yaml:4:5"));
    assert!(origin("services.web.networks.default").contains("implied"), "{}", origin("services.web.networks.default"));
    let wrong = loaded.origin("services.web.imag").expect_err("nothing");
    assert_eq!(wrong.help.as_deref(), Some("did you mean `image`?"));
    assert!(loaded.origin("services.web.ports[9]").expect_err("nothing").help.is_some_and(|h| h.contains("3 entries")));
}

#[test]
fn the_origin_of_what_files_beside_say_and_of_what_is_taken_away() {
    let stage = Stage::new(&[
        (
            "compose.yaml",
            "services:\n  my.web:\n    image: i\n    env_file: [a.env]\n    label_file: l.labels\n    environment: {A: own}\n    ports: ['80:80']\n    dns: [1.1.1.1]\n    labels: {com.example.x: y}\n",
        ),
        ("compose.more.yaml", "services:\n  my.web:\n    ports: !reset []\n    dns: !override [8.8.8.8]\n"),
        ("a.env", "A=file\nB=\"b c\" # note\n"),
        ("l.labels", "# labels\ncom.example.a=1\n"),
    ]);
    let loaded = super::super::load(&LoadOptions { history: true, ..stage.options.clone() }).expect("valid");
    let origin = |path: &str| loaded.origin(path).expect(path).replace(&*stage.root(), "@");
    let label = origin("services.my.web.labels[\"com.example.a\"]");
    assert!(label.contains("= \"1\"\n  from @/l.labels:2:15"), "{label}");
    assert!(origin("services['my.web'].labels.com.example.x").contains("from compose.yaml:9:29"));
    let variable = origin("services.my.web.environment.B");
    assert!(variable.contains("from @/a.env:2:3"), "{variable}");
    let own = origin("services.my.web.environment.A");
    assert!(own.contains("from compose.yaml:6:22") && own.contains("1. @/a.env: @/a.env:1:3"), "{own}");
    let dns = origin("services.my.web.dns[0]");
    assert!(dns.contains("2. compose.more.yaml: compose.more.yaml:4:") && dns.contains("`!override`"), "{dns}");
    let gone = loaded.origin("services.my.web.ports[0]").expect_err("it was reset");
    let told = crate::diag::render(&gone, &loaded.sources);
    assert!(told.contains("compose.more.yaml:3:5") && told.contains("taken away here"), "{told}");
}

#[test]
fn the_output_is_input_again() {
    let text = "services:\n  a:\n    image: i\n    command: ['$$X', 'yes', '1_000', \"a\\nb\"]\n    environment: {A: 'y', B: '2001-01-01', C: '~'}\n    ports: ['80-81:80-81']\n";
    let first = Stage::new(&[("compose.yaml", text)]).config();
    let second = Stage::new(&[("compose.yaml", &first)]).config();
    assert_eq!(first, second);
}
