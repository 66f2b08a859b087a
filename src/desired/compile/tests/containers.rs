//! What one container is made of.

use super::*;

#[test]
fn entrypoint_and_command_follow_dockers_rules() {
    let argv = |yaml: &str| one(yaml, |_| {}).spec.argv.join(" ");
    assert_eq!(argv("    image: x"), "/entry serve");
    assert_eq!(argv("    command: [a, b]"), "/entry a b");
    assert_eq!(argv("    command: []"), "/entry serve", "docker departs from the specification");
    assert_eq!(argv("    entrypoint: []"), "serve");
    assert_eq!(argv("    entrypoint: [/bin/sh]"), "/bin/sh");
    assert_eq!(argv("    entrypoint: [/bin/sh]\n    command: [-c, x]"), "/bin/sh -c x");
    assert_eq!(argv("    entrypoint: ['']\n    command: [x]"), "x");
    assert_eq!(error("    entrypoint: ['']"), "command: no command is given, neither here nor by the image");
}

#[test]
fn exposed_ports_are_of_one_form_and_the_images_are_no_part_of_the_hash() {
    let made = |yaml: &str, of_image: &str| {
        one(yaml, |image| image.exposed_ports = of_image.split_whitespace().map(str::to_owned).collect())
    };
    let spec = made("    expose: [99, '100/UDP', '7000-7002', '6379:6380']", "80/tcp 53").spec;
    assert_eq!(Vec::from_iter(&spec.exposed), ["100/udp", "6380/tcp", "7000-7002/tcp", "99/tcp"]);
    assert_eq!(Vec::from_iter(&spec.image_exposed), ["53/tcp", "80/tcp"]);
    let hash = |yaml: &str, of_image: &str| made(yaml, of_image).hash;
    assert_eq!(hash("    expose: [99]", ""), hash("    expose: [99]", "80/tcp"), "the image's id stands for them");
    assert_ne!(hash("    expose: [99]", ""), hash("    expose: [98]", ""));
}

#[test]
fn environment_goes_over_the_images_and_null_takes_away() {
    let env = |yaml: &str| one(yaml, |_| {}).spec.env;
    assert_eq!(env("    image: x"), ["A=image", "B=image", "PATH=/bin"]);
    let written = "    tty: true\n    environment: {A: file, B: null, C: 'x=y', PATH: null}";
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(env(written), ["A=file", "C=x=y", path, "TERM=xterm"]);
}

#[test]
fn user_and_working_directory_come_from_the_file_or_the_image() {
    let spec = one("    image: x", |_| {}).spec;
    assert_eq!((spec.user.as_str(), spec.cwd.as_str()), ("app", "/srv"));
    let spec = one("    user: '0'\n    working_dir: /a/../b/", |_| {}).spec;
    assert_eq!((spec.user.as_str(), spec.cwd.as_str()), ("0", "/b"));
    assert_eq!(one("    image: x", |image| image.working_dir.clear()).spec.cwd, "/");
    assert_eq!(error("    working_dir: a"), "working_dir: `a` is not an absolute path");
}

