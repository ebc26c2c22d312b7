//! Runs cases for a while, and makes what it finds smaller.

use std::fmt::Write as _;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::{Config, Lab, Mode, Token, lab_with, place};

use super::case::{Case, Step, case, case_of};
use super::choices::Choices;
use super::judge::{Finding, Judge, Tally};
use super::lines::{Lines, plan_alike, prepare, resources, rules};

/// Tries to make one finding smaller.
const TRIES_MAX: usize = 250;
/// Findings after which there are enough.
const FINDINGS_MAX: usize = 25;
/// Cases after which tables are made as large everywhere as they were.
const LEVEL_EVERY: u64 = 500;
/// How often it says how far it is.
const WORD_EVERY: Duration = Duration::from_secs(60);

/// When it ends.
#[derive(Clone, Copy, Debug)]
pub enum Ending {
    /// After so long.
    After(Duration),
    /// After so many cases.
    Cases(u64),
}

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The first seed; the next ones follow.
    pub seed: u64,
    /// When it ends.
    pub ending: Ending,
    /// Sets of connections used at once.
    pub workers: usize,
    /// Whether the masks are there. Without them it must find leaks.
    pub masked: bool,
    /// Findings are made smaller and written to `target/differ/findings`.
    pub keep: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// What was counted.
    pub tally: Tally,
    /// What was found.
    pub findings: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Tally { cases, statements, slow, failed, touched, touched_refused, .. } = self.tally;
        let seconds = self.took.as_secs_f64();
        let rate = f64::from(u32::try_from(statements).unwrap_or(u32::MAX)) / seconds.max(0.1);
        writeln!(
            f,
            "{statements} statements in {cases} cases, {seconds:.0} s, {rate:.0} a second, each run four times"
        )?;
        writeln!(f, "{failed} cases failed directly, {slow} took too long to be judged")?;
        let (sizes, example) = &self.tally.sizes;
        if *sizes > 0 {
            writeln!(
                f,
                "{sizes} differed only until tables were as large everywhere, such as {example}"
            )?;
        }
        writeln!(
            f,
            "{touched} cases name a masked column, {touched_refused} of them were refused:"
        )?;
        for (reason, count) in &self.tally.reasons {
            writeln!(f, "    {reason}: {count}")?;
        }
        let over: u64 = self.tally.over.values().map(|(count, _)| count).sum();
        writeln!(f, "{} cases name none, {over} of them were refused:", cases - touched)?;
        for (reason, (count, example)) in &self.tally.over {
            writeln!(f, "    {reason}: {count}, such as {}", clipped(example))?;
        }
        for (reason, count) in &self.tally.everyone {
            writeln!(f, "refused whoever asks, {reason}: {count}")?;
        }
        write!(f, "{} findings", self.findings.len())
    }
}

/// Runs cases until the end.
///
/// # Errors
/// The server or the gateway cannot be started. Findings are part of the report.
pub fn fuzz(options: Options) -> Result<Report> {
    let mut report = Report::default();
    lab_with(&config(options), |lab| {
        let token = lab.gateway.agent("curious")?;
        prepare(lab, options.workers)?;
        plan_alike(lab, &token, options.workers)?;
        let judge = judge(lab, &token, options.masked)?;
        let began = Instant::now();
        let next = AtomicU64::new(0);
        let shared = Mutex::new(std::mem::take(&mut report));
        let lab = &*lab;
        std::thread::scope(|threads| {
            let work = |worker: usize| {
                let (judge, next, shared, token) = (&judge, &next, &shared, &token);
                threads.spawn(move || {
                    let lines = Lines::new(lab, token, worker);
                    let mut worker = Worker { lines, judge, options };
                    worker.work(began, next, shared)
                })
            };
            let all: Vec<_> = (0..options.workers).map(work).collect();
            for worker in all {
                worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))??;
            }
            anyhow::Ok(())
        })?;
        report = shared.into_inner().map_err(|_| anyhow::anyhow!("a worker panicked"))?;
        report.took = began.elapsed();
        Ok(())
    })?;
    Ok(report)
}

