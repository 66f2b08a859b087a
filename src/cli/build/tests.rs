use super::*;

fn build() -> Build {
    Build {
        context: "/src/app".into(),
        dockerfile: Some("docker/Dockerfile.prod".into()),
        args: [("A".into(), Some("1".into())), ("B".into(), None)].into(),
        labels: [("l".into(), "x y".into())].into(),
        target: Some("final".into()),
        ..Build::default()
    }
}

fn wish(args: &[String]) -> Wish<'_> {
    Wish { image: "shop-web", args, ..Wish::default() }
}

fn lines(builder: Builder, build: &Build, wish: &Wish<'_>) -> String {
    let commands = commands(builder, build, wish, Path::new("/tmp/a.tar")).expect("commands");
    commands.iter().map(|words| words.join(" ")).collect::<Vec<_>>().join("\n")
}

#[test]
fn both_builders_are_told_all_of_it() {
    let args = ["A=2".to_owned()];
    insta::assert_snapshot!(lines(Builder::Buildctl, &build(), &wish(&args)), @"buildctl build --frontend dockerfile.v0 --opt filename=Dockerfile.prod --local context=/src/app --local dockerfile=/src/app/docker --opt build-arg:A=2 --opt label:l=x y --opt target=final --output type=oci,name=shop-web,dest=/tmp/a.tar");
    insta::assert_snapshot!(lines(Builder::Buildah, &build(), &wish(&args)), @r"
    buildah build --format oci --tag shop-web --file /src/app/docker/Dockerfile.prod --build-arg A=2 --label l=x y --target final --layers /src/app
    buildah push shop-web oci-archive:/tmp/a.tar:shop-web
    ");
}

#[test]
fn what_is_not_handed_on_is_refused() {
    let build = Build { privileged: true, ..build() };
    let error = commands(Builder::Buildah, &build, &wish(&[]), Path::new("/tmp/a.tar")).expect_err("refused");
    assert_eq!(error.to_string(), "`build.privileged` is not done yet");
}

#[test]
fn buildctl_is_preferred_and_none_is_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().display().to_string();
    assert_eq!(find(&path), None);
    std::fs::write(folder.path().join("buildah"), "").expect("written");
    assert_eq!(find(&format!(":/nowhere:{path}")), Some(Builder::Buildah));
    std::fs::write(folder.path().join("buildctl"), "").expect("written");
    assert_eq!(find(&path), Some(Builder::Buildctl));
}

#[test]
fn the_step_that_failed_is_found_in_what_a_builder_prints() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let buildah = lines(
        "STEP 1/2: FROM scratch\nSTEP 2/2: RUN make\nError: building at STEP \"RUN make\": while running runtime: exit status 2",
    );
    assert_eq!(failed_step(&buildah), Some("RUN make"));
    let buildkit = lines("#5 ERROR: process failed\n------\n > [2/3] RUN make:\n------\nDockerfile:2");
    assert_eq!(failed_step(&buildkit), Some("RUN make"));
    assert_eq!(failed_step(&lines("no space left")), None);
}
