//! Requests to the hub and to servers of files.

use std::thread::sleep;

use serde::{Deserialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use ureq::{
    Agent, Body, RequestBuilder,
    config::RedirectAuthHeaders,
    http::{Response, StatusCode, header},
    typestate::WithoutBody,
};

use super::{
    Hub, HubName,
    cache::is_commit,
    error::HubError,
    transfer::{RETRIES, hex},
};

const REDIRECTS: usize = 8;

/// One download's connections.
pub(super) struct Client<'a> {
    pub(super) hub: &'a Hub,
    pub(super) agent: Agent,
}

/// What a revision of a repository consists of.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) licence: Option<String>,
    pub(super) files: Vec<String>,
}

/// What a server says about a file before it sends it.
#[derive(Debug)]
pub(super) struct About {
    /// Names the content, fit for the name of a file; the address if the server does not.
    pub(super) etag: String,
    /// Whether it names the content, so that what is here of it can be gone on with.
    pub(super) names_content: bool,
    /// The hash of the content, in hexadecimal digits, which the hub tells of large files.
    pub(super) sha256: Option<String>,
    pub(super) size: Option<u64>,
}

#[derive(Deserialize)]
struct Model {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
    #[serde(rename = "cardData")]
    card: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

impl<'a> Client<'a> {
    pub(super) fn new(hub: &'a Hub) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .timeout_connect(Some(hub.patience))
            .timeout_recv_response(Some(hub.patience))
            .timeout_per_read(Some(hub.patience))
            .user_agent(concat!("ijepa/", env!("CARGO_PKG_VERSION")));
        // Tests ask a hub of this machine, whichever proxies the environment names.
        #[cfg(test)]
        let config = config.proxy(None);
        let agent = config.build().into();
        Self { hub, agent }
    }

    /// The commit and the files of the revision of `name`.
    pub(super) fn listing(&self, name: &HubName) -> Result<Listing, HubError> {
        let (repository, revision) = (name.repository(), encoded(name.revision(), ""));
        let endpoint = &self.hub.endpoint;
        let url = format!("{endpoint}/api/models/{repository}/revision/{revision}");
        let mut response = self.ask(&url, || self.agent.get(&url))?;
        self.check(&response, &url, name, None)?;
        let model: Model = parsed(&mut response, &url)?;
        if !is_commit(&model.sha) {
            let what = format!("`{}` is no commit", model.sha);
            return Err(HubError::Answer { url, what });
        }
        let licence = model
            .card
            .as_ref()
            .and_then(|card| card["license"].as_str());
        Ok(Listing {
            commit: model.sha,
            licence: licence.map(str::to_owned),
            files: model.siblings.into_iter().map(|it| it.rfilename).collect(),
        })
    }

    /// The address of a file of a repository.
    pub(super) fn file_url(&self, name: &HubName, commit: &str, file: &str) -> String {
        let (endpoint, file) = (&self.hub.endpoint, encoded(file, "/"));
        format!("{endpoint}/{}/resolve/{commit}/{file}", name.repository())
    }

    /// What the server says about the file at `url`, which may lie elsewhere.
    pub(super) fn about(&self, url: &str, of: Option<(&HubName, &str)>) -> Result<About, HubError> {
        let mut place = url.to_owned();
        for _ in 0..REDIRECTS {
            let head = || self.agent.head(&place).config().max_redirects(0).build();
            let response = self.ask(&place, head)?;
            let header = |name: &str| response.headers().get(name)?.to_str().ok();
            let linked = header("x-linked-etag");
            if let Some(next) = header("location").filter(|_| linked.is_none()) {
                place = joined(&place, next);
                continue;
            }
            if linked.is_none() {
                match of {
                    Some((name, file)) => self.check(&response, url, name, Some(file))?,
                    None => check_file(&response, url)?,
                }
            }
            let own = || header(header::CONTENT_LENGTH.as_str());
            let own = || own().filter(|_| response.status().is_success());
            let size = header("x-linked-size").or_else(own);
            let plain = |etag: &str| etag.trim_start_matches("W/").trim_matches('"').to_owned();
            let sha256 = linked.map(plain).filter(|hash| hash.len() == 64);
            let etag = linked.or_else(|| header(header::ETAG.as_str()));
            let etag = etag.map(plain).filter(|etag| !etag.is_empty());
            return Ok(About {
                names_content: etag.is_some(),
                etag: file_name(etag.as_deref().unwrap_or(url)),
                sha256,
                size: size.and_then(|size| size.parse().ok()),
            });
        }
        let what = "it redirects without end".to_owned();
        Err(HubError::Answer { url: place, what })
    }

