//! One form of host, path and address, and what is refused because it has two.
