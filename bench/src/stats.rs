//! Numbers from numbers, and the clock of work that is measured alone.

use rustix::time::{ClockId, clock_gettime};

/// Processor time that this program has used, seconds: what others do meanwhile does not count.
#[derive(Clone, Copy)]
pub struct Used(f64);

impl Used {
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        Self(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
    }

    /// Seconds since then.
    pub fn since(self) -> f64 {
        Self::now().0 - self.0
    }
}

/// The value below which `share` of the sorted values lie.
pub fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * share).round() as usize).copied()
}

/// The middle of unsorted values.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    let upper = *sorted.get(half)?;
    match half.checked_sub(1).filter(|_| sorted.len().is_multiple_of(2)) {
        Some(below) => Some((sorted.get(below)? + upper) / 2.0),
        None => Some(upper),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles_of_small_sets() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        let hundred: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!(percentile(&hundred, 0.5), Some(50.0));
        assert_eq!(percentile(&hundred, 0.99), Some(99.0));
        assert_eq!(percentile(&[], 0.5), None);
    }
}
