//! User agents: family and kind, from the product tokens. No version counts: a browser's update is no anomaly.

use std::borrow::Cow;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

/// What sort of program sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A browser.
    Browser,
    /// A crawler that says so.
    Bot,
    /// A library, a command-line tool, an SDK.
    Tool,
    /// A security scanner.
    Scanner,
    /// A cloud's own service.
    Service,
    /// Something else.
    Other,
    /// No agent was sent.
    Missing,
}

/// An agent's kind, and the name of its family, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Its sort.
    pub kind: Kind,
    /// `chrome`, `googlebot`, `curl`; of an unknown program its first product token without version.
    pub family: Cow<'static, str>,
}

// In the order of search: a scanner or crawler also says "Mozilla/5.0 … Chrome/…".
const KNOWN: &[(&str, &str, Kind)] = &[
    ("sqlmap", "sqlmap", Kind::Scanner),
    ("nikto", "nikto", Kind::Scanner),
    ("acunetix", "acunetix", Kind::Scanner),
    ("netsparker", "netsparker", Kind::Scanner),
    ("nessus", "nessus", Kind::Scanner),
    ("openvas", "openvas", Kind::Scanner),
    ("wpscan", "wpscan", Kind::Scanner),
    ("nmap", "nmap", Kind::Scanner),
    ("masscan", "masscan", Kind::Scanner),
    ("zgrab", "zgrab", Kind::Scanner),
    ("gobuster", "gobuster", Kind::Scanner),
    ("dirbuster", "dirbuster", Kind::Scanner),
    ("ffuf", "ffuf", Kind::Scanner),
    ("wfuzz", "wfuzz", Kind::Scanner),
    ("nuclei", "nuclei", Kind::Scanner),
    ("burp", "burp", Kind::Scanner),
    ("arachni", "arachni", Kind::Scanner),
    ("w3af", "w3af", Kind::Scanner),
    ("pacu", "pacu", Kind::Scanner),
    ("amazonaws.com", "amazonaws.com", Kind::Service),
    ("aws internal", "aws internal", Kind::Service),
    ("kube-probe", "kube-probe", Kind::Service),
    ("elb-healthchecker", "elb-healthchecker", Kind::Service),
    ("googlehc", "googlehc", Kind::Service),
    ("googlebot", "googlebot", Kind::Bot),
    ("bingbot", "bingbot", Kind::Bot),
    ("bingpreview", "bingpreview", Kind::Bot),
    ("msnbot", "msnbot", Kind::Bot),
    ("yandex", "yandexbot", Kind::Bot),
    ("baiduspider", "baiduspider", Kind::Bot),
    ("slurp", "slurp", Kind::Bot),
    ("duckduckbot", "duckduckbot", Kind::Bot),
    ("feedly", "feedly", Kind::Bot),
    ("feedburner", "feedburner", Kind::Bot),
    ("terraform", "terraform", Kind::Tool),
    ("aws-cli", "aws-cli", Kind::Tool),
    ("boto", "boto", Kind::Tool),
    ("aws-sdk", "aws-sdk", Kind::Tool),
    ("aws-internal", "aws-internal", Kind::Service),
    ("python-requests", "python-requests", Kind::Tool),
    ("python-urllib", "python-urllib", Kind::Tool),
    ("aiohttp", "aiohttp", Kind::Tool),
    ("httpx", "httpx", Kind::Tool),
    ("go-http-client", "go-http-client", Kind::Tool),
    ("okhttp", "okhttp", Kind::Tool),
    ("apache-httpclient", "apache-httpclient", Kind::Tool),
    ("libwww-perl", "libwww-perl", Kind::Tool),
    ("postmanruntime", "postman", Kind::Tool),
    ("axios", "axios", Kind::Tool),
    ("node-fetch", "node-fetch", Kind::Tool),
    ("wget", "wget", Kind::Tool),
    ("curl", "curl", Kind::Tool),
    ("powershell", "powershell", Kind::Tool),
    ("bot", "bot", Kind::Bot),
    ("crawl", "crawler", Kind::Bot),
    ("spider", "spider", Kind::Bot),
    ("edg/", "edge", Kind::Browser),
    ("edge/", "edge", Kind::Browser),
    ("opr/", "opera", Kind::Browser),
    ("opera", "opera", Kind::Browser),
    ("chrome/", "chrome", Kind::Browser),
    ("crios/", "chrome", Kind::Browser),
    ("firefox/", "firefox", Kind::Browser),
    ("msie", "msie", Kind::Browser),
    ("trident/", "msie", Kind::Browser),
    ("safari/", "safari", Kind::Browser),
];
/// Longest family of an unknown program, bytes.
const MAX_FAMILY: usize = 40;

