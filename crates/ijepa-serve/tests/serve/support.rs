//! A service, its models and its clients.

use std::{
    io::{Cursor, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    thread::{JoinHandle, spawn},
};

use ijepa_data::{Decoding, Preprocess};
use ijepa_serve::{Embed, Model, ServeConfig, serve_until};
use tokio::sync::oneshot;

/// A service that runs until it is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl Running {
    pub(crate) fn start(embed: Embed, config: ServeConfig) -> Self {
        Self::start_wide(embed, config, 3)
    }

    /// Of a model of so many features.
    pub(crate) fn start_wide(embed: Embed, config: ServeConfig, dim: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let model = Model {
            name: "first pixel".to_owned(),
            image_size: [4, 4],
            decoding: Decoding::default(),
            preprocess: Preprocess::Squash,
            dim,
            embed,
        };
        let until = async {
            // Dropped is stopped too.
            let _ = stopped.await;
        };
        let thread = spawn(move || serve_until(listener, model, config, until));
        Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub(crate) fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
            self.thread.take().unwrap().join().unwrap().unwrap();
        }
    }

    /// Status and body of the answer.
    pub(crate) fn ask(&self, head: &str, body: &[u8]) -> (u16, String) {
        ask(self.address, head, body)
    }

    pub(crate) fn post(&self, body: &[u8]) -> (u16, String) {
        self.ask("POST /embed", body)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(crate) fn ask(address: SocketAddr, head: &str, body: &[u8]) -> (u16, String) {
    let (line, headers) = head.split_once('\n').unwrap_or((head, ""));
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let head = format!(
        "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    // A service that refuses a request need not read all of it.
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.unwrap_or(0), body.to_owned())
}

/// Red, green and blue of the first pixel of each image.
pub(crate) fn first_pixel() -> Embed {
    Box::new(|pixels, images| {
        let images = pixels.chunks_exact(pixels.len() / images);
        images
            .flat_map(|image| [0, 1, 2].map(|at| f32::from(image[at])))
            .collect()
    })
}

pub(crate) fn png(width: u32, height: u32, color: [u8; 3]) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    let image = image::RgbImage::from_pixel(width, height, image::Rgb(color));
    image.write_to(&mut file, image::ImageFormat::Png).unwrap();
    file.into_inner()
}

/// A model that computes when it is told to, and says that it was asked.
pub(crate) fn held() -> (Embed, Receiver<()>, Sender<()>) {
    let (asked, was_asked) = channel();
    let (go, may_go) = channel();
    let embed: Embed = Box::new(move |_, images| {
        asked.send(()).unwrap();
        may_go.recv().unwrap();
        vec![1.0; images * 3]
    });
    (embed, was_asked, go)
}
