//! Weights on their way to the hub: large files first (Git LFS), the others within the commit that
//! names them all.

mod answers;

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use ureq::{
    Body, RequestBuilder, SendBody,
    http::{Response, StatusCode, header},
    typestate::WithBody,
};

use super::{
    Event, Hub, HubName,
    error::HubError,
    http::{Client, encoded, is_passing, parsed, unreachable},
    transfer::{Failure, RETRIES, sha256},
};
use crate::{
    checkpoint::hub_files,
    files::{FileError, cannot},
};
use answers::{Action, Actions, Committed, Object, Objects, Plans};

/// Bytes of a file by which the hub decides how it keeps it.
const SAMPLE: u64 = 512;
const JSON: &str = "application/json";
const JSON_LINES: &str = "application/x-ndjson";
const LFS: &str = "application/vnd.git-lfs+json";

impl Hub {
    /// Uploads the files that lie in a folder of weights as one commit of the revision of `name`,
    /// and makes the repository if there is none, for everybody to see unless it is `private`.
    /// Returns the address of the commit; large files that the hub has are not sent again.
    ///
    /// # Errors
    ///
    /// Any [`HubError`]; then nothing of it is to be seen on the hub, but for an empty repository.
    pub fn push(
        &self,
        folder: &Path,
        name: &HubName,
        private: bool,
        mut watch: impl FnMut(Event<'_>),
    ) -> Result<String, HubError> {
        if self.offline {
            return Err(HubError::OfflinePush);
        }
        if self.token.is_none() {
            let endpoint = self.endpoint.clone();
            return Err(HubError::NoToken { endpoint });
        }
        let files = outgoing(folder)?;
        let client = Client::new(self);
        let push = Push { client, name };
        push.ensure_repository(private)?;
        let (large, small) = push.parted(files)?;
        let large = push.send_all(large, &mut watch)?;
        push.commit(&large, &small)
    }
}

/// A file to be sent.
struct Outgoing {
    /// Its name there.
    name: String,
    path: PathBuf,
    size: u64,
}

/// A large file and its SHA-256.
struct Hashed {
    file: Outgoing,
    hash: String,
}

/// One upload to a repository.
struct Push<'a> {
    client: Client<'a>,
    name: &'a HubName,
}

