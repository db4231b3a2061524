//! Masks against the reference's own code, the paper's ratios and their own invariants.

#[cfg(test)]
mod ablations;
#[cfg(test)]
mod exact;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod report;
#[cfg(test)]
mod script;
#[cfg(test)]
mod statistics;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod uniform;
