//! Arguments become a command.

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    attache::cli::run(attache::cli::Arguments::parse()).await
}
