//! The model against numbers computed by the reference's own code.
//!
//! Differences are relative per tensor: largest difference over largest expected value.

#[cfg(test)]
mod forward;
#[cfg(test)]
mod hugging_face;
#[cfg(test)]
mod objective;
#[cfg(test)]
mod pixels;
#[cfg(test)]
mod positions;
#[cfg(test)]
mod precision;
#[cfg(test)]
mod predictor;
#[cfg(test)]
mod support;
#[cfg(test)]
mod views;
