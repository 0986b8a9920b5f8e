//! The scoring service, generated from `proto/gleaner/v1/scoring.proto`, where every field is documented. It is of one package
//! with [`crate::control`].

pub use crate::control::{
    ApiRequest, ApiRequests, CommandLine, CommandLines, DetectorScore, Model, ModelsInUse,
    ModelsRequest, Score, Scores, scoring_client, scoring_server,
};
