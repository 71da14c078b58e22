//! Everything that can be wrong with a description, told at once: what GStreamer has to say after the pure checks.

use std::path::Path;

use super::allowed::Allowed;
use super::build;
use super::description::Description;
use super::fragment::{Filled, Fragment};
use super::parameters::Values;
use super::problem::{DescriptionError, Problem};
use crate::job::Parameters;
use crate::media::devices::DeviceKind;

impl Description {
    /// Reads `NAME.toml` from the folder of descriptions, and its fallback, and checks everything but a dry run, with
    /// attache's own list of elements. Reads files and loads plugins: not for async threads.
    ///
    /// # Errors
    /// Every problem, of the file first, then of its fallback.
    pub fn load(folder: &Path, name: &str) -> Result<Self, DescriptionError> {
        Self::load_with(folder, name, &Allowed::default())
    }

    /// As [`Description::load`], with the elements that the operator allows besides.
    ///
    /// # Errors
    /// Every problem, of the file first, then of its fallback.
    pub fn load_with(
        folder: &Path,
        name: &str,
        allowed: &Allowed,
    ) -> Result<Self, DescriptionError> {
        let description = Self::read(folder, name).map_err(|error| {
            let file = folder.join(format!("{name}.toml"));
            Self::with_elements(&file, name, allowed, error)
        })?;
        description.check(allowed)?;
        if let Some(fallback) = &description.fallback {
            fallback.check(allowed)?;
        }
        Ok(description)
    }

    /// Checks a file as far as that goes: everything that [`Description::load_with`] checks, and a dry run.
    ///
    /// # Errors
    /// Every problem, of the file first, then of its fallback.
    pub fn check_file(file: &Path, allowed: &Allowed) -> Result<(), DescriptionError> {
        let folder = file.parent().unwrap_or(Path::new(""));
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        // Problems of the file are told with the name that was given for it.
        Self::read_file(file, &name)
            .map_err(|error| Self::with_elements(file, &name, allowed, error))?
            .check(allowed)?;
        let description = Self::load_with(folder, &name, allowed)?;
        description.dry_run()
    }

    /// Checks that the elements exist and are allowed, that their properties take their values, that they link, and that
    /// the free pads fit: with the parameters' defaults, and stand-ins for devices.
    ///
    /// # Errors
    /// Every problem.
    pub fn check(&self, allowed: &Allowed) -> Result<(), DescriptionError> {
        crate::media::init().map_err(|error| {
            DescriptionError::without_place(&self.file, "", error.to_string(), "GStreamer 1.22")
        })?;
        let mut problems = Vec::new();
        for fragment in self.fragments() {
            let refused = allowed.check(self, fragment);
            let is_refused = |place| {
                refused
                    .iter()
                    .any(|problem: &Problem| problem.place == place)
            };
            let filled = self.stand_ins(fragment)?;
            if let Err(error) = build::build(self, fragment, &filled) {
                // A refused element need not be installed.
                let others = error
                    .0
                    .into_iter()
                    .filter(|problem| !is_refused(problem.place));
                problems.extend(others);
            }
            problems.extend(refused);
        }
        DescriptionError::unless_empty(problems)
    }

    /// What is wrong with a file that does not read, and what is wrong with its elements besides: who mends it wants to
    /// know all of it.
    fn with_elements(
        file: &Path,
        name: &str,
        allowed: &Allowed,
        error: DescriptionError,
    ) -> DescriptionError {
        let Some(description) =
            Self::read_as_far(file, name).filter(|_| crate::media::init().is_ok())
        else {
            return error;
        };
        let mut problems = error.0;
        for fragment in description.fragments() {
            let mut found = allowed.check(&description, fragment);
            let filled = description.known_values(fragment);
            found.extend(build::look(&description, fragment, &filled));
            for problem in found {
                // One problem in one place: the first is the cause.
                if problems.iter().all(|other| other.place != problem.place) {
                    problems.push(problem);
                }
            }
        }
        DescriptionError::of(problems)
    }

    /// The defaults as far as they are right, with stand-ins for devices.
    fn known_values(&self, fragment: &Fragment) -> Filled {
        let room = "room".parse();
        let values = room.map(|room| self.values(&Parameters::new(), &room).unwrap_or_default());
        self.with_stand_ins(fragment, &values.unwrap_or_default())
    }

    /// The defaults for a fragment, with test sources and dropping sinks for devices.
    pub(super) fn stand_ins(&self, fragment: &Fragment) -> Result<Filled, DescriptionError> {
        let room = "room".parse().map_err(|_| {
            DescriptionError::without_place(&self.file, "room", "not a room", "a room's name")
        })?;
        let values = self.values(&Parameters::new(), &room)?;
        Ok(self.with_stand_ins(fragment, &values))
    }

    fn with_stand_ins(&self, fragment: &Fragment, values: &Values) -> Filled {
        let devices = self.devices_of(fragment);
        fragment.fill(values, |name| {
            let kind = devices.iter().find(|(device, _)| *device == name)?.1;
            Some(stand_in(kind).to_owned())
        })
    }
}

fn stand_in(kind: DeviceKind) -> &'static str {
    match kind {
        DeviceKind::Camera => "videotestsrc",
        DeviceKind::Microphone => "audiotestsrc wave=silence",
        DeviceKind::Speaker => "fakesink sync=true",
        DeviceKind::Display => "fakesink sync=true",
    }
}
