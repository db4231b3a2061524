//! Is a run learning or collapsing? One judgement over its monitors.

use ijepa_train::{EpochScores, Monitors};
use serde::Serialize;

use crate::number;

/// Logged steps below which nothing can be said.
const LEAST_LOGGED: usize = 5;
/// Completed steps below which nothing can be said: features of initial weights look collapsed.
const LEAST_STEPS: u64 = 100;
/// A rank below this share of the first one measured is called collapsing.
const FALLEN_RANK: f64 = 0.7;
/// A feature spread below this share of its highest is called collapsing.
const FALLEN_STD: f64 = 0.5;
/// Images whose mean features have a cosine above this look much alike; initial weights may too.
const ALIKE: f64 = 0.9;
/// A loss above this share of what the mean target of each position gives shows no learning.
const NO_BETTER_LOSS: f64 = 0.95;
/// Points of kNN accuracy that a run has to gain after its first evaluation.
const LEAST_KNN_GAIN: f64 = 1.0;

/// What a run measured, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// Completed steps.
    pub steps: u64,
    /// Monitors of the logged steps.
    pub monitors: Vec<Monitors>,
    /// Scores of the evaluated epochs.
    pub epochs: Vec<EpochScores>,
}

/// The state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Too few steps to tell.
    TooEarly,
    /// Features are spread out and the predictor knows more than positions.
    Learning,
    /// Not told apart from a run that learns nothing.
    NotDistinguishable,
    /// Features lose directions or spread.
    Collapsing,
    /// Features hardly differ between images.
    Collapsed,
}

impl Verdict {
    /// The verdict in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::TooEarly => "too early to tell",
            Self::Learning => "learning",
            Self::NotDistinguishable => "not distinguishable from learning nothing",
            Self::Collapsing => "collapsing",
            Self::Collapsed => "collapsed",
        }
    }
}

/// A verdict and what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judgement {
    /// The state of the run.
    pub verdict: Verdict,
    /// The measurement that decided, in a sentence.
    pub reason: String,
}

/// Judges a run by its monitors, the first rule that applies:
///
/// 1. fewer than 5 logged or 100 completed steps: too early;
/// 2. [`Monitors::collapse`] of the last logged step: collapsed;
/// 3. effective rank (of centred features where it was measured) below 0.7 of the first
///    measurement, unless at least three of kNN, probe, RankMe, LiDAR and pooled spread have risen
///    since; or recent feature spread below 0.5 of its highest; or images recently above a cosine of
///    0.9 and no less alike than to the initial weights: collapsing;
/// 4. recent loss at least 0.95 of the loss of predicting each position's mean target, or kNN that
///    gained less than 1 point since the first epoch: not distinguishable;
/// 5. otherwise: learning.
///
/// Recent is the median of the last tenth of the logged steps, at least three. The thresholds are
/// this project's: they are not from the paper, and a run they call learning can still be poor.
pub fn judge(history: &History) -> Judgement {
    let (verdict, reason) = too_early(history)
        .or_else(|| collapsed(history))
        .or_else(|| collapsing(history))
        .or_else(|| no_better(history))
        .unwrap_or_else(|| (Verdict::Learning, evidence(history)));
    Judgement { verdict, reason }
}

/// Judges a run on labels or of a decoder by the losses of its logged steps and the accuracies of
/// its evaluations, percent.
pub(crate) fn judge_supervised(steps: u64, losses: &[f64], accuracies: &[f64]) -> Judgement {
    if losses.len() < LEAST_LOGGED || steps < LEAST_STEPS {
        let verdict = Verdict::TooEarly;
        let reason = early(steps, losses.len());
        return Judgement { verdict, reason };
    }
    let (first, last) = (median(&losses[..window(losses.len())]), recent(losses));
    let mut reason = format!("the loss went from {first:.4} to {last:.4}");
    let gained = match accuracies {
        [first, .., last] => {
            reason += &format!(", top-1 accuracy from {first:.1} to {last:.1} %");
            last - first >= LEAST_KNN_GAIN
        }
        _ => false,
    };
    let verdict = match gained || last < NO_BETTER_LOSS * first {
        true => Verdict::Learning,
        false => Verdict::NotDistinguishable,
    };
    Judgement { verdict, reason }
}

fn early(steps: u64, logged: usize) -> String {
    format!(
        "{steps} steps, {logged} of them logged; a verdict needs {LEAST_STEPS} and {LEAST_LOGGED}"
    )
}

