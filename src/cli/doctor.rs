//! `attache doctor`: looks at the machine and prints what it found.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::print_line;
use crate::doctor::{self, Part, Wanted};
use crate::media::encoder::Policy;

#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Check this configuration, its STUN and TURN servers and its descriptions
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Leave out what takes long: encoders are not proven, no server is asked, no call is made
    #[arg(long)]
    quick: bool,
    /// Look at this part only; may be given more than once
    #[arg(long, value_name = "PART")]
    only: Vec<Part>,
    /// The encoders' policy in JSON, in place of the configuration's
    #[arg(long, hide = true, value_parser = policy)]
    encoders: Option<Policy>,
}

fn policy(text: &str) -> Result<Policy, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// 0 if a call can be carried, else 1.
pub async fn doctor(arguments: DoctorArguments) -> ExitCode {
    let report = doctor::examine(&Wanted {
        only: arguments.only,
        quick: arguments.quick,
        config: arguments.config,
        policy: arguments.encoders,
    })
    .await;
    if arguments.json {
        print_line(&serde_json::to_string_pretty(&report).unwrap_or_default());
    } else {
        print_line(report.lines().trim_end());
    }
    if report.can_carry_a_call {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