impl Push<'_> {
    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.client.hub.endpoint)
    }

    /// An address of the API about the revision.
    fn revision_url(&self, what: &str) -> String {
        let revision = encoded(self.name.revision(), "");
        self.url(&format!(
            "api/models/{}/{what}/{revision}",
            self.name.repository()
        ))
    }

    fn ensure_repository(&self, private: bool) -> Result<(), HubError> {
        match self.client.listing(self.name) {
            Err(HubError::NoRepository { .. }) => {}
            // An empty repository may have no revision yet; the commit will tell.
            Err(HubError::NoRevision { .. }) => return Ok(()),
            known => return known.map(drop),
        }
        let (organization, name) = self.name.repository().split_once('/').unwrap_or_default();
        let what = json!({"type": "model", "name": name, "organization": organization, "private": private});
        let url = self.url("api/repos/create");
        let response = self.post(&url, JSON, &what.to_string())?;
        match response.status() {
            StatusCode::CONFLICT => Ok(()),
            _ => self.accepted(response, &url).map(drop),
        }
    }

    /// The files that the hub keeps as large ones, and the others.
    fn parted(&self, files: Vec<Outgoing>) -> Result<(Vec<Outgoing>, Vec<Outgoing>), HubError> {
        let described = files.iter().map(|file| {
            let sample = STANDARD.encode(start(&file.path, SAMPLE)?);
            Ok(json!({"path": file.name, "size": file.size, "sample": sample}))
        });
        let described = described.collect::<Result<Vec<Value>, FileError>>()?;
        let asked = json!({"files": described}).to_string();
        let plans: Plans = self.answer(&self.revision_url("preupload"), JSON, &asked)?;
        let large = |file: &Outgoing| {
            let plan = plans.files.iter().find(|plan| plan.path == file.name);
            plan.is_some_and(|plan| plan.upload_mode == "lfs")
        };
        Ok(files.into_iter().partition(large))
    }

    /// Sends what of the large files the hub lacks.
    fn send_all(
        &self,
        files: Vec<Outgoing>,
        watch: &mut impl FnMut(Event<'_>),
    ) -> Result<Vec<Hashed>, HubError> {
        let hashed = files.into_iter().map(|file| {
            let read = File::open(&file.path).and_then(|mut opened| sha256(&mut opened));
            let hash = read.map_err(cannot("read", &file.path))?;
            Ok(Hashed { file, hash })
        });
        let files = hashed.collect::<Result<Vec<Hashed>, FileError>>()?;
        if files.is_empty() {
            return Ok(files);
        }
        let named = |Hashed { file, hash }: &Hashed| json!({"oid": hash, "size": file.size});
        let asked = json!({
            "operation": "upload",
            "transfers": ["basic"],
            "hash_algo": "sha256",
            "objects": files.iter().map(named).collect::<Vec<Value>>(),
        });
        let url = self.url(&format!(
            "{}.git/info/lfs/objects/batch",
            self.name.repository()
        ));
        let objects: Objects = self.answer(&url, LFS, &asked.to_string())?;
        for file in &files {
            let object = objects.objects.iter().find(|it| it.oid == file.hash);
            let object = object.ok_or_else(|| HubError::Answer {
                url: url.clone(),
                what: format!("it says nothing about {}", file.hash),
            })?;
            self.send(file, object, &url, watch)?;
        }
        Ok(files)
    }

    /// Sends a large file as `object` says, in as many attempts as that takes.
    fn send(
        &self,
        file: &Hashed,
        object: &Object,
        url: &str,
        watch: &mut impl FnMut(Event<'_>),
    ) -> Result<(), HubError> {
        if let Some(error) = &object.error {
            let what = error.to_string();
            return Err(HubError::Answer {
                url: url.to_owned(),
                what,
            });
        }
        let Some(Actions { upload, verify }) = &object.actions else {
            return Ok(());
        };
        let mut failures = 0;
        while let Some(action) = upload {
            let source = match self.attempt(&file.file, action, watch) {
                Ok(()) => break,
                Err(Failure::Passing(source)) => source,
                Err(failure) => return Err(failure.at(&file.file.path)),
            };
            failures += 1;
            if failures > RETRIES {
                let file = file.file.name.clone();
                return Err(HubError::CutPush { file, source });
            }
            self.client.rest(failures);
        }
        let Some(action) = verify else {
            return Ok(());
        };
        let sent = json!({"oid": file.hash, "size": file.file.size}).to_string();
        let request = with_headers(self.client.agent.post(&action.href), action);
        let response = self.sent(request, &action.href, LFS, &sent)?;
        self.accepted(response, &action.href).map(drop)
    }

    fn attempt(
        &self,
        file: &Outgoing,
        action: &Action,
        watch: &mut impl FnMut(Event<'_>),
    ) -> Result<(), Failure> {
        let total = file.size;
        let mut body = Watched {
            file: File::open(&file.path)
                .map_err(|source| Failure::Lasting(cannot("read", &file.path)(source).into()))?,
            done: 0,
            watch: |done| {
                let file = &file.name;
                watch(Event::Bytes { file, done, total });
            },
        };
        let request = with_headers(self.client.agent.put(&action.href), action)
            .header(header::CONTENT_LENGTH, total.to_string());
        let response = request.send(SendBody::from_reader(&mut body));
        let response = response.map_err(|source| Failure::Passing(source.into()))?;
        let status = response.status();
        if is_passing(status) {
            return Err(Failure::Passing(status.to_string().into()));
        }
        let taken = taken(response, &action.href);
        taken.map(drop).map_err(Failure::Lasting)
    }

    fn commit(&self, large: &[Hashed], small: &[Outgoing]) -> Result<String, HubError> {
        let line = |key: &str, value: Value| format!("{}\n", json!({"key": key, "value": value}));
        let summary = "Upload weights with ijepa";
        let mut lines = line("header", json!({"summary": summary, "description": ""}));
        for Outgoing { name, path, .. } in small {
            let content = STANDARD.encode(fs::read(path).map_err(cannot("read", path))?);
            let value = json!({"path": name, "content": content, "encoding": "base64"});
            lines += &line("file", value);
        }
        for Hashed { file, hash } in large {
            let (name, size) = (&file.name, file.size);
            let value = json!({"path": name, "algo": "sha256", "oid": hash, "size": size});
            lines += &line("lfsFile", value);
        }
        let url = self.revision_url("commit");
        let committed: Committed = self.answer(&url, JSON_LINES, &lines)?;
        Ok(committed.commit_url)
    }

    fn post(&self, url: &str, kind: &str, body: &str) -> Result<Response<Body>, HubError> {
        self.sent(self.client.agent.post(url), url, kind, body)
    }

    /// The response to a request with a body of some kind; Git LFS answers in its own.
    fn sent(
        &self,
        request: RequestBuilder<WithBody>,
        url: &str,
        kind: &str,
        body: &str,
    ) -> Result<Response<Body>, HubError> {
        let request = request.header(header::CONTENT_TYPE, kind);
        let request = match kind {
            LFS => request.header(header::ACCEPT, LFS),
            _ => request,
        };
        let response = self.client.authorized(request, url).send(body.as_bytes());
        response.map_err(|source| unreachable(url, source))
    }

    /// What the hub answers to `body`.
    fn answer<T: DeserializeOwned>(
        &self,
        url: &str,
        kind: &str,
        body: &str,
    ) -> Result<T, HubError> {
        let response = self.post(url, kind, body)?;
        parsed(&mut self.accepted(response, url)?, url)
    }

    /// Says what an error of the hub means for who uploads.
    fn accepted(&self, response: Response<Body>, url: &str) -> Result<Response<Body>, HubError> {
        let refusal = match taken(response, url) {
            Err(refusal) => refusal,
            taken => return taken,
        };
        Err(match refusal {
            HubError::Refused {
                status: 401 | 403,
                said,
                ..
            } => HubError::ReadOnly {
                endpoint: self.client.hub.endpoint.clone(),
                repository: self.name.repository().to_owned(),
                said,
            },
            other => other,
        })
    }
}

/// A response without an error, or what the server said of it.
fn taken(mut response: Response<Body>, url: &str) -> Result<Response<Body>, HubError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let said = response.body_mut().read_to_string().unwrap_or_default();
    let told = serde_json::from_str(&said).ok();
    let told = told.and_then(|told: Value| Some(told["error"].as_str()?.to_owned()));
    Err(HubError::Refused {
        url: url.to_owned(),
        status: status.as_u16(),
        said: told.unwrap_or(said),
    })
}

fn with_headers(request: RequestBuilder<WithBody>, action: &Action) -> RequestBuilder<WithBody> {
    let headers = action.header.iter();
    headers.fold(request, |request, (name, value)| {
        request.header(name, value)
    })
}

/// A file that says how far it is read.
struct Watched<W> {
    file: File,
    done: u64,
    watch: W,
}

impl<W: FnMut(u64)> Read for Watched<W> {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read(piece)?;
        self.done += bytes as u64;
        (self.watch)(self.done);
        Ok(bytes)
    }
}

/// The files that lie in a folder of weights, in the order of their names; hidden ones and folders
/// stay where they are.
fn outgoing(folder: &Path) -> Result<Vec<Outgoing>, HubError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot("list", folder))? {
        let path = entry.map_err(cannot("list", folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_file() && !name.starts_with('.') {
            let (name, size) = (name.into_owned(), fs::metadata(&path));
            let size = size.map_err(cannot("read", &path))?.len();
            files.push(Outgoing { name, path, size });
        }
    }
    if !hub_files::are_in(folder) {
        let folder = folder.to_owned();
        return Err(HubError::NotWeights { folder });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

/// The first bytes of a file, `most` or all.
fn start(path: &Path, most: u64) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    read.map_err(cannot("read", path))?;
    Ok(bytes)
}
