//! The catalog of a request's features: one table, from which names, positions and documentation come. A feature that
//! cannot be known (no time, no user, no latency) is NaN and imputed by the scaler's training median.

/// What a feature speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Endpoint, method, status.
    Endpoint,
    /// Sizes and latency.
    Size,
    /// Who calls, and with what.
    Client,
    /// What the request carries.
    Content,
    /// The last minutes of its actor and its endpoint.
    Temporal,
    /// The calls before.
    Sequence,
}

/// One feature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ApiFeature {
    /// Its name, in `snake_case`, unique.
    pub name: &'static str,
    /// What it speaks of.
    pub family: Family,
    /// How it is computed.
    pub formula: &'static str,
    /// What one of it is.
    pub unit: &'static str,
}

/// The number of features.
pub const N_API_FEATURES: usize = API_CATALOG.len();

macro_rules! catalog {
    ($($family:ident $name:ident: $formula:literal, $unit:literal;)*) => {
        /// The position of each feature in a row.
        #[expect(non_camel_case_types, reason = "the feature's name is written once")]
        #[expect(dead_code, reason = "marks are written as a range from the first")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Slot { $($name),* }

        /// Every feature, in the order of its position.
        pub const API_CATALOG: &[ApiFeature] = &[$(ApiFeature {
            name: stringify!($name),
            family: Family::$family,
            formula: $formula,
            unit: $unit,
        }),*];
    };
}