type Found = Option<(Verdict, String)>;

fn too_early(history: &History) -> Found {
    let logged = history.monitors.len();
    let is_early = logged < LEAST_LOGGED || history.steps < LEAST_STEPS;
    is_early.then(|| (Verdict::TooEarly, early(history.steps, logged)))
}

fn collapsed(history: &History) -> Found {
    let reason = history.monitors.last()?.collapse()?;
    Some((Verdict::Collapsed, reason))
}

type Score = fn(&EpochScores) -> Option<f64>;

/// How many scores have risen since they were first measured; a run that collapses loses all.
fn risen(history: &History) -> usize {
    let scores: [(Score, f64); 5] = [
        (|scores| scores.knn, LEAST_KNN_GAIN),
        (|scores| scores.probe, LEAST_KNN_GAIN),
        (|scores| scores.rankme, 0.0),
        (|scores| scores.lidar, 0.0),
        (|scores| scores.feature_std, 0.0),
    ];
    let rises = |(score, least): &(Score, f64)| {
        ends(history, score).is_some_and(|[first, last]| last > first + least)
    };
    scores.iter().filter(|score| rises(score)).count()
}

/// Scores that rise while the rank falls, from which on that is no collapse.
const OUTVOTED: usize = 3;

fn collapsing(history: &History) -> Found {
    if let Some([first, last]) = ends(history, rank)
        && last < FALLEN_RANK * first
        && risen(history) < OUTVOTED
    {
        let reason = format!("effective rank fell from {first:.1} to {last:.1}");
        return Some((Verdict::Collapsing, reason));
    }
    let stds: Vec<f64> = history.monitors.iter().map(|m| m.feature_std).collect();
    let highest = stds
        .chunks(window(stds.len()))
        .map(median)
        .fold(0.0, f64::max);
    let last = recent(&stds);
    if last < FALLEN_STD * highest {
        let reason = format!("feature spread fell from {highest:.2} to {last:.2}");
        return Some((Verdict::Collapsing, reason));
    }
    let cosines: Vec<f64> = history.monitors.iter().map(|m| m.image_cosine).collect();
    let (first, last) = (*cosines.first()?, recent(&cosines));
    (last > ALIKE && last >= first).then(|| {
        let reason = format!("cosine between images went from {first:.2} to {last:.2}");
        (Verdict::Collapsing, reason)
    })
}

fn no_better(history: &History) -> Found {
    let ratio = loss_ratio(history);
    if ratio >= NO_BETTER_LOSS {
        let reason = format!(
            "the loss is {ratio:.2} of what predicting the mean target of each position gives"
        );
        return Some((Verdict::NotDistinguishable, reason));
    }
    let [first, last] = ends(history, |scores| scores.knn)?;
    (last - first < LEAST_KNN_GAIN).then(|| {
        let reason = format!("kNN accuracy went from {first:.1} to {last:.1} %");
        (Verdict::NotDistinguishable, reason)
    })
}

/// What speaks for a run that learns.
fn evidence(history: &History) -> String {
    let mut facts = vec![format!(
        "the loss is {:.2} of what predicting the mean target of each position gives",
        loss_ratio(history)
    )];
    if let Some([first, last]) = ends(history, rank) {
        facts.push(format!("effective rank went from {first:.1} to {last:.1}"));
    }
    if let Some([first, last]) = ends(history, |scores| scores.knn) {
        facts.push(format!("kNN accuracy from {first:.1} to {last:.1} %"));
    }
    facts.join(", ")
}

fn rank(scores: &EpochScores) -> Option<f64> {
    scores.rankme_centered.or(scores.rankme)
}

fn loss_ratio(history: &History) -> f64 {
    let ratios: Vec<f64> = history.monitors.iter().map(|m| m.loss_ratio).collect();
    recent(&ratios)
}

/// First and last score where at least two epochs have it.
fn ends(history: &History, score: impl Fn(&EpochScores) -> Option<f64>) -> Option<[f64; 2]> {
    let scores: Vec<f64> = history.epochs.iter().filter_map(score).collect();
    match scores[..] {
        [first, .., last] => Some([first, last]),
        _ => None,
    }
}

fn window(len: usize) -> usize {
    (len / 10).max(3)
}

fn recent(values: &[f64]) -> f64 {
    median(&values[values.len().saturating_sub(window(values.len()))..])
}

