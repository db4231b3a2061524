//! What pictures show, on rendered images and networks with initial weights.

#[cfg(test)]
mod attention;
#[cfg(test)]
mod components;
#[cfg(test)]
mod neighbours;
#[cfg(test)]
mod predictions;
#[cfg(test)]
mod support;
