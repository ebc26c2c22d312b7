//! What is known about a value before every fact is: a set of the outcomes that are still possible.
//!
//! Every operation here is sound: whatever the unknown facts turn out to be, the outcome is one of
//! those given. With every fact known the sets hold one outcome, the one CEL specifies.

/// The outcomes a condition can still have; never empty.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Outcomes(u8);

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const ERROR: u8 = 4;

impl Outcomes {
    pub const YES: Self = Self(TRUE);
    pub const NO: Self = Self(FALSE);
    pub const ERROR: Self = Self(ERROR);
    /// True or false, without an error.
    pub const EITHER: Self = Self(TRUE | FALSE);
    /// Nothing is known.
    pub const ANY: Self = Self(TRUE | FALSE | ERROR);

    pub fn known(value: bool) -> Self {
        if value { Self::YES } else { Self::NO }
    }

    pub fn may_be_true(self) -> bool {
        self.0 & TRUE != 0
    }

    pub fn may_be_false(self) -> bool {
        self.0 & FALSE != 0
    }

    pub fn may_fail(self) -> bool {
        self.0 & ERROR != 0
    }

    #[cfg(test)]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub fn or_fails(self, fails: bool) -> Self {
        if fails { Self(self.0 | ERROR) } else { self }
    }

    /// Either of two outcomes happens.
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn not(self) -> Self {
        let flipped = (self.0 & TRUE) << 1 | (self.0 & FALSE) >> 1;
        Self(flipped | self.0 & ERROR)
    }

    /// CEL's `&&`: false wins over an error, whichever side it is on.
    pub fn and(self, other: Self) -> Self {
        self.not().or(other.not()).not()
    }

    /// CEL's `||`: true wins over an error, whichever side it is on.
    pub fn or(self, other: Self) -> Self {
        let (a, b) = (self.0, other.0);
        let truth = (a | b) & TRUE;
        let falsehood = a & b & FALSE;
        let error = (a | b) & ERROR != 0 && a & (FALSE | ERROR) != 0 && b & (FALSE | ERROR) != 0;
        Self(truth | falsehood | if error { ERROR } else { 0 })
    }

    pub fn settled(self) -> Settled {
        match self.0 {
            TRUE => Settled::Yes,
            FALSE => Settled::No,
            ERROR => Settled::Error,
            _ => Settled::Maybe,
        }
    }
}

/// What a set of outcomes says about a rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Settled {
    /// Certainly true.
    Yes,
    /// Certainly false.
    No,
    /// It depends on what is not known yet.
    Maybe,
    /// Certainly an error.
    Error,
}

/// The units a number counts, and with them its range.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unit {
    /// A signed 64-bit integer.
    Int,
    /// Nanoseconds since 1970.
    Time,
    /// Nanoseconds, also negative.
    Duration,
}

impl Unit {
    const fn bounds(self) -> (i128, i128) {
        match self {
            Self::Int => (i64::MIN as i128, i64::MAX as i128),
            Self::Time => (0, u64::MAX as i128),
            Self::Duration => (-(u64::MAX as i128), u64::MAX as i128),
        }
    }
}

/// The numbers an expression can still be: `low..=high`, none of them when `low > high`; and
/// whether it can still fail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Range {
    pub low: i128,
    pub high: i128,
    pub fails: bool,
}

impl Range {
    /// Certainly an error.
    pub const ERROR: Self = Self { low: 1, high: 0, fails: true };

    pub const fn one(value: i128) -> Self {
        Self { low: value, high: value, fails: false }
    }

    pub const fn between(low: i128, high: i128) -> Self {
        Self { low, high, fails: false }
    }

    /// Nothing is known.
    pub const fn any(unit: Unit) -> Self {
        let (low, high) = unit.bounds();
        Self { low, high, fails: true }
    }

    pub fn is_empty(self) -> bool {
        self.low > self.high
    }

    pub fn exact(self) -> Option<i128> {
        (self.low == self.high).then_some(self.low)
    }

    pub fn or_fails(self, fails: bool) -> Self {
        Self { fails: self.fails || fails, ..self }
    }

    /// Either of two ranges happens.
    pub fn union(self, other: Self) -> Self {
        let fails = self.fails || other.fails;
        match (self.is_empty(), other.is_empty()) {
            (true, _) => other.or_fails(fails),
            (_, true) => self.or_fails(fails),
            _ => Self { low: self.low.min(other.low), high: self.high.max(other.high), fails },
        }
    }

