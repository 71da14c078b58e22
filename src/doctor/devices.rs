//! Cameras, microphones, speakers and displays with the forms they take and give.

use super::report::{Check, Outcome};
use crate::media::devices::{self, DeviceKind};
use crate::pipeline::Settings;

/// Device providers and drivers may block: looked at on a thread of its own.
pub async fn look(settings: &Settings) -> Vec<Check> {
    let settings = settings.clone();
    let looked = tokio::task::spawn_blocking(move || {
        DeviceKind::ALL
            .into_iter()
            .flat_map(|kind| of_kind(kind, &settings))
            .collect()
    });
    looked.await.unwrap_or_else(|error| {
        vec![Check::new(
            Outcome::Bad,
            "devices",
            format!("cannot be looked at: {error}"),
        )]
    })
}

fn of_kind(kind: DeviceKind, settings: &Settings) -> Vec<Check> {
    let found = devices::present(kind, settings);
    if found.is_empty() {
        let finding = format!("none found (looked in {})", kind.searched());
        return vec![Check::new(Outcome::Note, kind.to_string(), finding)];
    }
    let check = |device: &devices::Device| {
        let mut finding = format!("{} ({})", device.name, device.path);
        if !device.formats.is_empty() {
            finding = format!("{finding}: {}", device.formats.join(", "));
        }
        Check::new(Outcome::Good, kind.to_string(), finding)
    };
    found.iter().map(check).collect()
}
