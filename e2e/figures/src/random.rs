//! Reproducible random numbers for scenarios: [`Random`].

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). Small, seedable and the same on
/// every machine; not for secrets.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A stream of numbers that depends on the seed alone.
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// A stream of numbers that depends on the run's seed and on the client, so that clients differ and runs repeat.
    pub fn new(seed: u64, client: u32) -> Self {
        let mut random = Self::seeded(seed);
        let mixed = random.number();
        Self(mixed ^ u64::from(client).wrapping_mul(INCREMENT))
    }

    /// The next number, uniform over all of `u64`.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(INCREMENT);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// An index below a length that is not 0.
    pub fn below(&mut self, length: usize) -> usize {
        (self.number() % length as u64) as usize
    }

    /// Shuffles a list, each order as likely (Fisher and Yates).
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last + 1));
        }
    }

    /// The next number, uniform over 0 (included) to 1 (excluded).
    pub fn fraction(&mut self) -> f64 {
        // 53 bits are what an f64 holds.
        (self.number() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// The next number of the standard normal distribution (G. E. P. Box and M. E. Muller, 1958).
    #[cfg(test)]
    pub(crate) fn normal(&mut self) -> f64 {
        let (radius, turn) = (1.0 - self.fraction(), self.fraction());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * turn).cos()
    }
}

/// The golden ratio in 64 bits, SplitMix64's increment.
const INCREMENT: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_splitmix64() {
        // The first numbers of the reference implementation for the state 1234567.
        let mut random = Random::seeded(1_234_567);
        assert_eq!(
            [random.number(), random.number(), random.number()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn clients_differ_and_runs_repeat() {
        assert_ne!(Random::new(1, 0).number(), Random::new(1, 1).number());
        assert_eq!(Random::new(1, 7).number(), Random::new(1, 7).number());
    }
}
