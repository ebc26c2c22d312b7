//! Tests of the archive as a whole, on real journals and real folders.

mod convert;
mod evidence;
pub mod faulty;
mod letting_go;
pub mod made;
mod period;
mod proof;
mod readers;
mod rewrap;
mod rounds;
mod sealing;
mod verify;
