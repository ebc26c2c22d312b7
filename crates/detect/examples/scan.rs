//! Scans a file and says how fast, or where what was found is.
//!
//! `cargo run --release -p detect --example scan -- FILE` measures: the whole file, its lines one
//! by one, and the prefilter. With `--spans` before FILE it prints, for each line, what was found
//! in it as `start-end:KIND`, so that other programs can compare.

use std::error::Error;
use std::hint::black_box;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::time::Duration;

use detect::{Scanner, TypeSet};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next().ok_or("usage: scan [--spans] FILE")?;
    let scanner = Scanner::new(TypeSet::ALL);
    if first == "--spans" {
        let file = std::fs::File::open(arguments.next().ok_or("usage: scan --spans FILE")?)?;
        return print_spans(&scanner, BufReader::new(file));
    }
    let mut text = Vec::new();
    io::Read::read_to_end(&mut std::fs::File::open(first)?, &mut text)?;
    measure(&scanner, &text)
}

fn print_spans(scanner: &Scanner, lines: impl BufRead) -> Result<(), Box<dyn Error>> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut found = Vec::new();
    for line in lines.split(b'\n') {
        scanner.scan(&line?, &mut found);
        for span in &found {
            write!(out, "{}-{}:{} ", span.start, span.end, span.kind)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn measure(scanner: &Scanner, text: &[u8]) -> Result<(), Box<dyn Error>> {
    let mut found = Vec::new();
    let mut values = 0;
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let mut out = io::stdout().lock();
    let mut report = |what: &str, time: Duration, rounds: u32| {
        let bytes = text.len() as f64 * f64::from(rounds);
        let megabytes = bytes / time.as_secs_f64() / 1e6;
        let each = time.as_nanos() as f64 / f64::from(rounds) / lines.len() as f64;
        writeln!(out, "{what:>10} {megabytes:8.0} MB/s {each:8.0} ns/line")
    };
    let (time, rounds) = timed(|| {
        scanner.scan(black_box(text), &mut found);
        values = found.len();
    });
    report("whole", time, rounds)?;
    let (time, rounds) = timed(|| {
        for line in &lines {
            scanner.scan(black_box(line), &mut found);
        }
    });
    report("lines", time, rounds)?;
    let (time, rounds) = timed(|| {
        for block in text.chunks(64 * 1024) {
            black_box(scanner.may_contain(black_box(block)));
        }
    });
    report("prefilter", time, rounds)?;
    let yes = text.chunks(4096).filter(|block| scanner.may_contain(block)).count();
    let blocks = text.chunks(4096).len();
    writeln!(
        io::stdout(),
        "{values} values; prefilter says yes to {yes} of {blocks} blocks of 4 KiB"
    )?;
    Ok(())
}

/// Runs `work` for about half a second; says how long it took and how often it ran.
#[expect(clippy::disallowed_methods, reason = "measuring is what this example is for")]
fn timed(mut work: impl FnMut()) -> (Duration, u32) {
    let start = std::time::Instant::now();
    let mut rounds = 0;
    while start.elapsed() < Duration::from_millis(500) {
        work();
        rounds += 1;
    }
    (start.elapsed(), rounds)
}
