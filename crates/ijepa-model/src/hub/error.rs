//! Why weights cannot be had from the hub, or sent to it.

use std::{error::Error, path::PathBuf};

use crate::files::FileError;

/// Weights that cannot be downloaded or uploaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The name has another form.
    #[error("`{name}` names no weights of the hub, expected hf:ORG/NAME[@REVISION][/FILE]")]
    Name {
        /// The name given.
        name: String,
    },
    /// Nothing may be downloaded, and it is not in the cache.
    #[error("`{name}` is not in `{}` and HF_HUB_OFFLINE forbids to download it", place.display())]
    Offline {
        /// What was asked for.
        name: String,
        /// Where it would be.
        place: PathBuf,
    },
    /// There is no network, or no such server.
    #[error("cannot reach {url}; only what was downloaded before needs no network")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What went wrong.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// There is no repository of this name, or the hub does not say so to everybody.
    #[error(
        "{endpoint} has no repository `{repository}`, or it is private: set HF_TOKEN to a token of an account that may read it"
    )]
    NoRepository {
        /// Address of the hub.
        endpoint: String,
        /// Organisation and name.
        repository: String,
    },
    /// The repository wants its terms accepted.
    #[error(
        "`{repository}` is gated: accept its terms at {endpoint}/{repository} and set HF_TOKEN to a token of that account ({endpoint}/settings/tokens)"
    )]
    Gated {
        /// Address of the hub.
        endpoint: String,
        /// Organisation and name.
        repository: String,
    },
    /// The token is missing or wrong.
    #[error(
        "{endpoint} refuses access to `{repository}`: set HF_TOKEN to a valid token of an account that may read it"
    )]
    Unauthorized {
        /// Address of the hub.
        endpoint: String,
        /// Organisation and name.
        repository: String,
    },
    /// The repository has no such branch, tag or commit.
    #[error("`{repository}` has no revision `{revision}`")]
    NoRevision {
        /// Organisation and name.
        repository: String,
        /// What was asked for.
        revision: String,
    },
    /// The repository or server has no such file.
    #[error("`{place}` has no file `{file}`")]
    NoFile {
        /// Repository or server.
        place: String,
        /// What was asked for.
        file: String,
    },
    /// The repository has no weights under a usual name.
    #[error("`{repository}` has no weights under a usual name, name a file: {files}")]
    NoWeights {
        /// Organisation and name.
        repository: String,
        /// Files that may be weights.
        files: String,
    },
    /// The server answers with an error.
    #[error("{url} answers with status {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// Status of HTTP.
        status: u16,
    },
    /// The server does not answer as a hub does.
    #[error("{url} does not answer as a hub does: {what}")]
    Answer {
        /// What was asked for.
        url: String,
        /// What is wrong with the answer.
        what: String,
    },
    /// The connection ended too often before its time.
    #[error(
        "the download of `{file}` was cut off after {done} bytes, the same command goes on from there"
    )]
    Cut {
        /// The file.
        file: String,
        /// Bytes that are kept.
        done: u64,
        /// What went wrong.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Other bytes came than were promised.
    #[error("`{file}` was damaged on its way ({what}), the same command downloads it again")]
    Damaged {
        /// The file.
        file: String,
        /// What differs.
        what: String,
    },
    /// Nothing may be uploaded.
    #[error("nothing is uploaded while HF_HUB_OFFLINE is set; unset it")]
    OfflinePush,
    /// Nothing can be uploaded without an account.
    #[error(
        "uploading needs an account: set HF_TOKEN to a token of it that may write ({endpoint}/settings/tokens)"
    )]
    NoToken {
        /// Address of the hub.
        endpoint: String,
    },
    /// A folder of other things than weights.
    #[error(
        "`{}` is no folder of weights; `ijepa convert IN OUT --to hf` writes one", folder.display()
    )]
    NotWeights {
        /// The folder.
        folder: PathBuf,
    },
    /// The account of the token may not write to the repository.
    #[error("{endpoint} does not let the account of HF_TOKEN write to `{repository}`: {said}")]
    ReadOnly {
        /// Address of the hub.
        endpoint: String,
        /// Organisation and name.
        repository: String,
        /// The hub's words.
        said: String,
    },
    /// The hub does not take what is uploaded.
    #[error("{url} answers with status {status}: {said}")]
    Refused {
        /// What was asked for.
        url: String,
        /// Status of HTTP.
        status: u16,
        /// The server's words.
        said: String,
    },
    /// The connection ended too often before all was sent.
    #[error("the upload of `{file}` was cut off; the same command sends what the hub lacks")]
    CutPush {
        /// The file.
        file: String,
        /// What went wrong.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Reading or writing a file failed.
    #[error(transparent)]
    Io(#[from] FileError),
}
