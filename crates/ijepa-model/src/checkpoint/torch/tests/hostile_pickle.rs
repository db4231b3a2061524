//! Damaged and malicious pickles: an error or inert data, never a panic or a large allocation.

use super::super::Value;
use super::super::unpickle::unpickle;
use super::{Folder, entry_bytes, float_tensor, golden, pickle, random, text};

/// The message of the error that this pickle must give.
fn pickle_error(program: &[&[u8]]) -> String {
    unpickle(&pickle(program)).unwrap_err().to_string()
}

#[test]
fn every_truncated_pickle_is_an_error() {
    for file in ["tiny_ckpt_step0_with_scaler.pth.tar", "views_protocol4.pt"] {
        let bytes = entry_bytes(&golden(file), "/data.pkl");
        unpickle(&bytes).unwrap();
        for length in 0..bytes.len() {
            unpickle(&bytes[..length]).unwrap_err();
        }
    }
}

#[test]
fn flipped_bytes_in_a_pickle_never_panic() {
    let mut state = 1;
    for file in ["tiny_ckpt.pth.tar", "views.pt", "views_protocol4.pt"] {
        let good = entry_bytes(&golden(file), "/data.pkl");
        for _ in 0..5_000 {
            let mut bytes = good.clone();
            for _ in 0..=random(&mut state) % 4 {
                let place = random(&mut state) as usize % bytes.len();
                bytes[place] = random(&mut state) as u8;
            }
            let _ = unpickle(&bytes);
        }
    }
}

#[test]
fn random_programs_never_panic() {
    let opcodes = b"(.012FIJKLMNQRTUXabcd}ehijlostu)]qrG\x80\x81\x85\x86\x87\x88\x89\x8a\x8b\
                    BC\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\n\x00\x01\x02";
    let mut state = 2;
    for _ in 0..50_000 {
        let length = 1 + random(&mut state) as usize % 60;
        let program: Vec<u8> = (0..length)
            .map(|_| opcodes[random(&mut state) as usize % opcodes.len()])
            .collect();
        let _ = unpickle(&program);
    }
}

#[test]
fn declared_lengths_are_checked_before_anything_is_allocated() {
    let max = u64::MAX.to_le_bytes();
    let length = u32::MAX.to_le_bytes();
    for opcode in [b'X', b'T', b'B', 0x8b] {
        let error = pickle_error(&[&[opcode], &length]);
        assert_eq!(error, "4294967295 bytes wanted, 1 left at byte 2");
    }
    for opcode in [0x8d, 0x8e, 0x95, 0x96] {
        let error = pickle_error(&[&[opcode], &max]);
        assert_eq!(error, "18446744073709551615 bytes wanted, 1 left at byte 2");
    }
}

#[test]
fn deep_nesting_and_cycles_are_harmless() {
    let depth = 1_000_000;
    let lists = unpickle(&pickle(&[&b"]".repeat(depth), &b"a".repeat(depth - 1)])).unwrap();
    let mut node = lists.root();
    for _ in 1..depth {
        node = node.items().next().unwrap();
    }
    assert_eq!(node.items().len(), 0);
    drop(lists);

    unpickle(&pickle(&[b")", &b"\x85".repeat(depth)])).unwrap();
    let marks = unpickle(&pickle(&[&b"(".repeat(depth), &b"l".repeat(depth)])).unwrap();
    assert_eq!(marks.root().items().len(), 1);

    let cycle = unpickle(&pickle(&[b"]q\x00h\x00a}q\x01h\x01h\x00s\x30"])).unwrap();
    let root = cycle.root();
    assert_eq!(root.items().next().unwrap().id(), root.id());
}

