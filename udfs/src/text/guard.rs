//! The guard key: what must be equal before two command lines may be called near-duplicates.
//!
//! What: the programs in order, the flags with how often each is given, the verbs (sub-commands, cmdlets, names of called functions), the operators
//! in order, the plain arguments by their last path component, the values of flags likewise, sensitive targets (registry
//! hives, `lsass`, `ntds.dit`, security services…) and the hashes of decoded payloads.
//!
//! Why: measured, cosine alone cannot tell a changed parameter from a changed verb (`net user x /add` and `net user x
//! /delete` are close in every embedding), nor from a changed target: with one argument replaced by another word, 60% of lines
//! stayed above the threshold, because the rest of a line outweighs a word. Within one guard key cosine judges
//! what is left: directories, the order of flags, longer texts in quotes. A label is never carried from one guard key to another.
//!
//! How: the key is a function of the canonical text alone, so equal templates always have equal keys. In doubt it is
//! too fine: an unknown program's first bare words count as verbs, and a key too fine only keeps one duplicate more.
//!
//! Cost: linear; about 4 µs for 100 bytes of canonical text.

use super::canonical::{canonical, comparable, hash_hex};
use super::words::{Piece, base_name, is_cmdlet, listed, looks_windows, split};
use aho_corasick::AhoCorasick;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// Targets that keep two lines apart whatever the cosine says; lower case, matched at the start of a word part.
pub const SENSITIVE: &[&str] = &[
    "hklm",
    "hkcu",
    "hkey_local_machine",
    "hkey_current_user",
    "hkcr",
    "hku",
    "hkey_users",
    "lsass",
    "ntds",
    "sam",
    "security",
    "system32\\config",
    "currentversion\\run",
    "runonce",
    "winlogon",
    "image file execution options",
    "\\lsa",
    "policies\\system",
    "wdigest",
    "terminal server",
    "services\\",
    "windefend",
    "defender",
    "sense",
    "wscsvc",
    "sysmon",
    "eventlog",
    "wevtutil",
    "vss",
    "shadow",
    "bcdedit",
    "amsi",
    "etw",
    "firewall",
    "mpssvc",
    "crowdstrike",
    "csfalcon",
    "carbonblack",
    "sentinel",
    "cylance",
    "sophos",
    "mcafee",
    "symantec",
    "kaspersky",
    "auditd",
    "rsyslog",
    "selinux",
    "apparmor",
    "iptables",
    "/etc/passwd",
    "/etc/shadow",
    "/etc/sudoers",
    "authorized_keys",
    "id_rsa",
    ".ssh",
    ".aws",
    ".kube",
    "crontab",
    "cron.d",
    "ld.so.preload",
    "bash_history",
    "docker.sock",
    "/proc/",
    "/dev/tcp",
    "startup",
    "domain admins",
    "administrators",
    "sysvol",
    "krbtgt",
    "keychain",
    "tcc.db",
    "launchdaemons",
    "launchagents",
    "login data",
    "cookies",
    "wallet",
    "admin$",
    "ipc$",
    "c$",
    "\\pipe\\",
    "system32",
    "syswow64",
    "mimikatz",
    "procdump",
    "comsvcs",
    "minidump",
    "payload",
    "/dev/null",
    "/dev/sd",
    "/boot",
];

/// One pass for all of [`SENSITIVE`]; where it could not be built, each is searched for by itself.
static TARGETS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| AhoCorasick::new(SENSITIVE).ok());

/// A guard key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Guard {
    /// The key in words, for `explain`: `p=cmd,net|f=/add|v=user|o=&&|n=1|t=hklm|e=`.
    pub text: String,
}

impl Guard {
    /// 128 bits of the key's hash, in hexadecimal.
    #[must_use]
    pub fn hash_hex(&self) -> String {
        hash_hex(&self.text)
    }
}

/// The guard key of a command line.
#[must_use]
pub fn guard_key(line: &str) -> Guard {
    let mut text = String::new();
    canonical(line, &mut text);
    guard_of_canonical(&text)
}