    pub fn less(self, other: Self) -> Outcomes {
        self.compare(other, |a, b| {
            let truth = if a.low < b.high { TRUE } else { 0 };
            let falsehood = if a.high >= b.low { FALSE } else { 0 };
            Outcomes(truth | falsehood)
        })
    }

    pub fn less_or_equal(self, other: Self) -> Outcomes {
        other.less(self).not()
    }

    pub fn equal(self, other: Self) -> Outcomes {
        self.compare(other, |a, b| match (a.exact(), b.exact()) {
            (Some(a), Some(b)) => Outcomes::known(a == b),
            _ if a.high < b.low || b.high < a.low => Outcomes::NO,
            _ => Outcomes::EITHER,
        })
    }

    fn compare(self, other: Self, of: impl Fn(Self, Self) -> Outcomes) -> Outcomes {
        if self.is_empty() || other.is_empty() {
            return Outcomes::ERROR;
        }
        of(self, other).or_fails(self.fails || other.fails)
    }

    pub fn add(self, other: Self, unit: Unit) -> Self {
        self.combine(other, unit, |a, b| (a.low + b.low, a.high + b.high))
    }

    pub fn subtract(self, other: Self, unit: Unit) -> Self {
        self.combine(other, unit, |a, b| (a.low - b.high, a.high - b.low))
    }

    pub fn negate(self, unit: Unit) -> Self {
        Self::one(0).subtract(self, unit)
    }

    pub fn multiply(self, other: Self, unit: Unit) -> Self {
        self.combine(other, unit, |a, b| {
            let corners = [a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high];
            extremes(corners.into_iter())
        })
    }

    /// Rounds toward zero; by zero is an error.
    pub fn divide(self, other: Self, unit: Unit) -> Self {
        let Some((divisors, fails)) = other.without_zero() else { return Self::ERROR };
        self.combine(other, unit, |a, _| {
            let corners =
                divisors.iter().flatten().flat_map(|divisor| [a.low / divisor, a.high / divisor]);
            extremes(corners)
        })
        .or_fails(fails)
    }

    /// The remainder has the sign of the dividend; by zero is an error.
    pub fn remainder(self, other: Self, unit: Unit) -> Self {
        let Some((_, by_zero)) = other.without_zero() else { return Self::ERROR };
        // What CEL's own implementations do: the quotient would not fit.
        let overflow = self.low == unit.bounds().0 && other.low <= -1 && other.high >= -1;
        if let (Some(a), Some(b)) = (self.exact(), other.exact()) {
            return if overflow { Self::ERROR } else { Self::one(a % b) }
                .or_fails(self.fails || other.fails);
        }
        self.combine(other, unit, |a, b| {
            let most = b.low.abs().max(b.high.abs()) - 1;
            let low = if a.low < 0 { a.low.max(-most) } else { 0 };
            let high = if a.high > 0 { a.high.min(most) } else { 0 };
            (low, high)
        })
        .or_fails(by_zero || overflow)
    }

    /// The divisors at which quotients are extreme, and whether zero is one of the divisors; `None`
    /// when nothing but zero (or nothing) is left.
    fn without_zero(self) -> Option<([Option<i128>; 4], bool)> {
        let has = |value: i128| self.low <= value && value <= self.high;
        let divisors = [self.low, self.high, -1, 1];
        let divisors = divisors.map(|value| (value != 0 && has(value)).then_some(value));
        divisors.iter().any(Option::is_some).then_some((divisors, has(0)))
    }

    /// The result of an operation over every pair, clipped to what the unit can hold; outside is an
    /// error.
    fn combine(self, other: Self, unit: Unit, of: impl Fn(Self, Self) -> (i128, i128)) -> Self {
        if self.is_empty() || other.is_empty() {
            return Self::ERROR;
        }
        let (low, high) = of(self, other);
        let (least, most) = unit.bounds();
        if low > most || high < least {
            return Self::ERROR;
        }
        let overflows = low < least || high > most;
        Self {
            low: low.max(least),
            high: high.min(most),
            fails: self.fails || other.fails || overflows,
        }
    }
}

fn extremes(values: impl Iterator<Item = i128>) -> (i128, i128) {
    values.fold((i128::MAX, i128::MIN), |(low, high), v| (low.min(v), high.max(v)))
}
