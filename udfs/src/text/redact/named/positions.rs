//! Secrets that only their place in a command tells.

use super::names::is_no_secret;
use super::push;
use crate::text::redact::Span;
use crate::text::redact::split::Piece;
use crate::text::words::base_name;

/// A command's words, as they stand and in small letters.
struct Command<'a> {
    text: &'a str,
    words: &'a [Piece],
    lower: Vec<String>,
}

/// Secrets that only their place in the command tells; `next` is the command after it.
pub(super) fn positions(
    text: &str,
    words: &[Piece],
    next: &[Piece],
    programs: &[String],
    spans: &mut Vec<Span>,
) {
    let small = |p: &Piece| {
        text.get(p.start..p.end)
            .unwrap_or_default()
            .to_ascii_lowercase()
    };
    let command = Command {
        text,
        words,
        lower: words.iter().map(small).collect(),
    };
    let reader: Vec<String> = next.iter().map(small).collect();
    command.net(spans);
    command.by_place(spans);
    command.user_and_secret(programs, spans);
    command.said_to(&reader, spans);
    command.secure_string(spans);
    command.windows_switches(programs, spans);
}

impl Command<'_> {
    fn of(&self, n: usize) -> &str {
        let piece = self.words.get(n);
        piece
            .and_then(|p| self.text.get(p.start..p.end))
            .unwrap_or_default()
    }

    fn at(&self, name: &str) -> Option<usize> {
        self.lower.iter().position(|w| base_name(w) == name)
    }

    /// The word is a secret, unless it is a reference or a switch.
    fn secret(&self, n: usize, spans: &mut Vec<Span>) {
        let word = self.of(n);
        if !is_no_secret(word) && !word.starts_with(['-', '/']) {
            push(self.words, n, 0, "password", spans);
        }
    }

    /// `net user NAME SECRET`, `net use SHARE SECRET /user:NAME`.
    fn net(&self, spans: &mut Vec<Span>) {
        let Some(net) = self.at("net").or_else(|| self.at("net1")) else {
            return;
        };
        let any = |heads: &[&str]| {
            self.lower
                .iter()
                .any(|w| heads.iter().any(|head| w.starts_with(head)))
        };
        match self.lower.get(net + 1).map(String::as_str) {
            Some("user") if !any(&["/del"]) => self.secret(net + 3, spans),
            Some("use") if any(&["/user", "/u:"]) => {
                // The password stands after the share, before or after /user.
                let share = self.lower.iter().position(|w| w.starts_with("\\\\"));
                for n in share.map_or(self.words.len(), |at| at + 1)..self.words.len() {
                    let word = self.lower[n].as_str();
                    if !matches!(word, "yes" | "no" | "*") && !word.contains('=') {
                        self.secret(n, spans);
                    }
                }
            }
            _ => {}
        }
    }

    fn by_place(&self, spans: &mut Vec<Span>) {
        let plain: Vec<usize> = (0..self.words.len())
            .filter(|n| !self.of(*n).starts_with(['-', '/']))
            .collect();
        let batch = |w: &String| w.starts_with('-') && !w.starts_with("--") && w.contains('b');
        if let Some(n) = self.at("htpasswd")
            && self.lower.iter().skip(n).any(batch)
            && let [_, _, .., last] = plain.as_slice()
        {
            self.secret(*last, spans);
        }
        for (name, place) in [("wpa_passphrase", 2), ("vncpasswd", 1)] {
            if let Some(n) = self.at(name) {
                self.secret(n + place, spans);
            }
        }
    }

    /// `domain/user:SECRET@host` of impacket's programs, `user/SECRET@base` of Oracle's.
    fn user_and_secret(&self, programs: &[String], spans: &mut Vec<Span>) {
        let impacket = programs.iter().any(|p| {
            p.starts_with("impacket-")
                || ["exec.py", "dump.py", "users.py", "userspns.py"]
                    .iter()
                    .any(|end| p.ends_with(end))
                || matches!(
                    p.as_str(),
                    "gettgt.py"
                        | "getst.py"
                        | "smbclient.py"
                        | "mssqlclient.py"
                        | "ticketer.py"
                        | "addcomputer.py"
                )
        });
        let oracle = programs.iter().any(|p| {
            matches!(
                p.as_str(),
                "sqlplus" | "sqlldr" | "exp" | "expdp" | "impdp" | "rman"
            )
        });
        for n in 1..self.words.len() {
            let word = self.of(n);
            if word.starts_with(['-', '/']) && word.len() <= 24 {
                continue;
            }
            let colon = word.find(':').filter(|_| impacket);
            let slash = word.find('/').filter(|at| oracle && *at > 0);
            let Some(from) = colon.or(slash) else {
                continue;
            };
            let end = word.rfind('@').filter(|e| *e > from).unwrap_or(word.len());
            let inner = word.get(from + 1..end).unwrap_or_default();
            if !is_no_secret(inner) {
                let start = self.words[n].start + from + 1;
                spans.push(Span {
                    start,
                    end: start + inner.len(),
                    kind: "password",
                });
            }
        }
    }

    /// `echo SECRET | sudo -S …`, `echo user:SECRET | chpasswd`, and their like.
    fn said_to(&self, reader: &[String], spans: &mut Vec<Span>) {
        let first = self.lower.first().map(|w| base_name(w));
        if !matches!(first, Some("echo" | "printf")) {
            return;
        }
        let reads = |name: &str| reader.iter().any(|w| base_name(w) == name);
        let stdin = |w: &String| w.starts_with("-s") || w == "--stdin";
        if reads("sudo") && reader.iter().any(stdin)
            || reads("passwd")
            || reads("su")
            || reads("cryptsetup")
            || reader.iter().any(|w| w == "--password-stdin")
        {
            for n in 1..self.words.len() {
                self.secret(n, spans);
            }
        }
        if reads("chpasswd") {
            for (n, piece) in self.words.iter().enumerate().skip(1) {
                if let Some((user, _)) = self.of(n).split_once(':') {
                    spans.push(Span {
                        start: piece.start + user.len() + 1,
                        end: piece.end,
                        kind: "password",
                    });
                }
            }
        }
    }

    /// `ConvertTo-SecureString X -AsPlainText`: the one word that is no flag.
    fn secure_string(&self, spans: &mut Vec<Span>) {
        let plain = self.lower.iter().any(|w| w.starts_with("-aspl"));
        if let Some(at) = self.at("convertto-securestring").filter(|_| plain) {
            for n in at + 1..self.words.len() {
                self.secret(n, spans);
            }
        }
    }

    fn windows_switches(&self, programs: &[String], spans: &mut Vec<Span>) {
        let ours = |p: &String| matches!(p.as_str(), "cmdkey" | "runas" | "wmic");
        if !programs.iter().any(ours) {
            return;
        }
        for (n, word) in self.lower.iter().enumerate() {
            for head in ["/pass:", "/password:", "/pass=", "/password="] {
                if word.len() > head.len() && word.starts_with(head) {
                    push(self.words, n, head.len(), "password", spans);
                }
            }
        }
    }
}
