//! What ranks tell each other so that all do the same.

use ijepa_data::Skipped;
use serde::{Deserialize, Serialize};

use super::span::Next;
use crate::{
    error::TrainError,
    ranks::{Ranks, told},
};

/// What a rank has come to in the first half of a step.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Half {
    pub(super) outcome: Outcome,
    /// Bits of the loss of each of its groups: JSON has no infinite numbers.
    losses: Vec<u32>,
    /// Images that it has newly found unreadable.
    pub(super) skipped: Vec<Skipped>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Outcome {
    /// It has gradients.
    #[default]
    Done,
    /// It was told to stop while it waited for data.
    Stopped,
    Failed,
}

impl Half {
    pub(super) fn new(outcome: Outcome, losses: &[f32], skipped: Vec<Skipped>) -> Self {
        let losses = losses.iter().map(|loss| loss.to_bits()).collect();
        Self {
            outcome,
            losses,
            skipped,
        }
    }

    pub(super) fn losses(&self) -> impl Iterator<Item = f32> {
        self.losses.iter().map(|&bits| f32::from_bits(bits))
    }
}

/// What all ranks do next where this one would do `own`.
pub(super) fn agreed(ranks: &dyn Ranks, own: Next) -> Next {
    match ranks.size() {
        1 => own,
        _ => told(ranks, &own).into_iter().max().unwrap_or(own),
    }
}

/// Makes sure that all ranks say the same of how they were started: of each thing its name and a
/// text.
///
/// # Errors
///
/// [`TrainError::RanksDiffer`], on all of them.
pub(super) fn check_alike(
    ranks: &dyn Ranks,
    own: Vec<(&'static str, String)>,
) -> Result<(), TrainError> {
    let (names, texts): (Vec<&str>, Vec<String>) = own.into_iter().unzip();
    let said: Vec<Vec<String>> = told(ranks, &texts);
    for (thing, what) in names.into_iter().enumerate() {
        let all: Vec<&str> = said.iter().map(|texts| texts[thing].as_str()).collect();
        if let Some(rank) = all.iter().position(|other| *other != all[0]) {
            let [found, expected] = [all[rank], all[0]];
            let line =
                |text: &str, number| text.lines().nth(number).unwrap_or("nothing").to_owned();
            let differs = |&number: &usize| line(found, number) != line(expected, number);
            let lines = found.lines().count().max(expected.lines().count());
            let number = (0..lines).find(differs).unwrap_or(lines);
            return Err(TrainError::RanksDiffer {
                rank,
                what,
                found: line(found, number),
                expected: line(expected, number),
            });
        }
    }
    Ok(())
}
