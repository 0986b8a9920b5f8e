//! A detector's reason in words that an analyst reads: `pca: marks_sql = 2` is *marks of SQL injection*.
//!
//! **A reason may name what is not there.** PCA and k-means name a feature whose value is far from what they expected, and 0 failures where many were expected is such a
//! value. `failed = 0` in words would say the opposite of what happened; so features that count or mark have words only from a value on that says something: what is
//! common (less than 3 bits, one in eight) is not called rare, and three requests in a minute are not called many. Where nothing is left, the combination is what is
//! unusual ([`COMBINATION`]).
//!
//! **Weights** order the reasons of many requests: a mark of an attack says more than a failure or something that is new to its user, and that more than odd characters.

use super::categories::words;

/// What is said of a request whose reasons say nothing by themselves.
pub const COMBINATION: &str = "an unusual combination of ordinary values";

/// What a reason says, and how much it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    /// In words.
    pub words: &'static str,
    /// 4: a mark of an attack; 2: a failure, something rare, new or many; 1: sizes, characters and pace.
    pub weight: i64,
}

/// A bits-valued rarity from which on something is called rare: one in eight.
const RARE: f32 = 3.0;

/// The value from which on a feature says something, whichever the words are; `None`: any value does.
fn least(feature: &str) -> Option<f32> {
    Some(match feature {
        "endpoint_rarity"
        | "path_rarity"
        | "method_rarity"
        | "method_rarity_endpoint"
        | "status_rarity_endpoint"
        | "agent_rarity"
        | "network_rarity"
        | "name_rarity"
        | "agent_rarity_user"
        | "network_rarity_user"
        | "endpoint_rarity_user"
        | "outline_rarity"
        | "markov_transition" => RARE,
        // Logarithms of 1 + n: ten in a minute, thirty in ten, five endpoints.
        "req_count_user_1min" | "req_count_endpoint_1min" | "distinct_users_endpoint_10min" => 3.4,
        "req_count_user_10min" => 4.9,
        "distinct_endpoints_user_10min" => 2.5,
        "error_rate_user_5min" | "error_rate_endpoint_5min" => 0.2,
        "special_share" | "digit_share" | "upper_share" => 0.3,
        "special_run" => 3.0,
        "encoding_rounds" => 2.0,
        "value_entropy" => 4.0,
        "failed"
        | "server_error"
        | "bigram_novelty_user"
        | "call_sequence_novelty"
        | "agent_is_browser"
        | "agent_is_bot"
        | "agent_is_tool"
        | "agent_is_scanner"
        | "agent_is_missing"
        | "address_is_private"
        | "address_is_name"
        | "address_is_special" => 1.0,
        "non_ascii"
        | "controls"
        | "values"
        | "value_log_len"
        | "bytes_out_user_10min"
        | "value_surprise"
        | "value_surprise_worst"
        | "value_surprise_total" => 0.5,
        _ if feature.starts_with("marks_") => 0.5,
        _ => return None,
    })
}

