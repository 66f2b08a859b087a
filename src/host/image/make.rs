//! Images from files of this machine, without a registry or an archive (`windlass demo`).

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::archive::{Archive, bad};
use super::load::{Packed, blocking};
use super::manifest::{Manifest, Packing};
use super::platform::Platform;
use super::progress::Watcher;
use super::reference::Reference;
use super::store::Store;
use super::{ImageError, digest};
use crate::desired::ResolvedImage;

/// An image to be made: one layer of files, and a config.
#[derive(Clone, Debug, Default)]
pub struct NewImage {
    /// Its name.
    pub name: String,
    /// Its files; a folder before what is in it.
    pub files: Vec<NewFile>,
    /// The `config` object of an image config: `{"Entrypoint": […], "Env": […]}`.
    pub config: Value,
}

/// A file of an image to be made; it belongs to root.
#[derive(Clone, Debug)]
pub struct NewFile {
    /// Path inside.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// What is in it.
    pub content: Content,
}

/// What is in a [`NewFile`].
#[derive(Clone, Debug)]
pub enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The bytes of a file of this machine.
    File(PathBuf),
    /// A folder.
    Folder,
    /// A symlink to this path.
    Symlink(String),
}

impl Store {
    /// Makes an image. The same content gives the same id, and is then not unpacked again.
    ///
    /// # Errors
    /// When a file can't be read or the store not be written.
    pub async fn make(&self, image: NewImage, progress: &Watcher) -> Result<ResolvedImage, ImageError> {
        let name = Reference::parse(&image.name)?;
        let store = self.clone();
        let build = move || -> Result<(Archive, Packed), ImageError> {
            let mut archive = Archive::new(&store)?;
            let section = archive
                .add(|writer| layer(&image.files, writer))
                .map_err(|error| bad(format!("the layer of {} can't be made: {error}", image.name)))?;
            let (diff, _) = archive.digest(section)?;
            let host = Platform::host();
            let config = json!({
                "architecture": host.arch,
                "os": host.os,
                "config": image.config,
                "rootfs": { "type": "layers", "diff_ids": [diff] },
            });
            let config = config.to_string().into_bytes();
            let layers = [Manifest::layer_json(&diff, section.size, Packing::Plain)];
            let manifest = Manifest::json(&digest::of(&config), config.len() as u64, &layers);
            let packed = Packed { manifest, config, names: vec![name.to_string()], layers: vec![section] };
            Ok((archive, packed))
        };
        let (archive, packed) = blocking(build).await?;
        self.install(&Arc::new(archive), packed, progress).await
    }
}

/// Writes the tar; times are zero, so that the digest depends on the content alone.
fn layer(files: &[NewFile], writer: &mut dyn Write) -> io::Result<()> {
    let mut builder = tar::Builder::new(writer);
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(file.mode);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        let path = file.path.trim_start_matches('/');
        match &file.content {
            Content::Bytes(bytes) => {
                header.set_size(bytes.len() as u64);
                builder.append_data(&mut header, path, bytes.as_slice())?;
            }
            Content::File(source) => {
                let open = std::fs::File::open(source)
                    .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", source.display())))?;
                header.set_size(open.metadata()?.len());
                builder.append_data(&mut header, path, open)?;
            }
            Content::Folder => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_size(0);
                builder.append_data(&mut header, path, io::empty())?;
            }
            Content::Symlink(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                builder.append_link(&mut header, path, target)?;
            }
        }
    }
    builder.finish()
}
