//! Ranks that are threads of one process.

use std::sync::{
    Arc, Mutex, PoisonError,
    mpsc::{Receiver, Sender, channel},
};

use super::Ranks;

/// `size` ranks for as many threads of this process: to try out on any machine what several
/// processes do. They share its device and its signals.
pub fn threads(size: usize) -> Vec<Arc<dyn Ranks>> {
    let mut outgoing: Vec<Vec<_>> = (0..size).map(|_| Vec::new()).collect();
    let mut incoming: Vec<Vec<_>> = (0..size).map(|_| Vec::new()).collect();
    for sent in &mut outgoing {
        for received in &mut incoming {
            let (sender, receiver) = channel();
            sent.push(sender);
            received.push(Mutex::new(receiver));
        }
    }
    let ends = outgoing.into_iter().zip(incoming).enumerate();
    ends.map(|(rank, (outgoing, incoming))| -> Arc<dyn Ranks> {
        Arc::new(Thread {
            rank,
            outgoing,
            incoming,
        })
    })
    .collect()
}

/// One of them.
#[derive(Debug)]
struct Thread {
    rank: usize,
    outgoing: Vec<Sender<Message>>,
    incoming: Vec<Mutex<Receiver<Message>>>,
}

#[derive(Debug)]
enum Message {
    Bytes(Vec<u8>),
    Values(Vec<f32>),
}

impl Thread {
    fn say(&self, message: Message, to: usize) {
        let sent = self.outgoing[to].send(message);
        sent.expect("the other thread goes on");
    }

    fn hear(&self, from: usize) -> Message {
        let incoming = self.incoming[from].lock();
        let incoming = incoming.unwrap_or_else(PoisonError::into_inner);
        incoming.recv().expect("the other thread goes on")
    }
}

impl Ranks for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.outgoing.len()
    }

    fn gather(&self, own: &[u8]) -> Vec<Vec<u8>> {
        (0..self.size()).for_each(|to| self.say(Message::Bytes(own.to_vec()), to));
        let heard = (0..self.size()).map(|from| match self.hear(from) {
            Message::Bytes(bytes) => bytes,
            Message::Values(_) => panic!("rank {from} does something else"),
        });
        heard.collect()
    }

    fn send(&self, values: &[f32], to: usize) {
        self.say(Message::Values(values.to_vec()), to);
    }

    fn receive(&self, values: &mut [f32], from: usize) {
        match self.hear(from) {
            Message::Values(heard) => values.copy_from_slice(&heard),
            Message::Bytes(_) => panic!("rank {from} does something else"),
        }
    }

    fn abort(&self, code: u8) -> ! {
        panic!("rank {} ends all with {code}", self.rank)
    }
}
