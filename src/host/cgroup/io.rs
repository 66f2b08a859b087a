//! Limits and weights of block devices (`blkio_config`).

use std::fmt::Display;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use cgroups_rs::fs::blkio::BlkIoController;

use super::limits::{Limits, refuse};
use super::mounts::{Controller, Version};
use super::{Error, Place, Result, files};
use crate::desired::Resources;

/// Sets them.
pub(super) fn apply(limits: &mut Limits<'_>, resources: &Resources) -> Result<()> {
    weights(limits, resources)?;
    for (path, which, rate) in &resources.io_limits {
        let Some(limit) = Throttle::named(which) else {
            return Err(Error::Device { text: which.clone(), expected: "rbps, wbps, riops or wiops", source: None });
        };
        if let Some(place) = limits.place(Controller::Io, (limit.v1_file(), "io.max"), limit.attribute()) {
            limit.set(place, block_device(path)?, *rate)?;
        }
    }
    Ok(())
}

fn weights(limits: &mut Limits<'_>, resources: &Resources) -> Result<()> {
    let per_device = &resources.io_weight_devices;
    if resources.io_weight.is_none() && per_device.is_empty() {
        return Ok(());
    }
    // Which of them is there depends on the I/O scheduler that the kernel was built with.
    let bfq = limits.place_of_any(Controller::Io, &["blkio.bfq.weight", "io.bfq.weight", "blkio.weight", "io.weight"]);
    let Some((place, file)) = bfq else {
        limits.warn("blkio_config.weight");
        return Ok(());
    };
    let scale = |weight: u16| if file == "io.weight" { weight_of_blkio(weight) } else { u64::from(weight) };
    if let Some(weight) = resources.io_weight {
        write(place, file, "blkio_config.weight", scale(weight))?;
    }
    for (path, weight) in per_device {
        let (major, minor) = block_device(path)?;
        let v1 = place.version == Version::V1;
        let file = if v1 { format!("{file}_device") } else { file.to_owned() };
        if place.dir.join(&file).exists() {
            write(place, &file, "blkio_config.weight_device", format!("{major}:{minor} {}", scale(*weight)))?;
        } else {
            limits.warn("blkio_config.weight_device");
        }
    }
    Ok(())
}

fn write(place: &Place, file: &str, limit: &'static str, value: impl Display) -> Result<()> {
    let path = place.dir.join(file);
    files::try_write(&path, &value.to_string()).map_err(|source| Error::File { operation: limit, path, source })
}

/// One of the four limits of a device.
#[derive(Clone, Copy)]
enum Throttle {
    ReadBytes,
    WriteBytes,
    ReadOperations,
    WriteOperations,
}

impl Throttle {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "rbps" => Self::ReadBytes,
            "wbps" => Self::WriteBytes,
            "riops" => Self::ReadOperations,
            "wiops" => Self::WriteOperations,
            _ => return None,
        })
    }

    fn v1_file(self) -> &'static str {
        match self {
            Self::ReadBytes => "blkio.throttle.read_bps_device",
            Self::WriteBytes => "blkio.throttle.write_bps_device",
            Self::ReadOperations => "blkio.throttle.read_iops_device",
            Self::WriteOperations => "blkio.throttle.write_iops_device",
        }
    }

    fn attribute(self) -> &'static str {
        match self {
            Self::ReadBytes => "blkio_config.device_read_bps",
            Self::WriteBytes => "blkio_config.device_write_bps",
            Self::ReadOperations => "blkio_config.device_read_iops",
            Self::WriteOperations => "blkio_config.device_write_iops",
        }
    }

    fn set(self, place: &Place, (major, minor): (u64, u64), rate: u64) -> Result<()> {
        let controller = BlkIoController::new(place.dir.clone(), place.dir.clone(), place.version == Version::V2);
        let done = match self {
            Self::ReadBytes => controller.throttle_read_bps_for_device(major, minor, rate),
            Self::WriteBytes => controller.throttle_write_bps_for_device(major, minor, rate),
            Self::ReadOperations => controller.throttle_read_iops_for_device(major, minor, rate),
            Self::WriteOperations => controller.throttle_write_iops_for_device(major, minor, rate),
        };
        refuse(self.attribute(), format!("{major}:{minor} {rate}"), done)
    }
}

fn block_device(path: &Path) -> Result<(u64, u64)> {
    let wrong = |source| Error::Device { text: path.display().to_string(), expected: "a block device", source };
    let meta = std::fs::metadata(path).map_err(|source| wrong(Some(source)))?;
    if !meta.file_type().is_block_device() {
        return Err(wrong(None));
    }
    Ok((libc::major(meta.rdev()).into(), libc::minor(meta.rdev()).into()))
}

/// blkio's 10 to 1000 as v2's 1 to 10000.
pub(super) fn weight_of_blkio(weight: u16) -> u64 {
    1 + (u64::from(weight.clamp(10, 1000)) - 10) * 9999 / 990
}