/// The guard key of a text that is canonical already.
#[must_use]
pub fn guard_of_canonical(canonical: &str) -> Guard {
    let canonical = &*comparable(canonical);
    let windows = looks_windows(canonical);
    let mut parts = Parts {
        windows,
        ..Parts::default()
    };
    parts.read(canonical, 0);
    parts.calls(canonical);
    parts.targets(canonical);
    let join =
        |set: &BTreeSet<String>| set.iter().map(String::as_str).collect::<Vec<_>>().join(",");
    let flags: Vec<String> = parts
        .flags
        .iter()
        .map(|(flag, times)| match times {
            1 => flag.clone(),
            _ => format!("{flag}*{times}"),
        })
        .collect();
    let mut text = format!(
        "p={}|f={}|v={}|o={}|n={}|w={}|t={}|e={}",
        parts.programs.join(","),
        flags.join(","),
        parts.verbs.join(" "),
        parts.operators.join(" "),
        parts.arguments.min(MOST_ARGUMENTS),
        short(&parts.words.join(",")),
        join(&parts.targets),
        parts.encoded.join(",")
    );
    if !parts.rest.is_empty() {
        text.push_str("|r=");
        text.push_str(&hash_hex(&parts.rest));
    }
    Guard { text }
}

/// Bytes of the arguments that stay readable in a key; longer ones are hashed.
const READABLE: usize = 120;
/// Words of a quoted text from which it is prose or a script of its own, which the cosine judges.
const PROSE: usize = 6;

fn short(words: &str) -> String {
    if words.len() <= READABLE {
        words.to_owned()
    } else {
        format!("#{}", hash_hex(words))
    }
}

#[derive(Default)]
struct Parts {
    windows: bool,
    programs: Vec<String>,
    /// How often each was given.
    flags: BTreeMap<String, usize>,
    verbs: Vec<String>,
    operators: Vec<String>,
    targets: BTreeSet<String>,
    encoded: Vec<String>,
    arguments: usize,
    /// Last components of the plain arguments and of flags' values, in order.
    words: Vec<String>,
    rest: String,
}

/// How many of the bare words after a program are verbs. Programs not listed take [`UNKNOWN_VERBS`].
fn verb_count(program: &str) -> usize {
    /// Their bare words are targets: files, hosts, patterns, names.
    const TARGETS_ONLY: &str = "\
    alias attrib awk base64 basename bash bunzip2 bzip2 cat cd chgrp chmod chown cmd comm copy \
    cp cscript curl cut date dd del df diff dig dir dirname du echo egrep erase export file find \
    findstr fold ftp gcc grep groupadd groupdel groups gunzip gzip head host icacls id java kill \
    killall ln ls man md md5sum mkdir more move mv nano nc ncat nl node nohup notepad nslookup \
    passwd perl pgrep php ping pkill powershell printf ps pushd pwsh python python2 python3 rd \
    readlink ren rename rm rmdir robocopy rsync ruby scp sed seq set sftp sh sha256sum shred \
    sleep sort source ssh stat su sudo tail takeown tar taskkill tee test timeout top touch tr \
    traceroute type umount uniq unset unzip useradd userdel usermod vi vim wc wget which whoami \
    wscript xargs xcopy xxd zcat zip zsh";
    const COUNTED: &[(usize, &str)] = &[
        (
            0,
            "\
            schtasks svchost iptables rundll32 regsvr32 mshta",
        ),
        (
            1,
            "\
            gsutil git systemctl net net1 sc reg pip apt apt-get yum brew cargo wevtutil bcdedit \
            launchctl defaults security csrutil spctl openssl make ufw",
        ),
        (
            2,
            "\
            aws docker podman kubectl helm service npm yarn dnf choco go dotnet terraform \
            vssadmin fsutil dscl ip gh",
        ),
        (
            3,
            "\
            btool",
        ),
        (
            4,
            "\
            wmic",
        ),
        (
            5,
            "\
            az gcloud netsh",
        ),
    ];
    if listed(TARGETS_ONLY, program) {
        return 0;
    }
    COUNTED
        .iter()
        .find(|(_, programs)| listed(programs, program))
        .map_or(UNKNOWN_VERBS, |(count, _)| *count)
}

const UNKNOWN_VERBS: usize = 3;
/// Plain arguments are counted up to here: `ddrescue disk image` is not `ddrescue disk image log`.
const MOST_ARGUMENTS: usize = 4;

/// The word after these is a program.
const WRAPPERS: &str = "\
    sudo doas nohup env exec time call start xargs command builtin nice setsid busybox then do \
    else if while & { ( @";

/// A quoted script among the arguments of these is read like a line of its own.
const INTERPRETERS: &str = "\
    sh bash zsh dash ksh fish ash cmd powershell pwsh ssh su wsl watch schtasks sc wmic at \
    psexec forfiles start runuser sudo eval xargs winrs docker kubectl crontab env";

