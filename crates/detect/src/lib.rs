//! Finds sensitive values in text: payment cards, US social security numbers, e-mail addresses,
//! IBANs, telephone numbers, AWS keys, private keys and JSON Web Tokens.
//!
//! Pure: bytes in, spans out. Nothing here knows a rule, a clock or a protocol, and nothing here
//! decides what happens to a value that was found. Every scan is linear in the length of its input,
//! whatever the input is, and takes no memory of its own while nothing is found.
//!
//! What is looked for is what proves itself by its form: a checksum, a prefix with an alphabet, a
//! structure. Where the form alone proves little (nine bare digits), a word nearby must say what it
//! is; a bare integer is never reported as a social security number or a telephone number. This is
//! recognition, so it is best effort: it is not the place to rely on for a column that is known to
//! be sensitive.
//!
//! ```
//! use detect::{DetectionType, Scanner, TypeSet};
//!
//! let scanner = Scanner::new(TypeSet::from_iter([DetectionType::CreditCard]));
//! let mut found = Vec::new();
//! scanner.scan(b"paid with 4111 1111 1111 1111.", &mut found);
//! assert_eq!((found[0].start, found[0].end), (10, 29));
//! ```

#![deny(missing_docs)]

mod aws;
mod card;
mod context;
mod email;
mod iban;
mod jwt;
mod kind;
mod number;
mod pem;
mod phone;
mod prefilter;
mod scan;
mod ssn;
mod text;

pub use kind::{DetectionType, Span, TypeSet};
pub use scan::Scanner;
