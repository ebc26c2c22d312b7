//! Every bound in one list, with its unit. Each is tested at the limit and one past it (P8).

use std::time::Duration;

/// Longest statement accepted from a client, bytes; the default of `postgres.statement_bytes_max`.
pub const STATEMENT_BYTES_MAX: usize = 1024 * 1024;
/// Longest single message accepted from a client other than a statement, bytes (bind values, COPY data).
pub const CLIENT_MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest single message accepted from an upstream, bytes. PostgreSQL's own limit is 1 GiB.
pub const UPSTREAM_MESSAGE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Longest message accepted before a client is known, bytes. PostgreSQL's own limit is 10,000.
pub const STARTUP_BYTES_MAX: usize = 10_000;
/// Time a client has to prove who it is.
pub const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(30);
/// Time to reach an upstream and log in there.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Operations of one connection that may wait for a decision, a record or a person.
pub const PENDING_OPERATIONS_MAX: usize = 1024;
/// Bytes of one connection that may wait with them.
pub const PENDING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of one reply withheld for a result-dependent rule; the default of `hold.buffer`.
pub const HOLD_BUFFER_BYTES: usize = 16 * 1024 * 1024;
/// Bytes withheld by the whole gateway; the default of `hold.buffer_total`.
pub const HOLD_BUFFER_TOTAL_BYTES: usize = 256 * 1024 * 1024;
/// Bytes waiting for a slow reader on either side before the other side is no longer read.
pub const SEND_BUFFER_BYTES_MAX: usize = 1024 * 1024;
/// Bytes read from a socket at once.
pub const READ_CHUNK_BYTES: usize = 64 * 1024;
/// Prepared statements of one connection.
pub const PREPARED_STATEMENTS_MAX: usize = 10_000;
/// Portals and cursors of one connection.
pub const PORTALS_MAX: usize = 10_000;
/// Payload kept of one reply under `recording.payload: head`, bytes.
pub const PAYLOAD_HEAD_BYTES: usize = 64 * 1024;
/// Text of one operation or parameter kept in the record, bytes; longer ones are refused earlier.
pub const RECORDED_TEXT_BYTES_MAX: usize = 1024 * 1024;
/// Sessions of the whole gateway; the default of `sessions_max`.
pub const SESSIONS_MAX: usize = 20_000;
/// How long a silent upstream may keep a cancelled operation before the connection is given up.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
