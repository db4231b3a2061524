//! How processes that were started together end together.

use std::{thread::sleep, time::Duration};

use ijepa_eval::{Error, FinetuneError};
use ijepa_train::{TrainError, ranks::Ranks};

use crate::{error::CliError, exit_code};

/// What other ranks wait for rank 0 to say: most that can go wrong goes wrong for all.
const COURTESY: Duration = Duration::from_secs(2);
/// A rank that was told that another one failed waits this long to be ended by it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether this rank is the one to say what went wrong. It waits for a rank that has more to say,
/// which then ends it.
pub(crate) fn speaks(ranks: &dyn Ranks, error: &CliError) -> bool {
    match error {
        CliError::Interrupted { .. } => ranks.rank() == 0,
        _ if is_of_another(error) => {
            sleep(PATIENCE);
            true
        }
        _ => {
            if ranks.rank() > 0 {
                sleep(COURTESY);
            }
            true
        }
    }
}

/// Whether another rank has more to say of it.
fn is_of_another(error: &CliError) -> bool {
    let run = match error {
        CliError::Train(run) => run,
        CliError::Eval(Error::Ranks(run) | Error::Finetune(FinetuneError::Run(run))) => run,
        _ => return false,
    };
    matches!(run, TrainError::OtherRank { .. })
}

/// Who says something, if there are several who might.
pub(crate) fn signature(ranks: &dyn Ranks) -> String {
    match ranks.size() {
        1 => String::new(),
        size => format!(" (process {} of 0 to {})", ranks.rank(), size - 1),
    }
}

/// Says goodbye before this process ends with `code`, and ends all others unless they end by
/// themselves.
pub(crate) fn end(ranks: &dyn Ranks, code: u8) -> u8 {
    if ranks.size() > 1 {
        match code {
            // Who is done before the others waits for them here, where that costs nothing.
            exit_code::SUCCESS | exit_code::INTERRUPTED => ranks.meet(),
            code => ranks.abort(code),
        }
    }
    code
}
