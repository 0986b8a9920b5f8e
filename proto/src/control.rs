//! The services, generated from `proto/gleaner/v1/control.proto` and `scoring.proto`, where every field is documented.

#![expect(
    missing_docs,
    clippy::pedantic,
    clippy::allow_attributes,
    reason = "generated"
)]

tonic::include_proto!("gleaner.v1");