impl Parts {
    #[expect(
        clippy::too_many_lines,
        reason = "one decision for each kind of word, in the order in which they win"
    )]
    fn read(&mut self, text: &str, depth: usize) {
        let split = split(text);
        self.rest.push_str(split.rest);
        let mut program = String::new();
        let mut wants_program = true;
        let mut verbs_left = 0;
        for piece in split.pieces {
            let word = match piece {
                Piece::Operator(op) => {
                    self.operators.push(if depth > 0 {
                        format!("'{op}")
                    } else {
                        op.to_owned()
                    });
                    if !op.contains(['<', '>']) {
                        wants_program = true;
                    }
                    continue;
                }
                Piece::Word(word) => word,
            };
            if let Some(at) = word.text.find("<enc:") {
                self.encoded.push(
                    word.text
                        .get(at..)
                        .unwrap_or_default()
                        .chars()
                        .take(38)
                        .collect(),
                );
            }
            let text = word.text.as_ref();
            if let Some(flag) = self.flag(text) {
                if let Some((_, value)) = text.split_once(['=', ':']) {
                    self.argument(value);
                }
                let script = matches!(flag.as_str(), "/c" | "/k" | "/r") && program == "cmd"
                    || (matches!(flag.as_str(), "-exec" | "-execdir" | "-ok") && program == "find");
                self.add_flag(flag);
                wants_program |= script;
                verbs_left = verbs_left.min(if listed(COMMAND_FIRST, program.as_str()) {
                    verbs_left
                } else {
                    0
                });
                continue;
            }
            if matches!(text, "!" | "-" | "--" | "+") {
                self.operators.push(text.to_owned());
                continue;
            }
            if word.script
                && depth < 3
                && (listed(INTERPRETERS, program.as_str()) || wants_program)
                && (!wants_program || !is_path(text) || has_flag(text))
            {
                self.operators.push("'".to_owned());
                self.read(text, depth + 1);
                wants_program = false;
                continue;
            }
            if wants_program {
                if text.contains('=') && !text.starts_with('=') && program != "env" && !self.windows
                {
                    self.add_flag(text.split('=').next().unwrap_or(text).to_owned() + "=");
                    continue;
                }
                let name = base_name(text)
                    .trim_start_matches(['(', '{', '&', '@', '$'])
                    .trim_end_matches(['}', ')', ';']);
                program = if self.windows {
                    name.to_lowercase()
                } else {
                    name.to_owned()
                };
                self.programs.push(program.clone());
                wants_program = listed(WRAPPERS, program.as_str()) || program.is_empty();
                verbs_left = verb_count(&program);
                continue;
            }
            if word.script {
                // operators inside a text that no shell will read still tell `'a|b'` from `'a;b'`
                self.operators.extend(
                    text.chars()
                        .filter(|c| matches!(c, '|' | ';' | '&' | '`'))
                        .take(64)
                        .map(|c| format!("\"{c}")),
                );
                let flags = text
                    .split_ascii_whitespace()
                    .filter(|word| is_flag(word))
                    .take(64);
                for flag in flags {
                    self.add_flag(format!("\"{}", flag.trim_end_matches(['"', '\''])));
                }
            }
            if is_cmdlet(text) && self.windows {
                self.verbs.push(text.to_owned());
            } else if verbs_left > 0 && is_verb(text) {
                verbs_left -= 1;
                if program == "git" && listed(GIT_NOUNS, text) {
                    verbs_left = 1;
                }
                self.verbs.push(text.to_owned());
            } else {
                // `git -C dir commit`: the value of a global flag does not end the search for the sub-command
                if verbs_left < verb_count(&program) || !listed(COMMAND_FIRST, program.as_str()) {
                    verbs_left = 0;
                }
                if let Some((key, _)) = text.split_once('=')
                    && !key.is_empty()
                    && key.len() <= 24
                    && key.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_')
                {
                    self.add_flag(format!("{key}="));
                    self.argument(text.split_once('=').unwrap_or_default().1);
                    continue;
                }
                self.arguments += 1;
                self.argument(text);
                if program == "chmod" && self.verbs.len() < 64 && text.len() <= 12 {
                    self.verbs.push(text.to_owned());
                }
            }
        }
    }

    fn add_flag(&mut self, flag: String) {
        *self.flags.entry(flag).or_default() += 1;
    }

    /// Notes the last component of an argument; prose is left to the cosine.
    fn argument(&mut self, text: &str) {
        if text.split_ascii_whitespace().nth(PROSE).is_some() {
            return;
        }
        let text = text.trim_matches(|c: char| {
            c.is_whitespace() || matches!(c, '"' | '\'' | '\\' | '/' | ',' | ')' | '(' | '}' | '{')
        });
        let last = text.rsplit(['\\', '/']).next().unwrap_or(text);
        if last.bytes().any(|b| b.is_ascii_alphanumeric()) {
            self.words.push(last.to_owned());
        }
    }

    /// A flag without its value; `None` where the word is none.
    fn flag(&self, word: &str) -> Option<String> {
        let first = word.chars().next()?;
        let second = word.chars().nth(1).unwrap_or(' ');
        let plus = first == '+' && (word.len() <= 4 || second == '<');
        let dash = matches!(first, '-' | '\u{2013}' | '\u{2014}' | '\u{2015}') || plus;
        // `/f` and `/s=x` are flags anywhere, `/etc` is one only where Windows reads it
        let short = matches!(word.as_bytes().get(2), None | Some(b':' | b'='));
        let slash = first == '/'
            && !word.get(1..)?.contains('/')
            && word.len() <= 64
            && (self.windows || short);
        if !(dash || slash) || word.len() < 2 || word == "--" {
            return None;
        }
        let name: String = word
            .chars()
            .skip(1)
            .take_while(|c| !matches!(c, '=' | ':' | '"' | '\'' | ',' | '(' | '{'))
            .take(64)
            .collect();
        let sign = if dash && first != '+' { '-' } else { first };
        (!name.is_empty()
            && name
                .chars()
                .any(|c| c.is_alphanumeric() || matches!(c, '?' | '<' | '#' | '@')))
        .then(|| format!("{sign}{name}"))
    }

    /// Names of called functions and methods: `.downloadstring(`, `::frombase64string(`, `system(`, `exec(`.
    fn calls(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let mut calls = BTreeSet::new();
        let mut start = None;
        for (at, byte) in bytes.iter().enumerate() {
            if byte.is_ascii_alphanumeric() || *byte == b'_' {
                start.get_or_insert(at);
                continue;
            }
            if *byte == b'('
                && let Some(start) = start
                && at - start <= 48
                && !bytes[start].is_ascii_digit()
            {
                calls.insert(text.get(start..at).unwrap_or_default().to_owned());
            }
            start = None;
        }
        self.verbs
            .extend(calls.into_iter().take(64).map(|call| call + "("));
    }

    fn targets(&mut self, text: &str) {
        let lower = text.to_lowercase();
        let bytes = lower.as_bytes();
        let inside = |stem: &str, at: usize| {
            let before = at.checked_sub(1).map_or(b' ', |i| bytes[i]);
            let after = bytes.get(at + stem.len()).copied().unwrap_or(b' ');
            stem.len() > 6
                || (!before.is_ascii_alphanumeric()
                    && (stem.len() > 3 || !after.is_ascii_alphanumeric()))
        };
        let mut found = [false; SENSITIVE.len()];
        if let Some(automaton) = &*TARGETS {
            for hit in automaton.find_overlapping_iter(&lower) {
                let index = hit.pattern().as_usize();
                found[index] = found[index] || inside(SENSITIVE[index], hit.start());
            }
        } else {
            for (index, stem) in SENSITIVE.iter().enumerate() {
                found[index] = lower.match_indices(stem).any(|(at, _)| inside(stem, at));
            }
        }
        for (stem, _) in SENSITIVE.iter().zip(found).filter(|(_, found)| *found) {
            let name = if *stem == "syswow64" {
                "system32"
            } else {
                *stem
            };
            self.targets.insert(name.to_owned());
        }
    }
}

/// Programs whose sub-command may follow global flags.
const COMMAND_FIRST: &str = "\
    git docker kubectl helm az aws systemctl npm wmic sc apt apt-get yum dnf gcloud terraform \
    cargo pip brew";

/// Sub-commands of git that take a verb of their own.
const GIT_NOUNS: &str = "\
    notes remote stash submodule bisect worktree lfs flow bundle";

/// A bare word that may be a sub-command: letters and hyphens.
fn is_verb(word: &str) -> bool {
    word.len() <= 40
        && word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// A quoted path with a flag in it is a command line: `"c:\tools\x.exe -q"`.
fn has_flag(text: &str) -> bool {
    text.split_ascii_whitespace().skip(1).any(is_flag)
}

/// `-q`, `--quiet` or `/quiet`; no path.
fn is_flag(word: &str) -> bool {
    let name = word.trim_start_matches(['-', '/']);
    name.len() < word.len()
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && !name.contains(['/', '\\'])
}

fn is_path(word: &str) -> bool {
    word.as_bytes().get(1) == Some(&b':') || word.starts_with(['/', '\\', '%', '~', '.'])
}

#[cfg(test)]
mod tests;
