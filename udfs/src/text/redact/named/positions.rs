//! Secrets that only their place in a command tells.

use super::names::is_no_secret;
use super::push;
use crate::text::redact::Span;
use crate::text::redact::split::Piece;
use crate::text::words::base_name;

/// Secrets that only their place in the command tells.
pub(super) fn positions(
    text: &str,
    words: &[Piece],
    next: &[Piece],
    programs: &[String],
    spans: &mut Vec<Span>,
) {
    let of = |p: &Piece| text.get(p.start..p.end).unwrap_or_default();
    let plain: Vec<(usize, &str)> = words
        .iter()
        .enumerate()
        .map(|(n, p)| (n, of(p)))
        .filter(|(_, w)| !w.starts_with(['-', '/']) || w.len() > 24)
        .collect();
    let is = |name: &str| programs.iter().any(|p| p == name);
    let lower: Vec<String> = words.iter().map(|p| of(p).to_ascii_lowercase()).collect();
    let secret = |n: usize, spans: &mut Vec<Span>| {
        if words
            .get(n)
            .is_some_and(|p| !is_no_secret(of(p)) && !of(p).starts_with(['-', '/']))
        {
            push(words, n, 0, "password", spans);
        }
    };
    let at = |name: &str| lower.iter().position(|w| base_name(w) == name);
    if let Some(net) = at("net").or_else(|| at("net1")) {
        match lower.get(net + 1).map(String::as_str) {
            Some("user")
                if !lower
                    .iter()
                    .any(|w| matches!(w.as_str(), "/delete" | "/del")) =>
            {
                secret(net + 3, spans)
            }
            Some("use") => {
                // The password stands after the share, before or after /user.
                let share = lower.iter().position(|w| w.starts_with("\\\\"));
                if let Some(share) = share {
                    for (n, word) in lower.iter().enumerate().skip(share + 1) {
                        let known =
                            matches!(word.as_str(), "yes" | "no" | "*") || word.contains('=');
                        if !known
                            && lower
                                .iter()
                                .any(|w| w.starts_with("/user") || w.starts_with("/u:"))
                        {
                            secret(n, spans);
                        }
                    }
                }
            }
            _ => {}
        }
    }
    if let Some(n) = at("htpasswd")
        && lower
            .iter()
            .skip(n)
            .any(|w| w.starts_with('-') && !w.starts_with("--") && w.contains('b'))
        && let Some((last, _)) = plain.last()
        && plain.len() >= 3
    {
        secret(*last, spans);
    }
    for (name, place) in [("wpa_passphrase", 2), ("vncpasswd", 1), ("chntpw", 9)] {
        if let Some(n) = at(name) {
            secret(n + place, spans);
        }
    }
    let impacket = |p: &String| {
        p.ends_with("exec.py")
            || p.ends_with("dump.py")
            || p.starts_with("impacket-")
            || p.ends_with("users.py")
            || p.ends_with("userspns.py")
            || p.ends_with("npusers.py")
            || p == "gettgt.py"
            || p == "getst.py"
            || p == "smbclient.py"
            || p == "mssqlclient.py"
            || p == "ticketer.py"
            || p == "addcomputer.py"
    };
    let slashed = programs.iter().any(|p| {
        p == "sqlplus" || p == "sqlldr" || p == "exp" || p == "expdp" || p == "impdp" || p == "rman"
    });
    for (n, word) in &plain {
        // domain/user:SECRET@host, and user/SECRET@base.
        let colon = word.find(':').filter(|_| programs.iter().any(impacket));
        let slash = word.find('/').filter(|at| slashed && *at > 0);
        if let Some(from) = colon.or(slash) {
            let end = word.rfind('@').filter(|e| *e > from).unwrap_or(word.len());
            let inner = word.get(from + 1..end).unwrap_or_default();
            if !is_no_secret(inner) && (colon.is_some() || end < word.len() || slashed) && *n > 0 {
                let start = words[*n].start + from + 1;
                spans.push(Span {
                    start,
                    end: start + inner.len(),
                    kind: "password",
                });
            }
        }
    }
    // echo SECRET | sudo -S …, echo user:SECRET | chpasswd, and their like.
    let reader = next
        .iter()
        .map(|p| of(p).to_ascii_lowercase())
        .collect::<Vec<_>>();
    let reads = |name: &str| reader.iter().any(|w| base_name(w) == name);
    let said = matches!(lower.first().map(|w| base_name(w)), Some("echo" | "printf"));
    if said
        && (reads("sudo") && reader.iter().any(|w| w.starts_with("-s") || w == "--stdin")
            || reads("passwd")
            || reads("su")
            || reads("cryptsetup")
            || reader.iter().any(|w| w == "--password-stdin"))
    {
        for n in 1..words.len() {
            secret(n, spans);
        }
    }
    if said && reads("chpasswd") {
        for piece in words.iter().skip(1) {
            if let Some((user, _)) = of(piece).split_once(':') {
                spans.push(Span {
                    start: piece.start + user.len() + 1,
                    end: piece.end,
                    kind: "password",
                });
            }
        }
    }
    // ConvertTo-SecureString X -AsPlainText: the one word that is no flag.
    if let Some(n) = at("convertto-securestring")
        && lower.iter().any(|w| w.starts_with("-aspl"))
    {
        for place in n + 1..words.len() {
            if !matches!(lower[place].as_str(), "-string" | "-force") {
                secret(place, spans);
            }
        }
    }
    if is("cmdkey") || is("runas") || is("wmic") {
        for (n, word) in lower.iter().enumerate() {
            for head in ["/pass:", "/password:", "/pass=", "/password="] {
                if let Some(rest) = word.strip_prefix(head)
                    && !rest.is_empty()
                {
                    push(words, n, head.len(), "password", spans);
                }
            }
        }
    }
}
