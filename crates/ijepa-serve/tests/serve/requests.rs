//! What is asked, and what is answered.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::mpsc::channel,
    thread::spawn,
    time::Duration,
};

use ijepa_serve::{Embed, ServeConfig};
use serde_json::Value;

use crate::support::{Running, ask, first_pixel, held, png};

fn form(images: &[Vec<u8>]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (number, image) in images.iter().enumerate() {
        let head = format!(
            "--edge\r\nContent-Disposition: form-data; name=\"{number}\"; filename=\"{number}.png\"\r\n\r\n"
        );
        body.extend(head.as_bytes());
        body.extend(image);
        body.extend(b"\r\n");
    }
    body.extend(b"--edge--\r\n");
    let head = "POST /embed\nContent-Type: multipart/form-data; boundary=edge\r\n";
    (head.to_owned(), body)
}

fn rows(answer: &str) -> Value {
    serde_json::from_str::<Value>(answer).unwrap()["embeddings"].take()
}

#[test]
fn images_and_forms_become_rows_in_their_order() {
    let running = Running::start(first_pixel(), ServeConfig::default());
    let (status, answer) = running.post(&png(9, 5, [1, 2, 3]));
    assert_eq!(
        (status, rows(&answer)),
        (200, serde_json::json!([[1.0, 2.0, 3.0]]))
    );
    let all: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(
        (&all["model"], &all["dim"]),
        (&"first pixel".into(), &3.into())
    );
    let colors: Vec<[u8; 3]> = (0..20).map(|number| [number, 100, 0]).collect();
    let (head, body) = form(
        &colors
            .iter()
            .map(|&color| png(2, 2, color))
            .collect::<Vec<_>>(),
    );
    let (status, answer) = running.ask(&head, &body);
    let expected: Vec<[f32; 3]> = colors.iter().map(|color| color.map(f32::from)).collect();
    assert_eq!((status, rows(&answer)), (200, serde_json::json!(expected)));
    let head = head.replace("multipart/form-data", "Multipart/Form-Data");
    assert_eq!(running.ask(&head, &body), (200, answer));
    assert_eq!(running.ask("GET /healthz", b"").0, 200);
    let (status, metrics) = running.ask("GET /metrics", b"");
    assert_eq!(status, 200);
    for line in [
        "ijepa_requests_total{status=\"200\"} 3",
        "ijepa_batch_images_sum 41.0",
        "ijepa_requests_under_way 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
}

#[test]
fn what_is_no_image_or_too_large_is_refused_and_the_next_request_answered() {
    let config = ServeConfig {
        max_bytes: 4096,
        max_pixels: 100,
        max_images: 2,
        ..ServeConfig::default()
    };
    let running = Running::start(first_pixel(), config);
    let image = png(3, 3, [7; 3]);
    let (three, no_image) = (
        form(&[image.clone(), image.clone(), image.clone()]),
        form(&[]),
    );
    let multipart = "POST /embed\nContent-Type: multipart/form-data; boundary=edge\r\n";
    let cases: [(&str, &[u8], u16, &str); 12] = [
        ("POST /embed", b"", 400, "no image"),
        ("POST /embed", b"<html>", 415, "no image of a kind"),
        ("POST /embed", &image[..image.len() - 20], 422, "`upload`"),
        ("POST /embed", &image[..12], 422, "`upload`"),
        ("POST /embed", b"\x93NUMPY\x01\0\x02\0{}", 422, "`upload`"),
        (
            "POST /embed",
            &png(11, 10, [0; 3]),
            413,
            "more than 100 pixels",
        ),
        ("POST /embed", &[0; 5000], 413, "more than 4096 bytes"),
        (&three.0, &three.1, 413, "more than 2 images"),
        (&no_image.0, &no_image.1, 400, "no image"),
        (multipart, b"--edge\r\nbroken", 400, "form"),
        ("GET /embed", b"", 405, "POST images to /embed"),
        ("POST /other", b"", 404, "POST /embed"),
    ];
    for (head, body, expected, why) in cases {
        let (status, answer) = running.ask(head, body);
        assert_eq!(status, expected, "{head}: {answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let error = answer["error"].as_str().unwrap();
        assert!(error.contains(why), "{head}: {answer}");
    }
    assert_eq!(running.post(&image).0, 200);
}

#[test]
fn requests_that_come_together_are_computed_together() {
    let (calls, seen) = channel();
    let embed: Embed = Box::new(move |_, images| {
        calls.send(images).unwrap();
        vec![0.0; images * 3]
    });
    let config = ServeConfig {
        batch_size: 4,
        wait: Duration::from_secs(600),
        ..ServeConfig::default()
    };
    let running = Running::start(embed, config);
    let address = running.address;
    let clients: Vec<_> = (0..8)
        .map(|_| spawn(move || ask(address, "POST /embed", &png(2, 2, [0; 3])).0))
        .collect();
    assert!(
        clients
            .into_iter()
            .all(|client| client.join().unwrap() == 200)
    );
    assert_eq!(seen.try_iter().collect::<Vec<_>>(), [4, 4]);
}

#[test]
fn what_says_that_it_is_too_long_is_refused_before_it_comes() {
    let running = Running::start(first_pixel(), ServeConfig::default());
    let mut stream = TcpStream::connect(running.address).unwrap();
    let head = "POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[test]
fn what_has_not_arrived_at_the_last_call_does_not_hold_the_service() {
    let config = ServeConfig {
        // Longer than anybody would wait for this test.
        arrival: Duration::from_secs(1 << 20),
        last_call: Duration::from_secs(2),
        ..ServeConfig::default()
    };
    let (embed, was_asked, go) = held();
    let mut running = Running::start(embed, config);
    let address = running.address;
    let half = |text: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let _half_a_head = half("POST /embed HTTP/1.1\r\nHost: x\r\n");
    let mut half_a_body = half(
        "POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n",
    );
    // It is waited for once it was asked for the rest.
    let mut asked = [0; 25];
    half_a_body.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    let whole = spawn(move || ask(address, "POST /embed", &png(2, 2, [0; 3])));
    was_asked.recv().unwrap();
    let stopping = spawn(move || running.stop());
    let mut answer = String::new();
    half_a_body.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    // What had arrived is still computed and answered.
    go.send(()).unwrap();
    assert_eq!(whole.join().unwrap().0, 200);
    stopping.join().unwrap();
}

#[test]
fn a_model_that_fails_is_asked_again() {
    let mut calls = 0;
    let embed: Embed = Box::new(move |_, images| {
        calls += 1;
        match calls {
            1 => panic!("a model that fails"),
            2 => vec![f32::NAN; images * 3],
            _ => vec![1.0; images * 3],
        }
    });
    let running = Running::start(embed, ServeConfig::default());
    for (status, said) in [
        (500, "the model failed"),
        (500, "not finite"),
        (200, "embeddings"),
    ] {
        let (found, answer) = running.post(&png(2, 2, [0; 3]));
        assert!(found == status && answer.contains(said), "{found} {answer}");
    }
}

#[test]
fn connections_on_which_nothing_is_asked_are_closed() {
    let config = ServeConfig {
        arrival: Duration::from_millis(200),
        ..ServeConfig::default()
    };
    let running = Running::start(first_pixel(), config);
    for said in ["", "POST /embed HTTP/1.1\r\nHost: x\r\n"] {
        let mut stream = TcpStream::connect(running.address).unwrap();
        // On a busy machine it may be closed already.
        let _ = stream.write_all(said.as_bytes());
        assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap_or(0), 0);
    }
}
