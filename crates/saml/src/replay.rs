//! Assertions that were taken, so that none is taken twice (SAML Profiles section 4.1.4.5).

use std::collections::HashMap;

use model::Timestamp;

use crate::fault::Fault;

/// Assertions that are remembered; past it none is taken until some of them end.
const REMEMBERED_MAX: usize = 10_000;

/// What was taken and could still be taken again.
#[derive(Debug, Default)]
pub struct Replays {
    /// By issuer and ID, until when.
    taken: HashMap<(String, String), Timestamp>,
}

impl Replays {
    /// Takes an assertion that is good until a time.
    pub(crate) fn take(
        &mut self,
        (issuer, id): (&str, &str),
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let key = (issuer.to_owned(), id.to_owned());
        if self.taken.get(&key).is_some_and(|until| *until > now) {
            return Err(Fault::Replayed);
        }
        if self.taken.len() >= REMEMBERED_MAX {
            self.taken.retain(|_, until| *until > now);
        }
        if self.taken.len() >= REMEMBERED_MAX {
            return Err(Fault::Full);
        }
        self.taken.insert(key, until);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assertion_is_taken_once_while_it_is_good() {
        let mut replays = Replays::default();
        assert_eq!(replays.take(("idp", "a"), Timestamp(10), Timestamp(1)), Ok(()));
        let again = replays.take(("idp", "a"), Timestamp(10), Timestamp(9));
        assert_eq!(again, Err(Fault::Replayed));
        assert_eq!(replays.take(("other", "a"), Timestamp(10), Timestamp(9)), Ok(()));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_nothing_is_taken_beyond() {
        let mut replays = Replays::default();
        for index in 0..REMEMBERED_MAX {
            let id = format!("{index}");
            assert_eq!(replays.take(("idp", &id), Timestamp(10), Timestamp(1)), Ok(()));
        }
        assert_eq!(replays.take(("idp", "x"), Timestamp(10), Timestamp(1)), Err(Fault::Full));
        assert_eq!(replays.take(("idp", "x"), Timestamp(20), Timestamp(10)), Ok(()));
        assert_eq!(replays.taken.len(), 1);
    }
}
