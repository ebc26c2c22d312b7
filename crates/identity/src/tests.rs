//! A provider of our own making, and everything that a token may be wrong with.

mod attacks;
mod certificates;
mod fetching;
mod people;
mod provider;
mod signing_in;
mod whom;
