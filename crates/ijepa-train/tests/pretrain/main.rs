//! Whole runs of the trainer on rendered images.

#[cfg(test)]
mod accumulation;
#[cfg(test)]
mod observers;
#[cfg(test)]
mod own_parts;
#[cfg(test)]
mod ranks;
#[cfg(test)]
mod resuming;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod support;
