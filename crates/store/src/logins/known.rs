//! What is known of sign-ins in this process.

use std::collections::HashMap;
use std::sync::Arc;

use model::TokenId;

use super::{Fingerprint, KeyKind, Login, LoginKey};

/// Why tokens end whose sign-in another gateway ended.
pub(super) const ELSEWHERE: &str = "revoked";

/// Every sign-in, and all that stands for it.
#[derive(Default)]
pub(super) struct Known {
    pub logins: HashMap<Arc<str>, Arc<Login>>,
    pub keys: HashMap<Fingerprint, LoginKey>,
    pub fingerprints: HashMap<TokenId, Fingerprint>,
}

impl Known {
    /// Adds what stands for a sign-in.
    pub fn insert(&mut self, fingerprint: Fingerprint, key: LoginKey) {
        self.fingerprints.insert(key.id.clone(), fingerprint);
        self.keys.insert(fingerprint, key);
    }

    /// Takes a sign-in away, with all that stands for it; its tokens.
    pub fn forget(&mut self, id: &str) -> (Option<Arc<Login>>, Vec<TokenId>) {
        let tokens: Vec<_> = self.tokens_of(id).map(|key| key.id.clone()).collect();
        self.keys.retain(|_, key| &*key.login != id);
        let Self { keys, fingerprints, .. } = self;
        fingerprints.retain(|_, fingerprint| keys.contains_key(fingerprint));
        (self.logins.remove(id), tokens)
    }

    /// One sign-in as it is kept, out of `found`; tokens that may not be used any more as they
    /// were, and why.
    pub fn take_in(&mut self, id: &str, found: &mut Self) -> Vec<(Vec<TokenId>, &'static str)> {
        let Some(login) = found.logins.remove(id) else {
            return vec![(self.forget(id).1, ELSEWHERE)];
        };
        let (before, tokens) = self.forget(id);
        found.keys.retain(|fingerprint, key| {
            let is_of_it = key.login == login.id;
            if is_of_it {
                self.insert(*fingerprint, key.clone());
            }
            !is_of_it
        });
        let changed = before.is_some_and(|before| before.groups != login.groups);
        self.logins.insert(Arc::clone(&login.id), login);
        let (stay, gone): (Vec<_>, Vec<_>) =
            tokens.into_iter().partition(|token| self.fingerprints.contains_key(token));
        let changed = if changed { stay } else { Vec::new() };
        vec![(gone, ELSEWHERE), (changed, "groups_changed")]
    }

    /// All of them as they are kept; tokens that may not be used any more as they were, and why.
    pub fn take_all(&mut self, found: Self) -> Vec<(Vec<TokenId>, &'static str)> {
        let (mut gone, mut changed) = (Vec::new(), Vec::new());
        for key in self.keys.values().filter(|key| key.kind == KeyKind::Token) {
            let before = self.logins.get(&key.login);
            match found.logins.get(&key.login) {
                Some(login) if found.fingerprints.contains_key(&key.id) => {
                    if before.is_some_and(|before| before.groups != login.groups) {
                        changed.push(key.id.clone());
                    }
                }
                _ => gone.push(key.id.clone()),
            }
        }
        *self = found;
        vec![(gone, ELSEWHERE), (changed, "groups_changed")]
    }

    /// The tokens of a sign-in.
    pub fn tokens_of<'a>(&'a self, login: &'a str) -> impl Iterator<Item = &'a LoginKey> {
        self.keys.values().filter(move |key| &*key.login == login && key.kind == KeyKind::Token)
    }

    /// Changes a sign-in, if it is there.
    pub fn change(&mut self, id: &str, change: impl FnOnce(&mut Login)) {
        if let Some(login) = self.logins.get_mut(id) {
            change(Arc::make_mut(login));
        }
    }
}
