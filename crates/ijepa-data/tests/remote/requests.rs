//! How many requests are made, for how many bytes, and how many at once.

use ijepa_data::{Reading, verify};

use crate::server::{Answer, Server};
use crate::{is_body, isolated, loader, open, shard, shards};

#[test]
fn headers_are_read_and_not_what_lies_between() {
    isolated("headers_are_read_and_not_what_lies_between", || {
        let server = Server::start();
        let mut tar = tar::Builder::new(Vec::new());
        for name in ["a.ppm", "b.ppm", "c.ppm", "d.ppm"] {
            let mut header = tar::Header::new_ustar();
            header.set_size(1 << 20);
            tar.append_data(&mut header, name, &vec![1; 1 << 20][..])
                .unwrap();
        }
        server.put("/large.tar", &tar.into_inner().unwrap(), "first");
        let source = open(&format!("tar:{}", server.url("/large.tar"))).unwrap();
        assert_eq!(source.len(), 4);
        assert!(server.sent() < 64 << 10, "{} bytes", server.sent());
        // Small members are read through, since a request costs more.
        server.put("/small.tar", &shard(0..200), "first");
        server.answer(|_| Answer::File);
        let source = open(&format!("tar:{}", server.url("/small.tar"))).unwrap();
        assert_eq!(source.len(), 200);
        let bodies = server
            .take_requests()
            .iter()
            .filter(|it| is_body(it))
            .count();
        assert!(bodies < 20, "{bodies} requests");
    });
}

#[test]
fn images_in_order_take_few_requests() {
    isolated("images_in_order_take_few_requests", || {
        let (server, spec) = shards();
        let source = open(&spec).unwrap();
        server.answer(|_| Answer::File);
        let bad = verify(source.as_ref(), Reading::default(), 3, |_| ()).unwrap();
        assert_eq!(bad, []);
        // Sixteen of each shard, before it is known that they are read in order.
        let bodies = server
            .take_requests()
            .iter()
            .filter(|it| is_body(it))
            .count();
        assert!(bodies < 240 / 2, "{bodies} requests");
    });
}

#[test]
fn requests_are_under_way_together() {
    isolated("requests_are_under_way_together", || {
        let (server, spec) = shards();
        let source = open(&spec).unwrap();
        server.gather(24);
        let mut loader = loader(source, 1, 24);
        assert!(loader.by_ref().take(10).all(|batch| batch.is_ok()));
        assert_eq!(server.most_under_way(), 24);
    });
}
