//! API requests: what a request is, which endpoint it calls, what it carries, what came before it, and how unusual all
//! of that is, as numbers.
//!
//! ```text
//! request    one call, borrowed                      ┐
//! template   path → endpoint: ids, GUIDs, numbers    │
//! agent, address                                     ├→ features: a row of f32, by the catalog
//! content    the values it carries, decoded          │
//! window     what its user and endpoint did before   │
//! corpus     what is usual: a state that merges      ┘
//! reason     what a detector named, in words
//! said       what a request says, apart from who and when: for verdicts
//! ```
//!
//! **Causal.** What a row says of the time before it depends on earlier requests alone, in the order of (time, hash):
//! a day read as a whole and the same requests one by one give the same numbers, because both run [`window::Actor`]
//! and [`window::Endpoint`].

pub mod address;
pub mod agent;
pub mod catalog;
pub mod categories;
pub mod content;
pub mod corpus;
pub mod counts;
pub mod features;
pub mod grams;
pub mod reason;
pub mod request;
pub mod said;
pub mod shared;
pub mod stream;
pub mod template;
pub mod window;

pub use catalog::{API_CATALOG, N_API_FEATURES};
pub use categories::{Categorical, CategorySample, Encoder};
pub use corpus::{Corpus, CorpusState};
pub use features::Featurizer;
pub use request::Request;
pub use shared::SharedStream;
pub use stream::Stream;
pub use template::{PathSample, Templates};
