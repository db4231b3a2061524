//! A server of files, which does what it is told: HTTP with ranges, and as much of S3 as a list.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use ijepa_testkit::server::{self as http, Request};

/// How a request is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// As it should be.
    File,
    /// With the whole file, whatever range was asked for.
    Whole,
    Status(u16),
    /// With a link to another path.
    Elsewhere(String),
    /// With so many bytes of the file, then the connection ends.
    Cut(usize),
    /// With so many bytes of the part that was asked for, as if these were all of it.
    Short(usize),
    /// Without what tells it from another file of its length.
    Unmarked,
}

type Rule = Box<dyn FnMut(&Request) -> Answer + Send>;

#[derive(Default)]
struct State {
    /// Content and ETag by path.
    files: BTreeMap<String, (Vec<u8>, String)>,
    rule: Option<Rule>,
    /// Bytes of files that were sent.
    sent: u64,
    /// Ranges that must be asked for together before one is answered, but for the first.
    together: usize,
    is_first: bool,
    under_way: usize,
    most_under_way: usize,
}

/// Serves until the process ends.
pub(crate) struct Server {
    http: http::Server,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let state = Arc::<Mutex<State>>::default();
        let (answering, changed) = (Arc::clone(&state), Condvar::new());
        Self {
            http: http::Server::start(move |request| respond(&answering, &changed, request)),
            state,
        }
    }

    /// The URL of a path that begins with a slash.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.http.url())
    }

    pub(crate) fn put(&self, path: &str, bytes: &[u8], tag: &str) {
        let file = (bytes.to_vec(), tag.to_owned());
        self.state
            .lock()
            .unwrap()
            .files
            .insert(path.to_owned(), file);
    }

    /// Answers by `rule` from now on, and forgets what was asked before.
    pub(crate) fn answer(&self, rule: impl FnMut(&Request) -> Answer + Send + 'static) {
        let mut state = self.state.lock().unwrap();
        state.rule = Some(Box::new(rule));
        state.sent = 0;
        self.http.take_requests();
    }

    /// Lets ranges, but for the first, wait until so many are asked for together.
    pub(crate) fn gather(&self, together: usize) {
        let mut state = self.state.lock().unwrap();
        (state.together, state.is_first, state.most_under_way) = (together, true, 0);
    }

    /// What was asked since this was last called.
    pub(crate) fn take_requests(&self) -> Vec<Request> {
        self.http.take_requests()
    }

    pub(crate) fn sent(&self) -> u64 {
        self.state.lock().unwrap().sent
    }

    pub(crate) fn most_under_way(&self) -> usize {
        self.state.lock().unwrap().most_under_way
    }
}

fn respond(state: &Mutex<State>, changed: &Condvar, request: &Request) -> http::Answer {
    let mut state = state.lock().unwrap();
    let waits = request.header("range").is_some() && state.together > 0;
    if waits && !std::mem::take(&mut state.is_first) {
        state.under_way += 1;
        state.most_under_way = state.most_under_way.max(state.under_way);
        changed.notify_all();
        // A client that never asks for so many must not keep the test for ever.
        let patience = Duration::from_secs(300);
        let alone = |state: &mut State| state.most_under_way < state.together;
        let waited = changed.wait_timeout_while(state, patience, alone);
        state = waited.unwrap().0;
        state.under_way -= 1;
    }
    let told = match &mut state.rule {
        Some(rule) => rule(request),
        None => Answer::File,
    };
    let file = match request.query.contains("list-type=2") {
        true => Some(list(&state, request)),
        false => state.files.get(&request.path).cloned(),
    };
    let (bytes, tag) = match (&told, file) {
        (Answer::Status(status), _) => return http::Answer::of(*status, ""),
        (Answer::Elsewhere(path), _) => return http::Answer::redirect(302, path),
        (_, None) => return http::Answer::of(404, ""),
        (_, Some(file)) => file,
    };
    let answer = match told {
        Answer::Whole => http::Answer::of(200, bytes),
        Answer::Cut(sent) => http::Answer::file(&bytes, request).cut_after(sent),
        Answer::Short(sent) => http::Answer::file(&bytes, request).shortened_to(sent),
        _ => http::Answer::file(&bytes, request),
    };
    if request.method != "HEAD" {
        state.sent += answer.sent() as u64;
    }
    if told == Answer::Unmarked {
        return answer;
    }
    answer
        .header("ETag", &format!("\"{tag}\""))
        .header("Last-Modified", "Tue, 01 Jul 2025 10:00:00 GMT")
        .header("Accept-Ranges", "bytes")
}

/// The files of a bucket below a prefix, as S3 lists them.
fn list(state: &State, request: &Request) -> (Vec<u8>, String) {
    let prefix = request
        .query
        .split('&')
        .find_map(|it| it.strip_prefix("prefix="));
    let prefix = prefix.unwrap_or_default().replace("%2F", "/");
    let bucket = format!("{}/", request.path.trim_end_matches('/'));
    let keys = state.files.iter().filter_map(|(path, (bytes, tag))| {
        let key = path.strip_prefix(&bucket)?;
        let below = key.strip_prefix(&prefix)?;
        (!below.contains('/')).then(|| {
            format!(
                "<Contents><Key>{key}</Key><Size>{}</Size><ETag>{tag}</ETag>\
                 <LastModified>2025-07-01T10:00:00.000Z</LastModified></Contents>",
                bytes.len()
            )
        })
    });
    let keys: String = keys.collect();
    let xml =
        format!("<ListBucketResult>{keys}<IsTruncated>false</IsTruncated></ListBucketResult>");
    (xml.into_bytes(), "list".to_owned())
}
