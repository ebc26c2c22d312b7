//! Keeping what stores say: a thread that reads again, and those who want it now.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::Secret;
use parking_lot::{Condvar, Mutex};

use crate::reference::Reference;
use crate::stores::{Kept, Shared};
use crate::vault::NotRead;

/// Pause after a reading that failed; doubled up to the refresh after each further one.
const RETRY: Duration = Duration::from_secs(5);
/// How long nobody asks again after a reading that failed, however many want it.
const PAUSE: Duration = Duration::from_secs(2);

/// What is known, by name.
#[derive(Default)]
pub(crate) struct Keeper {
    work: Mutex<Work>,
    wake: Condvar,
}

#[derive(Default)]
struct Work {
    entries: HashMap<Reference, Entry>,
    ended: bool,
}

#[derive(Default)]
struct Entry {
    value: Option<Secret<String>>,
    error: Option<String>,
    failures: u32,
    /// When the newest reading that counts began; an older one that ends later does not.
    began: Option<Instant>,
    due: Option<Instant>,
    /// One reading serves all who wait.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Entry {
    /// The answer for somebody who wants it now, if there is one.
    fn answer(&self) -> Option<Result<Secret<String>, String>> {
        if let Some(value) = &self.value {
            return Some(Ok(value.clone()));
        }
        let recent = self.began.is_some_and(|began| began.elapsed() < PAUSE);
        self.error.as_ref().filter(|_| recent).map(|error| Err(error.clone()))
    }
}

impl Keeper {
    /// These are wanted, and read as soon as can be; others no more.
    pub fn want(&self, references: &[Reference]) {
        let mut work = self.work.lock();
        work.entries.retain(|reference, _| references.contains(reference));
        for reference in references {
            work.entries.entry(reference.clone()).or_default().due = Some(Instant::now());
        }
        self.wake.notify_one();
    }

    pub fn end(&self) {
        self.work.lock().ended = true;
        self.wake.notify_one();
    }

    pub fn kept(&self) -> Vec<Kept> {
        let work = self.work.lock();
        let kept = work.entries.iter().map(|(reference, entry)| Kept {
            reference: reference.clone(),
            known: entry.value.is_some(),
            error: entry.error.clone(),
        });
        let mut kept: Vec<Kept> = kept.collect();
        kept.sort_by(|one, other| one.reference.cmp(&other.reference));
        kept
    }

    /// What is known, or what the store says now.
    pub async fn fetch(
        shared: &Arc<Shared>,
        reference: &Reference,
    ) -> Result<Secret<String>, String> {
        let turn = {
            let mut work = shared.keeper.work.lock();
            let entry = work.entries.entry(reference.clone()).or_default();
            match entry.answer() {
                Some(answer) => return answer,
                None => Arc::clone(&entry.turn),
            }
        };
        let _turn = turn.lock().await;
        if let Some(answer) = shared.keeper.answer(reference) {
            return answer;
        }
        let (reading, wanted) = (Arc::clone(shared), reference.clone());
        let read = tokio::task::spawn_blocking(move || read(&reading, &wanted)).await;
        read.map_err(|_| format!("{reference}: reading it failed"))?;
        let nothing = || Err(format!("{reference}: it is not wanted any more"));
        let work = shared.keeper.work.lock();
        let Some(entry) = work.entries.get(reference) else { return nothing() };
        match (&entry.value, &entry.error) {
            (Some(value), _) => Ok(value.clone()),
            (None, Some(error)) => Err(error.clone()),
            (None, None) => nothing(),
        }
    }

    fn answer(&self, reference: &Reference) -> Option<Result<Secret<String>, String>> {
        self.work.lock().entries.get(reference).and_then(Entry::answer)
    }

    /// The thread: reads what is due, and sleeps until something is.
    pub fn run(shared: &Arc<Shared>) {
        let keeper = &shared.keeper;
        loop {
            let due = {
                let mut work = keeper.work.lock();
                loop {
                    if work.ended {
                        return;
                    }
                    let now = Instant::now();
                    let next = work.entries.iter();
                    let next = next.filter_map(|(name, entry)| Some((entry.due?, name)));
                    match next.min_by_key(|(due, _)| *due) {
                        Some((due, name)) if due <= now => break name.clone(),
                        Some((due, _)) => {
                            keeper.wake.wait_for(&mut work, due - now);
                        }
                        None => keeper.wake.wait(&mut work),
                    }
                }
            };
            read(shared, &due);
        }
    }
}

/// Reads, publishes and says what is worth saying.
fn read(shared: &Shared, reference: &Reference) {
    let began = Instant::now();
    let read = shared.read(reference);
    let mut work = shared.keeper.work.lock();
    let Some(entry) = work.entries.get_mut(reference) else { return };
    if entry.began.is_some_and(|newer| newer > began) {
        return;
    }
    entry.began = Some(began);
    let refresh = shared.refresh(reference);
    let name = reference.to_string();
    match read {
        Ok(value) => {
            let failed = std::mem::take(&mut entry.failures) > 0;
            entry.error = None;
            entry.due = began.checked_add(refresh);
            let before = entry.value.replace(value);
            let changed = before.is_some() && before != entry.value;
            shared.keeper.wake.notify_one();
            drop(work);
            if changed {
                tracing::info!(secret = name, "a secret has changed; new connections use it");
                shared.tell("secret.change", name, "new connections use it".to_owned());
            } else if failed {
                tracing::info!(secret = name, "a secret can be read again");
                shared.tell("secret.recover", name, "it can be read again".to_owned());
            }
        }
        Err(why) => {
            let (why, gone) = match why {
                NotRead::Gone(why) => (why, true),
                NotRead::Failed(why) => (why, false),
            };
            let first = entry.failures == 0 || gone && entry.value.is_some();
            entry.failures = entry.failures.saturating_add(1);
            let pause = RETRY.saturating_mul(1 << (entry.failures - 1).min(10)).min(refresh);
            entry.due = began.checked_add(pause);
            if gone {
                // Whoever took it out of the store wants it used no more.
                entry.value = None;
            }
            let known = entry.value.is_some();
            entry.error = Some(why.clone());
            shared.keeper.wake.notify_one();
            drop(work);
            if first {
                let what = match known {
                    true => "a secret cannot be read; what it was is still used",
                    false => "a secret cannot be read; what needs it is refused",
                };
                tracing::warn!(secret = name, why, "{what}");
                shared.tell("secret.fail", name, format!("{what}: {why}"));
            }
        }
    }
}