fn config(options: Options) -> Config {
    let config = Config::rules(&rules(options.workers, options.masked));
    let all = resources(options.workers);
    all.iter().fold(config, |config, (resource, database)| config.database(resource, database))
}

fn judge(lab: &Lab, token: &Token, masked: bool) -> Result<Judge> {
    let lines = Lines::new(lab, token, 0);
    let hashes = if masked { lines.hashes()? } else { Default::default() };
    let [a, b] = &hashes;
    ensure!(a.count() == b.count(), "the worlds have different numbers of hashes");
    let guide = place::workspace()?.join("docs/guide/refusals.md");
    let reasons = fs::read_to_string(guide).context("read the guide to refusals")?;
    Ok(Judge { hashes, canaries: lines.canaries()?, reasons })
}

struct Worker<'a> {
    lines: Lines<'a>,
    judge: &'a Judge,
    options: Options,
}

impl Worker<'_> {
    fn work(&mut self, began: Instant, next: &AtomicU64, shared: &Mutex<Report>) -> Result<()> {
        let mut tally = Tally::default();
        let mut word = Instant::now();
        let mut run = 0_u64;
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let over = match self.options.ending {
                Ending::After(time) => began.elapsed() >= time,
                Ending::Cases(cases) => at >= cases,
            };
            let mut enough = false;
            let seed = self.options.seed.wrapping_add(at);
            if !over {
                let (case, choices) = case(seed);
                if run.is_multiple_of(LEVEL_EVERY) {
                    self.lines.level()?;
                }
                run += 1;
                let finding = self.tried(&case, &mut tally)?;
                if let Some(finding) = finding {
                    let text = self.told(seed, case, choices, finding)?;
                    let mut shared = shared.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
                    println!("{text}\n");
                    shared.findings.push(text);
                    enough = shared.findings.len() >= FINDINGS_MAX;
                }
            }
            if over || enough || word.elapsed() > WORD_EVERY {
                word = Instant::now();
                let mut shared = shared.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
                shared.tally.add(std::mem::take(&mut tally));
                enough |= shared.findings.len() >= FINDINGS_MAX;
                let (cases, findings) = (shared.tally.cases, shared.findings.len());
                eprintln!("differ: {cases} cases, {findings} findings, {:.0?}", began.elapsed());
            }
            if over || enough {
                return Ok(());
            }
        }
    }

    /// What is wrong with a case. A difference that may come of sizes is looked at again where
    /// tables are as large everywhere: plans follow sizes, and with them which of two conditions is
    /// tried first, and in which order rows come.
    fn tried(&mut self, case: &Case, tally: &mut Tally) -> Result<Option<Finding>> {
        let received = self.lines.run(case)?;
        let mut counted = Tally::default();
        let mut finding = self.judge.judge(case, &received, &mut counted);
        if let Some(doubted) = finding.take_if(|finding| finding.promise.may_be_size()) {
            self.lines.level()?;
            let received = self.lines.run(case)?;
            counted = Tally::default();
            finding = self.judge.judge(case, &received, &mut counted);
            if finding.is_none() {
                let Finding { promise, seen } = doubted;
                let example = format!("{promise:?}, {}{}", case.text(), clipped(&seen));
                counted.sizes = (1, example);
            }
        }
        tally.add(counted);
        Ok(finding)
    }

    /// A finding in words, made smaller and kept.
    fn told(
        &mut self,
        seed: u64,
        case: Case,
        choices: Vec<u64>,
        finding: Finding,
    ) -> Result<String> {
        let (small, seen) = if self.options.keep {
            self.smaller(case.clone(), choices, finding)?
        } else {
            (case.clone(), finding)
        };
        let mut text = format!("differ: seed {seed}, {:?}, {:?}\n", seen.promise, small.mode);
        for step in &small.steps {
            let _ = writeln!(text, "  {}", step.sql);
            if !step.values.is_empty() {
                let _ = writeln!(text, "    with {:?}", step.values);
            }
        }
        let _ = write!(text, "  {}", seen.seen);
        if self.options.keep {
            let folder = place::workspace()?.join("target/differ/findings");
            fs::create_dir_all(&folder)?;
            let whole: Vec<&str> = case.steps.iter().map(|step| step.sql.as_str()).collect();
            let kept = format!("{text}\n\nas it was made:\n{}\n", whole.join("\n"));
            fs::write(folder.join(format!("{seed}.txt")), kept)?;
        }
        Ok(text)
    }

    /// Leaves choices out as long as the same promise stays broken.
    fn smaller(
        &mut self,
        case: Case,
        choices: Vec<u64>,
        finding: Finding,
    ) -> Result<(Case, Finding)> {
        let (mut case, mut choices, mut finding) = (case, choices, finding);
        let mut tries = 0;
        let mut size = choices.len().div_ceil(2);
        while size > 0 && tries < TRIES_MAX {
            let mut at = 0;
            let mut better = false;
            while at < choices.len() && tries < TRIES_MAX {
                let end = (at + size).min(choices.len());
                let without =
                    [choices.get(..at), choices.get(end..)].map(Option::unwrap_or_default).concat();
                let zeros = [
                    choices.get(..at).unwrap_or_default().to_vec(),
                    vec![0; end - at],
                    choices.get(end..).unwrap_or_default().to_vec(),
                ]
                .concat();
                let mut smaller = false;
                for attempt in [without, zeros] {
                    if attempt == choices {
                        continue;
                    }
                    let mut made = Choices::given(attempt);
                    let tried = case_of(&mut made);
                    if length(&tried) > length(&case) || tried == case {
                        continue;
                    }
                    tries += 1;
                    let seen = self.tried(&tried, &mut Tally::default())?;
                    if let Some(seen) = seen.filter(|seen| seen.promise == finding.promise) {
                        (case, choices, finding) = (tried, made.taken(), seen);
                        (smaller, better) = (true, true);
                        break;
                    }
                }
                if !smaller {
                    at += size;
                }
            }
            if !better || size > 1 {
                size /= 2;
            }
        }
        Ok((case, finding))
    }
}

