//! Which features each part of the row is written to.

use crate::text::behaviors::{Counter, Group};
use crate::text::catalog::Slot;

/// The sum over a group.
pub(super) fn group_slot(group: Group) -> Slot {
    match group {
        Group::Network => Slot::behaviors_network,
        Group::DataTransfer => Slot::behaviors_data_transfer,
        Group::Credentials => Slot::behaviors_credentials,
        Group::Obfuscation => Slot::behaviors_obfuscation,
        Group::Shell => Slot::behaviors_shell,
        Group::Persistence => Slot::behaviors_persistence,
        Group::Lateral => Slot::behaviors_lateral,
        Group::Evasion => Slot::behaviors_evasion,
    }
}

pub(super) const LENGTH: [Slot; 6] = [
    Slot::length_average,
    Slot::length_maximum,
    Slot::length_minimum,
    Slot::length_median,
    Slot::length_mode,
    Slot::length_range,
];
pub(super) const ENTROPY: [Slot; 6] = [
    Slot::entropy_average,
    Slot::entropy_maximum,
    Slot::entropy_minimum,
    Slot::entropy_median,
    Slot::entropy_mode,
    Slot::entropy_range,
];
pub(super) const DENSITY: [Slot; 6] = [
    Slot::density_average,
    Slot::density_maximum,
    Slot::density_minimum,
    Slot::density_median,
    Slot::density_mode,
    Slot::density_range,
];
pub(super) const UPPER_ALPHA: [Slot; 6] = [
    Slot::upper_alpha_percent_average,
    Slot::upper_alpha_percent_maximum,
    Slot::upper_alpha_percent_minimum,
    Slot::upper_alpha_percent_median,
    Slot::upper_alpha_percent_mode,
    Slot::upper_alpha_percent_range,
];
/// What only the corpus model knows.
pub(super) const CORPUS: [Slot; 7] = [
    Slot::idf_mean,
    Slot::idf_max,
    Slot::document_frequency_min,
    Slot::unseen_word_share,
    Slot::rare_word_share,
    Slot::tfidf_norm,
    Slot::transition_log2_mean,
];
/// Characters that have a feature of their own.
pub(super) const SINGLE: [(Slot, &[u8]); 18] = [
    (Slot::caret_count, b"^"),
    (Slot::pipe_count, b"|"),
    (Slot::double_quote_count, b"\""),
    (Slot::single_quote_count, b"'"),
    (Slot::backtick_count, b"`"),
    (Slot::percent_count, b"%"),
    (Slot::dollar_count, b"$"),
    (Slot::plus_count, b"+"),
    (Slot::semicolon_count, b";"),
    (Slot::ampersand_count, b"&"),
    (Slot::comma_count, b","),
    (Slot::parentheses_count, b"()"),
    (Slot::braces_count, b"{}"),
    (Slot::brackets_count, b"[]"),
    (Slot::backslash_count, b"\\"),
    (Slot::slash_count, b"/"),
    (Slot::equals_count, b"="),
    (Slot::redirect_count, b"<>"),
];
pub(super) const COUNTERS: [(Slot, Counter); 7] = [
    (Slot::char_casts, Counter::CharCasts),
    (Slot::substring_expansions, Counter::Substrings),
    (Slot::byte_escapes, Counter::ByteEscapes),
    (Slot::fd_redirections, Counter::Redirections),
    (Slot::interpreter_count, Counter::Interpreters),
    (Slot::network_utility_count, Counter::NetworkUtilities),
    (Slot::blocklist_hits, Counter::Blocklist),
];
/// In the order of the engine's list of Splunk's words.
pub(super) const SPLUNK: [Slot; 36] = [
    Slot::token_count_for,
    Slot::token_count_netsh,
    Slot::token_count_readbytes,
    Slot::token_count_set,
    Slot::token_count_unrestricted,
    Slot::token_count_winstations,
    Slot::token_count_value,
    Slot::token_count_compression,
    Slot::token_count_server,
    Slot::token_count_set_mppreference,
    Slot::token_count_terminal,
    Slot::token_count_name,
    Slot::token_count_catch,
    Slot::token_count_get_wmiobject,
    Slot::token_count_hklm,
    Slot::token_count_streamreader,
    Slot::token_count_system32,
    Slot::token_count_username,
    Slot::token_count_webrequest,
    Slot::token_count_count,
    Slot::token_count_webclient,
    Slot::token_count_writeallbytes,
    Slot::token_count_convert,
    Slot::token_count_create,
    Slot::token_count_function,
    Slot::token_count_net,
    Slot::token_count_com,
    Slot::token_count_http,
    Slot::token_count_io,
    Slot::token_count_system,
    Slot::token_count_new_object,
    Slot::token_count_if,
    Slot::token_count_threading,
    Slot::token_count_mutex,
    Slot::token_count_cryptography,
    Slot::token_count_computehash,
];
