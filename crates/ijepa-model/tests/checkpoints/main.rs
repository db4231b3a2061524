//! Checkpoints of every kind, from one to another and damaged.

#[cfg(test)]
mod hugging_face;
#[cfg(test)]
mod native;
#[cfg(test)]
mod official;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod support;
