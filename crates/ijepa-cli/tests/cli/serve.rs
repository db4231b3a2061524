//! `serve`.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use ijepa_testkit::device_name;
use serde_json::Value;

use crate::support::{Features, ijepa, path_text, send, text};

/// A random encoder, the same at every start.
const MODEL: [&str; 6] = [
    "--arch",
    "vit_ti16",
    "--encoder",
    "random",
    "--image-size",
    "32",
];

/// A service that is ended when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn start() -> (Running, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ijepa"));
    command.args([
        "serve",
        "--address",
        "127.0.0.1:0",
        "--device",
        &device_name(),
    ]);
    command
        .args(MODEL)
        .stderr(Stdio::piped())
        .stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let errors = BufReader::new(child.stderr.take().unwrap());
    let running = Running(child);
    for line in errors.lines() {
        if let Some((_, address)) = line.unwrap().split_once("listening at http://") {
            return (running, address.to_owned());
        }
    }
    panic!("the service said no address");
}

#[test]
fn answers_are_the_features_of_embed_and_a_signal_ends_the_service() {
    let folder = tempfile::tempdir().unwrap();
    let photo = folder.path().join("photos/a.png");
    std::fs::create_dir(photo.parent().unwrap()).unwrap();
    let pixel = |x: u32, y: u32| image::Rgb([(5 * x) as u8, (3 * y) as u8, (x * y) as u8]);
    image::RgbImage::from_fn(50, 40, pixel)
        .save(&photo)
        .unwrap();
    let [photos, out] =
        ["photos", "out.safetensors"].map(|name| path_text(folder.path().join(name)));
    let embed = [
        "embed",
        "--data",
        &photos,
        "--out",
        &out,
        "--device",
        &device_name(),
    ];
    text(&[&embed[..], &MODEL].concat());

    let (mut running, address) = start();
    let body = std::fs::read(&photo).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let head = format!(
        "POST /embed HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    let body: Value = serde_json::from_str(body).unwrap();
    let row = body["embeddings"][0].as_array().unwrap();
    let row: Vec<f32> = row
        .iter()
        .map(|value| value.as_f64().unwrap() as f32)
        .collect();
    assert_eq!(body["model"], "vit_ti16");
    assert_eq!(row, Features::read(out).values);

    #[cfg(unix)]
    {
        send("-TERM", running.0.id());
        assert!(running.0.wait().unwrap().success());
    }
    #[cfg(not(unix))]
    drop(running);
}

#[cfg(unix)]
#[test]
fn a_second_signal_ends_the_service_at_once() {
    let (mut running, address) = start();
    let mut half = TcpStream::connect(address).unwrap();
    let head =
        "POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n";
    half.write_all(head.as_bytes()).unwrap();
    // Whoever asks for the rest has long listened for signals, and waits for what never comes.
    let mut asked = [0; 12];
    half.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100");
    // The service listens for the second one only when the first has come.
    let script = "while kill -TERM $0; do :; done";
    let mut sender = Command::new("sh");
    sender.args(["-c", script, &running.0.id().to_string()]);
    let mut sender = sender.stderr(Stdio::null()).spawn().unwrap();
    let code = running.0.wait().unwrap().code();
    sender.wait().unwrap();
    assert_eq!(code, Some(130));
}

#[test]
fn other_machines_are_let_in_only_where_that_is_said() {
    let refused = ijepa(&[&["serve", "--address", "0.0.0.0:0"][..], &MODEL].concat());
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("--allow-remote"));
}
