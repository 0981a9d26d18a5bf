//! Deliberate mutations of the product, each of which the simulation must catch. They
//! are edits of source files, applied to a copy of the workspace below the target
//! directory, so that the product itself never holds one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// An edit of one file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// From the workspace's root.
    pub file: String,
    /// What stands there, exactly once.
    pub find: String,
    /// What stands there then.
    pub replace: String,
}

/// A mutation.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutation {
    /// The file's name.
    #[serde(skip)]
    pub name: String,
    /// What goes wrong with it.
    pub breaks: String,
    /// Which invariant of DESIGN.md.
    pub invariant: u8,
    /// What it changes.
    pub edit: Vec<Edit>,
}

/// Why mutations cannot be run, or were not caught.
#[derive(Debug, thiserror::Error)]
pub enum MutationError {
    /// A file.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A mutation's file cannot be read.
    #[error("{name}: {error}")]
    Format {
        /// Which.
        name: String,
        /// What is wrong.
        error: toml::de::Error,
    },
    /// What is to be replaced does not stand there exactly once.
    #[error("{name}: the text to be replaced stands {times} times in {file}")]
    Applies {
        /// Which mutation.
        name: String,
        /// Where.
        file: String,
        /// How often.
        times: usize,
    },
    /// The copy does not build.
    #[error("{name}: does not build:\n{output}")]
    Build {
        /// Which mutation.
        name: String,
        /// Of the compiler.
        output: String,
    },
    /// The copy without a mutation fails.
    #[error("the simulation fails without a mutation:\n{0}")]
    Unmutated(String),
    /// Nobody noticed.
    #[error("not caught: {}", .0.join(", "))]
    Survived(Vec<String>),
}

fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, MutationError> {
    result.map_err(|error| MutationError::Io {
        path: path.to_owned(),
        error,
    })
}

/// The workspace's root.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All mutations, by name.
///
/// # Errors
/// A file that cannot be read.
pub fn all() -> Result<Vec<Mutation>, MutationError> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("mutations");
    let mut mutations = Vec::new();
    for entry in at(&dir, fs::read_dir(&dir))? {
        let path = at(&dir, entry)?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let text = at(&path, fs::read_to_string(&path))?;
        let mut mutation: Mutation =
            toml::from_str(&text).map_err(|error| MutationError::Format {
                name: name.clone().into_owned(),
                error,
            })?;
        mutation.name = name.into_owned();
        mutations.push(mutation);
    }
    mutations.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(mutations)
}

impl Mutation {
    /// The edited files: path from the root, whole text.
    ///
    /// # Errors
    /// [`MutationError::Applies`].
    pub fn apply(&self, root: &Path) -> Result<Vec<(String, String)>, MutationError> {
        let mut edited: Vec<(String, String)> = Vec::new();
        for edit in &self.edit {
            let path = root.join(&edit.file);
            let text = match edited.iter().find(|(file, _)| *file == edit.file) {
                Some((_, text)) => text.clone(),
                None => at(&path, fs::read_to_string(&path))?,
            };
            let times = text.matches(&edit.find).count();
            if times != 1 {
                return Err(MutationError::Applies {
                    name: self.name.clone(),
                    file: edit.file.clone(),
                    times,
                });
            }
            let text = text.replacen(&edit.find, &edit.replace, 1);
            edited.retain(|(file, _)| *file != edit.file);
            edited.push((edit.file.clone(), text));
        }
        Ok(edited)
    }
}

/// A copy of the workspace, with a target directory of its own.
struct Copy {
    root: PathBuf,
    target: PathBuf,
}

impl Copy {
    fn make(below: &Path) -> Result<Self, MutationError> {
        let copy = Self {
            root: below.join("workspace"),
            target: below.join("target"),
        };
        let from = workspace();
        at(&copy.root, fs::create_dir_all(&copy.root))?;
        copy_changed(&from, &copy.root)?;
        Ok(copy)
    }

