//! A hub of models, as far as a client of it can tell.

mod uploads;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::server::{Answer, Request, Server};

/// The commit of every repository.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// The licence that every repository names.
pub const LICENCE: &str = "cc-by-nc-4.0";
/// Bytes from which on a file lies with another server, under its hash.
const LARGE: usize = 256;

/// What the hub has and how it behaves.
#[derive(Debug, Default)]
pub struct HubState {
    /// Contents by repository and path, whose only special characters are spaces.
    files: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// Large files that were sent, by their hash.
    pub sent: BTreeMap<String, Vec<u8>>,
    /// Whether those repositories are private that clients have made.
    pub private: BTreeMap<String, bool>,
    /// How many of the next uploads of large files fail for now.
    pub lost_uploads: usize,
    /// Whether the token may not write.
    pub is_read_only: bool,
    /// The token without which nothing is told.
    pub token: Option<String>,
    /// Whether the terms of repositories are not accepted.
    pub is_gated: bool,
    /// After how many bytes each of the next connections to the server of large files ends.
    pub cuts: Vec<usize>,
    /// Whether large files are sent as a whole whatever part is asked for.
    pub ignores_ranges: bool,
    /// Whether large files are sent with another byte.
    pub is_damaged: bool,
    /// How many of the next requests but for large files it is too busy for.
    pub refused: usize,
}

/// A hub of models on a port of this machine.
#[derive(Debug)]
pub struct HubServer {
    server: Server,
    state: Arc<Mutex<HubState>>,
}

impl HubServer {
    /// Starts a hub without repositories.
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(HubState::default()));
        let answering = Arc::clone(&state);
        let answer = move |request: &Request| {
            let mut state = answering.lock().expect("no answer panics");
            state.answer(request)
        };
        Self {
            server: Server::start(answer),
            state,
        }
    }

    /// The content of a file of a repository.
    pub fn content(&self, repository: &str, path: &str) -> Option<Vec<u8>> {
        self.state().files.get(repository)?.get(path).cloned()
    }

    /// Adds a file to a repository `ORG/NAME`.
    pub fn add(&self, repository: &str, path: &str, content: impl Into<Vec<u8>>) {
        let mut state = self.state();
        let files = state.files.entry(repository.to_owned()).or_default();
        files.insert(path.to_owned(), content.into());
    }

    /// What `HF_ENDPOINT` is set to.
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// How it behaves.
    pub fn state(&self) -> MutexGuard<'_, HubState> {
        self.state.lock().expect("no answer panics")
    }

    /// Method and path of what was asked since this was last called.
    pub fn take_requests(&self) -> Vec<String> {
        let requests = self.server.take_requests().into_iter();
        requests
            .map(|request| format!("{} {}", request.method, request.path))
            .collect()
    }
}

impl HubState {
    fn answer(&mut self, request: &Request) -> Answer {
        if let Some(answer) = self.upload(request) {
            return answer;
        }
        if let Some(hash) = request.path.strip_prefix("/cdn/") {
            return self.large(hash, request);
        }
        if self.refused > 0 {
            self.refused -= 1;
            return Answer::of(503, "");
        }
        let asked = request.path.split('/').skip(1).collect::<Vec<&str>>();
        let (owner, name, revision, file) = match asked[..] {
            ["api", "models", owner, name, "revision", revision] => (owner, name, revision, None),
            ["api", "cache", owner, name, revision, ref file @ ..]
            | [owner, name, "resolve", revision, ref file @ ..] => {
                (owner, name, revision, Some(file.join("/")))
            }
            _ => return Answer::of(404, ""),
        };
        let refusal = |status, code| Answer::of(status, "").header("X-Error-Code", code);
        let authorization = self.token.as_ref().map(|token| format!("Bearer {token}"));
        if authorization.is_some() && authorization.as_deref() != request.header("authorization") {
            return Answer::of(401, "");
        }
        let Some(files) = self.files.get(&format!("{owner}/{name}")) else {
            return refusal(401, "RepoNotFound");
        };
        if self.is_gated {
            return refusal(403, "GatedRepo");
        }
        if !["main", COMMIT].contains(&revision) {
            return refusal(404, "RevisionNotFound");
        }
        let Some(file) = file else {
            let names = files.keys().map(|name| json!({"rfilename": name}));
            let model = json!({
                "sha": COMMIT,
                "siblings": names.collect::<Vec<_>>(),
                "cardData": {"license": LICENCE},
            });
            return Answer::of(200, model.to_string());
        };
        let Some(content) = files.get(&file.replace("%20", " ")) else {
            return refusal(404, "EntryNotFound");
        };
        let answer = if content.len() >= LARGE {
            // Another server, which must not see the token.
            let host = request.header("host").unwrap_or_default();
            let host = host.replace("127.0.0.1", "localhost");
            let hash = sha256(content);
            Answer::redirect(302, &format!("http://{host}/cdn/{hash}"))
                .header("X-Linked-Etag", &format!("\"{hash}\""))
                .header("X-Linked-Size", &content.len().to_string())
        } else if asked[0] != "api" {
            Answer::redirect(307, &format!("/api/cache/{owner}/{name}/{revision}/{file}"))
        } else {
            Answer::file(content, request)
                .header("ETag", &format!("\"{}\"", &sha256(content)[..40]))
        };
        answer.header("X-Repo-Commit", COMMIT)
    }

    /// A file of the server of large files.
    fn large(&mut self, hash: &str, request: &Request) -> Answer {
        if request.header("authorization").is_some() {
            return Answer::of(400, "two ways to authorize");
        }
        let mut all = self.files.values().flat_map(BTreeMap::values);
        let Some(content) = all.find(|content| sha256(content) == hash) else {
            return Answer::of(404, "");
        };
        let mut content = content.clone();
        if self.is_damaged {
            content[0] ^= 1;
        }
        let answer = match self.ignores_ranges {
            true => Answer::of(200, content),
            false => Answer::file(&content, request),
        };
        match self.cuts.is_empty() {
            true => answer,
            false => answer.cut_after(self.cuts.remove(0)),
        }
    }
}

fn sha256(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