#[test]
fn stack_and_memo_are_checked() {
    for opcode in b"0Rab\x81\x92\x93Qs2\x85\x86\x87\x94." {
        assert_eq!(
            unpickle(&[*opcode]).unwrap_err().kind.to_string(),
            match opcode {
                b'0' => "missing mark",
                _ => "stack underflow",
            }
        );
    }
    for opcode in b"1eutdl\x90\x91o" {
        assert_eq!(
            unpickle(&[*opcode]).unwrap_err().to_string(),
            "missing mark at byte 0"
        );
    }
    // A mark hides what is below it.
    assert_eq!(pickle_error(&[b"NN(\x85"]), "stack underflow at byte 5");
    assert_eq!(
        pickle_error(&[b"h\x07"]),
        "memo entry 7 is not set at byte 2"
    );
    assert_eq!(
        pickle_error(&[b"K\x01(K\x02e"]),
        "found an int, expected a list at byte 7"
    );
    assert_eq!(
        pickle_error(&[b"K\x01(K\x02K\x03u"]),
        "found an int, expected a dict at byte 9"
    );
    assert_eq!(pickle_error(&[b"}(K\x02u"]), "stack underflow at byte 6");
    assert_eq!(
        pickle_error(&[b"K\x01)R"]),
        "found an int, expected a global at byte 5"
    );
    assert_eq!(
        pickle_error(&[b"\xff"]),
        "unsupported opcode 0xff at byte 2"
    );
    assert_eq!(
        pickle_error(&[b"P0\n"]),
        "unsupported opcode 0x50 at byte 2"
    );
    assert_eq!(
        pickle_error(&[b"U\x00Q"]),
        "found a string, expected a tuple at byte 4"
    );
    assert_eq!(pickle_error(&[b"I1x\n"]), "bad number at byte 2");
    assert_eq!(
        unpickle(b"\x80\x06N.").unwrap_err().to_string(),
        "pickle protocol 6, expected at most 5 at byte 0"
    );
}

#[test]
fn code_is_named_but_never_run() {
    let folder = Folder::new();
    let marker = folder.path("ran");
    let command = text(&format!("touch {}", marker.display()));
    for program in [
        pickle(&[b"cos\nsystem\n", &command, b"\x85R"]),
        pickle(&[&text("os"), &text("system"), b"\x93", &command, b"\x85R"]),
        pickle(&[b"(", &command, b"ios\nsystem\n"]),
        pickle(&[b"(cos\nsystem\n", &command, b"o"]),
        pickle(&[b"cos\nsystem\n", &command, b"\x85\x81}b"]),
    ] {
        let arena = unpickle(&program).unwrap();
        let system = Value::Opaque {
            module: "os".into(),
            name: "system".into(),
        };
        assert_eq!(*arena.root().value(), system);
    }
    assert!(!marker.exists());
}

#[test]
fn small_pickles_cannot_ask_for_much_memory() {
    // A long name, and then many references to it that would each copy it.
    let long = text(&"x".repeat(100_000));
    let copies = [&long[..], b"q\x00", &b"h\x00h\x00\x93".repeat(100_000)].concat();
    assert!(pickle_error(&[&copies]).starts_with("the objects need more than"));
    // The same with the pairs of an ordered dict.
    let pairs = b"K\x01K\x02\x86".repeat(20_000);
    let dicts = b"h\x01h\x00R".repeat(100_000);
    let error = pickle_error(&[
        b"](",
        &pairs,
        b"e\x85q\x00ccollections\nOrderedDict\nq\x01",
        &dicts,
    ]);
    assert!(error.starts_with("the objects need more than"), "{error}");
    // Objects in dicts that are only referred to cost nothing.
    unpickle(&pickle(&[b"](", &b"N".repeat(1_000_000), b"e"])).unwrap();
}

#[test]
fn malformed_tensors_are_refused() {
    let error = |program: &[u8]| pickle_error(&[program]);
    assert!(error(&float_tensor(6, -1, &[1], &[1])).starts_with("found an int, expected a size"));
    assert!(error(&float_tensor(6, 0, &[-1], &[1])).starts_with("found an int, expected a size"));
    assert!(error(&float_tensor(6, 0, &[1, 1], &[1])).contains("with a stride each"));
    assert!(error(&float_tensor(6, 0, &[1; 65], &[1; 65])).contains("at most 64 axes"));
    assert!(error(b"ctorch._utils\n_rebuild_tensor_v2\n)R").starts_with("stack underflow"));
    assert!(error(b"(NNNNNtQ").starts_with("found None, expected a string"));
}
