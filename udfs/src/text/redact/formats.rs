//! Token formats of known issuers: a prefix, the characters that follow, and how many of them at least.
//!
//! Sources: the issuers' own documentation of their token formats, and the public rule lists of `GitHub` secret scanning and
//! gitleaks. A format is matched wherever its prefix does not continue a word.

use aho_corasick::{AhoCorasick, MatchKind};
use std::sync::LazyLock;

use super::Span;

/// Which bytes a token goes on with.
#[derive(Debug, Clone, Copy)]
enum Bytes {
    /// Letters and digits.
    Alnum,
    /// Letters, digits, `_` and `-`.
    Url,
    /// As [`Bytes::Url`], and `.`, `=`, `/`, `+`, `~`, `:`.
    Wide,
}

impl Bytes {
    fn holds(self, byte: u8) -> bool {
        byte.is_ascii_alphanumeric()
            || match self {
                Self::Alnum => false,
                Self::Url => matches!(byte, b'_' | b'-'),
                Self::Wide => matches!(
                    byte,
                    b'_' | b'-' | b'.' | b'=' | b'/' | b'+' | b'~' | b':' | b'%'
                ),
            }
    }
}

use Bytes::{Alnum, Url, Wide};

/// Kind, prefix, alphabet, bytes after the prefix at least.
const FORMATS: &[(&str, &str, Bytes, usize)] = &[
    ("aws_key", "AKIA", Alnum, 12),
    ("aws_key", "ASIA", Alnum, 12),
    ("aws_key", "ABIA", Alnum, 12),
    ("aws_key", "ACCA", Alnum, 12),
    ("aws_session", "IQoJb3JpZ2lu", Wide, 20),
    ("aws_session", "FwoGZXIvYXdz", Wide, 20),
    ("github_token", "ghp_", Url, 16),
    ("github_token", "gho_", Url, 16),
    ("github_token", "ghu_", Url, 16),
    ("github_token", "ghs_", Url, 16),
    ("github_token", "ghr_", Url, 16),
    ("github_token", "github_pat_", Url, 16),
    ("gitlab_token", "glpat-", Url, 12),
    ("gitlab_token", "gldt-", Url, 12),
    ("gitlab_token", "glrt-", Url, 12),
    ("gitlab_token", "glptt-", Url, 12),
    ("gitlab_token", "glcbt-", Url, 12),
    ("gitlab_token", "glsoat-", Url, 12),
    ("gitlab_token", "GR1348941", Url, 12),
    ("bitbucket_token", "ATBB", Wide, 20),
    ("atlassian_token", "ATATT3", Wide, 20),
    ("atlassian_token", "ATCTT3", Wide, 20),
    ("slack_token", "xoxb-", Url, 10),
    ("slack_token", "xoxp-", Url, 10),
    ("slack_token", "xoxa-", Url, 10),
    ("slack_token", "xoxr-", Url, 10),
    ("slack_token", "xoxs-", Url, 10),
    ("slack_token", "xoxe", Wide, 12),
    ("slack_token", "xoxc-", Url, 10),
    ("slack_token", "xoxd-", Wide, 10),
    ("slack_token", "xapp-", Url, 10),
    ("slack_webhook", "hooks.slack.com/services/", Wide, 10),
    ("slack_webhook", "hooks.slack.com/workflows/", Wide, 10),
    ("discord_webhook", "discord.com/api/webhooks/", Wide, 10),
    ("discord_webhook", "discordapp.com/api/webhooks/", Wide, 10),
    ("teams_webhook", "webhook.office.com/webhookb2/", Wide, 10),
    ("stripe_key", "sk_live_", Url, 10),
    ("stripe_key", "rk_live_", Url, 10),
    ("stripe_key", "pk_live_", Url, 10),
    ("stripe_key", "sk_test_", Url, 10),
    ("stripe_key", "rk_test_", Url, 10),
    ("stripe_key", "whsec_", Wide, 16),
    ("google_key", "AIza", Url, 20),
    ("google_oauth", "ya29.", Wide, 16),
    ("google_oauth", "GOCSPX-", Url, 12),
    ("google_refresh", "1//0", Url, 20),
    ("openai_key", "sk-proj-", Url, 12),
    ("openai_key", "sk-svcacct-", Url, 12),
    ("openai_key", "sk-admin-", Url, 12),
    ("anthropic_key", "sk-ant-", Url, 12),
    ("openai_key", "sk-or-", Url, 12),
    ("openai_key", "sk-", Alnum, 20),
    ("huggingface_token", "hf_", Alnum, 16),
    ("groq_key", "gsk_", Alnum, 20),
    ("replicate_token", "r8_", Alnum, 20),
    ("npm_token", "npm_", Alnum, 20),
    ("pypi_token", "pypi-", Url, 16),
    ("rubygems_key", "rubygems_", Alnum, 16),
    ("crates_token", "cio", Alnum, 28),
    ("digitalocean_token", "dop_v1_", Alnum, 16),
    ("digitalocean_token", "doo_v1_", Alnum, 16),
    ("digitalocean_token", "dor_v1_", Alnum, 16),
    ("sendgrid_key", "SG.", Wide, 20),
    ("mailgun_key", "key-", Alnum, 24),
    ("square_token", "sq0atp-", Url, 10),
    ("square_token", "sq0csp-", Url, 10),
    ("square_token", "EAAAE", Url, 30),
    ("shopify_token", "shpat_", Alnum, 16),
    ("shopify_token", "shpca_", Alnum, 16),
    ("shopify_token", "shppa_", Alnum, 16),
    ("shopify_token", "shpss_", Alnum, 16),
    ("facebook_token", "EAACEdEose0cBA", Alnum, 10),
    ("databricks_token", "dapi", Alnum, 28),
    ("docker_token", "dckr_pat_", Url, 12),
    ("docker_token", "dckr_oat_", Url, 12),
    ("vault_token", "hvs.", Url, 12),
    ("vault_token", "hvb.", Url, 12),
    ("vault_token", "hvr.", Url, 12),
    ("newrelic_key", "NRAK-", Alnum, 16),
    ("newrelic_key", "NRII-", Url, 16),
    ("newrelic_key", "NRJS-", Alnum, 16),
    ("grafana_token", "glsa_", Url, 16),
    ("grafana_token", "glc_", Wide, 16),
    ("pulumi_token", "pul-", Alnum, 24),
    ("linear_key", "lin_api_", Alnum, 16),
    ("notion_token", "ntn_", Alnum, 20),
    ("postman_key", "PMAK-", Url, 16),
    ("planetscale_token", "pscale_tkn_", Wide, 16),
    ("planetscale_token", "pscale_pw_", Wide, 16),
    ("doppler_token", "dp.pt.", Alnum, 16),
    ("doppler_token", "dp.st.", Wide, 16),
    ("figma_token", "figd_", Url, 16),
    ("sentry_token", "sntrys_", Wide, 16),
    ("sentry_token", "sntryu_", Wide, 16),
    ("fly_token", "fm2_", Wide, 20),
    ("fly_token", "fo1_", Url, 20),
    ("netlify_token", "nfp_", Alnum, 20),
    ("heroku_token", "HRKU-", Url, 16),
    ("age_key", "AGE-SECRET-KEY-1", Alnum, 16),
    ("dynatrace_token", "dt0c01.", Wide, 16),
    ("dynatrace_token", "dt0s01.", Wide, 16),
    ("alibaba_key", "LTAI", Alnum, 12),
    ("tencent_key", "AKID", Alnum, 16),
    ("yandex_token", "y0_", Url, 20),
    ("yandex_key", "AQVN", Url, 20),
    ("supabase_token", "sbp_", Alnum, 16),
    ("tailscale_key", "tskey-", Url, 12),
    ("ngrok_token", "ngrok_", Url, 20),
    ("buildkite_token", "bkua_", Alnum, 16),
    ("circleci_token", "CCIPAT_", Url, 16),
    ("sonar_token", "sqp_", Alnum, 20),
    ("sonar_token", "squ_", Alnum, 20),
    ("jwt", "eyJ", Wide, 24),
    ("azure_ad_secret", "8Q~", Wide, 20),
    ("putty_key", "PuTTY-User-Key-File", Wide, 0),
];

