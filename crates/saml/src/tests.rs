//! A provider of our own making, what a real one sent, and everything that an answer may be wrong
//! with.

mod attacks;
mod documents;
mod idp;
mod mutations;
mod profile;
mod real;
mod wrapping;
