//! The cache that tools of the hub share.
//!
//! A repository is a folder `models--ORG--NAME`: `blobs` has contents by ETag, `snapshots/COMMIT`
//! links to them under their names, `refs/REVISION` names commits, `.no_exist/COMMIT` has an empty
//! file for each that the commit is known not to have.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use super::name::HubName;
use crate::files::{FileError, cannot, write_bytes};

/// The folder of one repository.
#[derive(Debug)]
pub(super) struct CachedRepository(PathBuf);

impl CachedRepository {
    pub(super) fn new(cache: &Path, name: &HubName) -> Self {
        let folder = format!("models--{}", name.repository().replace('/', "--"));
        Self(cache.join(folder))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The commit of a revision as far as it is known here.
    pub(super) fn commit(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_owned());
        }
        let noted = fs::read_to_string(self.reference(revision)).ok()?;
        Some(noted.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// Notes the commit of a revision.
    pub(super) fn refer(&self, revision: &str, commit: &str) -> Result<(), FileError> {
        match is_commit(revision) {
            true => Ok(()),
            false => write_bytes(&self.reference(revision), commit),
        }
    }

    fn reference(&self, revision: &str) -> PathBuf {
        self.0.join("refs").join(revision)
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.0.join("snapshots").join(commit)
    }

    /// Whether the commit is known to have no such file.
    pub(super) fn lacks(&self, commit: &str, file: &str) -> bool {
        self.absent(commit).join(file).is_file()
    }

    /// Notes that the commit has no such file.
    pub(super) fn note_absent(&self, commit: &str, file: &str) -> Result<(), FileError> {
        write_bytes(&self.absent(commit).join(file), "")
    }

    fn absent(&self, commit: &str) -> PathBuf {
        self.0.join(".no_exist").join(commit)
    }

    /// Where a content is, its folder made if need be.
    pub(super) fn blob(&self, etag: &str) -> Result<PathBuf, FileError> {
        let blobs = self.0.join("blobs");
        fs::create_dir_all(&blobs).map_err(cannot("create", &blobs))?;
        Ok(blobs.join(etag))
    }

    /// Gives a content its name in a snapshot.
    pub(super) fn link(&self, commit: &str, file: &str, blob: &Path) -> Result<(), FileError> {
        let link = self.snapshot(commit).join(file);
        #[cfg(unix)]
        {
            let folders = Path::new(file).components().count() + 1;
            let up = PathBuf::from_iter(vec![Component::ParentDir; folders]);
            let etag = blob.file_name().unwrap_or_default();
            crate::files::point_link(&link, &up.join("blobs").join(etag))
        }
        #[cfg(not(unix))]
        {
            let mut content = fs::File::open(blob).map_err(cannot("read", blob))?;
            crate::files::write_file(&link, |copy| {
                let copied = std::io::copy(&mut content, copy);
                copied.map(drop).map_err(cannot("write", &link))
            })
        }
    }
}

/// Whether `text` is the whole hash of a commit.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
