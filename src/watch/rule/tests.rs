use super::*;

fn project(service: Service) -> Project {
    let mut project = Project::default();
    project.services.insert("web".into(), service);
    project
}

fn declared(path: &str, action: &str) -> WatchRule {
    WatchRule { path: path.into(), action: action.into(), target: Some("/app".into()), ..WatchRule::default() }
}

fn service(rules: Vec<WatchRule>) -> Service {
    Service { develop: Some(crate::compose::model::Develop { watch: rules }), ..Service::default() }
}

fn found(service: Service) -> Rules {
    rules(&project(service), &BTreeSet::new(), &|_| None).expect("rules")
}

fn taken(rule: &Rule, path: &str) -> Option<String> {
    rule.takes(Path::new(path)).map(|path| path.display().to_string())
}

#[test]
fn a_rule_takes_what_is_below_its_path_and_not_ignored() {
    let mut rule = declared("/src", "sync");
    rule.ignore = vec!["node_modules/".into(), "*.log".into(), "!keep.log".into()];
    let rules = found(service(vec![rule])).rules;
    let rule = &rules[0];
    assert_eq!(taken(rule, "/src/a/b.py"), Some("a/b.py".into()));
    assert_eq!(taken(rule, "/src"), Some(String::new()));
    assert_eq!(taken(rule, "/src/keep.log"), Some("keep.log".into()));
    for path in ["/srcs/a", "/", "/src/a.log", "/src/node_modules/x", "/src/a/.git/index", "/src/a/.b.swp", "/src/x~"] {
        assert_eq!(taken(rule, path), None, "{path}");
    }
    assert!(rule.descends(Path::new("/src")) && rule.descends(Path::new("/src/a")));
    for path in ["/src/node_modules", "/src/node_modules/x", "/src/.git", "/other", "/"] {
        assert!(!rule.descends(Path::new(path)), "{path}");
    }
}

#[test]
fn with_include_only_that_is_taken() {
    let mut rule = declared("/src", "sync");
    rule.include = vec!["**/*.js".into(), "css".into()];
    let rules = found(service(vec![rule])).rules;
    let rule = &rules[0];
    assert_eq!(taken(rule, "/src/a/b.js"), Some("a/b.js".into()));
    assert_eq!(taken(rule, "/src/css/a.css"), Some("css/a.css".into()));
    assert_eq!(taken(rule, "/src/a/b.ts"), None);
    assert_eq!(taken(rule, "/src"), None);
    assert!(rule.descends(Path::new("/src/a")));
}

#[test]
fn a_file_can_be_watched() {
    let rules = found(service(vec![declared("/src/requirements.txt", "sync")])).rules;
    assert_eq!(taken(&rules[0], "/src/requirements.txt"), Some(String::new()));
    assert_eq!(taken(&rules[0], "/src/requirements.txt2"), None);
}

#[test]
fn the_ignore_file_of_the_build_context_counts() {
    let mut service = service(vec![declared("/ctx/src", "sync")]);
    service.build = Some(Build { context: "/ctx".into(), ..Build::default() });
    let read = |files: &[(&str, &str)], service: &Service| {
        let file =
            |path: &Path| files.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| (*text).to_owned());
        rules(&project(service.clone()), &BTreeSet::new(), &file).expect("rules").rules.remove(0)
    };
    let rule = read(&[("/ctx/.dockerignore", "src/tmp\n")], &service);
    assert_eq!((taken(&rule, "/ctx/src/tmp/x"), taken(&rule, "/ctx/src/a")), (None, Some("a".into())));
    let rule = read(&[("/ctx/.dockerignore", "src/tmp\n"), ("/ctx/Dockerfile.dockerignore", "src/a\n")], &service);
    assert_eq!((taken(&rule, "/ctx/src/tmp"), taken(&rule, "/ctx/src/a")), (Some("tmp".into()), None));
}

#[test]
fn what_is_bind_mounted_is_left_out_with_a_word() {
    let mut bound =
        service(vec![declared("/src/a", "sync"), declared("/src/a", "restart"), declared("/other", "sync")]);
    bound.volumes =
        vec![Mount { kind: MountKind::Bind, source: Some("/src".into()), target: "/app".into(), ..Mount::default() }];
    let rules = found(bound);
    let kept: Vec<_> = rules.rules.iter().map(|rule| (rule.path.display().to_string(), rule.action)).collect();
    assert_eq!(kept, [("/src/a".to_owned(), Action::Restart), ("/other".to_owned(), Action::Sync)]);
    assert!(rules.warnings[0].contains("/src/a") && rules.warnings[0].contains("bind mount"), "{:?}", rules.warnings);
}

#[test]
fn a_rule_that_cannot_be_followed_is_told_at_its_place() {
    let mut relative = declared("/src", "sync");
    relative.target = Some("app".into());
    let mut pattern = declared("/src", "sync");
    pattern.ignore = vec!["[".into()];
    let rules_of = vec![declared("/src", "rebuild"), declared("/src", "sync+exec"), relative, pattern];
    let errors = rules(&project(service(rules_of)), &BTreeSet::new(), &|_| None).expect_err("wrong");
    let paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
    let at = |rest: &str| format!("services.web.develop.watch{rest}");
    assert_eq!(paths, [at("[0].action"), at("[1]"), at("[2].target"), at("[3].ignore")]);
    let other: BTreeSet<ServiceName> = ["db".into()].into();
    assert!(
        rules(&project(service(vec![declared("/src", "rebuild")])), &other, &|_| None).expect("none").rules.is_empty()
    );
}
