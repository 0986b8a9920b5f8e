//! The catalog of features: one table, from which names, positions and documentation come.
//!
//! **What.** Each row is family, name, formula, unit, range, ATT&CK technique and source; the macro makes of it the table
//! [`CATALOG`] and the positions that [`super::features`] writes to, so that neither can drift from the other. A feature
//! that cannot be known (no corpus model, a column that the telemetry lacks) is NaN; every other value lies in its
//! range. New rows go to the end of their family: a model names the features it was fitted on.
//!
//! **Left out.** msticpy's token hash groups and does not measure; Elastic's bigrams are a vector, and the learned
//! transition probability says the same in one number; libLOL's similarity to known-bad lines needs their list. Of
//! the behavioural tags the most telling are features of their own; all count in the sums of their groups, and
//! [`super::features::Featurizer::behaviors`] names them.
//!
//! **Sources.** MS msticpy `eventcluster.py`; RO Revoke-Obfuscation `RevokeObfuscationHelpers.cs`, over the arguments of
//! [`super::scan`]; FE `FireEye`'s list; SP Splunk's `potentially_malicious_code_on_cmdline_tokenize_score`; AM
//! `AnoMark`; EL Elastic's problem-child pipeline; LO libLOL; QX `QuasarNix`; AT the ordinary definition.

/// What a feature speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// A: length and structure.
    Length,
    /// B: entropy and density.
    Entropy,
    /// C: characters.
    Characters,
    /// D: words over the corpus.
    Corpus,
    /// E: the process.
    Context,
    /// F: behaviours and marks of obfuscation.
    Behavior,
}

/// One feature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Feature {
    /// Its name, in `snake_case`, unique.
    pub name: &'static str,
    /// What it speaks of.
    pub family: Family,
    /// How it is computed.
    pub formula: &'static str,
    /// What one of it is.
    pub unit: &'static str,
    /// Its least value.
    pub low: f32,
    /// Its greatest value; infinite when only the line's length bounds it.
    pub high: f32,
    /// The ATT&CK technique it points to.
    pub technique: Option<&'static str>,
    /// Where its definition comes from.
    pub source: &'static str,
}

/// The number of features.
pub const N_FEATURES: usize = CATALOG.len();

/// The position of a feature by name.
#[must_use]
pub fn position(name: &str) -> Option<usize> {
    CATALOG.iter().position(|feature| feature.name == name)
}

macro_rules! catalog {
    ($($family:ident $name:ident: $formula:literal, $unit:literal, $low:literal..$high:expr, $technique:expr, $source:ident;)*) => {
        /// The position of each feature in a row of features.
        #[expect(non_camel_case_types, reason = "the feature's name is written once")]
        #[expect(dead_code, reason = "the tags' positions are found by name")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Slot { $($name),* }

        /// Every feature, in the order of its position.
        pub const CATALOG: &[Feature] = &[$(Feature {
            name: stringify!($name),
            family: Family::$family,
            formula: $formula,
            unit: $unit,
            low: $low,
            high: $high,
            technique: $technique,
            source: stringify!($source),
        }),*];
    };
}

