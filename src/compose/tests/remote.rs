//! Remote files through a port that knows two places.

use std::path::PathBuf;
use std::rc::Rc;

use super::Stage;
use crate::compose::LoadOptions;
use crate::compose::config::{self, Format};
use crate::compose::remote::{Fetched, RemoteError, Remotes, Source};
use crate::diag::Code;

/// Has `one` and `two`, each as a folder of the stage.
struct Places(PathBuf);

impl Remotes for Places {
    fn fetch(&self, source: &Source) -> Result<Fetched, RemoteError> {
        let name = source.to_string();
        let known = ["one", "two"].into_iter().find(|known| name.contains(&format!("/{known}")));
        let known = known.ok_or_else(|| RemoteError::with_help("nobody has it", "look elsewhere"))?;
        Ok(Fetched { folder: self.0.join(known), revision: known.repeat(14)[..40].to_owned(), new: true })
    }
}

fn with_places(stage: &Stage) -> LoadOptions {
    let root = stage.options.cwd.canonicalize().expect("the stage is there");
    LoadOptions { remotes: Some(Rc::new(Places(root))), ..stage.options.clone() }
}

#[test]
fn a_remote_first_file_has_its_folder_and_the_callers_name() {
    let text = "services: {a: {image: a, volumes: ['./d:/d'], environment: {X: '${X}'}}}\n";
    let stage = Stage::new(&[("one/deploy/compose.yaml", text), ("one/deploy/.env", "X=remote\n"), (".env", "")]);
    let options = LoadOptions { files: vec!["git://host/one#main:deploy".to_owned()], ..with_places(&stage) };
    let loaded = crate::compose::load(&options).expect("valid");
    let printed = config::print(&loaded, Format::Yaml).replace(&*stage.root(), "@");
    assert!(printed.contains("name: stage\n") && printed.contains("@/one/deploy/d\n"), "{printed}");
    assert!(printed.contains("X: remote"), "{printed}");
    let revisions: Vec<String> = loaded.checkouts.revisions().keys().map(ToString::to_string).collect();
    assert_eq!(revisions, ["git://host/one#main"]);
    // Who fetches nothing looks for the lock file beside the caller.
    assert_eq!(crate::compose::lock_folder(&options), stage.options.cwd);
}

#[test]
fn an_address_in_a_remote_file_takes_no_variables_and_is_told_at_first() {
    let codes = |inner: &str, variables: &[(&str, &str)]| {
        let main = "include: ['git://host/one#${REF:-main}']\n";
        let stage = Stage::new(&[
            ("compose.yaml", main),
            ("one/compose.yaml", inner),
            ("two/compose.yaml", "services: {b: {image: b}}\n"),
        ]);
        let stage = variables.iter().fold(stage, |stage, (name, value)| stage.env(name, value));
        match crate::compose::load(&with_places(&stage)) {
            Ok(loaded) => loaded.warnings.iter().map(|one| one.code).collect::<Vec<_>>(),
            Err(wrong) => wrong.list.iter().map(|one| one.code).collect(),
        }
    };
    assert_eq!(codes("include: ['oci://host/two:1']\n", &[]), [Code::RemoteChain]);
    for inner in ["include: ['oci://host/two:$KEY']\n", "include: [\"oci://host/two:\\x24KEY\"]\n"] {
        assert_eq!(codes(inner, &[("KEY", "secret")]), [Code::RemoteEscape], "{inner}");
    }
    assert_eq!(codes("include: ['oci://host/three:1']\n", &[]), [Code::RemoteFile]);
    let switched = [("COMPOSE_EXPERIMENTAL_OCI_REMOTE", "false")];
    assert_eq!(codes("include: ['oci://host/two:1']\n", &switched), [Code::RemoteFile]);
}