/// What a feature's value says of a request; `None`: nothing by itself, or there is no such feature.
///
/// ```
/// use gleaner_udfs::api::reason::reason;
/// assert_eq!(reason("marks_sql", 2.0).unwrap().words, "marks of SQL injection");
/// assert_eq!(reason("failed", 0.0), None);
/// ```
#[must_use]
pub fn reason(feature: &str, value: f32) -> Option<Reason> {
    if !value.is_finite() || least(feature).is_some_and(|least| value < least) {
        return None;
    }
    let (weight, words) = match feature {
        "endpoint_rarity" | "path_rarity" => (2, "a rare endpoint"),
        "method_rarity" => (1, "a rare method"),
        "method_rarity_endpoint" => (2, "a method that is unusual there"),
        "status_rarity_endpoint" => (1, "a status that is unusual there"),
        "failed" => (1, "failures where few happen"),
        "server_error" => (2, "server errors"),
        "path_depth" => (1, "a path of unusual depth"),
        "path_log_len" => (1, "a path of unusual length"),
        "payload_log_size" => (1, "a payload of unusual size"),
        "payload_size_endpoint" if value < 0.0 => (1, "a payload smaller than usual there"),
        "payload_size_endpoint" => (1, "a payload larger than usual there"),
        "response_log_size" => (1, "a response of unusual size"),
        "response_size_endpoint" if value < 0.0 => (1, "a response smaller than usual there"),
        "response_size_endpoint" => (2, "a response larger than usual there"),
        "latency_endpoint" if value < 0.0 => (1, "answered faster than usual there"),
        "latency_endpoint" => (1, "answered slower than usual there"),
        "agent_rarity" => (2, "a rare client program"),
        "agent_is_browser" => (1, "a browser"),
        "agent_is_bot" => (1, "a crawler"),
        "agent_is_tool" => (1, "a library or command-line tool"),
        "agent_is_scanner" => (4, "a security scanner, as it says itself"),
        "agent_is_missing" => (2, "no user agent"),
        "agent_log_len" => (1, "a user agent of unusual length"),
        "network_rarity" => (1, "a rare network"),
        "address_is_private" => (1, "an internal address"),
        "address_is_name" => (1, "a cloud's own service"),
        "address_is_special" => (2, "an address that no client has"),
        "agent_rarity_user" => (2, "a client program new or rare for the actor"),
        "network_rarity_user" => (2, "a network new or rare for the actor"),
        "endpoint_rarity_user" => (2, "an endpoint new or rare for the actor"),
        "values" => (1, "an unusual number of values"),
        "value_log_len" => (1, "a value of unusual length"),
        "value_surprise" | "value_surprise_worst" | "value_surprise_total" => {
            (1, "a value of unusual characters")
        }
        "path_surprise" | "path_surprise_worst" => (1, "a path of unusual characters"),
        "header_surprise" | "header_surprise_worst" => (1, "a header of unusual characters"),
        "name_rarity" => (2, "a parameter that is rare there"),
        "outline_rarity" => (2, "a value of a form that is rare for its parameter"),
        "special_share" | "special_run" => (1, "many special characters"),
        "digit_share" => (1, "many digits"),
        "upper_share" => (1, "many capitals"),
        "non_ascii" => (1, "characters beyond ASCII"),
        "controls" => (2, "control characters"),
        "encoding_rounds" => (2, "encoded more than once"),
        "value_entropy" => (1, "a value that looks random"),
        "marks_sql" => (4, "marks of SQL injection"),
        "marks_script" => (4, "marks of script injection"),
        "marks_traversal" => (4, "marks of path traversal"),
        "marks_command" => (4, "marks of command injection"),
        "marks_expression" => (4, "marks of expression injection"),
        "marks_object" => (4, "marks of a serialised object"),
        "marks_address" => (2, "an address inside a value"),
        "req_count_user_1min" | "req_count_user_10min" => (2, "many requests in a short time"),
        "error_rate_user_5min" => (2, "the actor's requests fail"),
        "distinct_endpoints_user_10min" => (2, "many endpoints in a short time"),
        "bytes_out_user_10min" => (1, "an unusual amount of data sent to the actor"),
        "inter_arrival_user" | "inter_arrival_mean_user_10min" => (1, "an unusual pace"),
        "req_count_endpoint_1min" => (1, "much traffic at the endpoint"),
        "error_rate_endpoint_5min" => (2, "the endpoint's requests fail"),
        "distinct_users_endpoint_10min" => (1, "many actors at the endpoint"),
        "markov_transition" => (2, "a step from one call to the next that is rare"),
        "bigram_novelty_user" => (1, "a step that is new to the actor"),
        "call_sequence_novelty" => (1, "a sequence of calls that is new to the actor"),
        _ => return None,
    };
    Some(Reason { words, weight })
}

/// What a reason as tables hold it, `detector: feature = value`, says; `None` as of [`reason`].
#[must_use]
pub fn read(text: &str) -> Option<Reason> {
    let (_, rest) = text.split_once(": ")?;
    let (feature, value) = rest.rsplit_once(" = ")?;
    if let Some(category) = words::reason(feature, value) {
        return Some(category);
    }
    reason(feature, value.trim().parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::catalog::API_CATALOG;

    #[test]
    fn every_feature_has_words_at_some_value() {
        for feature in API_CATALOG {
            let said = reason(feature.name, 64.0);
            assert!(
                said.is_some_and(|r| (1..=4).contains(&r.weight)),
                "{}",
                feature.name
            );
        }
        assert_eq!(reason("no_feature", 1.0), None);
    }

    #[test]
    fn what_a_request_lacks_is_not_said_of_it() {
        for text in [
            "pca: failed = 0",
            "kmeans: marks_address = 0",
            "pca: network_rarity = 0.445",
            "pca: error_rate_user_5min = 0.064",
            "iforest: agent_is_tool = 0",
            "iforest: failed = NaN",
            "nothing",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_reason_of_a_table_is_read() {
        let read = |text| read(text).unwrap();
        assert_eq!(
            read("iforest: marks_command = 1").words,
            "marks of command injection"
        );
        let (less, more) = (
            read("pca: payload_size_endpoint = -4.455"),
            read("pca: payload_size_endpoint = 4.455"),
        );
        assert!(less.words.contains("smaller") && more.words.contains("larger"));
        assert!(read("pca: marks_sql = 1").weight > read("pca: special_run = 9").weight);
    }
}
