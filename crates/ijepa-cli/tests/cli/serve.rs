//! `serve`.

use std::{
    fs,
    io::{BufRead, BufReader, Cursor, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

use ijepa_testkit::device_name;
use serde_json::Value;

use crate::support::{Features, command, golden, ijepa, path_text, send, text};

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

/// Starts the service of a model, and says where it listens.
fn start(model: &[&str]) -> (Running, String) {
    let device = device_name();
    let own = ["serve", "--address", "127.0.0.1:0", "--device", &device];
    let mut command = command(&[&own, model].concat());
    command.stderr(Stdio::piped()).stdout(Stdio::null());
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

/// What is answered to a request that says it has `length` bytes.
fn asked(address: &str, length: usize, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /embed HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn status(address: &str, body: &[u8]) -> String {
    let answer = asked(address, body.len(), body);
    answer.split(' ').nth(1).unwrap().to_owned()
}

/// The features of an image, and what the model is called.
fn served(address: &str, body: &[u8]) -> (Vec<f32>, String) {
    let answer = asked(address, body.len(), body);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    let body: Value = serde_json::from_str(body).unwrap();
    let row = body["embeddings"][0].as_array().unwrap();
    let row = row.iter().map(|value| value.as_f64().unwrap() as f32);
    (row.collect(), body["model"].as_str().unwrap().to_owned())
}

/// The features that `embed` writes of `photos` in a folder.
fn embedded(folder: &Path, model: &[&str]) -> Vec<f32> {
    let [photos, out] = ["photos", "out.safetensors"].map(|name| path_text(folder.join(name)));
    let device = device_name();
    let own = [
        "embed", "--data", &photos, "--out", &out, "--device", &device,
    ];
    text(&[&own, model].concat());
    Features::read(out).values
}

/// A file in `photos` of a folder.
fn photo(folder: &Path, [width, height]: [u32; 2]) -> Vec<u8> {
    let path = folder.join("photos/a.png");
    fs::create_dir(path.parent().unwrap()).unwrap();
    let pixel = |x: u32, y: u32| image::Rgb([(5 * x) as u8, (3 * y) as u8, (x * y) as u8]);
    let image = image::RgbImage::from_fn(width, height, pixel);
    image.save(&path).unwrap();
    fs::read(path).unwrap()
}

#[test]
fn answers_are_the_features_of_embed_and_a_signal_ends_the_service() {
    let folder = tempfile::tempdir().unwrap();
    let photo = photo(folder.path(), [50, 40]);
    let expected = embedded(folder.path(), &MODEL);
    let (mut running, address) = start(&MODEL);
    let found = served(&address, &photo);
    assert_eq!(found, (expected, "vit_ti16".to_owned()));

    #[cfg(unix)]
    {
        send("-TERM", running.0.id());
        assert!(running.0.wait().unwrap().success());
    }
    #[cfg(not(unix))]
    drop(running);
}

#[test]
fn weights_say_how_images_are_prepared_and_flags_how_large_they_may_be() {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("weights");
    fs::create_dir(&weights).unwrap();
    let plain = golden("hf_tiny_saved");
    for name in ["config.json", "model.safetensors"] {
        fs::copy(Path::new(&plain).join(name), weights.join(name)).unwrap();
    }
    let squashed = r#"{"size": {"height": 32, "width": 32}, "resample": 2,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#;
    fs::write(weights.join("preprocessor_config.json"), squashed).unwrap();
    let photo = photo(folder.path(), [90, 48]);
    let weights = path_text(weights);
    let model = ["--weights", &weights];
    let expected = embedded(folder.path(), &model);
    assert_ne!(expected, embedded(folder.path(), &["--weights", &plain]));

    let limits = ["--max-mib", "1", "--max-megapixels", "1"];
    let (_running, address) = start(&[&model[..], &limits].concat());
    let found = served(&address, &photo);
    assert_eq!(found, (expected, "weights".to_owned()));
    let grey = |width: u32| {
        let mut file = Cursor::new(Vec::new());
        let image = image::GrayImage::new(width, 1000);
        image.write_to(&mut file, image::ImageFormat::Png).unwrap();
        file.into_inner()
    };
    assert_eq!(status(&address, &grey(1000)), "200");
    assert_eq!(status(&address, &grey(1001)), "413");
    // No image, but not too large for one; what is longer is refused before it comes.
    assert_eq!(status(&address, &vec![0; 1 << 20]), "415");
    let refused = asked(&address, (1 << 20) + 1, b"");
    assert!(refused.starts_with("HTTP/1.1 413"), "{refused}");
}

#[cfg(unix)]
#[test]
fn a_second_signal_ends_the_service_at_once() {
    let (mut running, address) = start(&MODEL);
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
