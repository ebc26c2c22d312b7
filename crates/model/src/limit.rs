//! Every bound in one list, with its unit. Each is tested at the limit and one past it (P8).

use std::time::Duration;

/// Longest statement accepted from a client, bytes; the default of `postgres.statement_bytes_max`.
pub const STATEMENT_BYTES_MAX: usize = 1024 * 1024;
/// Different values that a principal may compare with one masked column in a day (R5); the default
/// of `predicates.budget`.
pub const GUESSES_MAX: u64 = 100;
/// Longest single message accepted from a client other than a statement, bytes (bind values, COPY
/// data).
pub const CLIENT_MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest single message accepted from an upstream, bytes. PostgreSQL's own limit is 1 GiB.
pub const UPSTREAM_MESSAGE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Longest message accepted before a client is known, bytes. PostgreSQL's own limit is 10,000.
pub const STARTUP_BYTES_MAX: usize = 10_000;
/// Time a client has to prove who it is.
pub const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a session without a connection (HTTP) may pause before it is over.
pub const SESSION_IDLE: Duration = Duration::from_secs(300);
/// Time to reach an upstream and log in there.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Operations of one connection that may wait for a decision, a record or a person.
pub const PENDING_OPERATIONS_MAX: usize = 1024;
/// Answers that an upstream may owe one connection before more is sent to it.
pub const ANSWERS_AWAITED_MAX: usize = 1024;
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
/// Bytes of a request's body that an approver and the record see; it is cut there.
pub const RECORDED_BODY_BYTES_MAX: usize = 16 * 1024;
/// Longest request body that is held to be judged; the default of `http.inspect_max`, bytes.
pub const INSPECTED_BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of a body that are judged at once where a longer one is judged in parts
/// (`http.stream_inspect`): what an exchange keeps of it while it is passed on.
pub const BODY_PART_BYTES: usize = 256 * 1024;
/// Sessions of the whole gateway; the default of `sessions_max`.
pub const SESSIONS_MAX: usize = 20_000;
/// How long a silent upstream may keep a cancelled operation before the connection is given up.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest record of the journal, bytes: the longest upstream message and room for its description.
pub const RECORD_BYTES_MAX: usize = 320 * 1024 * 1024;
/// Size past which a journal segment is closed and the next begun; the default.
pub const JOURNAL_SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// What the journal leaves free of its disk, bytes, so that what makes room again can work; of a
/// small disk a sixteenth.
pub const JOURNAL_SPARE_BYTES: u64 = 16 * 1024 * 1024;
/// Room below which the journal lets go of what is archived however young it is, bytes; of a small
/// disk a quarter.
pub const JOURNAL_ROOM_BYTES: u64 = 128 * 1024 * 1024;
/// Journalled events whose index entries wait in memory; past it they are read from the journal
/// again.
pub const INDEX_NOTES_MAX: usize = 200_000;
/// Longest answer of an identity provider, bytes.
pub const PROVIDER_ANSWER_BYTES_MAX: u64 = 1 << 20;
/// People who are signed in at once.
pub const LOGINS_MAX: usize = 10_000;
/// Sign-ins of one person at once; the earliest ends for one more.
pub const LOGINS_EACH_MAX: usize = 20;
/// Tokens of one sign-in.
pub const LOGIN_TOKENS_MAX: usize = 20;
/// Codes of one kind on the way to a token, at once.
pub const LOGIN_CODES_MAX: usize = 1_000;
/// Devices that wait for a person at once. Anybody may ask for a code.
pub const LOGIN_DEVICES_MAX: usize = 10_000;
/// Answers of identity providers that were taken and could come again; past it none is taken until
/// some of them end.
pub const LOGIN_ANSWERS_MAX: usize = 10_000;
/// Tokens of identity providers that are remembered as believed; past it they are checked again.
pub const PROVED_TOKENS_MAX: usize = 4_096;
/// Tokens in the registry, revoked ones included.
pub const TOKENS_MAX: usize = 100_000;
/// Approval requests that may wait for an answer; past it new holds are refused.
pub const APPROVALS_PENDING_MAX: usize = 1_000;
/// The same of one subject, so that nobody takes the room of all.
pub const APPROVALS_PENDING_PER_SUBJECT_MAX: usize = 100;
/// Bytes of text and parameters of all waiting approval requests together.
pub const APPROVALS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Grants that may be in force at once.
pub const GRANTS_MAX: usize = 10_000;
/// Sessions that may wait for the answer to one approval request.
pub const APPROVAL_WAITERS_MAX: usize = 1_000;
/// Pairs of principal and resource whose recent usage is remembered.
pub const LEDGER_KEYS_MAX: usize = 10_000;
/// Operations that an export remembers until their replies come; past it the one that was silent
/// for the longest is written without its reply.
pub const EXPORT_OPERATIONS_MAX: usize = 10_000;
/// Bytes of these together; the newest is remembered whatever its size.
pub const EXPORT_OPERATIONS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Sessions of which an export remembers who came from where; past it the one that was silent
/// for the longest is forgotten.
pub const EXPORT_SESSIONS_MAX: usize = 20_000;
/// Bytes of these together; the newest is remembered whatever its size.
pub const EXPORT_SESSIONS_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of events, as they were read, that are in memory while sessions beside each other are told
/// as one; past it those that are needed last are read again. A page of events more, at most.
pub const MERGED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of replies that wait, while a session is written as its client got it, for one that began
/// before them to end.
pub const REPLIES_WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Body of one HTTP reply that is written to an archive of exchanges (HAR), bytes.
pub const EXPORT_BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Longest message of an upstream that has not let the gateway in yet, bytes. libpq allows 30,000.
pub const LOGIN_MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// All messages of one upstream login together, bytes.
pub const LOGIN_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of one reading of an upstream's catalog.
pub const CATALOG_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Columns of all relations in a catalog together.
pub const CATALOG_COLUMNS_MAX: usize = 2_000_000;
/// Fields of the head of one HTTP request.
pub const HTTP_FIELDS_MAX: usize = 200;
/// Names and values of those fields together, bytes.
pub const HTTP_FIELDS_BYTES_MAX: usize = 64 * 1024;
/// Path and query of one HTTP request, bytes.
pub const HTTP_TARGET_BYTES_MAX: usize = 32 * 1024;
/// Pairs that are read of one query or form.
pub const HTTP_PAIRS_MAX: usize = 1_000;
/// Named runs of one token that may be live over HTTP, over all resources.
pub const RUNS_MAX: usize = 100;
/// Values that are followed for one principal (R14); past it rules that read what requests carry
/// refuse until some of them expire.
pub const TAINTS_MAX: usize = 200_000;
/// Values that are followed for all principals together.
pub const TAINTS_TOTAL_MAX: usize = 2_000_000;
/// How long a received value is followed at least, counted from when it was last received.
pub const TAINT_EXPIRES: Duration = Duration::from_secs(24 * 60 * 60);
/// How long it is kept: what is received again need not be kept again before half a day is over.
pub const TAINT_KEPT: Duration = Duration::from_secs(36 * 60 * 60);
/// Sessions whose data keys one segment of the archive may have, erased ones included. A segment of
/// [`JOURNAL_SEGMENT_BYTES`] holds fewer, since a session takes several events.
pub const SEGMENT_KEYS_MAX: usize = 250_000;
/// Longest object of wrapped data keys that is written or read, bytes.
pub const SEGMENT_KEYS_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Longest wrapped data key, bytes. AWS KMS answers with at most 6,144.
pub const WRAPPED_KEY_BYTES_MAX: usize = 8 * 1024;
/// Longest name of a key that wraps data keys, bytes. An ARN has at most 2,048.
pub const KEY_ID_BYTES_MAX: usize = 4 * 1024;
/// Longest answer read of a service that wraps data keys, bytes.
pub const KEY_SERVICE_ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Data keys that are wrapped or unwrapped at the same time.
pub const KEY_SERVICE_CALLS_MAX: usize = 8;
/// Events that are sent to a receiver at once.
pub const STREAM_EVENTS_MAX: usize = 500;
/// Bytes of them together; the first is sent whatever its size.
pub const STREAM_BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Longest event that is sent, bytes of JSON; of longer ones the longest fields are left out.
pub const STREAM_EVENT_BYTES_MAX: usize = 256 * 1024;
/// Longest message to a syslog server, bytes. RFC 5425 has receivers take 8,192.
pub const SYSLOG_MESSAGE_BYTES_MAX: usize = 8 * 1024;
/// Longest answer read of a receiver of events, bytes.
pub const STREAM_ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// Longest pause before a receiver of events is tried again, also if it asks for a longer one.
pub const STREAM_PAUSE_MAX: Duration = Duration::from_secs(300);
/// Approval requests that one place is still to be told of; past it they are found again by looking
/// at what waits.
pub const NOTICES_MAX: usize = 10_000;
/// Characters of an operation's text in a message to people.
pub const NOTICE_TEXT_CHARS_MAX: usize = 2_000;
/// Longest body of a click in Slack, bytes: it holds the whole message that was clicked in.
pub const CLICK_BYTES_MAX: usize = 256 * 1024;
/// How far a click's time may be from ours.
pub const CLICK_AGE_MAX: Duration = Duration::from_secs(300);
/// Clicks that are remembered, so that none counts twice; past it none is taken.
pub const CLICKS_MAX: usize = 10_000;
/// Callers that wait for an answer to an approval at once, of the 256 connections that the admin
/// API carries.
pub const ANSWERS_WAITED_FOR_MAX: usize = 128;
/// Questions to the recordings that are answered at once; each may read the whole archive.
pub const AUDIT_QUESTIONS_MAX: usize = 4;