static PREFIXES: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    AhoCorasick::builder()
        .match_kind(MatchKind::Standard)
        .build(FORMATS.iter().map(|format| format.1))
        .ok()
});

/// All tokens of known formats; the whole text, should the prefixes not have been compiled (they are, a test says so).
pub(super) fn find(text: &str) -> Vec<Span> {
    let Some(prefixes) = &*PREFIXES else {
        return vec![Span {
            start: 0,
            end: text.len(),
            kind: "unread",
        }];
    };
    let bytes = text.as_bytes();
    let mut spans = vec![];
    for found in prefixes.find_overlapping_iter(text) {
        let Some((kind, _, alphabet, least)) = FORMATS.get(found.pattern().as_usize()) else {
            continue;
        };
        let mut start = found.start();
        let joined = start > 0 && bytes[start - 1].is_ascii_alphanumeric();
        // The marker of this one stands three characters into it.
        let inner = *kind == "azure_ad_secret";
        if joined && !inner {
            continue;
        }
        let mut end = found.end();
        while bytes.get(end).is_some_and(|byte| alphabet.holds(*byte)) {
            end += 1;
        }
        if end - found.end() >= *least {
            if inner {
                while start > 0 && Url.holds(bytes[start - 1]) {
                    start -= 1;
                }
            }
            spans.push(Span { start, end, kind });
        }
    }
    key_blocks(text, &mut spans);
    bot_tokens(text, &mut spans);
    spans
}

