//! What `attache record --upload` does when the recording is finished.

use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use tokio::sync::Semaphore;

use super::due::Due;
use super::{Failure, StopSignals, print_line};
use crate::recording::catalog::{Catalog, StoredRecording};
use crate::recording::recovery::Roots;
use crate::recording::upload::whole::{FILES_AT_ONCE, Whole};
use crate::recording::upload::{
    Progress, TargetSettings, TargetUrl, UploadError, UploadSettings, UploadState,
};
use crate::signalling::ids::JobId;

const LOOK: Duration = Duration::from_millis(200);

/// A target of the command line.
pub fn target(text: &str) -> Result<TargetUrl, String> {
    TargetUrl::try_from(text.to_owned())
}

/// Uploads the recordings of this job, and those of earlier ones whose upload was interrupted; shows how far it is where
/// somebody looks at a terminal. A signal to stop is answered with what is going on; a second one ends the upload at once.
///
/// # Errors
/// Where a recording is not uploaded; it stays as it is. The others are uploaded all the same.
pub async fn upload(roots: Roots, job: &JobId, targets: Vec<TargetUrl>) -> Result<(), Failure> {
    let settings = UploadSettings {
        targets: targets.into_iter().map(TargetSettings::new).collect(),
        ..UploadSettings::default()
    };
    let slots = Semaphore::new(FILES_AT_ONCE);
    let mut signals = StopSignals::new()?;
    let due = Due::of(&roots.out);
    let recordings = Catalog::new(roots).scan();
    let mut failed = None;
    for recording in recordings.iter().filter(|it| due.has(it, job)) {
        let mut whole = Whole::new(recording.folder.clone());
        let progress = whole.progress.clone();
        let uploaded = tokio::select! {
            uploaded = whole.upload(&settings, &slots) => uploaded,
            never = show(progress.clone()) => match never {},
            () = twice(&mut signals, &progress) => {
                return Err(Failure::Failed(anyhow::anyhow!(
                    "the upload was ended by a second signal; the recording is whole in {}, and the next `attache record \
                     --upload` with this --out takes it up",
                    recording.folder.display()
                )));
            }
        };
        match uploaded {
            Ok(()) => {
                due.done(&recording.job);
                let target = whole.progress.view().target.unwrap_or_default();
                print_line(&format!("uploaded to {target}/{}", recording.name));
            }
            Err(error) => failed = failed.or(Some(not_uploaded(&error, recording))),
        }
    }
    due.forget_others(&recordings);
    failed.map_or(Ok(()), Err)
}

fn not_uploaded(error: &UploadError, recording: &StoredRecording) -> Failure {
    Failure::Failed(anyhow::anyhow!(
        "not uploaded: {error}; the recording is in {}",
        recording.folder.display()
    ))
}

/// Waits for the second signal; says at the first one what is still to do.
async fn twice(signals: &mut StopSignals, progress: &Progress) {
    signals.next().await;
    let view = progress.view();
    let left = HumanBytes(view.bytes_total.saturating_sub(view.bytes_done));
    print_line(&format!(
        "the upload goes on, {left} are left; a second signal ends it at once"
    ));
    signals.next().await;
}

/// Nothing is drawn where standard error is no terminal.
async fn show(progress: Progress) -> std::convert::Infallible {
    let bar = ProgressBar::new(0);
    let template = "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    loop {
        let view = progress.view();
        bar.set_length(view.bytes_total);
        bar.set_position(view.bytes_done);
        bar.set_message(match view.state {
            UploadState::Waiting | UploadState::Uploading => "uploading".to_owned(),
            UploadState::Retrying => "trying again".to_owned(),
            UploadState::Failed => "failed".to_owned(),
            UploadState::Uploaded => "uploaded".to_owned(),
        });
        tokio::time::sleep(LOOK).await;
    }
}
