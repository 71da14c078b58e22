//! `attache pipelines`: descriptions checked, listed, shown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use super::api::ServerArguments;
use super::values::{element, parameter};
use super::{Failure, print_line};
use crate::config::{Config, Overrides, default_pipelines};
use crate::job::Value;
use crate::pipeline::allowed::Allowed;
use crate::pipeline::parameters::{Parameter, ParameterType};
use crate::pipeline::{Description, DescriptionError, schema};
use crate::signalling::ids::{JobId, RoomName};

#[derive(Debug, Args)]
pub struct PipelinesArguments {
    #[command(subcommand)]
    command: Command,
    /// The folder of descriptions [default: ./pipelines, else /usr/share/attache/pipelines]
    #[arg(long, value_name = "DIR", global = true)]
    pipelines: Option<PathBuf>,
    /// Take the folder and the elements that are allowed besides from this configuration
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// An element that descriptions may use besides those of attache's list; can be given several times
    #[arg(long, value_name = "ELEMENT", global = true, value_parser = element)]
    allow: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check descriptions: exit code 0 all are right, 1 there are problems, 2 a file or folder cannot be read
    Check(CheckArguments),
    /// List the descriptions
    List(ListArguments),
    /// Show a description: parameters, settings, fragments with values in them
    Show(ShowArguments),
    /// Draw a description's fragments as a dry run builds them (stand-ins for devices), or what a job runs at this moment
    Graph(GraphArguments),
    /// Print the JSON Schema of descriptions, for editors
    Schema,
}

#[derive(Debug, Args)]
struct CheckArguments {
    /// The files to check; without any, the whole folder
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ListArguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ShowArguments {
    /// The description's name, without .toml
    name: String,
    /// A value for one of its parameters; can be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parameter)]
    parameters: Vec<(String, Value)>,
    /// The room that {room} stands for
    #[arg(long, default_value = "lobby")]
    room: RoomName,
}

#[derive(Debug, Args)]
struct GraphArguments {
    /// The description's name, without .toml; else the id of a job, which its server is asked for
    #[arg(value_name = "NAME|JOB")]
    name: String,
    /// The picture: its name ends with .svg or .png
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    server: ServerArguments,
}

/// Does what the arguments say. Reads files and loads plugins: nothing else may run on its thread.
pub async fn run(arguments: PipelinesArguments) -> Result<(), Failure> {
    let config = match &arguments.config {
        Some(file) => Some(Config::load(Some(file), Overrides::TOOLS)?),
        None => None,
    };
    let allowed = match &config {
        Some(config) => config.jobs.elements.clone().and(arguments.allow),
        None => Allowed::with(arguments.allow),
    };
    let folder = arguments
        .pipelines
        .or(config.map(|config| config.jobs.pipelines))
        .unwrap_or_else(default_pipelines);
    match arguments.command {
        Command::Check(arguments) => check(&folder, &allowed, &arguments),
        Command::List(arguments) => list(&folder, &arguments),
        Command::Show(arguments) => show(&folder, arguments),
        Command::Graph(arguments) => graph(&folder, &allowed, &arguments).await,
        Command::Schema => {
            print_line(&format!("{:#}", schema::json_schema()));
            Ok(())
        }
    }
}

/// The descriptions of a folder, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| {
            format!(
                "{}: the folder of descriptions cannot be read",
                folder.display()
            )
        })
        .map_err(Failure::Usage)?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    if files.is_empty() {
        let wrong = anyhow!(
            "{}: there is no description (*.toml) in it",
            folder.display()
        );
        return Err(Failure::Usage(wrong));
    }
    Ok(files)
}

fn check(folder: &Path, allowed: &Allowed, arguments: &CheckArguments) -> Result<(), Failure> {
    let files = match arguments.files.as_slice() {
        [] => files(folder)?,
        given => given.to_vec(),
    };
    for file in &files {
        if !file.is_file() {
            let wrong = anyhow!("{}: there is no such file", file.display());
            return Err(Failure::Usage(wrong));
        }
    }
    let results: Vec<(&PathBuf, Result<(), DescriptionError>)> = files
        .iter()
        .map(|file| (file, Description::check_file(file, allowed)))
        .collect();
    let wrong = results.iter().filter(|(_, result)| result.is_err()).count();
    if arguments.json {
        let files: Vec<Json> = results
            .iter()
            .map(|(file, result)| {
                let problems = result.as_ref().err().map(|error| error.0.as_slice());
                json!({"file": file, "ok": result.is_ok(), "problems": problems.unwrap_or_default()})
            })
            .collect();
        print_line(&json!({"ok": wrong == 0, "files": files}).to_string());
    } else {
        for (file, result) in &results {
            match result {
                Ok(()) => print_line(&format!("{}: right", file.display())),
                Err(error) => print_line(&error.to_string()),
            }
        }
    }
    if wrong == 0 {
        return Ok(());
    }
    Err(Failure::Told)
}

fn list(folder: &Path, arguments: &ListArguments) -> Result<(), Failure> {
    let mut descriptions = Vec::new();
    for file in files(folder)? {
        let name = file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        descriptions.push((name.clone(), Description::read(folder, &name)));
    }
    if arguments.json {
        let all: Vec<Json> = descriptions
            .iter()
            .map(|(name, description)| match description {
                Ok(description) => json!({
                    "name": name,
                    "role": description.role,
                    "summary": description.summary,
                    "parameters": description.parameters.keys().collect::<Vec<_>>(),
                }),
                Err(error) => json!({"name": name, "problems": error.0}),
            })
            .collect();
        print_line(&json!({"descriptions": all}).to_string());
        return Ok(());
    }
    let width = descriptions
        .iter()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or(0);
    for (name, description) in descriptions {
        print_line(&match description {
            Ok(description) => {
                format!(
                    "{name:width$}  {:8}  {}",
                    description.role.to_string(),
                    description.summary
                )
            }
            Err(error) => format!(
                "{name:width$}  has {} problems: attache pipelines check",
                error.0.len()
            ),
        });
    }
    Ok(())
}

