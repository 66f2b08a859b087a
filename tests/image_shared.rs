//! scratch
#![allow(clippy::unwrap_used, clippy::print_stdout)]
use std::sync::Arc;
use windlass::host::image::{Client, PullPolicy, Quiet, Settings, Store, Watcher};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "by hand"]
async fn pull_named() {
    let root = std::path::PathBuf::from(std::env::var("PULL_ROOT").unwrap());
    let names = std::env::var("PULL_NAMES").unwrap();
    std::fs::create_dir_all(&root).unwrap();
    let store = Store::open(&root).unwrap();
    let client = Arc::new(Client::new(Settings::from_env()).unwrap());
    let quiet: Watcher = Arc::new(Quiet);
    for name in names.split_whitespace() {
        let start = std::time::Instant::now();
        let result = match store.resolve(&client, name, None, PullPolicy::Always, &quiet).await {
            Ok(image) => store.fetch(&client, &image.spec, &quiet).await.map(|()| image),
            Err(error) => Err(error),
        };
        match result {
            Ok(image) => println!("OK   {name} {:?} {} {}", start.elapsed(), image.spec.layers.len(), store.layers_present(&image.spec)),
            Err(error) => println!("FAIL {name} {:?} {error}", start.elapsed()),
        }
    }
}