    fn build(&self, name: &str) -> Result<PathBuf, MutationError> {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo
            .current_dir(&self.root)
            .args(["build", "--quiet", "--locked", "-p", "gapless-simulation"])
            .args(["--bin", "simulation", "--config", "profile.dev.debug=false"])
            .arg("--target-dir")
            .arg(&self.target);
        let output = at(&self.root, cargo.output())?;
        if !output.status.success() {
            return Err(MutationError::Build {
                name: name.to_owned(),
                output: String::from_utf8_lossy(&output.stderr).into_owned(),
            });
        }
        Ok(self.target.join("debug/simulation"))
    }

    /// The line that tells of the first failure, if there is one.
    fn run(&self, binary: &Path, seeds: u64, steps: u64) -> Result<Option<String>, MutationError> {
        let (seeds, steps) = (seeds.to_string(), steps.to_string());
        let mut run = Command::new(binary);
        run.args(["--seeds", &seeds, "--steps", &steps]);
        let output = at(binary, run.output())?;
        let text = String::from_utf8_lossy(&output.stdout);
        let failed = text.lines().find(|line| {
            line.starts_with("seed ") && line.contains(" fails at ") && !output.status.success()
        });
        Ok(failed.map(str::to_owned))
    }
}

/// Copies what has changed, so that only that is built again.
fn copy_changed(from: &Path, to: &Path) -> Result<(), MutationError> {
    for entry in at(from, fs::read_dir(from))? {
        let entry = at(from, entry)?;
        let (path, name) = (entry.path(), entry.file_name());
        let target = to.join(&name);
        if path.is_dir() {
            let left_out = ["target", "data", "corpus", "artifacts"]
                .iter()
                .any(|n| name == *n);
            if !left_out && !name.to_string_lossy().starts_with('.') {
                at(&target, fs::create_dir_all(&target))?;
                copy_changed(&path, &target)?;
            }
            continue;
        }
        let bytes = at(&path, fs::read(&path))?;
        if fs::read(&target).ok().as_ref() != Some(&bytes) {
            at(&target, fs::write(&target, bytes))?;
        }
    }
    Ok(())
}

/// Runs the mutations whose name holds one of `only` (all if there are none), with at
/// most so many seeds each; `tell` is told of each.
///
/// # Errors
/// One that was not caught, or cannot be run.
pub fn run(
    below: &Path,
    only: &[String],
    seeds: u64,
    steps: u64,
    mut tell: impl FnMut(String),
) -> Result<(), MutationError> {
    let copy = Copy::make(below)?;
    let binary = copy.build("unmutated")?;
    if let Some(failed) = copy.run(&binary, seeds, steps)? {
        return Err(MutationError::Unmutated(failed));
    }
    tell(format!("unmutated: {seeds} seeds, nothing failed"));
    let mut survived = Vec::new();
    for mutation in all()? {
        if !only.is_empty() && !only.iter().any(|part| mutation.name.contains(part)) {
            continue;
        }
        let mut before = Vec::new();
        for (file, text) in mutation.apply(&copy.root)? {
            let path = copy.root.join(file);
            before.push((path.clone(), at(&path, fs::read(&path))?));
            at(&path, fs::write(&path, text))?;
        }
        let result = copy
            .build(&mutation.name)
            .and_then(|binary| copy.run(&binary, seeds, steps));
        for (path, bytes) in before {
            at(&path, fs::write(&path, bytes))?;
        }
        match result? {
            Some(failed) => tell(format!(
                "{} ({}): caught\n    {failed}",
                mutation.name, mutation.breaks
            )),
            None => {
                tell(format!(
                    "{} ({}): NOT CAUGHT",
                    mutation.name, mutation.breaks
                ));
                survived.push(mutation.name);
            }
        }
    }
    if survived.is_empty() {
        Ok(())
    } else {
        Err(MutationError::Survived(survived))
    }
}