fn show(folder: &Path, arguments: ShowArguments) -> Result<(), Failure> {
    let usage = |error: DescriptionError| Failure::Usage(error.into());
    let description = Description::read(folder, &arguments.name).map_err(usage)?;
    let given: BTreeMap<String, Value> = arguments.parameters.into_iter().collect();
    let values = description.values(&given, &arguments.room).map_err(usage)?;
    let settings = description.settings(&values).map_err(usage)?;
    print_line(&format!("{}: {}", description.name, description.summary));
    print_line(&format!("role: {}", description.role));
    if let Some(fallback) = &description.fallback {
        print_line(&format!("without a device: {}", fallback.name));
    }
    if !description.parameters.is_empty() {
        print_line("\nparameters:");
    }
    for (name, parameter) in &description.parameters {
        let value = values.get(name).map(literal).unwrap_or_default();
        print_line(&format!("  {name} = {value}"));
        print_line(&format!("      {}", about(parameter)));
        print_line(&format!("      {}", parameter.description));
    }
    let video = &settings.video;
    let codecs: Vec<String> = video.codecs.iter().map(ToString::to_string).collect();
    print_line("\nsettings:");
    print_line(&format!(
        "  jitter buffer {} ms",
        settings.latency.as_millis()
    ));
    print_line(&format!(
        "  picture {} x {}, {} a second, {} kb/s, {}",
        video.width,
        video.height,
        video.framerate,
        video.bitrate.kilobits(),
        codecs.join(" before ")
    ));
    print_line(&format!(
        "  sound {} channels, {} kb/s",
        settings.audio.channels,
        settings.audio.bitrate.kilobits()
    ));
    for fragment in description.fragments() {
        print_line(&format!("\n{}:", fragment.key));
        let filled = fragment.fill(&values, |_| None).to_string();
        filled
            .lines()
            .for_each(|line| print_line(&format!("  {line}")));
    }
    Ok(())
}

async fn graph(
    folder: &Path,
    allowed: &Allowed,
    arguments: &GraphArguments,
) -> Result<(), Failure> {
    let out = &arguments.out;
    let extension = out.extension().and_then(|extension| extension.to_str());
    let Some(format @ ("svg" | "png")) = extension else {
        let wrong = anyhow!(
            "{}: the picture's name ends with .svg or .png",
            out.display()
        );
        return Err(Failure::Usage(wrong));
    };
    let name = &arguments.name;
    let picture = if folder.join(format!("{name}.toml")).is_file() {
        let description = Description::load_with(folder, name, allowed);
        let graph = description.and_then(|description| description.graph());
        let graph = graph.map_err(|error| Failure::Usage(error.into()))?;
        match format {
            "svg" => graph.to_svg().into_bytes(),
            _ => graph.to_png().map_err(|reason| anyhow!(reason))?,
        }
    } else {
        job_graph(folder, arguments, format).await?
    };
    std::fs::write(out, picture)
        .with_context(|| format!("{}: cannot be written", out.display()))
        .map_err(Failure::Failed)
}

/// The picture of a running job, drawn by its server.
async fn job_graph(
    folder: &Path,
    arguments: &GraphArguments,
    format: &str,
) -> Result<Vec<u8>, Failure> {
    let GraphArguments { name, server, .. } = arguments;
    let no_description = format!(
        "{}: there is no description {name}.toml in it, so {name} should be a job of {}",
        folder.display(),
        server.url()
    );
    let id: JobId = name
        .parse()
        .map_err(|error| Failure::Usage(anyhow!("{no_description}: {error}")))?;
    match server
        .get(&format!("jobs/{id}/graph?format={format}"))
        .await
    {
        Err(Failure::Failed(error)) => Err(Failure::Failed(error.context(no_description))),
        other => other,
    }
}

fn literal(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Type, range, unit and default in one line.
fn about(parameter: &Parameter) -> String {
    let kind = match &parameter.kind {
        ParameterType::String { values, .. } if !values.is_empty() => {
            format!("one of {}", values.join(", "))
        }
        ParameterType::String {
            pattern,
            max_length,
            ..
        } => {
            format!(
                "text that fits {}, at most {max_length} characters",
                pattern.as_str()
            )
        }
        ParameterType::Integer { min, max } => {
            format!("whole number{}", range(min, max, &i64::MIN, &i64::MAX))
        }
        ParameterType::Float { min, max } => {
            format!("number{}", range(min, max, &f64::MIN, &f64::MAX))
        }
        ParameterType::Boolean => "true or false".to_owned(),
        ParameterType::Device(kind) => format!("{kind}: auto, none, or a name or path"),
    };
    let unit = parameter.unit.as_ref().map(|unit| format!(" in {unit}"));
    let default = literal(&parameter.default);
    format!("{kind}{}; default {default}", unit.unwrap_or_default())
}

fn range<T: PartialEq + std::fmt::Display>(min: &T, max: &T, lowest: &T, highest: &T) -> String {
    match (min == lowest, max == highest) {
        (true, true) => String::new(),
        (false, true) => format!(" from {min}"),
        (true, false) => format!(" to {max}"),
        (false, false) => format!(" from {min} to {max}"),
    }
}