/// PEM blocks, to their end or, where that is missing, to the end of the text.
fn key_blocks(text: &str, spans: &mut Vec<Span>) {
    for (start, _) in text.match_indices("-----BEGIN ") {
        let rest = text.get(start..).unwrap_or_default();
        let head = rest.get(11..).unwrap_or_default();
        let head = head.split("-----").next().unwrap_or_default();
        if !head.contains("PRIVATE KEY") && !head.contains("PGP PRIVATE") {
            continue;
        }
        let end = rest.find("-----END ").map_or(text.len(), |at| {
            let tail = rest.get(at + 9..).unwrap_or_default();
            tail.find("-----")
                .map_or(text.len(), |dashes| start + at + 9 + dashes + 5)
        });
        spans.push(Span {
            start,
            end,
            kind: "private_key",
        });
    }
}

/// `123456789:AA…` (Telegram), `xxxxxxxx.yyyyyy.zzzz` (Discord), `abcdef.0123456789abcdef` (kubeadm), `SK` or `AC` and 32 hex digits (Twilio),
/// 32 hex digits and `-us12` (Mailchimp).
fn bot_tokens(text: &str, spans: &mut Vec<Span>) {
    let bytes = text.as_bytes();
    let part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    let mut at = 0;
    while at < bytes.len() {
        if !part(bytes[at]) {
            at += 1;
            continue;
        }
        let mut start = at;
        while at < bytes.len() && part(bytes[at]) {
            at += 1;
        }
        let Some(mut word) = text.get(start..at) else {
            continue;
        };
        // A URL's path: `…/bot123456789:AA…/sendMessage`.
        if let Some(rest) = word.strip_prefix("bot") {
            start += 3;
            word = rest;
        }
        if let Some(kind) = shape(word) {
            spans.push(Span {
                start,
                end: at,
                kind,
            });
        }
    }
}

fn shape(word: &str) -> Option<&'static str> {
    let url = |text: &str| text.bytes().all(|b| Url.holds(b));
    let hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    if let Some((number, token)) = word.split_once(':')
        && (8..=10).contains(&number.len())
        && number.bytes().all(|b| b.is_ascii_digit())
        && token.len() >= 30
        && url(token)
    {
        return Some("telegram_token");
    }
    let dots: Vec<&str> = word.split('.').collect();
    if let [first, second, third] = dots.as_slice()
        && (22..=30).contains(&first.len())
        && (5..=8).contains(&second.len())
        && (24..=44).contains(&third.len())
        && dots.iter().all(|part| url(part))
    {
        return Some("discord_token");
    }
    if let [first, second] = dots.as_slice()
        && first.len() == 6
        && second.len() == 16
        && dots.iter().all(|part| {
            part.bytes()
                .all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
        })
        && second.bytes().any(|b| b.is_ascii_digit())
    {
        return Some("kubeadm_token");
    }
    if word.len() == 34 && (word.starts_with("SK") || word.starts_with("AC")) && hex(&word[2..]) {
        return Some("twilio_key");
    }
    if let Some((key, place)) = word.rsplit_once("-us")
        && key.len() == 32
        && hex(key)
        && place.bytes().all(|b| b.is_ascii_digit())
    {
        return Some("mailchimp_key");
    }
    None
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_prefixes_compile() {
        assert!(super::PREFIXES.is_some());
        assert!(super::find("git clone https://example.org/a.git").is_empty());
    }
}
