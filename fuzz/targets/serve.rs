//! Requests to the service: the first byte says whether the rest is a request, an image or a form.

#![no_main]

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::LazyLock,
    thread::spawn,
    time::Duration,
};

use ijepa_data::{Decoding, Preprocess};
use ijepa_fuzz::{FREE, check};
use ijepa_serve::{Model, ServeConfig, serve_until};
use libfuzzer_sys::fuzz_target;

/// Pixels of an image, and what decoding one may take beside them.
const PIXELS: u64 = 1 << 16;
const BESIDE: usize = 64 << 20;

static SERVICE: LazyLock<SocketAddr> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it has one");
    let model = Model {
        name: "zeros".to_owned(),
        image_size: [4, 4],
        decoding: Decoding::default(),
        preprocess: Preprocess::Squash,
        dim: 1,
        embed: Box::new(|_, images| vec![0.0; images]),
    };
    let config = ServeConfig {
        wait: Duration::ZERO,
        max_bytes: 1 << 17,
        max_pixels: PIXELS,
        arrival: Duration::from_secs(1),
        ..ServeConfig::default()
    };
    spawn(move || serve_until(listener, model, config, std::future::pending()));
    address
});

fuzz_target!(|input: &[u8]| {
    let Some((kind, body)) = input.split_first() else {
        return;
    };
    let free = 2 * BESIDE + FREE + PIXELS as usize * 32;
    check(input, free, 64, || match kind {
        // Whatever it is, the service goes on.
        b'r' => {
            // What it lacks to be a request never comes.
            ask(body, true);
            let answer = ask(b"GET /healthz HTTP/1.0\r\n\r\n", false);
            assert_eq!(status(&answer), Some(200));
        }
        b'f' => answered("multipart/form-data; boundary=edge", body),
        _ => answered("image/png", body),
    });
});

/// A request that is one must be answered, and not by an error of ours.
fn answered(kind: &str, body: &[u8]) {
    let length = body.len();
    let head =
        format!("POST /embed HTTP/1.0\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n");
    let answer = ask(&[head.as_bytes(), body].concat(), false);
    let status = status(&answer);
    let expected = [200, 400, 413, 415, 422].map(Some);
    let text = String::from_utf8_lossy(&answer);
    assert!(expected.contains(&status), "{status:?}: {text}");
}

/// The answer to a request, after which nothing comes if it `ends`.
fn ask(request: &[u8], ends: bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(*SERVICE).expect("it listens");
    // A service that refuses a request need not read all of it.
    let _ = stream.write_all(request);
    if ends {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn status(answer: &[u8]) -> Option<u16> {
    let line = str::from_utf8(answer.get(..12)?).ok()?;
    line.split(' ').nth(1)?.parse().ok()
}
