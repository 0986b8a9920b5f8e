//! What support vector machines share: the radial kernel ([`rbf`]) and the solver of their quadratic programs ([`smo`]).
//!
//! The one-class machine is a learner of its own ([`crate::ocsvm`]); that with two classes is in the crate of classifiers,
//! which knows labels. A libsvm by name: the same problem, the same choice of pairs, so that the answers compare; without its
//! shrinking, since the whole kernel matrix of the some thousand rows we take lies in memory.

pub mod rbf;
pub mod smo;
