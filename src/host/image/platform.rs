//! Platforms: `linux/amd64`, `linux/arm/v7`, and which entry of an index fits one.

use std::fmt;

use super::{ImageError, digest};

/// A platform of an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// Go's name: `amd64`, `arm64`, `arm`.
    pub arch: String,
    /// `v7`; empty where it goes without saying.
    pub variant: String,
}

impl Platform {
    /// The platform of this machine.
    pub fn host() -> Self {
        let (arch, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", ""),
            "x86" => ("386", ""),
            "aarch64" => ("arm64", ""),
            "arm" => ("arm", "v7"),
            "powerpc64" if cfg!(target_endian = "little") => ("ppc64le", ""),
            "loongarch64" => ("loong64", ""),
            other => (other, ""),
        };
        Self { os: "linux".into(), arch: arch.into(), variant: variant.into() }
    }

    /// Reads `os[/arch[/variant]]` or an architecture alone, with the common other names (`x86_64`, `aarch64`).
    ///
    /// # Errors
    /// [`ImageError::BadPlatform`].
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        let parts: Vec<&str> = text.split('/').collect();
        let good = |part: &&str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        };
        if !parts.iter().all(|part| good(&part)) {
            return Err(ImageError::BadPlatform { text: digest::printable(text) });
        }
        let host = Self::host();
        match parts[..] {
            ["linux"] => Ok(host),
            [arch] => Ok(Self::new("linux", arch, "")),
            [os, arch] => Ok(Self::new(os, arch, "")),
            [os, arch, variant] => Ok(Self::new(os, arch, variant)),
            _ => Err(ImageError::BadPlatform { text: digest::printable(text) }),
        }
    }

    /// With the variants that go without saying left out (`arm64/v8`, `amd64/v1`) or put in (`arm` is `arm/v7`).
    pub fn new(os: &str, arch: &str, variant: &str) -> Self {
        let (arch, variant) = match (arch.to_ascii_lowercase().as_str(), variant) {
            ("x86_64" | "x86-64" | "amd64", "" | "v1" | "1") => ("amd64".to_owned(), ""),
            ("x86_64" | "x86-64", variant) => ("amd64".to_owned(), variant),
            ("aarch64" | "arm64", "" | "8" | "v8") => ("arm64".to_owned(), ""),
            ("aarch64", variant) => ("arm64".to_owned(), variant),
            ("armhf", _) => ("arm".to_owned(), "v7"),
            ("armel", _) => ("arm".to_owned(), "v6"),
            ("arm", "" | "7") => ("arm".to_owned(), "v7"),
            ("arm", "6") => ("arm".to_owned(), "v6"),
            ("arm", "5") => ("arm".to_owned(), "v5"),
            ("i386" | "i686" | "x86", variant) => ("386".to_owned(), variant),
            (_, variant) => (arch.to_ascii_lowercase(), variant),
        };
        Self { os: os.to_ascii_lowercase(), arch, variant: variant.to_owned() }
    }

    /// How well an image for `offered` runs where `self` is wanted: `None` not at all, else smaller is better.
    pub fn fit(&self, offered: &Self) -> Option<u32> {
        if self.os != offered.os || self.arch != offered.arch {
            return None;
        }
        if self.variant == offered.variant {
            return Some(0);
        }
        match self.arch.as_str() {
            // A processor runs all that its predecessors ran (arm/v7 runs v6; amd64/v3 runs v2 and plain).
            "arm" | "amd64" | "arm64" => level(self)?.checked_sub(level(offered)?),
            _ if self.variant.is_empty() || offered.variant.is_empty() => Some(1),
            _ => None,
        }
    }
}

fn level(platform: &Platform) -> Option<u32> {
    match (platform.arch.as_str(), platform.variant.as_str()) {
        ("amd64", "") => Some(10),
        ("arm64", "") => Some(80),
        (_, variant) => {
            let (major, minor) = variant.strip_prefix('v')?.split_once('.').unwrap_or((variant.get(1..)?, "0"));
            Some(major.parse::<u32>().ok()?.checked_mul(10)? + minor.parse::<u32>().ok()?.min(9))
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.variant.is_empty() {
            write!(f, "{}/{}", self.os, self.arch)
        } else {
            write!(f, "{}/{}/{}", self.os, self.arch, self.variant)
        }
    }
}
