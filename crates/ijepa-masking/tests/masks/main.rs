//! Masks against the reference's own code, the paper's ratios and their own invariants.

#[cfg(test)]
mod exact;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod statistics;