/// As [`number::median`]; 0 of none.
fn median(values: &[f64]) -> f64 {
    number::median(values.iter().copied()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn monitors(feature_std: f64, image_cosine: f64, loss_ratio: f64) -> Monitors {
        Monitors {
            feature_std,
            patch_cosine: 0.9,
            image_cosine,
            loss_ratio,
        }
    }

    fn epoch(rankme: f64, knn: Option<f64>) -> EpochScores {
        EpochScores {
            rankme: Some(rankme),
            knn,
            ..EpochScores::default()
        }
    }

    fn healthy() -> History {
        let losses = [6.0, 2.2, 1.0, 0.9, 0.7, 0.5, 0.6, 0.5, 0.4, 0.5, 0.4];
        History {
            steps: 550,
            monitors: losses.map(|loss| monitors(0.45, 0.8, loss)).to_vec(),
            epochs: vec![
                epoch(9.5, Some(25.0)),
                epoch(9.2, Some(25.8)),
                epoch(12.0, Some(29.4)),
            ],
        }
    }

    fn check(change: impl Fn(&mut History), verdict: Verdict, reason: &str) {
        let mut history = healthy();
        change(&mut history);
        let found = judge(&history);
        assert_eq!(found.verdict, verdict, "{found:?}");
        assert!(found.reason.contains(reason), "{found:?}");
    }

    #[test]
    fn each_rule_has_its_run() {
        use Verdict::*;
        check(|_| (), Learning, "loss is 0.40 of");
        check(
            |_| (),
            Learning,
            "rank went from 9.5 to 12.0, kNN accuracy from 25.0 to 29.4 %",
        );
        check(|h| h.steps = 99, TooEarly, "99 steps, 11 of them logged");
        check(|h| h.monitors.truncate(4), TooEarly, "4 of them logged");
        check(
            |h| h.monitors.push(monitors(0.01, 0.8, 0.4)),
            Collapsed,
            "hardly differ",
        );
        check(
            |h| h.monitors.push(monitors(0.4, 0.999, 0.4)),
            Collapsed,
            "nearly the same",
        );
        check(
            |h| h.epochs.push(epoch(6.6, Some(50.0))),
            Collapsing,
            "rank fell from 9.5 to 6.6",
        );
        check(|h| h.epochs.push(epoch(6.7, Some(50.0))), Learning, "");
        check(
            |h| h.monitors.extend([monitors(0.2, 0.8, 0.4); 3]),
            Collapsing,
            "spread fell from 0.45 to 0.20",
        );
        check(
            |h| h.monitors.extend([monitors(0.4, 0.96, 0.4); 3]),
            Collapsing,
            "between images went from 0.80 to 0.96",
        );
        check(
            |h| h.monitors.extend([monitors(0.45, 0.8, 0.97); 3]),
            NotDistinguishable,
            "loss is 0.97",
        );
        check(
            |h| h.epochs.push(epoch(12.0, Some(25.9))),
            NotDistinguishable,
            "from 25.0 to 25.9 %",
        );
    }

    #[test]
    fn labels_and_ranks_are_not_needed() {
        check(|h| h.epochs.clear(), Verdict::Learning, "loss is 0.40 of");
        check(
            |h| h.epochs.truncate(1),
            Verdict::Learning,
            "loss is 0.40 of",
        );
        assert_eq!(judge(&History::default()).verdict, Verdict::TooEarly);
    }

    #[test]
    fn the_centred_rank_decides_where_it_was_measured() {
        check(
            |h| {
                h.epochs[0].rankme_centered = Some(20.0);
                h.epochs[2].rankme_centered = Some(10.0);
            },
            Verdict::Collapsing,
            "from 20.0 to 10.0",
        );
    }

    #[test]
    fn images_may_be_as_alike_as_initial_weights_make_them_if_they_become_less_so() {
        let alike = |first| {
            move |h: &mut History| {
                h.monitors[0].image_cosine = first;
                h.monitors.extend([monitors(0.4, 0.93, 0.4); 3]);
            }
        };
        check(alike(0.95), Verdict::Learning, "");
        check(alike(0.92), Verdict::Collapsing, "from 0.92 to 0.93");
    }

    #[test]
    fn one_odd_step_decides_nothing() {
        check(
            |h| h.monitors.push(monitors(0.1, 0.8, 3.0)),
            Verdict::Learning,
            "",
        );
    }
}
