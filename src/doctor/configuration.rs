//! The configuration and the descriptions, read and checked.

use std::path::Path;

use super::report::{Check, Outcome};
use crate::config::{Config, ConfigErrors, default_pipelines};
use crate::pipeline::Description;

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
    let folder = match config {
        Ok(config) => config.jobs.pipelines.clone(),
        Err(_) => default_pipelines(),
    };
    checks.extend(descriptions(&folder));
    checks
}

fn descriptions(folder: &Path) -> Vec<Check> {
    let files = match folder.read_dir() {
        Ok(files) => files,
        Err(error) => {
            let finding = format!("{} cannot be read: {error}", folder.display());
            return vec![Check::new(Outcome::Bad, "descriptions", finding)];
        }
    };
    let files = files.filter_map(Result::ok).map(|file| file.path());
    let files = files.filter(|file| file.extension().is_some_and(|end| end == "toml"));
    let mut names: Vec<String> = files
        .filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    let check = |name: &String| match Description::load(folder, name) {
        Ok(_) => Check::new(Outcome::Good, format!("description {name}"), "is right"),
        Err(error) => Check::new(
            Outcome::Bad,
            format!("description {name}"),
            error.to_string(),
        ),
    };
    names.iter().map(check).collect()
}
