//! Where a run directory has its checkpoints: `checkpoints/step-N`, and links to some of them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::CheckpointError;
use crate::files::link_target;

/// The folder of all checkpoints in a run directory.
pub const CHECKPOINTS: &str = "checkpoints";
/// The link in it to the newest.
pub const LATEST: &str = "latest";

const STEP: &str = "step-";

/// The folder of the checkpoint of `step` completed steps of the run in `run`.
pub fn checkpoint(run: &Path, step: u64) -> PathBuf {
    run.join(CHECKPOINTS).join(format!("{STEP}{step}"))
}

/// Completed steps of the checkpoint in the folder `path`, by its name.
pub fn step_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    name.strip_prefix(STEP)?.parse().ok()
}

/// Completed steps of all checkpoints of the run in `run`, ascending.
///
/// # Errors
///
/// That of the system if they cannot be listed.
pub fn steps(run: &Path) -> io::Result<Vec<u64>> {
    let entries = fs::read_dir(run.join(CHECKPOINTS))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut steps: Vec<u64> = paths.filter_map(|path| step_of(&path)).collect();
    steps.sort_unstable();
    Ok(steps)
}

/// Completed steps of the run in `run` as its newest checkpoint has them: that of the link, without
/// one the most.
pub fn newest(run: &Path) -> Option<u64> {
    let link = link_target(&run.join(CHECKPOINTS).join(LATEST));
    let linked = link.and_then(|target| step_of(&target));
    linked.or_else(|| steps(run).ok()?.last().copied())
}

/// The file `name` of a run directory or a checkpoint folder, or `path` itself if it is a file.
///
/// # Errors
///
/// [`CheckpointError::Absent`], which calls what it holds `what`, if the folder has no such file.
pub fn file(path: &Path, name: &str, what: &'static str) -> Result<PathBuf, CheckpointError> {
    match find(path, |folder| folder.join(name).is_file()) {
        Some(folder) => Ok(folder.join(name)),
        None if path.is_dir() => Err(CheckpointError::Absent {
            path: path.into(),
            what,
        }),
        None => Ok(path.into()),
    }
}

/// The folder to read from of a run directory or a checkpoint folder: the newest checkpoint, else
/// the folder itself, if it is such that `holds` what is wanted. Some copies of a run have lost its
/// links, or have folders in their place.
pub fn find(folder: &Path, holds: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let link = folder.join(CHECKPOINTS).join(LATEST);
    let named = link_target(&link).map(|target| folder.join(CHECKPOINTS).join(target));
    let steps = steps(folder).unwrap_or_default().into_iter().rev();
    let all = steps.map(|step| checkpoint(folder, step));
    let first = [link].into_iter().chain(named);
    let candidates = first.chain([folder.to_owned()]).chain(all);
    candidates.into_iter().find(|folder| holds(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_read_with_links_without_them_and_with_files_or_folders_instead() {
        let run = tempfile::tempdir().unwrap();
        let run = run.path();
        let found = || find(run, |folder| folder.join("weights").is_file());
        assert_eq!(found(), None);
        for step in [9, 10] {
            fs::create_dir_all(checkpoint(run, step)).unwrap();
            fs::write(checkpoint(run, step).join("weights"), "").unwrap();
        }
        fs::create_dir(checkpoint(run, 11)).unwrap();
        assert_eq!(steps(run).unwrap(), [9, 10, 11]);
        assert_eq!(newest(run), Some(11));
        assert_eq!(found(), Some(checkpoint(run, 10)));

        let latest = run.join(CHECKPOINTS).join(LATEST);
        // Where links need privileges they are files.
        fs::write(&latest, "step-9").unwrap();
        assert_eq!(newest(run), Some(9));
        assert_eq!(found(), Some(checkpoint(run, 9)));
        fs::remove_file(&latest).unwrap();
        fs::create_dir(&latest).unwrap();
        fs::write(latest.join("weights"), "").unwrap();
        assert_eq!(found(), Some(latest));
        assert_eq!(
            find(&checkpoint(run, 9), |folder| folder
                .join("weights")
                .is_file()),
            Some(checkpoint(run, 9))
        );
    }
}
