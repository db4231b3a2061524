//! Weights by name from the Hugging Face hub, files of other servers, and weights sent to the hub.
//!
//! Downloads go into the cache that `huggingface_hub` has, in its layout, so that both find what the
//! other has downloaded. They go on where they were cut off, and large files are compared with the
//! SHA-256 that the hub names. What is in the cache is used without asking the network.
//!
//! ```no_run
//! use burn::tensor::Device;
//! use ijepa_model::VisionTransformer;
//!
//! let encoder =
//!     VisionTransformer::from_pretrained("facebook/ijepa_vith14_1k", &Device::flex())?;
//! # Ok::<(), ijepa_model::CheckpointError>(())
//! ```

mod cache;
mod error;
mod http;
mod known;
mod name;
mod push;
#[cfg(test)]
mod tests;
mod transfer;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

pub use crate::checkpoint::hub_files::{BESIDE, reads_beside};
pub use error::HubError;
pub use known::{Address, KnownWeights, Part};
pub use name::HubName;

use crate::{
    checkpoint::hub_files,
    files::{cannot, user_caches},
};
use cache::CachedRepository;
use http::Client;

/// Files that an error names.
const MOST_NAMED: usize = 10;
const ENDPOINT: &str = "https://huggingface.co";

/// Where weights come from and where they are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hub {
    /// Address of the hub, without a slash at its end.
    pub endpoint: String,
    /// The cache of the hub's tools.
    pub cache: PathBuf,
    /// Token of an account, for private and gated repositories.
    pub token: Option<String>,
    /// Whether nothing may be downloaded.
    pub offline: bool,
    /// Pause before a connection that was cut off is tried again, doubled each time.
    pub pause: Duration,
    /// What may pass between two signs of life of a server.
    pub patience: Duration,
}

/// What may pass before a server answers where weights are there without it.
const LITTLE_PATIENCE: Duration = Duration::from_secs(5);

/// What a download or an upload has to say.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A download begins.
    Begins {
        /// Licence of the weights as the hub calls it, if it knows one.
        licence: Option<&'a str>,
    },
    /// Weights in the cache are used although files that belong to them may be missing.
    Doubtful {
        /// What the hub was asked for in vain.
        why: &'a HubError,
    },
    /// A part of a file has passed.
    Bytes {
        /// Path in the repository, or name of the file.
        file: &'a str,
        /// Bytes that have passed.
        done: u64,
        /// Bytes of the file, 0 if the server does not say.
        total: u64,
    },
}

impl Hub {
    /// The hub that the environment names: `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_TOKEN` (or
    /// the file `token` of `HF_HOME`) and `HF_HUB_OFFLINE`, as the hub's own tools understand them.
    pub fn from_env() -> Self {
        let caches = user_caches().unwrap_or_else(|| ".cache".into());
        Self::from_variables(|name| std::env::var(name).ok(), &caches)
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>, caches: &Path) -> Self {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let home = variable("HF_HOME").map(PathBuf::from);
        let home = home.unwrap_or_else(|| caches.join("huggingface"));
        let kept = || fs::read_to_string(home.join("token")).ok();
        let token = variable("HF_TOKEN").or_else(kept);
        let token = token.map(|token| token.trim().to_owned());
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        let offline = variable("HF_HUB_OFFLINE").unwrap_or_default();
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache: variable("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from),
            token: token.filter(|token| !token.is_empty()),
            offline: ["1", "on", "yes", "true"].contains(&offline.to_lowercase().as_str()),
            pause: Duration::from_millis(250),
            patience: Duration::from_secs(60),
        }
    }