#[test]
fn labels_are_composes_and_no_image_can_forge_them() {
    let mut request = request();
    request.source = Source {
        working_dir: "/w".into(),
        config_files: vec!["/w/a.yaml".into(), "/w/b.yaml".into()],
        environment_files: vec!["/w/.env".into()],
        ..Source::default()
    };
    let yaml = "
services:
  web:
    labels: {mine: x, image: file}
    depends_on: {db: {condition: service_healthy, restart: true}, cache: {condition: service_started}}
  db: {healthcheck: {test: [CMD, x]}}
  cache: {}
";
    let project = project(yaml);
    let mut images = images(&project);
    let labels = &mut images.get_mut("web").unwrap().labels;
    labels.insert("com.docker.compose.project".into(), "other".into());
    labels.insert("com.docker.compose.hook".into(), "x".into());
    labels.insert("image".into(), "image".into());
    let desired = compile(&project, &images, &Leases::default(), &request).unwrap();
    let web = &desired.containers["shop-web-1"];
    let mut labels = web.spec.labels.clone();
    assert_eq!(labels.remove("com.docker.compose.config-hash").unwrap().len(), 64);
    let text: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    insta::assert_snapshot!(text.join("\n"), @r"
    com.docker.compose.container-number=1
    com.docker.compose.depends_on=cache:service_started:false,db:service_healthy:true
    com.docker.compose.image=sha256:aa
    com.docker.compose.oneoff=False
    com.docker.compose.project=shop
    com.docker.compose.project.config_files=/w/a.yaml,/w/b.yaml
    com.docker.compose.project.environment_file=/w/.env
    com.docker.compose.project.working_dir=/w
    com.docker.compose.service=web
    com.docker.compose.version=2.40.3
    image=file
    mine=x
    ");
    let network = &desired.networks["shop_default"].labels;
    assert_eq!(network["com.docker.compose.network"], "default");
    assert_eq!(network["com.docker.compose.project"], "shop");
}

#[test]
fn capabilities_are_dockers_fourteen_with_additions_and_drops() {
    let caps = |yaml: &str| one(yaml, |_| {}).spec.security.capabilities;
    assert_eq!(caps("    image: x").len(), 14);
    let mut expected = caps("    image: x");
    expected.retain(|name| name != "CHOWN");
    expected.push("NET_ADMIN".into());
    expected.sort();
    assert_eq!(caps("    cap_add: [net_admin]\n    cap_drop: [CAP_CHOWN]"), expected);
    assert_eq!(caps("    cap_add: [KILL]\n    cap_drop: [ALL]"), ["KILL"]);
    assert_eq!(caps("    cap_drop: [all]").len(), 0);
    let all = caps("    privileged: true");
    assert_eq!(caps("    cap_add: [ALL]"), all);
    assert_eq!(caps("    cap_add: [ALL]\n    cap_drop: [SYS_ADMIN]").len(), all.len() - 1);
    assert_eq!(error("    cap_add: [KILL, FLY]"), "cap_add[1]: `FLY` is no capability");
}

#[test]
fn security_options() {
    let security = one("    security_opt: ['no-new-privileges:true', 'seccomp=unconfined', 'label:disable', 'systempaths=unconfined', 'apparmor=p']", |_| {}).spec.security;
    assert!(security.no_new_privileges && security.unmasked);
    assert_eq!(security.seccomp, Seccomp::Unconfined);
    assert_eq!(security.label, ["disable"]);
    assert_eq!(security.apparmor.as_deref(), Some("p"));
    assert!(one("    privileged: true", |_| {}).spec.security.seccomp == Seccomp::Unconfined);
    assert!(error("    security_opt: [what]").starts_with("security_opt[0]: `what` is unknown"));
    assert!(
        error("    security_opt: ['seccomp=./p.json']").starts_with("security_opt[0]: cannot read seccomp profile")
    );
}

#[test]
fn kernel_parameters_belong_to_the_containers_own_namespaces() {
    let sysctls = |yaml: &str| one(yaml, |_| {}).spec.sysctls;
    let two = sysctls("    image: x");
    assert_eq!(two["net.ipv4.ip_unprivileged_port_start"], "0");
    assert_eq!(two["net.ipv4.ping_group_range"], "0 2147483647");
    assert!(sysctls("    network_mode: host").is_empty());
    assert_eq!(
        sysctls("    sysctls: {net.ipv4.ip_unprivileged_port_start: '1024'}")["net.ipv4.ip_unprivileged_port_start"],
        "1024"
    );
    assert!(error("    sysctls: {kernel.panic: '1'}").contains("would change the whole machine"));
    assert!(error("    network_mode: host\n    sysctls: {net.core.somaxconn: '1'}").contains("network namespace"));
}

#[test]
fn limits() {
    let resources = |yaml: &str| one(yaml, |_| {}).spec.resources;
    let none = resources("    image: x");
    assert_eq!((none.pids, none.memory, none.cpu_quota), (Some(8192), None, None));
    let some = resources("    mem_limit: 64m\n    cpus: 1.5\n    pids_limit: 0\n    cpu_shares: 1");
    assert_eq!((some.memory, some.memory_swap), (Some(64 << 20), Some(128 << 20)));
    assert_eq!(
        (some.cpu_quota, some.cpu_period, some.pids, some.cpu_shares),
        (Some(150_000), Some(100_000), Some(-1), Some(2))
    );
    let deploy = resources(
        "    deploy: {resources: {limits: {cpus: '0.5', memory: 32m, pids: 9}, reservations: {memory: 16m}}}",
    );
    assert_eq!((deploy.memory, deploy.memory_reservation, deploy.pids), (Some(32 << 20), Some(16 << 20), Some(9)));
    assert_eq!(deploy.cpu_quota, Some(50_000));
    assert!(error("    mem_limit: 1m").starts_with("mem_limit: "));
    assert!(error("    memswap_limit: 32m").starts_with("memswap_limit: "));
    assert!(error("    mem_limit: 32m\n    memswap_limit: 16m").starts_with("memswap_limit: "));
    assert!(error("    cpus: 1\n    cpu_quota: 1000").starts_with("cpus: "));
    assert!(error("    oom_score_adj: 2000").starts_with("oom_score_adj: "));
    assert!(error("    ulimits: {nofile: {soft: 2, hard: 1}}").starts_with("ulimits.nofile: "));
    assert!(error("    ulimits: {files: 1}").starts_with("ulimits.files: "));
    let unlimited = one("    ulimits: {core: -1}", |_| {}).spec.ulimits["core"];
    assert_eq!(unlimited, Ulimit { soft: u64::MAX, hard: u64::MAX });
}

#[test]
fn mounts_of_every_kind_outermost_first() {
    let yaml = "
services:
  web:
    volumes:
      - {type: bind, source: /src, target: /app/src, bind: {create_host_path: true}}
      - {type: volume, source: data, target: /app, volume: {nocopy: true}}
      - {type: volume, target: /app/src/cache}
      - {type: bind, source: /etc/x, target: /x, read_only: true, bind: {create_host_path: false}}
    tmpfs: ['/run:size=1m,mode=700,uid=5,exec']
volumes: {data: {}}
";
    let project = project(yaml);
    let mut images = images(&project);
    images.get_mut("web").unwrap().volumes = ["/app/".into(), "/var/lib".into()].into();
    let desired = compile(&project, &images, &Leases::default(), &request()).unwrap();
    let spec = &desired.containers["shop-web-1"].spec;
    let targets: Vec<&str> = spec.mounts.iter().map(|mount| mount.target.as_str()).collect();
    assert_eq!(targets, ["/app", "/run", "/x", "/app/src", "/var/lib", "/app/src/cache"]);
    let MountSource::Tmpfs { size, mode, options } = &spec.mounts[1].source else { panic!("{:?}", spec.mounts[1]) };
    assert_eq!((*size, *mode), (1 << 20, Some(0o700)));
    assert_eq!(options, &["nosuid", "nodev", "uid=5", "exec"]);
    let MountSource::Bind { create, recursive_read_only, .. } = &spec.mounts[2].source else { panic!() };
    assert!(!create && *recursive_read_only);
    let volumes: Vec<(usize, bool)> =
        desired.volumes.values().map(|volume| (volume.name.len(), volume.anonymous)).collect();
    assert_eq!(volumes.iter().filter(|one| **one == (64, true)).count(), 2);
    assert!(desired.volumes.contains_key("shop_data"));
}

#[test]
fn the_size_of_a_tmpfs_may_be_a_part_of_the_memory() {
    let of = |written: &str| {
        let spec = one(&format!("    tmpfs: ['/t:{written}']"), |_| {}).spec;
        let MountSource::Tmpfs { size, options, .. } = &spec.mounts[0].source else { panic!("{:?}", spec.mounts[0]) };
        (*size, options[3..].join(","))
    };
    assert_eq!(of("size=10%"), (0, "size=10%".to_owned()));
    assert_eq!(of("size=0,rprivate"), (0, "size=0".to_owned()));
    assert_eq!(of("size=150%,uid=1,size=1m"), (1 << 20, "uid=1".to_owned()));
    assert!(error("    tmpfs: ['/t:size=%']").contains("is not a size"));
    assert!(error("    tmpfs: ['/t:size=1.5%']").contains("is not a size"));
}

#[test]
fn mounts_that_cannot_be() {
    assert!(error("    volumes: [{type: volume, source: data, target: /x}]").contains("is not declared"));
    assert!(error("    volumes: [{type: bind, source: /x, target: /}]").contains("over the root"));
    assert!(error("    volumes: [{type: volume, target: /x}]\n    tmpfs: [/x]").contains("mounted twice"));
    assert!(error("    volumes: [{type: npipe, source: x, target: /x}]").contains("Windows"));
}

#[test]
fn volumes_from_takes_what_the_other_has() {
    let desired = up("
services:
  web: {volumes_from: ['db:ro'], depends_on: {db: {}}, volumes: [{type: bind, source: /s, target: /conf}]}
  db: {volumes: [{type: volume, target: /data}, {type: bind, source: /c, target: /conf}]}
");
    let (web, db) = (&desired.containers["shop-web-1"].spec, &desired.containers["shop-db-1"].spec);
    assert_eq!(web.mounts[1].source, db.mounts[1].source);
    assert!(web.mounts[1].read_only && !db.mounts[1].read_only);
    assert!(matches!(&web.mounts[0].source, MountSource::Bind { path, .. } if path.as_os_str() == "/s"));
}

#[test]
fn volumes_from_takes_what_a_container_of_another_project_has() {
    let yaml = "services: {web: {volumes_from: ['container:other-db-1:ro']}}";
    let project = project(yaml);
    let source = MountSource::Volume { name: "other_data".into(), subpath: String::new(), copy: true };
    let mut request = request();
    assert_eq!(wanted_lenders(&project), ["other-db-1".to_owned()].into());
    request.lenders.insert(
        "other-db-1".into(),
        Some(vec![MountSpec { target: "/data".into(), source: source.clone(), read_only: false }]),
    );
    let desired = compile(&project, &images(&project), &Leases::default(), &request).unwrap();
    let mounts = &desired.containers["shop-web-1"].spec.mounts;
    assert_eq!(mounts.as_slice(), [MountSpec { target: "/data".into(), source, read_only: true }]);
    assert_eq!(desired.volumes["other_data"].project, None, "it must be there, and is not removed");
    assert!(errors(yaml)[0].contains("there is no container `other-db-1`"));
}

#[test]
fn secrets_and_configs() {
    let yaml = "
services:
  web:
    secrets: [{source: a, target: /run/secrets/a}, {source: b, target: inner/b, uid: '5', mode: 256}]
    configs: [{source: c}]
secrets: {a: {file: /s/a}, b: {environment: B}}
configs: {c: {content: hello}}
";
    let mut project = project(yaml);
    project.secrets.get_mut("b").unwrap().value = Some(crate::compose::model::Sensitive::new("hush"));
    let mut request = request();
    assert_eq!(wanted_files(&project, &request.source), ["/s/a".into()].into());
    request.files.insert("/s/a".into(), Ok(b"x".to_vec()));
    let desired = compile(&project, &images(&project), &Leases::default(), &request).unwrap();
    let files = &desired.containers["shop-web-1"].spec.files;
    let targets: Vec<&str> = files.iter().map(|file| file.target.as_str()).collect();
    assert_eq!(targets, ["/c", "/run/secrets/a", "/run/secrets/inner/b"]);
    assert_eq!((files[2].uid, files[2].mode), (Some(5), Some(0o400)));
    assert!(!format!("{files:?}").contains("hush"));
    request.files.insert("/s/a".into(), Err("no such file".into()));
    let errors = compile(&project, &images(&project), &Leases::default(), &request).unwrap_err();
    assert_eq!(errors[0].to_string(), "secrets.a: cannot read /s/a: no such file");
    assert!(errors.iter().all(|error| error.help.is_some()), "{errors:?}");
    project.secrets.get_mut("b").unwrap().value = None;
    let errors = compile(&project, &images(&project), &Leases::default(), &request).unwrap_err();
    assert!(errors.iter().any(|error| error.path == "secrets.b" && error.message.contains("`B` is not set")));
}

#[test]
fn restart_policies() {
    let policy = |yaml: &str| one(yaml, |_| {}).restart;
    assert_eq!(policy("    image: x"), RestartPolicy::No);
    assert_eq!(policy("    restart: on-failure:3"), RestartPolicy::OnFailure { retries: 3 });
    assert_eq!(policy("    restart: unless-stopped"), RestartPolicy::UnlessStopped);
    let deploy = "    restart: always\n    deploy: {restart_policy: {condition: on-failure, max_attempts: 2}}";
    assert_eq!(policy(deploy), RestartPolicy::OnFailure { retries: 2 });
    let any = "    deploy: {restart_policy: {max_attempts: 2}}";
    assert_eq!(policy(any), RestartPolicy::Attempts { retries: 2 });
    assert!(error("    restart: bogus").starts_with("restart: `bogus` is no restart policy"));
    assert!(error("    restart: always:3").contains("only `on-failure`"));
}

#[test]
fn health_comes_from_file_and_image() {
    let with = |image: &mut ResolvedImage| {
        image.healthcheck = Some(ImageHealthcheck {
            test: vec!["CMD-SHELL".into(), "probe".into()],
            interval: Some(Duration::from_secs(7)),
            ..ImageHealthcheck::default()
        });
    };
    let health = one("    healthcheck: {timeout: 2s, retries: 9}", with).health.unwrap();
    assert_eq!(health.argv, ["/bin/sh", "-c", "probe"]);
    assert_eq!((health.interval, health.timeout), (Duration::from_secs(7), Duration::from_secs(2)));
    assert_eq!((health.retries, health.start_interval), (9, Duration::from_secs(5)));
    assert_eq!(one("    healthcheck: {disable: true}", with).health, None);
    assert_eq!(one("    healthcheck: {test: [NONE]}", with).health, None);
    assert_eq!(one("    healthcheck: {test: [CMD, a, b]}", with).health.unwrap().argv, ["a", "b"]);
    assert!(error("    healthcheck: {test: [a, b]}").starts_with("healthcheck.test: "));
}

#[test]
fn stop_signals() {
    let stop = |yaml: &str| one(yaml, |image| image.stop_signal = Some("SIGQUIT".into())).stop;
    assert_eq!(stop("    image: x"), StopSpec { signal: 3, ..StopSpec::default() });
    assert_eq!(
        stop("    stop_signal: usr1\n    stop_grace_period: 1m"),
        StopSpec { signal: 10, grace: Duration::from_secs(60), kill: false }
    );
    for (text, number) in [("SIGTERM", 15), ("9", 9), ("SIGRTMIN+3", 37), ("RTMAX-1", 63), ("SIGSYS", 31)] {
        assert_eq!(signal(text), Ok(number));
    }
    for text in ["", "SIG", "0", "65", "-1", "RTMIN+99"] {
        assert!(signal(text).is_err(), "{text}");
    }
}

#[test]
fn namespaces_of_others() {
    let desired = up("
services:
  web: {network_mode: 'service:vpn', pid: 'container:x', ipc: host, depends_on: {vpn: {restart: true}}}
  vpn: {container_name: tunnel}
");
    let spec = &desired.containers["shop-web-1"].spec;
    assert_eq!(spec.namespaces.net, NetMode::Container("tunnel".into()));
    assert_eq!(spec.namespaces.pid, NsMode::Container("x".into()));
    assert_eq!(spec.namespaces.ipc, NsMode::Host);
    assert!(spec.endpoints.is_empty() && spec.sysctls.is_empty());
    assert!(error("    network_mode: 'container:x'\n    ports: [{target: 80, protocol: tcp}]").starts_with("ports: "));
    assert!(error("    network_mode: nowhere").starts_with("network_mode: there is no network `nowhere`"));
    assert!(error("    uts: host\n    hostname: x").starts_with("uts: "));
}

#[test]
fn endpoints_in_the_order_of_priority_with_aliases_and_links() {
    let desired = up("
services:
  web:
    networks: {a: {aliases: [www, web]}, b: {priority: 9, interface_name: wan0, mac_address: '02-42-AC-11-00-02'}}
    links: ['db:Store']
    depends_on: {db: {}}
  db: {networks: {a: {}}}
networks: {a: {}, b: {}}
");
    let endpoints = &desired.containers["shop-web-1"].spec.endpoints;
    let names: Vec<(&str, &str)> = endpoints.iter().map(|one| (one.network.as_str(), one.interface.as_str())).collect();
    assert_eq!(names, [("shop_b", "wan0"), ("shop_a", "eth0")]);
    assert_eq!(endpoints[0].mac.as_deref(), Some("02:42:ac:11:00:02"));
    assert_eq!(endpoints[1].aliases, ["shop-web-1", "web", "www"]);
    assert_eq!(endpoints[1].links["store"], "db");
    assert!(endpoints.iter().all(|one| one.ipv4.is_some() && !one.fixed));
}

#[test]
fn a_name_that_a_link_is_given_is_not_given_to_another() {
    let desired = up("
services:
  web: {networks: {a: {}, b: {interface_name: eth0}, c: {}, d: {driver_opts: {com.docker.network.endpoint.ifname: eth2}}}}
networks: {a: {}, b: {}, c: {}, d: {}}
");
    let endpoints = &desired.containers["shop-web-1"].spec.endpoints;
    let names: Vec<&str> = endpoints.iter().map(|one| one.interface.as_str()).collect();
    assert_eq!(names, ["eth1", "eth0", "eth3", "eth2"]);
}

#[test]
fn bridge_mode_has_no_names_of_services() {
    let desired = up("services: {web: {network_mode: bridge}}");
    let endpoint = &desired.containers["shop-web-1"].spec.endpoints[0];
    assert_eq!(
        (endpoint.network.as_str(), endpoint.aliases.as_slice()),
        ("shop_bridge", &["shop-web-1".to_owned()][..])
    );
}

#[test]
fn ports_and_their_clashes() {
    let ports = one("    ports: [{target: 80, published: '8080', protocol: tcp}, {target: 53, protocol: udp, host_ip: 127.0.0.1}, {target: 1, published: 9000-9010}]", |_| {}).spec.ports;
    assert_eq!((ports[0].published, ports[0].published_end), (8080, 8080));
    assert_eq!((ports[1].published, ports[1].protocol), (0, Protocol::Udp));
    assert_eq!((ports[2].published, ports[2].published_end), (9000, 9010));
    assert!(error("    ports: [{target: 80, protocol: sctp}]").starts_with("ports[0]: protocol `sctp`"));
    let scaled = error("    scale: 2\n    ports: [{target: 80, published: '80'}]");
    assert_eq!(scaled, "ports[0]: containers of `web` cannot share host port 80:80");
    let clash = |one: &str, other: &str| {
        errors(&format!(
            "services:\n  a: {{ports: [{{target: 1, published: '80'{one}}}]}}\n  b: {{ports: [{{target: 1, published: '80'{other}}}]}}"
        ))
    };
    assert_eq!(
        clash("", ", host_ip: 127.0.0.1"),
        ["services.b.ports[0]: host port 80/tcp is published by service `a` too"]
    );
    assert!(clash(", host_ip: 127.0.0.2", ", host_ip: 127.0.0.1").is_empty());
    assert!(clash(", protocol: udp", "").is_empty());
    assert!(clash(", host_ip: 0.0.0.0", ", host_ip: '::'").is_empty());
}

#[test]
fn hosts_and_resolvers() {
    let spec =
        one("    extra_hosts: ['a=1.2.3.4', 'b=::1', 'host.docker.internal=host-gateway']\n    dns: [9.9.9.9]", |_| {})
            .spec;
    assert_eq!(spec.extra_hosts[1], ("b".to_owned(), "::1".to_owned()));
    assert_eq!(spec.extra_hosts[2].1, "host-gateway");
    assert!(error("    extra_hosts: ['a=b']").starts_with("extra_hosts[0]: "));
    assert!(error("    volumes: [{type: volume, target: 'd:/d'}]").contains("write `./d:/d` for a folder"));
    assert!(error("    dns: [x]").starts_with("dns[0]: "));
}

#[test]
fn what_cannot_be_honoured_is_told_at_its_place() {
    for (yaml, path) in [
        ("    devices: [{source: 'nvidia.com/gpu', target: 'nvidia.com/gpu'}]", "devices[0]: "),
        ("    gpus: [{driver: other}]", "gpus[0]: "),
        ("    device_cgroup_rules: ['x']", "device_cgroup_rules[0]: "),
    ] {
        let error = error(yaml);
        assert!(error.starts_with(path), "{error}");
    }
}

#[test]
fn where_systemd_runs_the_machine_a_group_above_is_a_slice() {
    let told = |parent: &str, systemd: bool| {
        let project = project(&format!("services:\n  web: {{cgroup_parent: {parent}}}\n"));
        let request = Request { systemd, ..request() };
        let result = compile(&project, &images(&project), &Leases::default(), &request);
        result.map(|desired| desired.containers.into_values().next().unwrap().spec.resources.parent)
    };
    assert_eq!(told("a-b.slice", true).unwrap().as_deref(), Some("a-b.slice"));
    assert_eq!(told("/a/b", false).unwrap().as_deref(), Some("/a/b"));
    let errors = told("/a/b", true).unwrap_err();
    assert_eq!(errors[0].path, "services.web.cgroup_parent");
    assert_eq!(errors[0].message, "systemd runs this machine, and `/a/b` is no name of a slice");
    assert!(errors[0].help.as_deref().unwrap().contains("NAME.slice"));
}

#[test]
fn texts_that_the_kernel_would_refuse_or_misread() {
    for (yaml, path) in [
        ("    command: [\"a\\0b\"]", "command: "),
        ("    environment: {'': x}", "environment.: "),
        ("    environment: {A: \"x\\0\"}", "environment.A: "),
        ("    hostname: \"a\\nb\"", "hostname: "),
        ("    sysctls: {'net.x/../../kernel.panic': '1'}", "sysctls.net.x/../../kernel.panic: "),
        ("    sysctls: {'fs.mqueue.../panic': '1'}", "sysctls.fs.mqueue.../panic: "),
        ("    cgroup_parent: ../x", "cgroup_parent: "),
        ("    volumes: [{type: bind, source: x, target: /x}]", "volumes[0]: "),
    ] {
        let error = error(yaml);
        assert!(error.starts_with(path), "{error}");
    }
}
