//! A server of HTTP that answers as a test tells it.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread::spawn,
};

/// What was asked.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `HEAD` and so on.
    pub method: String,
    /// Up to the query.
    pub path: String,
    /// What follows `?`.
    pub query: String,
    headers: Vec<(String, String)>,
    /// What came with it.
    pub body: Vec<u8>,
}

impl Request {
    /// The value of a header, whose name is in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    /// First and last byte of the part that is asked for, of a file of `length` bytes.
    fn range(&self, length: usize) -> Option<[usize; 2]> {
        let (first, last) = self
            .header("range")?
            .strip_prefix("bytes=")?
            .split_once('-')?;
        let end = length.saturating_sub(1);
        Some([
            first.parse().ok()?,
            last.parse().map_or(end, |last: usize| last.min(end)),
        ])
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    sent: usize,
}

impl Answer {
    /// A body.
    pub fn of(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            sent: usize::MAX,
        }
    }

    /// A file, or the part of it that `request` asks for.
    pub fn file(bytes: &[u8], request: &Request) -> Self {
        let length = bytes.len();
        match request.range(length) {
            None => Self::of(200, bytes),
            Some([first, last]) if first <= last && first < length => {
                let range = format!("bytes {first}-{last}/{length}");
                Self::of(206, &bytes[first..=last]).header("Content-Range", &range)
            }
            Some(_) => Self::of(416, ""),
        }
    }

    /// Another address.
    pub fn redirect(status: u16, to: &str) -> Self {
        Self::of(status, "").header("Location", to)
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a connection that ends after so many bytes of the body.
    #[must_use]
    pub fn cut_after(mut self, bytes: usize) -> Self {
        self.sent = bytes;
        self
    }

    /// With so many bytes of the body, whatever its headers say of the whole.
    #[must_use]
    pub fn shortened_to(mut self, bytes: usize) -> Self {
        self.body.truncate(bytes);
        self
    }

    /// Bytes of the body that are sent.
    pub fn sent(&self) -> usize {
        self.sent.min(self.body.len())
    }

    fn send(&self, stream: &mut TcpStream, with_body: bool) -> io::Result<()> {
        let mut head = format!("HTTP/1.1 {} Told\r\nConnection: close\r\n", self.status);
        let length = ("Content-Length".to_owned(), self.body.len().to_string());
        for (name, value) in self.headers.iter().chain([&length]) {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all((head + "\r\n").as_bytes())?;
        match with_body {
            true => stream.write_all(&self.body[..self.sent()]),
            false => Ok(()),
        }
    }
}

/// Answers on a port of this machine until the process ends.
#[derive(Debug)]
pub struct Server {
    url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers every request as `answer` says.
    pub fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("the socket is bound");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (noted, answer) = (Arc::clone(&requests), Arc::new(answer));
        spawn(move || {
            for stream in listener.incoming().flatten() {
                let (noted, answer) = (Arc::clone(&noted), Arc::clone(&answer));
                spawn(move || serve(stream, &noted, answer.as_ref()));
            }
        });
        Self {
            url: format!("http://{address}"),
            requests,
        }
    }

    /// The address, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What was asked since this was last called.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.requests.lock().expect("no answer panics"))
    }
}

/// Answers the one request of a connection; clients may end it at any time.
fn serve(
    mut stream: TcpStream,
    noted: &Mutex<Vec<Request>>,
    answer: &(impl Fn(&Request) -> Answer + ?Sized),
) -> Option<()> {
    let request = read(&stream)?;
    noted.lock().ok()?.push(request.clone());
    answer(&request)
        .send(&mut stream, request.method != "HEAD")
        .ok()
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut input = BufReader::new(stream);
    let mut line = String::new();
    input.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    loop {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        request
            .headers
            .push((name.to_lowercase(), value.to_owned()));
    }
    let length = request
        .header("content-length")
        .and_then(|it| it.parse().ok());
    input
        .take(length.unwrap_or(0))
        .read_to_end(&mut request.body)
        .ok()?;
    Some(request)
}
