//! Parsing, and walking what was parsed, on a stack that is deep enough.
//!
//! PostgreSQL's grammar, the decoding of its tree, our walk and the dropping of the tree are all
//! recursive. A tree cannot be deeper than the text has tokens, so a short text is taken apart
//! where it is; anything longer gets a thread of its own with a stack that holds the deepest tree
//! the parser lets through (its serializer stops at some 5,000 levels with a clean error). That is
//! the one use of threads in this crate: a thread here is a bigger stack, nothing runs beside it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use pg_query::ParserOptions;
use pg_query::protobuf::{ParseResult, ScanToken};

use crate::depth;
use crate::parse::Unparsable;

/// Tokens that may be open on a stack of 2 MiB, the least that callers have. Measured on nested
/// subqueries, the worst found (three tokens for each): 240 tokens overflow 512 KiB and fit in 1
/// MiB; a build without optimisation takes some 50 KiB for each subquery.
const TOKENS_IN_PLACE: usize = if cfg!(debug_assertions) { 48 } else { 256 };

/// Stack of a thread for anything longer, bytes. Only what is touched takes memory.
const STACK_BYTES: usize = 128 * 1024 * 1024;

/// Bytes that one text may make the parser read over again, some tens of milliseconds' worth.
const REPEATED_READS_MAX: usize = 64 * 1024 * 1024;

/// Tokens that the parser may make a tree of when it counts some of them again and again.
const COPIED_TOKENS_MAX: usize = 1_000_000;

/// libpg_query points file descriptor 2 at a pipe for the time of a parse. Two parses at once would
/// leave it there for good, so there is never more than one in the process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Parses `text` and hands the tree to `then`, with the tokens now open on this stack. `used` are
/// those open already.
pub(crate) fn with_tree<R: Send>(
    text: &str,
    strings_conform: bool,
    used: usize,
    then: impl FnOnce(&ParseResult, usize) -> R + Send,
) -> Result<R, Unparsable> {
    if depth::repeated_reads(text) > REPEATED_READS_MAX {
        let message = "the statement would take the parser too long (nested comments, GLOBAL)";
        return Err(Unparsable::too_complex(message));
    }
    let tokens = depth::tokens(text);
    if depth::may_copy(text) && copies(text, strings_conform) > COPIED_TOKENS_MAX {
        let message = "the statement assigns to several columns at once too often";
        return Err(Unparsable::too_complex(message));
    }
    if used + tokens <= TOKENS_IN_PLACE {
        return parse(text, strings_conform).map(|tree| then(&tree, used + tokens));
    }
    let outcome = std::thread::scope(|threads| {
        let work = || parse(text, strings_conform).map(|tree| then(&tree, 0));
        let spawned = std::thread::Builder::new()
            .name("sql-deep".into())
            .stack_size(STACK_BYTES)
            .spawn_scoped(threads, work);
        spawned.ok().and_then(|thread| thread.join().ok())
    });
    outcome.unwrap_or_else(|| Err(Unparsable::internal("the statement could not be taken apart")))
}

/// Tokens, each as often as the parser writes it.
fn copies(text: &str, strings_conform: bool) -> usize {
    if !strings_conform && text.contains('\\') {
        // The scanner takes every session to have conforming strings.
        return depth::copies_at_most(text);
    }
    // What cannot be scanned is not parsed either.
    scan(text).map_or(0, |tokens| depth::copies(&tokens))
}

/// The tokens of a text; `None` when it has something that is none. Strings are read by the
/// standard. The scanner, too, points file descriptor 2 elsewhere.
pub(crate) fn scan(text: &str) -> Option<Vec<ScanToken>> {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    pg_query::scan(text).ok().map(|scanned| scanned.tokens)
}

fn parse(text: &str, strings_conform: bool) -> Result<ParseResult, Unparsable> {
    let mut options = ParserOptions::DISABLE_ESCAPE_STRING_WARNING;
    if !strings_conform {
        options |= ParserOptions::DISABLE_STANDARD_CONFORMING_STRINGS;
    }
    let parse = |text: &str| {
        let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        // The library asserts in places about trees its own grammar made.
        catch_unwind(AssertUnwindSafe(|| pg_query::parse(text, options)))
    };
    let says = |beginning: &str| match parse(beginning) {
        Ok(Err(pg_query::Error::Parse(message))) => Some(message),
        _ => None,
    };
    match parse(text) {
        Ok(Ok(result)) => Ok(result.protobuf),
        Ok(Err(error)) => Err(Unparsable::from_parser(text, &error, says)),
        Err(_) => Err(Unparsable::internal("the parser failed on this statement")),
    }
}
