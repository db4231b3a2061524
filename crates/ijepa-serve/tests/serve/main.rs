//! Requests as clients send them, also broken ones.

#[cfg(test)]
mod places;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod support;
