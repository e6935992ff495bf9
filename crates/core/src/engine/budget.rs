//! How many questions may be asked a second: a token bucket, refilled by virtual time.

use crate::time::Mono;

/// Questions left.
#[derive(Debug, Default)]
pub(super) struct Budget {
    per_second: u32,
    /// In thousandths of a question.
    left: u64,
    filled: Mono,
    /// Questions that were not asked.
    pub(super) refused: u64,
}

impl Budget {
    pub(super) fn configure(&mut self, now: Mono, per_second: u32) {
        if self.per_second != per_second {
            *self =
                Self { per_second, left: u64::from(per_second) * 1000, filled: now, refused: self.refused };
        }
    }

    /// Takes one question, if there is one left. At most a second's worth is saved up.
    pub(super) fn take(&mut self, now: Mono) -> bool {
        let millis = u64::try_from(now.since(self.filled).as_millis()).unwrap_or(u64::MAX);
        let most = u64::from(self.per_second) * 1000;
        self.left = self.left.saturating_add(millis.saturating_mul(u64::from(self.per_second))).min(most);
        self.filled = now.max(self.filled);
        if self.left < 1000 {
            self.refused += 1;
            return false;
        }
        self.left -= 1000;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_second_holds_its_number_of_questions_and_saves_up_no_more() {
        let mut budget = Budget::default();
        let start = Mono::from_millis(1000);
        budget.configure(start, 3);
        let asked = |budget: &mut Budget, at| (0..10).filter(|_| budget.take(at)).count();
        assert_eq!(asked(&mut budget, start), 3);
        assert_eq!(budget.refused, 7);
        assert_eq!(asked(&mut budget, start + Duration::from_millis(400)), 1);
        assert_eq!(asked(&mut budget, start + Duration::from_secs(60)), 3);
    }
}