    /// The answer to a request without a body, which is sent again while a server is too busy.
    fn ask(
        &self,
        url: &str,
        request: impl Fn() -> RequestBuilder<WithoutBody>,
    ) -> Result<Response<Body>, HubError> {
        for failures in 1..=RETRIES {
            let response = self.call(request(), url)?;
            if !is_passing(response.status()) {
                return Ok(response);
            }
            self.rest(failures);
        }
        self.call(request(), url)
    }

    /// Waits before another attempt after so many failures, at least one, each time twice as long.
    pub(super) fn rest(&self, failures: u32) {
        sleep(self.hub.pause * 2_u32.pow(failures - 1));
    }

    /// Sends a request, with the token to the hub only.
    pub(super) fn call(
        &self,
        request: RequestBuilder<WithoutBody>,
        url: &str,
    ) -> Result<Response<Body>, HubError> {
        let request = self.authorized(request, url);
        request.call().map_err(|source| unreachable(url, source))
    }

    /// A request with the token if it goes to the hub.
    pub(super) fn authorized<T>(&self, request: RequestBuilder<T>, url: &str) -> RequestBuilder<T> {
        let token = self.hub.token.as_ref();
        let token = token.filter(|_| url.starts_with(&format!("{}/", self.hub.endpoint)));
        match token {
            Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
    }

    /// Says what an error of the hub means.
    fn check(
        &self,
        response: &Response<Body>,
        url: &str,
        name: &HubName,
        file: Option<&str>,
    ) -> Result<(), HubError> {
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let code = response.headers().get("x-error-code");
        let code = code.and_then(|code| code.to_str().ok()).unwrap_or_default();
        let endpoint = self.hub.endpoint.clone();
        let repository = name.repository().to_owned();
        Err(match (code, status, file) {
            ("GatedRepo", ..) | (_, StatusCode::FORBIDDEN, _) => HubError::Gated {
                endpoint,
                repository,
            },
            ("RevisionNotFound", ..) => HubError::NoRevision {
                repository,
                revision: name.revision().to_owned(),
            },
            ("RepoNotFound", ..) | ("", StatusCode::NOT_FOUND, None) => HubError::NoRepository {
                endpoint,
                repository,
            },
            (_, StatusCode::UNAUTHORIZED, _) => HubError::Unauthorized {
                endpoint,
                repository,
            },
            (_, StatusCode::NOT_FOUND, Some(file)) => HubError::NoFile {
                place: repository,
                file: file.to_owned(),
            },
            _ => HubError::Status {
                url: url.to_owned(),
                status: status.as_u16(),
            },
        })
    }
}

/// What the JSON of a response says.
pub(super) fn parsed<T: DeserializeOwned>(
    response: &mut Response<Body>,
    url: &str,
) -> Result<T, HubError> {
    let read = response.body_mut().read_to_vec();
    let bytes = read.map_err(|source| unreachable(url, source))?;
    serde_json::from_slice(&bytes).map_err(|source| HubError::Answer {
        url: url.to_owned(),
        what: source.to_string(),
    })
}

/// Whether another attempt may have a better answer.
pub(super) fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

pub(super) fn unreachable(url: &str, source: ureq::Error) -> HubError {
    HubError::Unreachable {
        url: url.to_owned(),
        source: source.into(),
    }
}

/// Says what an error of a server of files means.
pub(super) fn check_file(response: &Response<Body>, url: &str) -> Result<(), HubError> {
    match response.status() {
        status if status.is_success() => Ok(()),
        StatusCode::NOT_FOUND => {
            let (place, file) = url.rsplit_once('/').unwrap_or((url, ""));
            Err(HubError::NoFile {
                place: place.to_owned(),
                file: file.to_owned(),
            })
        }
        status => Err(HubError::Status {
            url: url.to_owned(),
            status: status.as_u16(),
        }),
    }
}

/// `etag` if a file can be called so everywhere, else its hash.
fn file_name(etag: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    match etag.len() <= 64 && etag.bytes().all(is_plain) {
        true => etag.to_owned(),
        false => hex(Sha256::digest(etag)),
    }
}

/// Where a link in an answer of `url` leads.
fn joined(url: &str, link: &str) -> String {
    if link.contains("://") {
        return link.to_owned();
    }
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let host = rest.split('/').next().unwrap_or_default();
    let folder = rest.rsplit_once('/').map_or(host, |(folder, _)| folder);
    match link.starts_with('/') {
        true if link.starts_with("//") => format!("{scheme}:{link}"),
        true => format!("{scheme}://{host}{link}"),
        false => format!("{scheme}://{folder}/{link}"),
    }
}

/// `text` as a part of an address, where the characters of `kept` stay as they are.
pub(super) fn encoded(text: &str, kept: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let is_plain = byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        match is_plain || kept.as_bytes().contains(&byte) {
            true => encoded.push(char::from(byte)),
            false => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}