/// Recognises an agent. What comes in is anybody's text: what is kept of an unknown one is short and of letters.
#[must_use]
pub fn agent(text: Option<&str>) -> Agent {
    let text = text.unwrap_or_default().trim();
    if text.is_empty() || text == "-" {
        return Agent {
            kind: Kind::Missing,
            family: Cow::Borrowed(""),
        };
    }
    // The first of the list that occurs anywhere, not the first that occurs in the text.
    let known = MARKS.as_ref().and_then(|marks| {
        let all = marks.find_overlapping_iter(text);
        all.map(|found| found.pattern().as_usize()).min()
    });
    if let Some((_, family, kind)) = known.and_then(|place| KNOWN.get(place)) {
        return Agent {
            kind: *kind,
            family: Cow::Borrowed(family),
        };
    }
    let end = text
        .find(|c: char| !(c.is_ascii_alphabetic() || matches!(c, '-' | '_' | '.')))
        .unwrap_or(text.len());
    Agent {
        kind: Kind::Other,
        family: Cow::Owned(text[..end.min(MAX_FAMILY)].to_ascii_lowercase()),
    }
}

/// The marks of [`KNOWN`], by their places; some, as they are constants.
static MARKS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .kind(Some(AhoCorasickKind::DFA))
        .build(KNOWN.iter().map(|(mark, ..)| mark))
        .ok()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_do_not_depend_on_versions() {
        let chrome = |v| {
            format!(
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{v} Safari/537.36"
            )
        };
        assert_eq!(
            agent(Some(&chrome("31.0.1650.63"))),
            agent(Some(&chrome("120.0")))
        );
        assert_eq!(agent(Some("curl/8.5.0")).family, "curl");
        assert_eq!(agent(Some("MyShop-App/2.1 (iPhone)")).family, "myshop-app");
        assert_eq!(agent(Some("-")).kind, Kind::Missing);
    }

    #[test]
    fn a_crawler_that_looks_like_a_browser_is_a_crawler() {
        let text = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
        assert_eq!(agent(Some(text)).kind, Kind::Bot);
        let text = "Mozilla/5.0 (Windows NT 10.0) Chrome/41.0 Safari/537.36 Netsparker";
        assert_eq!(agent(Some(text)).kind, Kind::Scanner);
    }

    #[test]
    fn every_mark_is_known_in_any_case_by_the_first_of_the_list_that_occurs() {
        for (mark, ..) in KNOWN {
            let text = format!("Safari/1 x{} y", mark.to_ascii_uppercase());
            let lower = text.to_ascii_lowercase();
            let first = KNOWN.iter().find(|(m, ..)| lower.contains(m)).unwrap();
            let found = agent(Some(&text));
            assert_eq!((found.family.as_ref(), found.kind), (first.1, first.2));
        }
    }

    #[test]
    fn an_injected_agent_leaves_no_text_behind() {
        assert_eq!(agent(Some("${jndi:ldap://x/a}")).family, "");
        assert_eq!(agent(Some("() { :;}; /bin/ping")).kind, Kind::Other);
    }
}