catalog! {
    Length commandline_len: "characters of the line", "chars", 0.0..f32::INFINITY, None, MS;
    Length commandline_log_len: "log10(1 + commandline_len)", "log10 chars", 0.0..7.0, None, MS;
    Length commandline_tokens: "runs of characters between whitespace", "tokens", 0.0..f32::INFINITY, None, MS;
    Length commandline_tokens_full: "characters of whitespace and - \\ / . , \" ' | & : ; % $ ( )", "chars", 0.0..f32::INFINITY, None, MS;
    Length commandline_score: "sum of the code points", "code points", 0.0..f32::INFINITY, None, MS;
    Length commandline_log_score: "log10(1 + commandline_score)", "log10 code points", 0.0..13.0, None, MS;
    Length process_name_len: "characters of the image's name, else of the first argument's", "chars", 0.0..f32::INFINITY, None, MS;
    Length process_name_tokens: "components of the image's path, else of the first argument", "components", 0.0..f32::INFINITY, None, MS;
    Length path_score: "sum of the code points of that path", "code points", 0.0..f32::INFINITY, None, MS;
    Length path_log_score: "log10(1 + path_score)", "log10 code points", 0.0..13.0, None, MS;
    Length length_average: "average over the arguments of their characters", "chars", 0.0..f32::INFINITY, None, RO;
    Length length_maximum: "maximum over the arguments of their characters", "chars", 0.0..f32::INFINITY, None, RO;
    Length length_minimum: "minimum over the arguments of their characters", "chars", 0.0..f32::INFINITY, None, RO;
    Length length_median: "median over the arguments of their characters", "chars", 0.0..f32::INFINITY, None, RO;
    Length length_mode: "mode over the arguments of their characters", "chars", 0.0..f32::INFINITY, None, RO;
    Length length_range: "range over the arguments of their characters", "chars", 0.0..f32::INFINITY, None, RO;
    Length length_total: "sum of the arguments' characters", "chars", 0.0..f32::INFINITY, None, RO;
    Length longest_token_ratio: "length_maximum / commandline_len", "share", 0.0..1.0, Some("T1027"), AT;
    Length arguments: "arguments: split at whitespace outside quotes", "arguments", 0.0..f32::INFINITY, None, AT;
    Length words: "words: split at every delimiter", "words", 0.0..f32::INFINITY, None, AT;
    Entropy entropy: "Shannon entropy of the line", "bits a char", 0.0..21.0, None, RO;
    Entropy entropy_average: "average over the arguments of their Shannon entropy", "bits a char", 0.0..21.0, None, RO;
    Entropy entropy_maximum: "maximum over the arguments of their Shannon entropy", "bits a char", 0.0..21.0, None, RO;
    Entropy entropy_minimum: "minimum over the arguments of their Shannon entropy", "bits a char", 0.0..21.0, None, RO;
    Entropy entropy_median: "median over the arguments of their Shannon entropy", "bits a char", 0.0..21.0, None, RO;
    Entropy entropy_mode: "mode over the arguments of their Shannon entropy", "bits a char", 0.0..21.0, None, RO;
    Entropy entropy_range: "range over the arguments of their Shannon entropy", "bits a char", 0.0..21.0, None, RO;
    Entropy density_average: "average over the arguments of non-space characters / characters", "share", 0.0..1.0, None, RO;
    Entropy density_maximum: "maximum over the arguments of non-space characters / characters", "share", 0.0..1.0, None, RO;
    Entropy density_minimum: "minimum over the arguments of non-space characters / characters", "share", 0.0..1.0, None, RO;
    Entropy density_median: "median over the arguments of non-space characters / characters", "share", 0.0..1.0, None, RO;
    Entropy density_mode: "mode over the arguments of non-space characters / characters", "share", 0.0..1.0, None, RO;
    Entropy density_range: "range over the arguments of non-space characters / characters", "share", 0.0..1.0, None, RO;
    Entropy entropy_longest_token: "Shannon entropy of the longest argument", "bits a char", 0.0..21.0, Some("T1027"), AT;
    Entropy entropy_normalised: "entropy / log2(distinct characters)", "share", 0.0..1.0, None, AT;
    Characters special_character_only_count: "ASCII that is no letter, digit or whitespace", "chars", 0.0..f32::INFINITY, None, RO;
    Characters special_character_only_percent: "special_character_only_count / commandline_len", "share", 0.0..1.0, None, RO;
    Characters upper_alpha_percent_average: "average over the arguments of A-Z / characters", "share", 0.0..1.0, None, RO;
    Characters upper_alpha_percent_maximum: "maximum over the arguments of A-Z / characters", "share", 0.0..1.0, None, RO;
    Characters upper_alpha_percent_minimum: "minimum over the arguments of A-Z / characters", "share", 0.0..1.0, None, RO;
    Characters upper_alpha_percent_median: "median over the arguments of A-Z / characters", "share", 0.0..1.0, None, RO;
    Characters upper_alpha_percent_mode: "mode over the arguments of A-Z / characters", "share", 0.0..1.0, None, RO;
    Characters upper_alpha_percent_range: "range over the arguments of A-Z / characters", "share", 0.0..1.0, None, RO;
    Characters digit_percent: "digits / commandline_len", "share", 0.0..1.0, None, RO;
    Characters whitespace_percent: "whitespace / commandline_len", "share", 0.0..1.0, None, FE;
    Characters caret_count: "number of ^", "chars", 0.0..f32::INFINITY, Some("T1027.010"), FE;
    Characters pipe_count: "number of |", "chars", 0.0..f32::INFINITY, None, FE;
    Characters double_quote_count: "number of double quotes", "chars", 0.0..f32::INFINITY, None, RO;
    Characters single_quote_count: "number of '", "chars", 0.0..f32::INFINITY, None, RO;
    Characters backtick_count: "number of `", "chars", 0.0..f32::INFINITY, Some("T1027.010"), RO;
    Characters percent_count: "number of %", "chars", 0.0..f32::INFINITY, None, RO;
    Characters dollar_count: "number of $", "chars", 0.0..f32::INFINITY, None, RO;
    Characters plus_count: "number of +", "chars", 0.0..f32::INFINITY, None, RO;
    Characters semicolon_count: "number of ;", "chars", 0.0..f32::INFINITY, None, RO;
    Characters ampersand_count: "number of &", "chars", 0.0..f32::INFINITY, None, RO;
    Characters comma_count: "number of ,", "chars", 0.0..f32::INFINITY, None, RO;
    Characters parentheses_count: "number of ( and )", "chars", 0.0..f32::INFINITY, None, RO;
    Characters braces_count: "number of { and }", "chars", 0.0..f32::INFINITY, None, RO;
    Characters brackets_count: "number of [ and ]", "chars", 0.0..f32::INFINITY, None, RO;
    Characters backslash_count: "number of backslashes", "chars", 0.0..f32::INFINITY, None, RO;
    Characters slash_count: "number of /", "chars", 0.0..f32::INFINITY, None, RO;
    Characters equals_count: "number of =", "chars", 0.0..f32::INFINITY, None, RO;
    Characters redirect_count: "number of < and >", "chars", 0.0..f32::INFINITY, None, RO;
    Characters non_ascii_count: "characters beyond ASCII", "chars", 0.0..f32::INFINITY, None, RO;
    Characters case_alternation_rate: "neighbouring letters whose case differs / letters", "share", 0.0..1.0, Some("T1027.010"), AT;
    Characters distinct_char_ratio: "distinct characters / commandline_len", "share", 0.0..1.0, None, AT;
    Corpus idf_mean: "mean idf of the distinct words; that of a word of one line is 1", "ratio", 0.0..64.0, None, AT;
    Corpus idf_max: "highest idf of a word; that of a word of one line is 1", "ratio", 0.0..64.0, None, AT;
    Corpus document_frequency_min: "lowest document frequency of a word / documents, at least 0.001", "share", 0.0..1.0, None, AT;
    Corpus unseen_word_share: "distinct words in no document / distinct words", "share", 0.0..1.0, None, AT;
    Corpus rare_word_share: "distinct words in one document or none / distinct words", "share", 0.0..1.0, None, AT;
    Corpus tfidf_norm: "L2 norm of count x idf over the distinct words", "ratio", 0.0..f32::INFINITY, None, AT;
    Corpus transition_log2_mean: "mean log2 probability of a byte after the four before it", "bits a byte", -40.0..0.0, None, AM;
    Corpus token_count_for: "occurrences of the token for", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_netsh: "occurrences of the token netsh", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_readbytes: "occurrences of the token readbytes", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_set: "occurrences of the token set", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_unrestricted: "occurrences of the token unrestricted", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_winstations: "occurrences of the token winstations", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_value: "occurrences of the token -value", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_compression: "occurrences of the token compression", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_server: "occurrences of the token server", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_set_mppreference: "occurrences of the token set-mppreference", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_terminal: "occurrences of the token terminal", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_name: "occurrences of the token -name", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_catch: "occurrences of the token catch", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_get_wmiobject: "occurrences of the token get-wmiobject", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_hklm: "occurrences of the token hklm", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_streamreader: "occurrences of the token streamreader", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_system32: "occurrences of the token system32", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_username: "occurrences of the token username", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_webrequest: "occurrences of the token webrequest", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_count: "occurrences of the token count", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_webclient: "occurrences of the token webclient", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_writeallbytes: "occurrences of the token writeallbytes", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_convert: "occurrences of the token convert", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_create: "occurrences of the token create", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_function: "occurrences of the token function", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_net: "occurrences of the token net", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_com: "occurrences of the token com", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_http: "occurrences of the token http", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_io: "occurrences of the token io", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_system: "occurrences of the token system", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_new_object: "occurrences of the token new-object", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_if: "occurrences of the token if", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_threading: "occurrences of the token threading", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_mutex: "occurrences of the token mutex", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_cryptography: "occurrences of the token cryptography", "tokens", 0.0..f32::INFINITY, None, SP;
    Corpus token_count_computehash: "occurrences of the token computehash", "tokens", 0.0..f32::INFINITY, None, SP;
    Context feature_filename_mismatch: "the image's name differs from its original file name", "flag", 0.0..1.0, Some("T1036.003"), EL;
    Context feature_running_as_system: "the user is S-1-5-18, -19, -20 or root", "flag", 0.0..1.0, None, EL;
    Context feature_ends_with_exe: "the image's name ends with .exe", "flag", 0.0..1.0, None, EL;
    Context parent_in_system_dir: "the parent's image lies in a directory of the system", "flag", 0.0..1.0, None, EL;
    Context parent_in_program_dir: "the parent's image lies with installed programs", "flag", 0.0..1.0, None, EL;
    Context parent_in_user_dir: "the parent's image lies with a user", "flag", 0.0..1.0, None, EL;
    Context parent_in_temporary_dir: "the parent's image lies where anyone may write", "flag", 0.0..1.0, Some("T1036.005"), EL;
    Context image_in_user_or_temporary_dir: "the image lies with a user or where anyone may write", "flag", 0.0..1.0, Some("T1036.005"), EL;
    Context feature_process_signed: "the image is signed", "flag", 0.0..1.0, None, EL;
    Context feature_process_signer_trusted: "the image's signer is trusted", "flag", 0.0..1.0, None, EL;
    Context feature_integrity_level: "0 untrusted, 1 low, 2 medium, 3 high, 4 system", "rank", 0.0..4.0, None, EL;
    Behavior behaviors_network: "tags of the group network that hold", "tags", 0.0..64.0, None, LO;
    Behavior behaviors_data_transfer: "tags of the group data_transfer that hold", "tags", 0.0..64.0, None, LO;
    Behavior behaviors_credentials: "tags of the group credentials that hold", "tags", 0.0..64.0, None, LO;
    Behavior behaviors_obfuscation: "tags of the group obfuscation that hold", "tags", 0.0..64.0, None, LO;
    Behavior behaviors_shell: "tags of the group shell that hold", "tags", 0.0..64.0, None, LO;
    Behavior behaviors_persistence: "tags of the group persistence that hold", "tags", 0.0..64.0, None, LO;
    Behavior behaviors_lateral: "tags of the group lateral that hold", "tags", 0.0..64.0, None, LO;
    Behavior behaviors_evasion: "tags of the group evasion that hold", "tags", 0.0..64.0, None, LO;
    Behavior behaviors_total: "tags that hold", "tags", 0.0..512.0, None, LO;
    Behavior longest_base64_run: "longest run of base64 with both cases and a digit, from 16", "chars", 0.0..f32::INFINITY, Some("T1027"), AT;
    Behavior longest_hex_run: "longest run of hexadecimal with a digit, from 8", "chars", 0.0..f32::INFINITY, Some("T1027"), AT;
    Behavior string_concatenations: "+ between two quotes of a kind", "occurrences", 0.0..f32::INFINITY, Some("T1027.010"), AT;
    Behavior ticks_in_words: "backticks between letters or digits", "occurrences", 0.0..f32::INFINITY, Some("T1027.010"), AT;
    Behavior carets_in_words: "carets between letters or digits", "occurrences", 0.0..f32::INFINITY, Some("T1027.010"), AT;
    Behavior quotes_in_words: "quotes between letters", "occurrences", 0.0..f32::INFINITY, Some("T1027.010"), AT;
    Behavior char_casts: "casts of numbers to characters", "occurrences", 0.0..f32::INFINITY, Some("T1027.010"), AT;
    Behavior substring_expansions: "substring expansions of variables", "occurrences", 0.0..f32::INFINITY, Some("T1027.010"), AT;
    Behavior byte_escapes: "bytes written as escapes", "occurrences", 0.0..f32::INFINITY, Some("T1027"), AT;
    Behavior fd_redirections: "duplications of file descriptors", "occurrences", 0.0..f32::INFINITY, Some("T1059.004"), QX;
    Behavior interpreter_count: "interpreters called", "commands", 0.0..f32::INFINITY, Some("T1059"), QX;
    Behavior network_utility_count: "network utilities called", "commands", 0.0..f32::INFINITY, Some("T1105"), QX;
    Behavior blocklist_hits: "different substrings of a block list of 37", "substrings", 0.0..37.0, None, EL;
    Behavior tag_ip_private: "the tag IP_PRIVATE holds", "flag", 0.0..1.0, Some("T1071"), LO;
    Behavior tag_ip_public: "the tag IP_PUBLIC holds", "flag", 0.0..1.0, Some("T1071"), LO;
    Behavior tag_http_con: "the tag http_con holds", "flag", 0.0..1.0, Some("T1071"), LO;
    Behavior tag_https_con: "the tag https_con holds", "flag", 0.0..1.0, Some("T1071"), LO;
    Behavior tag_certutil_downloader: "the tag certutil_downloader holds", "flag", 0.0..1.0, Some("T1105"), LO;
    Behavior tag_bitsadmin_transfer_ttp: "the tag bitsadmin_transfer_ttp holds", "flag", 0.0..1.0, Some("T1197"), LO;
    Behavior tag_powershell_web_client_download: "the tag powershell_web_client_download holds", "flag", 0.0..1.0, Some("T1105"), LO;
    Behavior tag_powershell_invoke_web_request: "the tag powershell_invoke_web_request holds", "flag", 0.0..1.0, Some("T1105"), LO;
    Behavior tag_mshta_http: "the tag mshta_http holds", "flag", 0.0..1.0, Some("T1218.005"), LO;
    Behavior tag_regsvr32_dowload: "the tag regsvr32_dowload holds", "flag", 0.0..1.0, Some("T1218.010"), LO;
    Behavior tag_rundll32_js_http_exec: "the tag rundll32_js_http_exec holds", "flag", 0.0..1.0, Some("T1218.011"), LO;
    Behavior tag_curl_pipe_shell: "the tag curl_pipe_shell holds", "flag", 0.0..1.0, Some("T1059.004"), AT;
    Behavior tag_curl_upload: "the tag curl_upload holds", "flag", 0.0..1.0, Some("T1048"), AT;
    Behavior tag_scp_remote: "the tag scp_remote holds", "flag", 0.0..1.0, Some("T1048"), AT;
    Behavior tag_mimikatz_sekurlsa: "the tag mimikatz_sekurlsa holds", "flag", 0.0..1.0, Some("T1003.001"), LO;
    Behavior tag_procdump_process: "the tag procdump_process holds", "flag", 0.0..1.0, Some("T1003.001"), LO;
    Behavior tag_keyword_lsass: "the tag KEYWORD_lsass holds", "flag", 0.0..1.0, Some("T1003.001"), LO;
    Behavior tag_command_comsvcs: "the tag COMMAND_COMSVCS holds", "flag", 0.0..1.0, Some("T1003.001"), LO;
    Behavior tag_reg_save_hklm: "the tag reg_save_hklm holds", "flag", 0.0..1.0, Some("T1003.002"), LO;
    Behavior tag_command_ntdsutil: "the tag COMMAND_NTDSUTIL holds", "flag", 0.0..1.0, Some("T1003.003"), LO;
    Behavior tag_ntlmhash: "the tag NTLMHASH holds", "flag", 0.0..1.0, Some("T1550.002"), LO;
    Behavior tag_cat_shadow: "the tag cat_shadow holds", "flag", 0.0..1.0, Some("T1003.008"), LO;
    Behavior tag_ssh_private_keys: "the tag ssh_private_keys holds", "flag", 0.0..1.0, Some("T1552.004"), AT;
    Behavior tag_keychain_dump: "the tag keychain_dump holds", "flag", 0.0..1.0, Some("T1555.001"), AT;
    Behavior tag_cloud_metadata: "the tag cloud_metadata holds", "flag", 0.0..1.0, Some("T1552.005"), AT;
    Behavior tag_base64_decode: "the tag base64_decode holds", "flag", 0.0..1.0, Some("T1140"), LO;
    Behavior tag_base64_decode_pipe_shell: "the tag base64_decode_pipe_shell holds", "flag", 0.0..1.0, Some("T1059.004"), AT;
    Behavior tag_powershell_from_base64: "the tag powershell_from_base64 holds", "flag", 0.0..1.0, Some("T1140"), AT;
    Behavior tag_powershell_encoded_command: "the tag powershell_encoded_command holds", "flag", 0.0..1.0, Some("T1059.001"), AT;
    Behavior tag_utf16_base64_payload: "the tag utf16_base64_payload holds", "flag", 0.0..1.0, Some("T1027.010"), AT;
    Behavior tag_powershell_invoke_execution: "the tag powershell_invoke_execution holds", "flag", 0.0..1.0, Some("T1059.001"), LO;
    Behavior tag_exec_bypass: "the tag exec_bypass holds", "flag", 0.0..1.0, Some("T1059.001"), LO;
    Behavior tag_hidden_window: "the tag hidden_window holds", "flag", 0.0..1.0, Some("T1564.003"), AT;
    Behavior tag_format_operator_reorder: "the tag format_operator_reorder holds", "flag", 0.0..1.0, Some("T1027.010"), AT;
    Behavior tag_bxor: "the tag bxor holds", "flag", 0.0..1.0, Some("T1027.013"), AT;
    Behavior tag_env_substring: "the tag env_substring holds", "flag", 0.0..1.0, Some("T1027.010"), AT;
    Behavior tag_set_call_expansion: "the tag set_call_expansion holds", "flag", 0.0..1.0, Some("T1027.010"), AT;
    Behavior tag_decompress_stream: "the tag decompress_stream holds", "flag", 0.0..1.0, Some("T1140"), AT;
    Behavior tag_reflective_load: "the tag reflective_load holds", "flag", 0.0..1.0, Some("T1620"), AT;
    Behavior tag_nc_listener: "the tag nc_listener holds", "flag", 0.0..1.0, Some("T1095"), LO;
    Behavior tag_nc_reverse_shell: "the tag nc_reverse_shell holds", "flag", 0.0..1.0, Some("T1059"), LO;
    Behavior tag_powershell_tcp_socket: "the tag powershell_tcp_socket holds", "flag", 0.0..1.0, Some("T1059.001"), LO;
    Behavior tag_sh_dev_tcp_c: "the tag sh_dev_tcp_c holds", "flag", 0.0..1.0, Some("T1059.004"), LO;
    Behavior tag_mkfifo_shell: "the tag mkfifo_shell holds", "flag", 0.0..1.0, Some("T1059.004"), LO;
    Behavior tag_python_socket: "the tag python_socket holds", "flag", 0.0..1.0, Some("T1059.006"), AT;
    Behavior tag_import_pty: "the tag import_pty holds", "flag", 0.0..1.0, Some("T1059.006"), LO;
    Behavior tag_schtasks_create: "the tag schtasks_create holds", "flag", 0.0..1.0, Some("T1053.005"), LO;
    Behavior tag_sc_create: "the tag sc_create holds", "flag", 0.0..1.0, Some("T1543.003"), AT;
    Behavior tag_registry_run_key: "the tag registry_run_key holds", "flag", 0.0..1.0, Some("T1547.001"), AT;
    Behavior tag_net_user_add: "the tag net_user_add holds", "flag", 0.0..1.0, Some("T1136.001"), AT;
    Behavior tag_crontab_edit: "the tag crontab_edit holds", "flag", 0.0..1.0, Some("T1053.003"), AT;
    Behavior tag_systemd_unit: "the tag systemd_unit holds", "flag", 0.0..1.0, Some("T1543.002"), AT;
    Behavior tag_launch_agent: "the tag launch_agent holds", "flag", 0.0..1.0, Some("T1543.001"), AT;
    Behavior tag_ld_preload: "the tag ld_preload holds", "flag", 0.0..1.0, Some("T1574.006"), AT;
    Behavior tag_wmic_process: "the tag wmic_process holds", "flag", 0.0..1.0, Some("T1047"), LO;
    Behavior tag_psexec_password: "the tag psexec_password holds", "flag", 0.0..1.0, Some("T1569.002"), LO;
    Behavior tag_admin_share: "the tag admin_share holds", "flag", 0.0..1.0, Some("T1021.002"), LO;
    Behavior tag_shadow_delete: "the tag shadow_delete holds", "flag", 0.0..1.0, Some("T1490"), AT;
    Behavior tag_defender_exclusion: "the tag defender_exclusion holds", "flag", 0.0..1.0, Some("T1562.001"), AT;
    Behavior tag_wevutil_clear: "the tag wevutil_clear holds", "flag", 0.0..1.0, Some("T1070.001"), LO;
    Behavior tag_history_c: "the tag history_c holds", "flag", 0.0..1.0, Some("T1070.003"), LO;
    Behavior tag_chattr: "the tag chattr holds", "flag", 0.0..1.0, Some("T1222.002"), AT;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_in_snake_case() {
        for (at, feature) in CATALOG.iter().enumerate() {
            assert_eq!(position(feature.name), Some(at), "{}", feature.name);
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            assert!(
                feature.name.bytes().all(plain) && !feature.name.contains("__"),
                "{}",
                feature.name
            );
        }
    }

    #[test]
    fn every_row_is_complete_and_the_families_follow_each_other() {
        assert!(CATALOG.is_sorted_by_key(|feature| feature.family as u8));
        for feature in CATALOG {
            assert!(
                !feature.formula.is_empty()
                    && !feature.unit.is_empty()
                    && feature.low < feature.high
            );
        }
        assert_eq!(N_FEATURES, CATALOG.len());
        assert_eq!(Slot::commandline_len as usize, 0);
        assert_eq!(CATALOG[Slot::entropy as usize].name, "entropy");
    }
}
