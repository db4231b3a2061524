//! Numbers of a run, as rows of `metrics.csv`.

use std::fmt::Write;

use crate::clock::Lap;

/// The columns of `metrics.csv`.
pub(crate) const HEADER: &str = "epoch,step,images,loss,lr,wd,ema,context_patches,target_patches,\
data_wait_ms,step_ms,images_per_s,grad_norm,feature_std";

/// One logged step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetricsRow {
    /// Epoch, from 0.
    pub epoch: u64,
    /// Step, from 0.
    pub step: u64,
    /// Images seen, this step's included.
    pub images: u64,
    /// Loss of the step.
    pub loss: f64,
    /// Learning rate of the step.
    pub lr: f64,
    /// Weight decay of the step.
    pub weight_decay: f64,
    /// Target momentum of the step.
    pub ema: f64,
    /// Context length, mean over the step's groups.
    pub context_patches: f64,
    /// Target length, mean over the step's groups.
    pub target_patches: f64,
    /// Times since the last row.
    pub times: Lap,
    /// Global gradient norm before clipping.
    pub grad_norm: f64,
    /// Standard deviation of [`Monitors`](crate::Monitors)' features over images and patches:
    /// 1 spread out, 0 collapsed.
    pub feature_std: f64,
}

impl MetricsRow {
    /// Names and values, as TensorBoard shows them.
    pub(crate) fn scalars(&self) -> [(&'static str, f64); 9] {
        [
            ("train/loss", self.loss),
            ("train/lr", self.lr),
            ("train/weight_decay", self.weight_decay),
            ("train/ema", self.ema),
            ("train/grad_norm", self.grad_norm),
            ("train/feature_std", self.feature_std),
            ("masks/context_patches", self.context_patches),
            ("masks/target_patches", self.target_patches),
            ("speed/images_per_s", self.times.images_per_s),
        ]
    }

    /// The row as text, numbers in full precision but times.
    pub(crate) fn to_csv(self) -> String {
        let mut row = format!("{},{},{}", self.epoch, self.step, self.images);
        let exact = [
            self.loss,
            self.lr,
            self.weight_decay,
            self.ema,
            self.context_patches,
            self.target_patches,
        ];
        for value in exact {
            let _ = write!(row, ",{value}");
        }
        let Lap {
            data_wait_ms,
            step_ms,
            images_per_s,
        } = self.times;
        for value in [data_wait_ms, step_ms, images_per_s] {
            let _ = write!(row, ",{value:.2}");
        }
        let _ = write!(row, ",{},{}", self.grad_norm, self.feature_std);
        row
    }
}

/// The rows of `csv` before `step`, header included.
pub(crate) fn rows_before(csv: &str, step: u64) -> String {
    let before = |line: &&str| {
        let number = line
            .split(',')
            .nth(1)
            .and_then(|number| number.parse::<u64>().ok());
        number.is_none_or(|number| number < step)
    };
    // A line that a kill cut short has no newline and is dropped.
    let whole = csv.rfind('\n').map_or("", |end| &csv[..=end]);
    whole
        .lines()
        .filter(before)
        .map(|line| format!("{line}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_file_keeps_whole_rows_before_the_checkpoint() {
        let csv = "epoch,step\n0,0,a\n0,10,b\n0,20,c\n0,3";
        assert_eq!(rows_before(csv, 20), "epoch,step\n0,0,a\n0,10,b\n");
    }

    #[test]
    fn rows_have_the_columns_of_the_header() {
        let row = MetricsRow {
            epoch: 1,
            step: 2,
            images: 3,
            loss: 0.25,
            lr: 1e-3,
            weight_decay: 0.04,
            ema: 0.996,
            context_patches: 50.0,
            target_patches: 35.0,
            times: Lap {
                data_wait_ms: 0.5,
                step_ms: 10.0,
                images_per_s: 100.0,
            },
            grad_norm: 2.0,
            feature_std: 0.9,
        };
        assert_eq!(
            row.to_csv(),
            "1,2,3,0.25,0.001,0.04,0.996,50,35,0.50,10.00,100.00,2,0.9"
        );
        assert_eq!(row.to_csv().split(',').count(), HEADER.split(',').count());
    }
}
