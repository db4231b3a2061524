//! What products are added to.

/// What a product is added to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Onto<'a> {
    /// Nothing: the output is overwritten.
    Nothing,
    /// What the output holds.
    Output,
    /// This row, for every row of the output.
    Row(&'a [f32]),
}

impl Onto<'_> {
    pub(super) fn output_if(add: bool) -> Self {
        if add { Self::Output } else { Self::Nothing }
    }

    /// The part for at most `count` columns from column `first` on.
    pub(super) fn some_cols(self, first: usize, count: usize) -> Self {
        match self {
            Self::Row(row) => Self::Row(&row[first..row.len().min(first + count)]),
            other => other,
        }
    }
}

/// What a part of the output is added to.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
pub(super) struct Addend {
    pub(super) first: *const f32,
    /// From row to row.
    pub(super) stride: usize,
}

#[cfg(target_arch = "x86_64")]
impl Addend {
    /// That of a part whose first column is `left` and whose first value lies at `place`, rows
    /// `stride` apart.
    pub(super) fn of(
        onto: Onto<'_>,
        place: *const f32,
        stride: usize,
        left: usize,
    ) -> Option<Self> {
        let (first, stride) = match onto {
            Onto::Nothing => return None,
            Onto::Output => (place, stride),
            Onto::Row(row) => (row[left..].as_ptr(), 0),
        };
        Some(Self { first, stride })
    }
}
