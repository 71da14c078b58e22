//! What a verdict depends on besides the encoder: versions of GStreamer, plugin and driver.

use std::path::Path;
use std::time::UNIX_EPOCH;

use gst::prelude::*;
use gstreamer as gst;

use super::table::Candidate;
use super::verdict::Class;

/// Kernel modules that drive encoders.
const MODULES: [&str; 6] = ["i915", "xe", "amdgpu", "radeon", "nvidia", "nouveau"];
/// Where VA-API's drivers lie.
const VA_FOLDERS: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/dri",
    "/usr/lib/aarch64-linux-gnu/dri",
    "/usr/lib64/dri",
    "/usr/lib/dri",
];

/// What drives the hardware encoders of this machine, as one text. A change makes every verdict on hardware new.
pub fn drivers() -> String {
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path).ok()?;
        text.lines().next().map(|line| line.trim().to_owned())
    };
    let mut parts = vec![format!(
        "linux {}",
        read(Path::new("/proc/sys/kernel/osrelease")).unwrap_or_default()
    )];
    for module in MODULES {
        let folder = Path::new("/sys/module").join(module);
        if folder.is_dir() {
            let version = read(&folder.join("version")).unwrap_or_default();
            parts.push(format!("{module} {version}").trim_end().to_owned());
        }
    }
    parts.extend(read(Path::new("/proc/driver/nvidia/version")));
    let va = VA_FOLDERS
        .iter()
        .map(Path::new)
        .filter_map(|folder| folder.read_dir().ok());
    let mut va: Vec<String> = va
        .flatten()
        .filter_map(Result::ok)
        .filter(|file| {
            file.file_name()
                .to_string_lossy()
                .ends_with("_drv_video.so")
        })
        .map(|file| {
            format!(
                "{} {}",
                file.file_name().to_string_lossy(),
                stamp(&file.path())
            )
        })
        .collect();
    va.sort();
    parts.extend(va);
    parts.extend(std::env::var("LIBVA_DRIVER_NAME").ok());
    parts.join(", ")
}

/// The time of a file's last change: another build of the same version is another file.
fn stamp(path: &Path) -> u64 {
    let changed = path.metadata().and_then(|data| data.modified()).ok();
    let since = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |time| time.as_secs())
}

/// The name of a verdict: all that it depends on.
pub fn key(candidate: &Candidate, class: Class, drivers: &str) -> Option<String> {
    let factory = gst::ElementFactory::find(candidate.factory)?;
    let plugin = factory.plugin()?;
    let file = plugin.filename().map_or(0, |file| stamp(&file));
    let drivers = if candidate.is_hardware {
        drivers
    } else {
        "none"
    };
    Some(format!(
        "{} | {class} | {} {} {file} | {} | driver: {drivers} | attache {}",
        candidate.factory,
        plugin.plugin_name(),
        plugin.version(),
        gst::version_string(),
        env!("CARGO_PKG_VERSION"),
    ))
}
