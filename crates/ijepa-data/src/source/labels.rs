//! Labels as numbers or as words, which become classes.

use std::collections::BTreeMap;

/// The labels of several files, whose words become classes together.
#[derive(Debug, Default)]
pub(super) struct Labels {
    /// The class of every row; of words the number of the word, until [`Self::finish`].
    pub(super) rows: Vec<Option<u32>>,
    words: BTreeMap<Vec<u8>, u32>,
}

impl Labels {
    pub(super) fn push_number(&mut self, class: Option<u32>) {
        self.rows.push(class);
    }

    pub(super) fn push_word(&mut self, word: Option<&[u8]>) {
        let number = word.map(|word| match self.words.get(word) {
            Some(&number) => number,
            None => {
                let number = self.words.len() as u32;
                self.words.insert(word.to_owned(), number);
                number
            }
        });
        self.rows.push(number);
    }

    /// The class of every row and, if they are words, the sorted words that name the classes.
    pub(super) fn finish(self) -> (Vec<Option<u32>>, Vec<String>) {
        if self.words.is_empty() {
            return (self.rows, Vec::new());
        }
        let mut ranks = vec![0; self.words.len()];
        for (rank, &number) in self.words.values().enumerate() {
            ranks[number as usize] = rank as u32;
        }
        let rank = |number: u32| ranks[number as usize];
        let rows = self.rows.into_iter().map(|row| row.map(rank));
        let names = self.words.into_keys();
        let name = |word: Vec<u8>| String::from_utf8_lossy(&word).into_owned();
        (rows.collect(), names.map(name).collect())
    }
}
