//! Seeded randomness: `SplitMix64` as hash and as stream, and alias tables for weighted draws.
//!
//! Why not the `rand` crate: the bytes of a made day must not change with a dependency's version. `SplitMix64`
//! (Steele, Lea, Flood 2014) has a 64-bit state, so a stream can be opened from any key at the cost of one addition:
//! each event, host and parent process gets its own, and a text is a function of its key alone.

/// Odd constant of `SplitMix64`: 2^64 divided by the golden ratio.
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finaliser of `SplitMix64`: a bijection of 64-bit words that leaves no visible pattern.
pub(super) const fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// One key from two: not symmetric, so `(a, b)` and `(b, a)` differ.
pub(super) const fn mix2(a: u64, b: u64) -> u64 {
    mix(a
        .wrapping_mul(GAMMA)
        .wrapping_add(mix(b.wrapping_add(GAMMA))))
}

/// A 64-bit hash of bytes, eight at a time. Not for hostile input: the input here is our own.
pub(super) fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut h = mix(bytes.len() as u64 ^ GAMMA);
    let (words, rest) = bytes.as_chunks::<8>();
    for w in words {
        h = (h ^ u64::from_le_bytes(*w)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
        h ^= h >> 32;
    }
    let mut last = 0_u64;
    for &b in rest {
        last = (last << 8) | u64::from(b);
    }
    mix(h ^ last)
}

/// A stream of pseudo-random words that starts at a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prng(u64);

impl Prng {
    pub(super) const fn new(key: u64) -> Self {
        Self(key)
    }

    #[inline]
    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        mix(self.0)
    }

    /// Uniform in `0..n` (0 when `n` is 0), by multiply-shift; the bias is below `n` / 2^64.
    #[inline]
    pub(super) const fn below(&mut self, n: u64) -> u64 {
        ((self.next() as u128 * n as u128) >> 64) as u64
    }

    /// Index into something of `len` elements.
    #[inline]
    pub(super) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// Index into `len` elements, where the first ones come up more often: the square of a uniform number, so that
    /// the first of `len` has a share of 1 / sqrt(`len`).
    #[inline]
    pub(super) fn skewed(&mut self, len: usize) -> usize {
        let u = u128::from(self.next());
        let square = ((u * u) >> 64) as u64;
        Self::fraction(square, len)
    }

    /// Index into `len` elements at a fraction of 2^64.
    #[inline]
    pub(super) fn fraction(word: u64, len: usize) -> usize {
        usize::try_from((u128::from(word) * len as u128) >> 64).unwrap_or(0)
    }

    /// Uniform in `[0, 1)`.
    #[inline]
    pub(super) fn unit(&mut self) -> f64 {
        unit_of(self.next())
    }

    /// True with `percent` in a hundred.
    #[inline]
    pub(super) const fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A word as a number in `[0, 1)`.
#[expect(clippy::cast_precision_loss, reason = "53 bits are exact in an f64")]
pub(super) const fn unit_of(word: u64) -> f64 {
    (word >> 11) as f64 / (1_u64 << 53) as f64
}

/// Walker's alias method: a weighted draw in constant time, whatever the number of weights.
#[derive(Debug, Clone)]
pub(super) struct Alias {
    keep: Vec<f64>,
    other: Vec<usize>,
}

impl Alias {
    /// Weights that are negative or not finite count as 0; all zero draws uniformly.
    pub(super) fn new(weights: &[f64]) -> Self {
        let clean: Vec<f64> = weights
            .iter()
            .map(|w| if w.is_finite() { w.max(0.0) } else { 0.0 })
            .collect();
        let sum: f64 = clean.iter().sum();
        #[expect(
            clippy::cast_precision_loss,
            reason = "a table has some hundred entries"
        )]
        let n = clean.len() as f64;
        let mut scaled: Vec<f64> = clean
            .iter()
            .map(|w| if sum > 0.0 { w * n / sum } else { 1.0 })
            .collect();
        let mut keep = vec![1.0; scaled.len()];
        let mut other: Vec<usize> = (0..scaled.len()).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..scaled.len()).partition(|&i| scaled[i] < 1.0);
        while let (Some(s), Some(&l)) = (small.pop(), large.last()) {
            keep[s] = scaled[s];
            other[s] = l;
            scaled[l] -= 1.0 - scaled[s];
            if scaled[l] < 1.0 {
                large.pop();
                small.push(l);
            }
        }
        Self { keep, other }
    }

    pub(super) fn draw(&self, rng: &mut Prng) -> usize {
        let i = rng.index(self.keep.len());
        if self.keep.get(i).is_some_and(|&k| rng.unit() < k) {
            i
        } else {
            self.other.get(i).copied().unwrap_or(0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_table_draws_each_index_in_proportion_to_its_weight() {
        let table = Alias::new(&[5.0, 0.0, 3.0, 2.0]);
        let mut rng = Prng::new(1);
        let mut seen = [0_u32; 4];
        for _ in 0..100_000 {
            seen[table.draw(&mut rng)] += 1;
        }
        assert_eq!(seen[1], 0);
        for (n, want) in seen.iter().zip([50_000, 0, 30_000, 20_000]) {
            assert!(n.abs_diff(want) < 800, "{seen:?}");
        }
    }

    #[test]
    fn a_hash_sees_every_byte_and_the_length() {
        let base = hash_bytes(b"powershell -nop");
        assert_ne!(base, hash_bytes(b"powershell -noP"));
        assert_ne!(base, hash_bytes(b"powershell -nop\0"));
        assert_ne!(hash_bytes(b""), hash_bytes(b"\0"));
    }

    #[test]
    fn a_skewed_index_prefers_the_first_and_stays_within() {
        let mut rng = Prng::new(2);
        let mut seen = [0_u32; 10];
        for _ in 0..10_000 {
            seen[rng.skewed(10)] += 1;
        }
        assert!(seen[0] > 2_900 && seen[9] > 400, "{seen:?}");
    }
}
