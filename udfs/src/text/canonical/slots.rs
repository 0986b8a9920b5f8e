//! Words whose place says what they are, in the second pass of [`super`]: the value of `--host`, the first argument of
//! `ping`, the account of `net user`.
//!
//! Why: a bare name (`fileserver`, `bob`) does not look volatile; what stands before it tells. Well-known accounts and
//! `localhost` mean something and stay.
//!
//! Cost: a few comparisons a word.

use super::super::words::{base_name, listed};
use super::Scan;

/// What the next plain word of a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// Whatever it is.
    Any,
    /// A machine.
    Host,
    /// An account.
    User,
    /// An account, where the word after `net` is `user`.
    NetUser,
}

/// Flags whose value is a machine or an account, of any program.
const HOST_FLAGS: &[&str] = &[
    "--host",
    "--hostname",
    "-computername",
    "-cn",
    "/node",
    "--server",
    "-server",
    "-hostname",
];
const USER_FLAGS: &[&str] = &["--user", "--username", "-username", "/user", "--login"];

/// Programs to which those flags mean something else, and take no value.
const OWN_USER: &str = "\
    systemctl journalctl loginctl busctl systemd-run systemd-analyze flatpak pip pip3 python python3 \
    bash zsh sh ksh su sudo coredumpctl gem podman az";

/// Flags of single programs whose value is a machine.
const HOST_FLAGS_OF: &[(&str, &str)] = &[
    (
        "/s",
        "schtasks tasklist taskkill systeminfo driverquery getmac gpresult openfiles eventcreate",
    ),
    ("-h", "psql mysql mysqldump redis-cli mongo pg_dump"),
    ("/v", "mstsc"),
    ("/r", "winrs"),
    ("-r", "winrs"),
];
/// Flags of single programs whose value is an account.
const USER_FLAGS_OF: &[(&str, &str)] = &[
    (
        "/u",
        "schtasks tasklist taskkill systeminfo driverquery getmac gpresult openfiles",
    ),
    ("/ru", "schtasks"),
    (
        "-u",
        "sudo crontab mysql mysqldump psexec psexec64 runuser lastlog",
    ),
    ("-U", "psql pg_dump"),
    ("-l", "ssh"),
];

/// Programs whose first argument is a machine.
const HOST_FIRST: &str = "\
    ping ping6 fping tracert traceroute tracepath pathping mtr nslookup dig host ssh telnet whois \
    test-connection test-netconnection tnc resolve-dnsname enter-pssession ssh-keyscan";
/// Programs whose first argument is an account.
const USER_FIRST: &str = "\
    su id finger passwd useradd adduser userdel deluser chage get-localuser remove-localuser \
    new-localuser disable-localuser enable-localuser";
/// Of those of [`HOST_FIRST`], one-letter flags that take a value of their own; longer ones are taken to.
const VALUED: &[u8] = b"bcDeEFiIJlLmopRsStWw";
/// Names that mean something.
const KNOWN: &str = "\
    localhost root administrator guest system krbtgt nobody admin sshd www-data daemon defaultaccount";

impl Slot {
    /// What a program's first argument is.
    pub(super) fn first_of(program: &str) -> Self {
        let program = program.to_ascii_lowercase();
        if listed(HOST_FIRST, &program) {
            Self::Host
        } else if listed(USER_FIRST, &program) {
            Self::User
        } else if matches!(program.as_str(), "net" | "net1") {
            Self::NetUser
        } else {
            Self::Any
        }
    }
}

/// What stands for the value of a flag; `None` where the flag's value is not known to be volatile.
pub(super) fn value_placeholder(program: &str, flag: &str) -> Option<&'static str> {
    if !flag.starts_with(['-', '/']) || flag.len() > 16 {
        return None;
    }
    let any = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(flag));
    let of = |flags: &[(&str, &str)]| {
        flags.iter().any(|(name, programs)| {
            let same = if flag.starts_with('/') {
                name.eq_ignore_ascii_case(flag)
            } else {
                *name == flag
            };
            same && listed(programs, &program.to_ascii_lowercase())
        })
    };
    if any(HOST_FLAGS) || of(HOST_FLAGS_OF) {
        Some("<host>")
    } else {
        let user = any(USER_FLAGS) && !listed(OWN_USER, program);
        (user || of(USER_FLAGS_OF)).then_some("<user>")
    }
}

impl Scan<'_, '_> {
    /// The program's name is read: what does its first argument mean?
    pub(super) fn named(&mut self, word: &str) {
        base_name(word).clone_into(&mut self.name);
        self.slot = Slot::first_of(&self.name);
    }

    /// A word begins here, after `before`: where its place says that it is a machine or an account, the placeholder that
    /// stands for it, and where it ends.
    pub(super) fn slot_value(&mut self, before: &str) -> Option<(usize, &'static str)> {
        if self.slot == Slot::Any || self.program {
            return None;
        }
        let rest = &self.bytes[self.at..];
        let word = &rest[..rest.iter().take_while(|b| **b != b' ').count()];
        let first = *word.first()?;
        let flagged = before.as_bytes();
        let value_of_flag = flagged.first() == Some(&b'-')
            && (flagged.len() > 4 || flagged.len() == 2 && VALUED.contains(&flagged[1]));
        if matches!(first, b'-' | b'/' | b'+' | b'@')
            || value_of_flag
            || word.iter().all(u8::is_ascii_digit)
        {
            return None;
        }
        let slot = std::mem::replace(&mut self.slot, Slot::Any);
        if slot == Slot::NetUser {
            if word.eq_ignore_ascii_case(b"user") {
                self.slot = Slot::User;
            }
            return None;
        }
        let bare = first.is_ascii_alphanumeric()
            && word.len() <= 64
            && word
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
        let dotted = word.contains(&b'.') && slot == Slot::Host;
        let known =
            std::str::from_utf8(word).is_ok_and(|word| listed(KNOWN, &word.to_ascii_lowercase()));
        // A dotted name is an address or a host's: the matchers tell which.
        if !bare || known || dotted {
            return None;
        }
        let placeholder = if slot == Slot::Host {
            "<host>"
        } else {
            "<user>"
        };
        Some((self.at + word.len(), placeholder))
    }
}
