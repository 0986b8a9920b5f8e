//! Several rows side by side, one a lane: what is summed over features is summed in the same order, with the same
//! roundings, for every row, whatever the processor's vectors are wide. Fused multiply-add rounds once everywhere (in
//! software where the processor has none), so that a model fitted on one machine scores alike on all.

use pulp::Arch;

/// Rows of a panel: [`VECTORS`] of the widest vectors we use, eight numbers: see [`arch`].
pub(crate) const LANES: usize = 32;
/// Vectors that are summed side by side: enough to hide the latency of a multiply-add.
pub(crate) const VECTORS: usize = 4;

/// A feature of all rows.
pub(crate) type Line = [f32; LANES];

/// The processor's vectors of at most eight numbers. Wider ones would do half a panel's work for nothing; `vector::products`
/// is laid out for them.
#[cfg(target_arch = "x86_64")]
pub(crate) fn arch() -> Arch {
    pulp::x86::V3::try_new().map_or(Arch::Scalar, Arch::V3)
}

/// The processor's vectors.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn arch() -> Arch {
    Arch::new()
}

/// Lays up to [`LANES`] rows (row-major, `panel.len()` features each) into a panel. Lanes without a row keep what they had.
pub(crate) fn fill(panel: &mut [Line], rows: &[f32]) {
    for (lane, row) in rows.chunks_exact(panel.len()).enumerate() {
        for (line, value) in panel.iter_mut().zip(row) {
            line[lane] = *value;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use crate::rng::SplitMix64;

    /// Rows whose sums round.
    #[expect(clippy::cast_possible_truncation, reason = "draws near 0")]
    pub(crate) fn rough(numbers: usize) -> Vec<f32> {
        let mut rng = SplitMix64::stream(7, 7);
        (0..numbers).map(|_| rng.next_normal() as f32).collect()
    }
}
