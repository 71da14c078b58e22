//! `attache recover`: finishes recordings whose recorder was killed.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, print_line};
use crate::recording::recovery::{Mode, Roots, recover_all};

#[derive(Debug, Args)]
pub struct RecoverArguments {
    /// The folder of recordings, or one recording's folder
    #[arg(value_name = "DIR")]
    out: PathBuf,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

/// Prints a line for each recording that was not closed. Those that go on are left alone.
pub async fn recover(arguments: RecoverArguments) -> Result<(), Failure> {
    let RecoverArguments { out, dry_run } = arguments;
    if !out.is_dir() {
        let message = format!("{} is not a folder", out.display());
        return Err(Failure::Usage(anyhow::Error::msg(message)));
    }
    let mode = if dry_run { Mode::Look } else { Mode::Recover };
    let second = None;
    let work = move || recover_all(&Roots { out, second }, mode);
    let results = tokio::task::spawn_blocking(work).await;
    let results = results.map_err(anyhow::Error::new)?;
    let done = if dry_run {
        "would recover"
    } else {
        "recovered"
    };
    for recovered in results.iter().flatten() {
        print_line(&format!("{done} {recovered}"));
    }
    if results.is_empty() {
        print_line("every recording there is closed or goes on");
    }
    let failed = results.iter().filter(|result| result.is_err()).count();
    if failed > 0 {
        // The log has told which and why.
        return Err(Failure::Told);
    }
    Ok(())
}
