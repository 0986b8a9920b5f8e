//! Mergeable sketches: what a partition knows of its rows in little memory, so that no stage sorts or ships all rows.
//!
//! | sketch | holds | error |
//! |---|---|---|
//! | [`sample::SampleState`] | the k rows of smallest key | a uniform sample without replacement |
//! | [`distinct::Kmv`] | the 65 smallest hashes | exact up to 64 distinct values, about 12.5% beyond |
//! | `document_frequency` | how many lines hold a token | see there |
//!
//! All obey the same laws, which their tests check: merging is associative and commutative, the empty state is its
//! identity, merging a state with itself changes nothing, and every split of the rows in every merge order gives the same bytes.

pub mod distinct;
pub mod document_frequency;
pub mod sample;
