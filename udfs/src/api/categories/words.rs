//! What a reason says that is an encoded categorical value, in words that an analyst reads. The columns of a field are one reason.

use super::layout::{Block, Field, How};
use crate::api::reason::Reason;

const UNKNOWN: &str = "unknown";
const UNFIT: &str = "unlike the rest of the request";

/// A block as a reason: `endpoint = unknown`, `host = none of the 15 most frequent`, `endpoint = unlike the rest of the request`. `last` is its last
/// column's value.
#[must_use]
pub fn told(block: &Block, last: f32) -> String {
    let name = block.field.name();
    if !last.is_finite() {
        return format!("{name} is missing");
    }
    match block.how {
        How::OneHot if last > 0.0 => {
            format!("{name} = none of the {} most frequent", block.columns - 1)
        }
        How::Embedding if last > 0.0 => format!("{name} = {UNKNOWN}"),
        How::OneHot | How::Embedding | How::Hashed => format!("{name} = {UNFIT}"),
    }
}

/// What [`told`] wrote, in words; `None` for anything else.
#[must_use]
pub fn reason(name: &str, value: &str) -> Option<Reason> {
    let field = Field::ALL.into_iter().find(|field| field.name() == name)?;
    let rare = value == UNKNOWN || value.starts_with("none of the ");
    if !rare && value != UNFIT {
        return None;
    }
    let words = match (field, rare) {
        (Field::Endpoint, true) => "an endpoint that is none of the usual",
        (Field::Method, true) => "a method that is none of the usual",
        (Field::Host, true) => "a host that is none of the usual",
        (Field::Agent, true) => "a client program that is none of the usual",
        (Field::Outcome, true) => "a status or error code that is none of the usual",
        (Field::Referrer, true) => "a referrer that is none of the usual",
        (Field::Endpoint, false) => "an endpoint unlike the rest of the request",
        (Field::Method, false) => "a method unlike the rest of the request",
        (Field::Host, false) => "a host unlike the rest of the request",
        (Field::Agent, false) => "a client program unlike the rest of the request",
        (Field::Outcome, false) => "a status or error code unlike the rest of the request",
        (Field::Referrer, false) => "a referrer unlike the rest of the request",
    };
    Some(Reason {
        words,
        weight: if rare { 2 } else { 1 },
    })
}

#[cfg(test)]
mod tests {
    use super::super::layout::Categorical;
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_block_is_told_by_its_field_and_read_again_in_words() {
        let mut words = BTreeSet::new();
        for choice in Categorical::ALL {
            for block in choice.blocks() {
                for last in [0.0, 1.0] {
                    let text = told(block, last);
                    let (name, value) = text.split_once(" = ").unwrap();
                    assert_eq!(name, block.field.name());
                    let said = reason(name, value).unwrap();
                    let same = crate::api::reason::read(&format!("pca: {text}"));
                    assert_eq!(same, Some(said));
                    words.insert(said.words);
                }
                assert!(told(block, f32::NAN).ends_with("is missing"));
            }
        }
        assert_eq!(words.len(), 12);
        assert_eq!(reason("endpoint", "3"), None);
        assert_eq!(reason("no field", "unknown"), None);
    }
}
