//! Images made in memory.

use std::io::Write as _;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// How a layer is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// A member of a layer's tar.
#[derive(Clone, Debug)]
pub struct TarFile {
    pub path: Vec<u8>,
    pub kind: u8,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub mtime: u64,
    pub link: Vec<u8>,
    pub data: Vec<u8>,
    /// Records of a pax header before it.
    pub pax: Vec<(String, Vec<u8>)>,
}

/// A member of any type flag.
pub fn named(path: &str, kind: u8) -> TarFile {
    let path = path.as_bytes().to_vec();
    let mode = if kind == b'5' { 0o755 } else { 0o644 };
    TarFile { path, kind, mode, uid: 0, gid: 0, mtime: 1_700_000_000, link: vec![], data: vec![], pax: vec![] }
}

pub fn file(path: &str, data: &[u8]) -> TarFile {
    TarFile { data: data.to_vec(), ..named(path, b'0') }
}

pub fn folder(path: &str) -> TarFile {
    named(path, b'5')
}

pub fn symlink(path: &str, target: &str) -> TarFile {
    TarFile { link: target.as_bytes().to_vec(), ..named(path, b'2') }
}

pub fn hardlink(path: &str, target: &str) -> TarFile {
    TarFile { link: target.as_bytes().to_vec(), ..named(path, b'1') }
}

impl TarFile {
    pub fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    pub fn owner(self, uid: u64, gid: u64) -> Self {
        Self { uid, gid, ..self }
    }

    pub fn pax(mut self, key: &str, value: &[u8]) -> Self {
        self.pax.push((key.to_owned(), value.to_vec()));
        self
    }

    fn write(&self, out: &mut Vec<u8>) {
        if !self.pax.is_empty() {
            let records: Vec<u8> = self.pax.iter().flat_map(|(key, value)| record(key, value)).collect();
            block(out, &TarFile { data: records, ..named("pax", b'x') });
        }
        block(out, self);
    }
}

fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = 3 + key.len() + value.len();
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

fn block(out: &mut Vec<u8>, member: &TarFile) {
    let mut header = [0u8; 512];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &member.path[..member.path.len().min(100)]);
    put(100, format!("{:07o}", member.mode).as_bytes());
    put(108, format!("{:07o}", member.uid).as_bytes());
    put(116, format!("{:07o}", member.gid).as_bytes());
    put(124, format!("{:011o}", member.data.len()).as_bytes());
    put(136, format!("{:011o}", member.mtime).as_bytes());
    put(148, b"        ");
    put(156, &[member.kind]);
    put(157, &member.link[..member.link.len().min(100)]);
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    out.extend_from_slice(&header);
    out.extend_from_slice(&member.data);
    out.resize(out.len().next_multiple_of(512), 0);
}

/// A whole tar.
pub fn tar(members: &[TarFile]) -> Vec<u8> {
    let mut out = Vec::new();
    for member in members {
        member.write(&mut out);
    }
    out.resize(out.len() + 1024, 0);
    out
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[derive(Clone, Debug)]
struct Layer {
    diff: String,
    packed: Vec<u8>,
    packing: Packing,
}

/// An image.
#[derive(Clone, Debug)]
pub struct Image {
    layers: Vec<Layer>,
    config: Value,
    arch: String,
    /// Changed by tests that lie.
    pub edit: fn(&mut Value),
}

impl Default for Image {
    fn default() -> Self {
        Self::new()
    }
}

impl Image {
    pub fn new() -> Self {
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self { layers: Vec::new(), config: json!({}), arch: arch.into(), edit: |_| {} }
    }

    /// Adds a layer, gzipped.
    pub fn layer(self, members: Vec<TarFile>) -> Self {
        self.raw_layer(&tar(&members), Packing::Gzip)
    }

    /// Adds any bytes as a layer's tar.
    pub fn raw_layer(mut self, tar: &[u8], packing: Packing) -> Self {
        let packed = match packing {
            Packing::Plain => tar.to_vec(),
            Packing::Gzip => gzip(tar),
            Packing::Zstd => zstd::encode_all(tar, 1).unwrap(),
        };
        self.layers.push(Layer { diff: digest(tar), packed, packing });
        self
    }

    /// Adds any bytes as a layer's blob.
    pub fn blob_layer(mut self, packed: Vec<u8>, packing: Packing, diff: String) -> Self {
        self.layers.push(Layer { diff, packed, packing });
        self
    }

    pub fn config(self, config: Value) -> Self {
        Self { config, ..self }
    }

    pub fn arch(self, arch: &str) -> Self {
        Self { arch: arch.to_owned(), ..self }
    }

    pub fn config_arch(&self) -> &str {
        &self.arch
    }

    /// Changes the manifest before it is served.
    pub fn edit(self, edit: fn(&mut Value)) -> Self {
        Self { edit, ..self }
    }

    /// Digest of a layer's blob.
    pub fn blob(&self, layer: usize) -> String {
        digest(&self.layers[layer].packed)
    }

    /// Bytes of a layer's blob.
    pub fn bytes(&self, layer: usize) -> &[u8] {
        &self.layers[layer].packed
    }

    pub fn config_bytes(&self) -> Vec<u8> {
        let diffs: Vec<&String> = self.layers.iter().map(|layer| &layer.diff).collect();
        json!({
            "architecture": self.arch,
            "os": "linux",
            "config": self.config,
            "rootfs": { "type": "layers", "diff_ids": diffs },
        })
        .to_string()
        .into_bytes()
    }

    /// The image's id.
    pub fn id(&self) -> String {
        digest(&self.config_bytes())
    }

    pub fn manifest(&self) -> Vec<u8> {
        let layers: Vec<Value> = self
            .layers
            .iter()
            .map(|layer| {
                let suffix = match layer.packing {
                    Packing::Plain => "",
                    Packing::Gzip => "+gzip",
                    Packing::Zstd => "+zstd",
                };
                let kind = format!("application/vnd.oci.image.layer.v1.tar{suffix}");
                json!({ "mediaType": kind, "digest": digest(&layer.packed), "size": layer.packed.len() })
            })
            .collect();
        let config = self.config_bytes();
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": super::MANIFEST,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest(&config),
                "size": config.len(),
            },
            "layers": layers,
        });
        (self.edit)(&mut manifest);
        manifest.to_string().into_bytes()
    }

    /// Config and layers.
    pub fn blobs(&self) -> Vec<Vec<u8>> {
        let layers = self.layers.iter().map(|layer| layer.packed.clone());
        layers.chain([self.config_bytes()]).collect()
    }
}