catalog! {
    Endpoint endpoint_rarity: "-log2 of the share of requests to this method, host and template", "bits";
    Endpoint path_rarity: "-log2 of the share of requests to this host and template, whatever the method", "bits";
    Endpoint method_rarity: "-log2 of the share of this method", "bits";
    Endpoint method_rarity_endpoint: "-log2 of the share of this method among the path's requests", "bits";
    Endpoint status_rarity_endpoint: "-log2 of the share of this status class among the endpoint's requests", "bits";
    Endpoint failed: "status of 400 and above, or an error code", "0/1";
    Endpoint server_error: "status of 500 and above", "0/1";
    Endpoint path_depth: "segments of the path", "segments";
    Endpoint path_log_len: "log2(1 + characters of the path)", "log2 chars";
    Size payload_log_size: "log2(1 + bytes of the request)", "log2 bytes";
    Size payload_size_endpoint: "that, from the endpoint's mean in its deviations (half a doubling at least)", "deviations";
    Size response_log_size: "log2(1 + bytes of the response)", "log2 bytes";
    Size response_size_endpoint: "that, from the endpoint's mean in its deviations", "deviations";
    Size latency_endpoint: "log2 of the latency, from the endpoint's mean in its deviations", "deviations";
    Client agent_rarity: "-log2 of the share of this agent's family", "bits";
    Client agent_is_browser: "the agent is a browser", "0/1";
    Client agent_is_bot: "the agent says it is a crawler", "0/1";
    Client agent_is_tool: "the agent is a library or command-line tool", "0/1";
    Client agent_is_scanner: "the agent says it is a security scanner", "0/1";
    Client agent_is_missing: "no agent was sent", "0/1";
    Client agent_log_len: "log2(1 + characters of the agent)", "log2 chars";
    Client network_rarity: "-log2 of the share of the client's network (/24, /48)", "bits";
    Client address_is_private: "the client's address is private or loopback", "0/1";
    Client address_is_name: "the client is a name: a cloud's own service", "0/1";
    Client address_is_special: "an address that no client has: multicast, documentation, reserved", "0/1";
    Client agent_rarity_user: "-log2 of the share of this agent among the actor's requests before, backed by all actors'", "bits";
    Client network_rarity_user: "-log2 of the share of this network among the actor's requests before, backed by all actors'", "bits";
    Client endpoint_rarity_user: "-log2 of the share of this endpoint among the actor's requests before, backed by all actors'", "bits";
    Content values: "log2(1 + values in query, body and cookies)", "log2 values";
    Content value_log_len: "log2(1 + characters of the longest of them)", "log2 chars";
    Content value_surprise: "bits a character of the most surprising value, by the characters that values hold", "bits a char";
    Content value_surprise_worst: "the same of its worst six characters", "bits a char";
    Content value_surprise_total: "log2(1 + all bits of the most surprising value)", "log2 bits";
    Content path_surprise: "bits a character of the path, by the characters that paths hold", "bits a char";
    Content path_surprise_worst: "the same of its worst six characters", "bits a char";
    Content header_surprise: "bits a character of the most surprising header", "bits a char";
    Content header_surprise_worst: "the same of its worst six characters", "bits a char";
    Content name_rarity: "-log2 of the share of the path's requests that hold the rarest of its names", "bits";
    Content outline_rarity: "-log2 of the share of its name's values that have the outline of the rarest", "bits";
    Content special_share: "share of characters that are neither letter, digit nor space, in the value with most", "share";
    Content special_run: "longest run of such characters", "chars";
    Content digit_share: "share of digits in all values", "share";
    Content upper_share: "share of capitals among letters in all values", "share";
    Content non_ascii: "log2(1 + characters beyond ASCII in path and values)", "log2 chars";
    Content controls: "log2(1 + control characters in path and values)", "log2 chars";
    Content encoding_rounds: "rounds of percent-decoding of the value that took most", "rounds";
    Content value_entropy: "Shannon entropy of the longest value", "bits a char";
    Content marks_sql: "log2(1 + marks of SQL injection)", "log2 marks";
    Content marks_script: "log2(1 + marks of script injection)", "log2 marks";
    Content marks_traversal: "log2(1 + marks of path traversal)", "log2 marks";
    Content marks_command: "log2(1 + marks of command injection)", "log2 marks";
    Content marks_expression: "log2(1 + marks of expression injection)", "log2 marks";
    Content marks_object: "log2(1 + marks of serialised objects)", "log2 marks";
    Content marks_address: "log2(1 + addresses inside values)", "log2 marks";
    Temporal req_count_user_1min: "log2(1 + requests of the actor in the last minute)", "log2 requests";
    Temporal req_count_user_10min: "log2(1 + requests of the actor in the last ten minutes)", "log2 requests";
    Temporal error_rate_user_5min: "share of the actor's requests of the last five minutes that failed", "share";
    Temporal distinct_endpoints_user_10min: "log2(1 + endpoints of the actor in the last ten minutes)", "log2 endpoints";
    Temporal bytes_out_user_10min: "log2(1 + bytes sent to the actor in the last ten minutes)", "log2 bytes";
    Temporal inter_arrival_user: "log2(1 + milliseconds since the actor's request before)", "log2 ms";
    Temporal inter_arrival_mean_user_10min: "log2(1 + mean milliseconds between its requests of the last ten minutes)", "log2 ms";
    Temporal req_count_endpoint_1min: "log2(1 + requests to the endpoint in the last minute)", "log2 requests";
    Temporal error_rate_endpoint_5min: "share of the endpoint's requests of the last five minutes that failed", "share";
    Temporal distinct_users_endpoint_10min: "log2(1 + actors at the endpoint in the last ten minutes)", "log2 actors";
    Sequence markov_transition: "-log2 of the share of this endpoint after the one before, over all actors", "bits";
    Sequence bigram_novelty_user: "1 / (1 + times the actor made this step before)", "share";
    Sequence call_sequence_novelty: "1 / (1 + times the actor made these last three calls before)", "share";
}

/// The position of a feature by name.
#[must_use]
pub fn position(name: &str) -> Option<usize> {
    API_CATALOG.iter().position(|feature| feature.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_s_length_tells_its_catalog() {
        assert_ne!(N_API_FEATURES, crate::text::catalog::N_FEATURES);
    }

    #[test]
    fn names_are_unique_and_found() {
        for (i, feature) in API_CATALOG.iter().enumerate() {
            assert_eq!(position(feature.name), Some(i));
        }
    }
}
