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

    /// Adds the labels of another file, of the same kind.
    pub(super) fn append(&mut self, other: Self) {
        let mut numbers = vec![0; other.words.len()];
        for (word, number) in other.words {
            let next = self.words.len() as u32;
            numbers[number as usize] = *self.words.entry(word).or_insert(next);
        }
        let rows = other.rows.into_iter();
        match numbers.is_empty() {
            true => self.rows.extend(rows),
            false => {
                let known = |number: u32| numbers[number as usize];
                self.rows.extend(rows.map(|row| row.map(known)));
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_several_files_become_classes_together() {
        let of = |words: &[Option<&str>]| {
            let mut labels = Labels::default();
            let words = words.iter().map(|word| word.map(str::as_bytes));
            words.for_each(|word| labels.push_word(word));
            labels
        };
        let mut all = of(&[Some("dog"), None, Some("ant")]);
        all.append(of(&[None]));
        all.append(of(&[Some("cat"), Some("dog")]));
        let (rows, words) = all.finish();
        assert_eq!(words, ["ant", "cat", "dog"]);
        assert_eq!(rows, [Some(2), None, Some(0), None, Some(1), Some(2)]);

        let mut numbers = Labels::default();
        numbers.push_number(Some(7));
        let mut more = Labels::default();
        [None, Some(3)]
            .into_iter()
            .for_each(|label| more.push_number(label));
        numbers.append(more);
        assert_eq!(numbers.finish(), (vec![Some(7), None, Some(3)], vec![]));
    }
}
