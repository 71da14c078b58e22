//! What `attache record --upload` does when the recording is finished.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::Semaphore;

use super::{Failure, print_line};
use crate::recording::catalog::Catalog;
use crate::recording::manifest::State;
use crate::recording::recovery::Roots;
use crate::recording::upload::whole::{FILES_AT_ONCE, Whole};
use crate::recording::upload::{Progress, TargetSettings, TargetUrl, UploadSettings, UploadState};
use crate::signalling::ids::JobId;

const LOOK: Duration = Duration::from_millis(200);

/// A target of the command line.
pub fn target(text: &str) -> Result<TargetUrl, String> {
    TargetUrl::try_from(text.to_owned())
}

/// Uploads the recordings of this job; shows how far it is where somebody looks at a terminal.
pub async fn upload(roots: Roots, job: &JobId, targets: Vec<TargetUrl>) -> Result<(), Failure> {
    let settings = UploadSettings {
        targets: targets.into_iter().map(TargetSettings::new).collect(),
        ..UploadSettings::default()
    };
    let slots = Semaphore::new(FILES_AT_ONCE);
    let recordings = Catalog::new(roots).scan();
    let finished = recordings
        .iter()
        .filter(|recording| recording.job == *job && recording.state == State::Finished);
    for recording in finished {
        let mut whole = Whole::new(recording.folder.clone());
        let progress = whole.progress.clone();
        let uploaded = tokio::select! {
            uploaded = whole.upload(&settings, &slots) => uploaded,
            never = show(progress) => match never {},
        };
        uploaded.map_err(|error| {
            Failure::Failed(anyhow::anyhow!(
                "not uploaded: {error}; the recording is in {}",
                recording.folder.display()
            ))
        })?;
        let target = whole.progress.view().target.unwrap_or_default();
        print_line(&format!("uploaded to {target}/{}", recording.name));
    }
    Ok(())
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
