//! Sequence numbers that wait, one or two bytes each: a device may be blocked for a day with a million events behind it.

use std::collections::VecDeque;

/// A first-in-first-out queue of ascending numbers, kept as differences.
#[derive(Debug, Default)]
pub(crate) struct Ascending {
    first: u64,
    last: u64,
    len: usize,
    steps: VecDeque<u8>,
}

impl Ascending {
    /// The lowest number.
    pub(crate) fn front(&self) -> Option<u64> {
        (self.len > 0).then_some(self.first)
    }

    /// Adds a number; `false` when it is not above the last one, for then it has no place here.
    pub(crate) fn push(&mut self, number: u64) -> bool {
        if self.len == 0 {
            self.first = number;
        } else if number > self.last {
            let mut step = number - self.last;
            while step >= 0x80 {
                self.steps.push_back(step as u8 | 0x80);
                step >>= 7;
            }
            self.steps.push_back(step as u8);
        } else {
            return false;
        }
        self.last = number;
        self.len += 1;
        true
    }

    /// Takes the lowest number.
    pub(crate) fn pop(&mut self) -> Option<u64> {
        let number = self.front()?;
        self.len -= 1;
        if self.len > 0 {
            self.first += self.take_step();
        }
        Some(number)
    }

    fn take_step(&mut self) -> u64 {
        let (mut step, mut shift) = (0, 0);
        while let Some(byte) = self.steps.pop_front() {
            step |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        step
    }

    /// The numbers, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> {
        let mut steps = self.steps.iter();
        let mut next = self.front();
        std::iter::from_fn(move || {
            let number = next?;
            let (mut step, mut shift) = (0, 0);
            next = None;
            for byte in steps.by_ref() {
                step |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    next = Some(number + step);
                    break;
                }
            }
            Some(number)
        })
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::Ascending;

    #[test]
    fn keeps_order_in_little_space() {
        let mut queue = Ascending::default();
        let numbers = || (0..100_000_u64).map(|n| 7 + n * 3 + (n % 5) * 1000 / 5000);
        assert!(numbers().all(|number| queue.push(number)));
        assert!(!queue.push(7));
        assert!(queue.steps.len() < 100_001);
        assert!(queue.iter().eq(numbers()));
        for number in numbers() {
            assert_eq!((queue.front(), queue.pop()), (Some(number), Some(number)));
        }
        assert_eq!((queue.pop(), queue.len()), (None, 0));
        assert!(queue.push(1));
        assert_eq!(queue.pop(), Some(1));
    }
}
