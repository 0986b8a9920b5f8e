//! What a command line's text says: words, statistics, behaviours, and the features made of them.
//!
//! **What.** [`features::Featurizer`] turns one line (and what is known of its process) into the
//! [`catalog::N_FEATURES`] numbers of [`catalog::CATALOG`]. Three passes are made over the bytes, each for all that
//! needs it: [`scan`] (counts, entropies, per-argument statistics, word hashes), [`behaviors`] (one Aho-Corasick
//! automaton for every needle) and the n-gram model of the corpus.
//!
//! **Why so.** A regular expression a behaviour reads the line some 150 times and is greedy where it should be
//! anchored; one automaton reads it once, and a behaviour is a small boolean expression over what was found.
//!
//! **Cost.** About 3 µs for a line of 100 bytes, 4 to 5 with the corpus model; nothing is allocated a line after the first few.

pub mod behaviors;
pub mod catalog;
pub mod context;
pub mod features;
pub mod scan;
mod summary;
pub mod tokens;

pub(crate) mod ordinary;
pub mod rules;
pub(crate) mod words;

pub mod canonical;
pub mod decode;
pub mod guard;
pub mod injection;
pub mod label;
pub mod lexical;
pub mod redact;