fn clipped(example: &str) -> String {
    example.chars().take(400).collect()
}

fn length(case: &Case) -> usize {
    case.steps.iter().map(|step| step.sql.len() + 1).sum()
}

/// Runs the case of one seed and tells everything that each connection received.
///
/// # Errors
/// The server or the gateway cannot be started.
pub fn again(seed: u64) -> Result<String> {
    told(&case(seed).0)
}

/// Runs these statements in a transaction and tells everything that each connection received.
///
/// # Errors
/// The server or the gateway cannot be started.
pub fn ask(statements: &[String]) -> Result<String> {
    let step = |sql: &String| Step { sql: sql.clone(), ..Step::default() };
    told(&Case {
        steps: statements.iter().map(step).collect(),
        mode: Mode::Simple,
        transaction: true,
        ordered: true,
        touched: true,
        guesses: false,
        session: true,
    })
}

fn told(case: &Case) -> Result<String> {
    let seed = 0;
    let options = Options { seed, ending: Ending::Cases(1), workers: 1, masked: true, keep: false };
    let mut told = String::new();
    lab_with(&config(options), |lab| {
        let token = lab.gateway.agent("curious")?;
        prepare(lab, 1)?;
        plan_alike(lab, &token, 1)?;
        let judge = judge(lab, &token, true)?;
        let mut lines = Lines::new(lab, &token, 0);
        lines.level()?;
        let received = lines.run(case)?;
        let _ = writeln!(told, "{case:#?}");
        for (messages, name) in
            received.iter().zip(["directly", "without masks", "world a", "world b"])
        {
            let messages = messages.as_deref().unwrap_or_default();
            let shown = super::seen::lines(messages, &Default::default(), true);
            let _ = writeln!(told, "{name}: {shown:#?}");
            for error in messages.iter().filter(|message| message.tag == b'E') {
                let _ = writeln!(told, "  {}", String::from_utf8_lossy(&error.body));
            }
        }
        let finding = judge.judge(case, &received, &mut Tally::default());
        let _ = writeln!(told, "{finding:#?}");
        Ok(())
    })?;
    Ok(told)
}
