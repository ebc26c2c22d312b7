//! The gateway over real sockets, with a small line protocol and servers of the tests' own.

mod connections;
mod endings;
mod holds;
mod lab;
mod pressure;
mod records;
mod server;
mod surveys;
mod tls;
mod toy;
