//! PostgreSQL: the wire protocol 3.0 and 3.2 between a client and a server, as one conversation.

#![deny(missing_docs)]

mod message;
