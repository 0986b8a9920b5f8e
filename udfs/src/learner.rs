//! What every learner shares: one error, checked parameters, and sealed bytes.
//!
//! Every learner of this crate has the same shape: `params` (checked) → `partial` (a mergeable state: associative,
//! commutative, with an identity, round-trips through bytes) → `model` (scores rows). The kernels know nothing of
//! Arrow; rows are `f32`, row-major, `d` features wide.
//!
//! **Sealed bytes.** A state crosses the network and a model lies in a bucket for months, so both carry their kind,
//! a version and a checksum: a truncated, bit-flipped or foreign buffer is refused before a number of it is used.
//! Protobuf alone does not do that: a flipped bit inside a packed float is a valid message. Sealing costs one BLAKE3
//! pass over the body (about 1 GB/s) and one copy.

use gleaner_proto::learners as wire;
use prost::Message;

/// Why a learner refused its parameters, its input or its bytes. Messages hold numbers and names, never a row.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LearnerError {
    /// A hyper-parameter is outside of its range.
    #[error("{learner}: parameter `{parameter}` must be {expected}, got {got}")]
    Parameter {
        /// The learner, as in SQL: `pca`, `kmeans`, `iforest`, …
        learner: &'static str,
        /// The parameter's name.
        parameter: &'static str,
        /// The accepted range, in words.
        expected: &'static str,
        /// The value that was given.
        got: String,
    },
    /// Two things that must agree in size do not.
    #[error("{learner}: {what} must be {expected}, got {got}")]
    Shape {
        /// The learner.
        learner: &'static str,
        /// What was measured, with its unit.
        what: &'static str,
        /// The size it must have.
        expected: usize,
        /// The size it has.
        got: usize,
    },
    /// There is too little, or unusable, data to fit on.
    #[error("{learner}: cannot fit: {reason}")]
    Fit {
        /// The learner.
        learner: &'static str,
        /// What is missing.
        reason: &'static str,
    },
    /// The bytes are not what this program wrote.
    #[error("{kind}: damaged bytes ({len} bytes): {reason}")]
    Damaged {
        /// The kind of state or model that was expected.
        kind: &'static str,
        /// What does not hold.
        reason: &'static str,
        /// How many bytes there were.
        len: usize,
    },
    /// The bytes are whole, but of another version of this program.
    #[error("{kind}: version {expected} expected, got {got}")]
    Version {
        /// The kind of state or model.
        kind: &'static str,
        /// The version this program reads.
        expected: u32,
        /// The version of the bytes.
        got: u32,
    },
}

/// Parameters that passed their check; the only ones a learner can be fitted with.
///
/// Obtained from `check()` of each parameter type and read through `Deref`; there is no other way to make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked<P>(P);

impl<P> Checked<P> {
    /// For the `check()` functions of this crate alone.
    pub(crate) fn new(params: P) -> Self {
        Self(params)
    }
}

impl<P> std::ops::Deref for Checked<P> {
    type Target = P;

    fn deref(&self) -> &P {
        &self.0
    }
}

/// Refuses a buffer of `got` values where `expected` are needed.
///
/// # Errors
/// [`LearnerError::Shape`] when the two differ.
pub(crate) fn same_size(
    learner: &'static str,
    what: &'static str,
    expected: usize,
    got: usize,
) -> Result<(), LearnerError> {
    if expected == got {
        Ok(())
    } else {
        Err(LearnerError::Shape {
            learner,
            what,
            expected,
            got,
        })
    }
}

/// The number of rows in a row-major buffer of `len` values and `d` features.
///
/// # Errors
/// [`LearnerError::Shape`] when `d` is zero or does not divide `len`.
pub(crate) fn row_count(
    learner: &'static str,
    len: usize,
    d: usize,
) -> Result<usize, LearnerError> {
    if d == 0 || !len.is_multiple_of(d) {
        let expected = d.max(1);
        return Err(LearnerError::Shape {
            learner,
            what: "values a row",
            expected,
            got: len % expected,
        });
    }
    Ok(len / d)
}

/// Wraps a message with its kind, version and checksum.
pub(crate) fn seal(kind: &'static str, version: u32, message: &impl Message) -> Vec<u8> {
    let body = message.encode_to_vec();
    let checksum = checksum(&body);
    wire::Sealed {
        kind: kind.to_owned(),
        version,
        checksum,
        body,
    }
    .encode_to_vec()
}

/// Unwraps what [`seal`] wrote.
///
/// # Errors
/// [`LearnerError::Damaged`] for anything but exactly the bytes that `seal` wrote, [`LearnerError::Version`] for
/// whole bytes of another version.
pub(crate) fn open<M: Message + Default>(
    kind: &'static str,
    version: u32,
    bytes: &[u8],
) -> Result<M, LearnerError> {
    let damaged = |reason| LearnerError::Damaged {
        kind,
        reason,
        len: bytes.len(),
    };
    let sealed = wire::Sealed::decode(bytes).map_err(|_| damaged("not a sealed message"))?;
    if sealed.kind != kind {
        return Err(damaged("of another kind"));
    }
    // Protobuf skips unknown fields and takes the last of repeated ones: neither is something `seal` writes.
    if sealed.encoded_len() != bytes.len() {
        return Err(damaged("holds more than was written"));
    }
    if sealed.version != version {
        return Err(LearnerError::Version {
            kind,
            expected: version,
            got: sealed.version,
        });
    }
    if checksum(&sealed.body) != sealed.checksum {
        return Err(damaged("checksum differs"));
    }
    M::decode(sealed.body.as_slice()).map_err(|_| damaged("body does not decode"))
}

fn checksum(body: &[u8]) -> u64 {
    let hash = blake3::hash(body);
    hash.as_bytes()
        .iter()
        .take(8)
        .fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

/// Turns a size that is known to be small into the wire's `u32`, saturating.
pub(crate) fn to_u32(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// Turns a wire `u32` into a size; `usize` has at least 32 bits on every platform this runs on.
pub(crate) fn to_usize(size: u32) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_and_nothing_else_does() {
        let message = wire::Sample {
            k: 2,
            d: 1,
            keys: vec![3, 9],
            features: vec![0.5, -1.0],
        };
        let bytes = seal("sample", 1, &message);
        assert_eq!(open::<wire::Sample>("sample", 1, &bytes), Ok(message));
        for byte in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[byte] ^= 1 << bit;
                assert!(
                    open::<wire::Sample>("sample", 1, &flipped).is_err(),
                    "byte {byte} bit {bit}"
                );
            }
            assert!(open::<wire::Sample>("sample", 1, &bytes[..byte]).is_err());
        }
        let mut longer = bytes.clone();
        longer.extend_from_slice(&[0x78, 0x01]);
        assert!(
            open::<wire::Sample>("sample", 1, &longer).is_err(),
            "an unknown field at the end"
        );
    }

    #[test]
    fn another_version_is_named_as_such() {
        let bytes = seal("sample", 2, &wire::Sample::default());
        assert_eq!(
            open::<wire::Sample>("sample", 1, &bytes),
            Err(LearnerError::Version {
                kind: "sample",
                expected: 1,
                got: 2
            })
        );
    }
}
