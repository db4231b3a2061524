//! A server of files, which does what it is told: HTTP with ranges, and as much of S3 as a list.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    /// First and last byte.
    pub(crate) range: Option<[u64; 2]>,
}

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
}

type Rule = Box<dyn FnMut(&Request) -> Answer + Send>;

#[derive(Default)]
struct State {
    /// Content and ETag by path.
    files: BTreeMap<String, (Vec<u8>, String)>,
    rule: Option<Rule>,
    requests: Vec<Request>,
    /// Bytes of files that were sent.
    sent: u64,
    /// Ranges that must be asked for together before one is answered, but for the first.
    together: usize,
    is_first: bool,
    under_way: usize,
    most_under_way: usize,
}

/// Serves until the process ends.
#[derive(Clone)]
pub(crate) struct Server {
    address: String,
    state: Arc<Mutex<State>>,
    changed: Arc<Condvar>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap().to_string(),
            state: Arc::default(),
            changed: Arc::default(),
        };
        let accepting = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let serving = accepting.clone();
                std::thread::spawn(move || serving.serve(stream.unwrap()));
            }
        });
        server
    }

    /// The URL of a path that begins with a slash.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
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
        state.requests.clear();
        state.sent = 0;
    }

    /// Lets ranges, but for the first, wait until so many are asked for together.
    pub(crate) fn gather(&self, together: usize) {
        let mut state = self.state.lock().unwrap();
        (state.together, state.is_first, state.most_under_way) = (together, true, 0);
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }

    pub(crate) fn sent(&self) -> u64 {
        self.state.lock().unwrap().sent
    }

    pub(crate) fn most_under_way(&self) -> usize {
        self.state.lock().unwrap().most_under_way
    }

    /// Answers all requests of a connection; clients may end it at any time.
    fn serve(&self, stream: TcpStream) {
        let mut input = BufReader::new(stream.try_clone().unwrap());
        while let Some(request) = read_request(&mut input) {
            if self.respond(&request, &stream).is_none() {
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
        }
    }

    /// Nothing if the connection is to end.
    fn respond(&self, request: &Request, mut stream: &TcpStream) -> Option<()> {
        let (answer, file) = self.decide(request);
        let Some((bytes, tag)) = file else {
            let empty = |status: u16, more: &str| {
                format!("HTTP/1.1 {status} Told\r\nContent-Length: 0\r\n{more}\r\n")
            };
            let head = match answer {
                Answer::Status(status) => empty(status, ""),
                Answer::Elsewhere(path) => empty(302, &format!("Location: {path}\r\n")),
                _ => empty(404, ""),
            };
            return stream.write_all(head.as_bytes()).ok();
        };
        let (size, whole) = (bytes.len() as u64, answer == Answer::Whole);
        let range = request.range.filter(|_| !whole);
        let [first, last] = range.unwrap_or([0, size.saturating_sub(1)]);
        if range.is_some() && first >= size {
            let head = "HTTP/1.1 416 Too Far\r\nContent-Length: 0\r\n\r\n";
            return stream.write_all(head.as_bytes()).ok();
        }
        let end = (last + 1).min(size);
        let body = &bytes[first as usize..end as usize];
        let (status, place) = match range {
            Some(_) => (
                206,
                format!("Content-Range: bytes {first}-{}/{size}\r\n", end - 1),
            ),
            None => (200, String::new()),
        };
        let head = format!(
            "HTTP/1.1 {status} Told\r\nContent-Length: {}\r\nETag: \"{tag}\"\r\n\
             Last-Modified: Tue, 01 Jul 2025 10:00:00 GMT\r\nAccept-Ranges: bytes\r\n{place}\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        if request.method == "HEAD" {
            return Some(());
        }
        let sent = match answer {
            Answer::Cut(bytes) => bytes.min(body.len()),
            _ => body.len(),
        };
        self.state.lock().unwrap().sent += sent as u64;
        stream.write_all(&body[..sent]).ok()?;
        matches!(answer, Answer::File | Answer::Whole).then_some(())
    }

    /// What to answer, and the file if it is answered with one.
    fn decide(&self, request: &Request) -> (Answer, Option<(Vec<u8>, String)>) {
        let mut state = self.state.lock().unwrap();
        state.requests.push(request.clone());
        let waits = request.range.is_some() && state.together > 0;
        if waits && !std::mem::take(&mut state.is_first) {
            state.under_way += 1;
            state.most_under_way = state.most_under_way.max(state.under_way);
            self.changed.notify_all();
            // A client that never asks for so many must not keep the test for ever.
            let patience = Duration::from_secs(20);
            let alone = |state: &mut State| state.most_under_way < state.together;
            let waited = self.changed.wait_timeout_while(state, patience, alone);
            state = waited.unwrap().0;
            state.under_way -= 1;
        }
        let answer = match &mut state.rule {
            Some(rule) => rule(request),
            None => Answer::File,
        };
        let file = match answer {
            Answer::Status(_) | Answer::Elsewhere(_) => None,
            _ if request.query.contains("list-type=2") => Some(list(&state, request)),
            _ => state.files.get(&request.path).cloned(),
        };
        (answer, file)
    }
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

fn read_request(input: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    input.read_line(&mut line).ok().filter(|&bytes| bytes > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let (mut range, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name.to_lowercase().as_str() {
            "range" => {
                let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
                range = Some([first.parse().ok()?, last.parse().ok()?]);
            }
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    input.take(length).read_to_end(&mut Vec::new()).ok()?;
    Some(Request {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        range,
    })
}
