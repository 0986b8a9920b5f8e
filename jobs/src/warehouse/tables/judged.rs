//! The tables of analysts' verdicts on requests.

use super::{Boolean, Date32, Float32, Int64, Table, Utf8, time};

/// Analysts' verdicts on requests: the table `reviews` of a warehouse of requests.
pub const REQUEST_REVIEWS: Table = Table {
    name: "reviews",
    doc: "an analyst's verdict on an anomalous request (or on its incident, which counts for each of its requests): true_positive, \
          false_positive or uncertain; of the highest version the one that holds",
    columns: || {
        vec![
            ("day", Date32),
            ("hash", Utf8),
            ("incident", Utf8),
            ("version", Int64),
            ("verdict", Utf8),
            ("scope", Utf8),
            ("analyst", Utf8),
            ("comment", Utf8),
            ("imported_at", Utf8),
        ]
    },
};

/// Requests of a day that say the same as judged ones.
pub const ALIKE: Table = Table {
    name: "alike",
    doc: "a request of the day that says the same as one that was judged on an earlier day, and what became of it: held_back, busier \
          (than the false positive: it came back), marked, common (too many say it to tell an attack by it)",
    columns: || {
        vec![
            ("day", Date32),
            ("hash", Utf8),
            ("actor", Utf8),
            ("event_time", time()),
            ("said", Utf8),
            ("verdict", Utf8),
            ("judged", Utf8),
            ("judged_day", Date32),
            ("outcome", Utf8),
        ]
    },
};

/// What verdicts changed.
pub const FEEDBACK: Table = Table {
    name: "feedback",
    doc: "a judged request before a detector that is fitted on the day without verdicts and with them: scores, ranks among the rows of \
          the day's sample (1 is the highest), and whether it would be within the quota",
    columns: || {
        vec![
            ("day", Date32),
            ("detector", Utf8),
            ("judged", Utf8),
            ("judged_day", Date32),
            ("verdict", Utf8),
            ("score_without", Float32),
            ("score_with", Float32),
            ("rank_without", Int64),
            ("rank_with", Int64),
            ("sample_rows", Int64),
            ("alert_without", Boolean),
            ("alert_with", Boolean),
        ]
    },
};
