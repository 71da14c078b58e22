//! The configuration and the descriptions, read and checked.

use std::path::{Path, PathBuf};

use super::report::{Check, Outcome};
use crate::config::{Config, ConfigErrors, default_pipelines};
use crate::pipeline::Description;
use crate::pipeline::allowed::Allowed;

/// Checking a description builds it: not for async threads.
pub fn look(path: Option<&Path>, config: &Result<Config, ConfigErrors>) -> Vec<Check> {
    let subject = path.map_or("configuration".to_owned(), |path| {
        path.display().to_string()
    });
    let mut checks = match config {
        Ok(_) if path.is_none() => {
            vec![Check::new(
                Outcome::Note,
                subject,
                "none was named; --config checks one",
            )]
        }
        Ok(_) => vec![Check::new(Outcome::Good, subject, "is right")],
        Err(errors) => {
            let mistake = |mistake: &crate::config::Mistake| {
                Check::new(Outcome::Fatal, "configuration", mistake.to_string())
            };
            errors.0.iter().map(mistake).collect()
        }
    };
    let (folder, allowed) = match config {
        Ok(config) => (config.jobs.pipelines.clone(), config.jobs.elements.clone()),
        Err(_) => (default_pipelines(), Allowed::default()),
    };
    checks.extend(descriptions(&folder, &allowed));
    checks
}

fn descriptions(folder: &Path, allowed: &Allowed) -> Vec<Check> {
    let files = match folder.read_dir() {
        Ok(files) => files,
        Err(error) => {
            let finding = format!("{} cannot be read: {error}", folder.display());
            return vec![Check::new(Outcome::Bad, "descriptions", finding)];
        }
    };
    let files = files.filter_map(Result::ok).map(|file| file.path());
    let files = files.filter(|file| file.extension().is_some_and(|end| end == "toml"));
    let mut files: Vec<_> = files.collect();
    files.sort();
    let check = |file: &PathBuf| {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        match Description::check_file(file, allowed) {
            Ok(()) => vec![Check::new(
                Outcome::Good,
                format!("description {name}"),
                "is right",
            )],
            Err(error) => {
                let problems = error.0.iter();
                let problem = problems.map(|problem| {
                    Check::new(
                        Outcome::Bad,
                        format!("description {name}"),
                        problem.to_string(),
                    )
                });
                problem.collect()
            }
        }
    };
    files.iter().flat_map(check).collect()
}