    /// The file or folder of `name`: from the cache, or else downloaded. Where others have filled
    /// the cache and it is unknown whether it has all that belongs to the weights, the hub is asked
    /// for the rest of the same commit, once; whatever it answers, the weights can be used.
    ///
    /// # Errors
    ///
    /// As [`download`](Self::download).
    pub fn fetch(
        &self,
        name: &HubName,
        mut watch: impl FnMut(Event<'_>),
    ) -> Result<PathBuf, HubError> {
        let Some(path) = self.cached(name) else {
            return self.download(name, watch);
        };
        if let Some(commit) = self.doubtful(name).filter(|_| !self.offline) {
            let hurried = Self {
                patience: self.patience.min(LITTLE_PATIENCE),
                ..self.clone()
            };
            if let Err(error) = hurried.download(&name.at(commit), &mut watch) {
                watch(Event::Doubtful { why: &error });
            }
        }
        Ok(path)
    }

    /// The commit in the cache of which files may be missing: those of `name` that it is not known to
    /// lack.
    fn doubtful(&self, name: &HubName) -> Option<String> {
        let repository = CachedRepository::new(&self.cache, name);
        let commit = repository.commit(name.revision())?;
        let files = hub_files::usual(name.file());
        let possible = files.filter(|file| !repository.lacks(&commit, file));
        let wanted = wanted(name, &possible.collect::<Vec<_>>());
        let snapshot = repository.snapshot(&commit);
        let has_all = wanted.is_ok_and(|files| files.iter().all(|it| snapshot.join(it).is_file()));
        (!has_all).then_some(commit)
    }

    /// The file or folder of `name` in the cache, if it has weights; asks nobody.
    pub fn cached(&self, name: &HubName) -> Option<PathBuf> {
        let repository = CachedRepository::new(&self.cache, name);
        let snapshot = repository.snapshot(&repository.commit(name.revision())?);
        match name.file() {
            Some(file) => Some(snapshot.join(file)).filter(|path| path.is_file()),
            None => Some(snapshot).filter(|folder| hub_files::are_in(folder)),
        }
    }

    /// The file or folder of `name` as the hub has it now; only what is not in the cache is
    /// downloaded.
    ///
    /// # Errors
    ///
    /// Any [`HubError`].
    pub fn download(
        &self,
        name: &HubName,
        mut watch: impl FnMut(Event<'_>),
    ) -> Result<PathBuf, HubError> {
        let repository = CachedRepository::new(&self.cache, name);
        if self.offline {
            return Err(offline(name.to_string(), repository.path()));
        }
        let client = Client::new(self);
        let listing = client.listing(name)?;
        let wanted = wanted(name, &listing.files)?;
        watch(Event::Begins {
            licence: listing.licence.as_deref(),
        });
        let snapshot = repository.snapshot(&listing.commit);
        let mut get = |file: &str| -> Result<(), HubError> {
            if snapshot.join(file).is_file() {
                return Ok(());
            }
            let url = client.file_url(name, &listing.commit, file);
            let about = client.about(&url, Some((name, file)))?;
            let blob = repository.blob(&about.etag)?;
            let partial = blob.with_added_extension("incomplete");
            if !blob.is_file() {
                client.transfer(&url, &about, [&partial, &blob], &mut |done, total| {
                    watch(Event::Bytes { file, done, total });
                })?;
            }
            Ok(repository.link(&listing.commit, file, &blob)?)
        };
        for file in &wanted {
            get(file)?;
        }
        for shard in hub_files::shards_of(&snapshot, &wanted) {
            get(&shard)?;
        }
        for file in hub_files::usual(name.file()) {
            if !listing.files.contains(&file) {
                // Without the note it is asked for again.
                let _ = repository.note_absent(&listing.commit, &file);
            }
        }
        // Last, so that a revision that is known here is here.
        repository.refer(name.revision(), &listing.commit)?;
        Ok(match name.file() {
            Some(file) => snapshot.join(file),
            None => snapshot,
        })
    }

    /// The file at `url` in `folder`, under the last part of its address; downloaded unless it is
    /// there. Servers other than the hub tell no hash, so that only its length is checked.
    ///
    /// # Errors
    ///
    /// Any [`HubError`].
    pub fn download_file(
        &self,
        url: &str,
        folder: &Path,
        mut watch: impl FnMut(Event<'_>),
    ) -> Result<PathBuf, HubError> {
        let file = url.rsplit('/').next().filter(|file| name::is_part(file));
        let file = file.ok_or_else(|| HubError::Name { name: url.into() })?;
        let path = folder.join(file);
        if path.is_file() {
            return Ok(path);
        }
        if self.offline {
            return Err(offline(url.to_owned(), folder));
        }
        let client = Client::new(self);
        let about = client.about(url, None)?;
        watch(Event::Begins { licence: None });
        fs::create_dir_all(folder).map_err(cannot("create", folder))?;
        let partial = folder.join(format!(".{file}.{}.incomplete", about.etag));
        client.transfer(url, &about, [&partial, &path], &mut |done, total| {
            watch(Event::Bytes { file, done, total });
        })?;
        Ok(path)
    }
}

/// Those of the `files` of a repository that `name` means.
fn wanted(name: &HubName, files: &[String]) -> Result<Vec<String>, HubError> {
    let repository = || name.repository().to_owned();
    match name.file() {
        Some(file) if files.iter().any(|found| found == file) => {
            Ok(hub_files::of_file(file, files))
        }
        Some(file) => Err(HubError::NoFile {
            place: repository(),
            file: file.to_owned(),
        }),
        None => hub_files::of_folder(files).ok_or_else(|| HubError::NoWeights {
            repository: repository(),
            files: first_of(files),
        }),
    }
}

/// The first few of `files`, and how many there are more.
fn first_of(files: &[String]) -> String {
    let shown = files.len().min(MOST_NAMED);
    let text = files[..shown].join(", ");
    match files.len() - shown {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

fn offline(name: String, place: &Path) -> HubError {
    let place = place.to_owned();
    HubError::Offline { name, place }
}
