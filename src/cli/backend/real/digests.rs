//! The digests that images have by the lock file, else those that their tags have now (`config --resolve-image-digests`).

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::super::super::error::CliError;
use super::failed;
use crate::host::image::{Client, Reference, Settings};
use crate::lock::Lock;

/// How many registries are asked at once.
const AT_ONCE: usize = 8;

/// Names of images → the same with their digests. Those that have one already keep it; a registry is asked for what the lock
/// file lacks.
pub async fn of(names: BTreeSet<String>, lock: Option<&Lock>) -> Result<BTreeMap<String, String>, CliError> {
    let client = Client::new(Settings::from_env()).map_err(|e| failed(&e))?;
    let exact = |name: String| {
        let client = &client;
        async move {
            let mut reference = Reference::parse(&name).map_err(|e| failed(&e))?;
            match reference.digest {
                // docker compose leaves out the tag beside a digest.
                Some(_) => reference.tag = None,
                None => {
                    reference.digest = Some(match lock.and_then(|lock| lock.images.get(&name)) {
                        Some(locked) => locked.digest.digest().clone(),
                        None => client.digest_of(&reference).await.map_err(|e| failed(&e))?,
                    });
                }
            }
            Ok((name, reference.to_string()))
        }
    };
    stream::iter(names).map(exact).buffer_unordered(AT_ONCE).try_collect().await
}
