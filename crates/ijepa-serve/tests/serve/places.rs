//! Requests under way, and when others find their places.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread::spawn,
    time::Duration,
};

use ijepa_serve::{Embed, ServeConfig};

use crate::support::{Running, ask, first_pixel, held, png};

#[test]
fn a_request_too_many_is_told_so_and_stopping_answers_those_under_way() {
    let (embed, was_asked, go) = held();
    let config = ServeConfig {
        requests: 1,
        ..ServeConfig::default()
    };
    let mut running = Running::start(embed, config);
    let address = running.address;
    let first = spawn(move || ask(address, "POST /embed", &png(2, 2, [0; 3])));
    was_asked.recv().unwrap();
    let (status, answer) = running.post(&png(2, 2, [0; 3]));
    assert_eq!(status, 429, "{answer}");
    let stopping = spawn(move || running.stop());
    go.send(()).unwrap();
    assert_eq!(first.join().unwrap().0, 200);
    stopping.join().unwrap();
}

#[test]
fn a_request_that_does_not_arrive_gives_its_place_back() {
    let config = ServeConfig {
        requests: 1,
        arrival: Duration::from_millis(200),
        ..ServeConfig::default()
    };
    let running = Running::start(first_pixel(), config);
    let head = "POST /embed HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 9\r\n\r\n";
    let half_a_request = || {
        let mut slow = TcpStream::connect(running.address).unwrap();
        let mut answer = String::new();
        let sent = slow.write_all(head.as_bytes());
        let _ = sent.and_then(|()| slow.read_to_string(&mut answer));
        answer
    };
    // On a busy machine the head may be late, too, which is not answered.
    let mut answers = std::iter::repeat_with(half_a_request);
    let answer = answers.find(|answer| !answer.is_empty()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    // On a busy machine this one may be late, too, or its head (0); it is never one too many.
    let mut statuses = std::iter::repeat_with(|| running.post(&png(2, 2, [0; 3])).0);
    let answered = statuses.find(|&status| status != 408 && status != 0);
    assert_eq!(answered, Some(200));
}

/// A client that sends a whole request for the features of an image.
fn client(running: &Running, image: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(running.address).unwrap();
    let length = image.len();
    let head = format!("POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
    // A service that waited too long has gone.
    let _ = stream.write_all(&[head.as_bytes(), image].concat());
    stream
}

#[test]
fn a_client_that_is_gone_keeps_its_place_until_the_model_is_done_with_it() {
    let (embed, was_asked, go) = held();
    let config = ServeConfig {
        requests: 1,
        ..ServeConfig::default()
    };
    let running = Running::start(embed, config);
    let image = png(2, 2, [0; 3]);
    let gone = client(&running, &image);
    was_asked.recv().unwrap();
    drop(gone);
    // Once the service has noticed it, nobody waits for an answer.
    let nobody_waits = "ijepa_requests_under_way 0";
    while !running.ask("GET /metrics", b"").1.contains(nobody_waits) {}
    assert_eq!(running.post(&image).0, 429);
    // One for the client that is gone, one for the next that finds its place.
    go.send(()).unwrap();
    go.send(()).unwrap();
    let mut statuses = std::iter::repeat_with(|| running.post(&image).0);
    assert_eq!(statuses.find(|&status| status != 429), Some(200));
}

#[test]
fn an_answer_that_nobody_takes_keeps_its_place_for_a_while() {
    // More than the buffers of a connection hold.
    const DIM: usize = 8 << 20;
    let config = ServeConfig {
        requests: 1,
        arrival: Duration::from_secs(2),
        ..ServeConfig::default()
    };
    let embed: Embed = Box::new(|_, images| vec![0.25; images * DIM]);
    let running = Running::start_wide(embed, config, DIM);
    let image = png(2, 2, [0; 3]);
    // On a busy machine the next request may come when the while is over.
    let has_kept_its_place = (0..10).any(|_| {
        let mut lazy = client(&running, &image);
        let mut begun = [0; 12];
        let has_begun = lazy.read_exact(&mut begun).is_ok() && &begun == b"HTTP/1.1 200";
        let mut statuses = std::iter::repeat_with(|| running.post(&image).0);
        let next = statuses.next();
        // Without an end to the answer of the first one this would stay 429.
        assert!(next == Some(200) || statuses.any(|status| status == 200));
        has_begun && next == Some(429)
    });
    assert!(has_kept_its_place);
}
