//! What the journal leaves free of its disk.
//!
//! What makes room again takes some first: the next segment, the memory of how far the archive
//! reaches, the index. On a disk that the journal had filled to the last byte none of it could be
//! written, and nothing would be let go of.

use std::io;

use model::limit;

/// Bytes written before the disk is asked again; others write to it too.
const ASKED_EVERY: u64 = 1024 * 1024;
/// The most that is left free of a small disk, as a part of it.
const SPARE_PART: u64 = 16;
/// The same of what is wished for.
const WISH_PART: u64 = 4;

/// How much of a disk is free.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Bytes that this process may still write.
    pub(super) free: u64,
    /// All bytes of the disk.
    pub(super) total: u64,
}

impl Room {
    /// What the journal does not use.
    fn spare(self) -> u64 {
        limit::JOURNAL_SPARE_BYTES.min(self.total / SPARE_PART)
    }

    /// Whether there is so little that segments are better let go of, if the archive has them.
    pub(super) fn is_little(self) -> bool {
        self.free < limit::JOURNAL_ROOM_BYTES.min(self.total / WISH_PART)
    }
}

/// What may be written before the disk is asked again, bytes.
#[derive(Debug, Default)]
pub(super) struct Credit(u64);

impl Credit {
    /// Takes `bytes`. Fails as a full disk does where too little would be left.
    pub(super) fn take(
        &mut self,
        bytes: u64,
        ask: impl FnOnce() -> io::Result<Room>,
    ) -> io::Result<()> {
        if bytes > self.0 {
            self.0 = 0;
            let room = ask()?;
            let usable = room.free.saturating_sub(room.spare());
            if bytes > usable {
                let (free, spare) = (room.free, room.spare());
                let what = format!(
                    "the disk is full: {free} bytes are free, of which {spare} are left to what \
                     makes room again"
                );
                return Err(io::Error::new(io::ErrorKind::StorageFull, what));
            }
            self.0 = usable.min(bytes.saturating_add(ASKED_EVERY));
        }
        self.0 -= bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPARE: u64 = limit::JOURNAL_SPARE_BYTES;

    fn of(free: u64) -> io::Result<Room> {
        Ok(Room { free, total: u64::MAX })
    }

    #[test]
    fn p5_what_makes_room_again_finds_some() {
        let mut credit = Credit::default();
        let error = credit.take(101, || of(SPARE + 100)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().contains("the disk is full"), "{error}");
        credit.take(100, || of(SPARE + 100)).unwrap();
        credit.take(1, || of(SPARE)).unwrap_err();
        credit.take(1, || of(0)).unwrap_err();
        // Of a small disk a part.
        credit.take(16, || Ok(Room { free: 32, total: 256 })).unwrap();
        credit.take(17, || Ok(Room { free: 32, total: 256 })).unwrap_err();
    }

    #[test]
    fn p10_the_disk_is_asked_once_for_many_records() {
        let (mut credit, mut asked) = (Credit::default(), 0);
        for _ in 0..10_000 {
            let ask = || {
                asked += 1;
                of(u64::MAX)
            };
            credit.take(1024, ask).unwrap();
        }
        assert!(asked <= 10, "{asked}");
        credit.take(u64::MAX - SPARE, || of(u64::MAX)).unwrap();
    }

    #[test]
    fn a_disk_that_does_not_say_takes_nothing() {
        let mut credit = Credit::default();
        credit.take(1, || Err(io::ErrorKind::NotFound.into())).unwrap_err();
    }

    #[test]
    fn little_room_is_less_than_is_wished_for() {
        let wish = limit::JOURNAL_ROOM_BYTES;
        let room = |free, total| Room { free, total }.is_little();
        assert!(room(wish - 1, u64::MAX) && !room(wish, u64::MAX));
        assert!(room(249, 1000) && !room(250, 1000));
    }
}
