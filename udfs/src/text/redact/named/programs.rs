//! Programs' own flags that carry a secret.

use super::names::is_no_secret;
use super::push;
use crate::text::redact::Span;
use crate::text::redact::split::Piece;

/// How a program's flag carries a secret.
#[derive(Debug, Clone, Copy)]
enum Carries {
    /// `-pSECRET`, and no value after a space.
    Joined,
    /// `-p SECRET`.
    Next,
    /// Both.
    Either,
    /// `-u user:SECRET` or `-uuser:SECRET`.
    AfterColon,
    /// `-U user%SECRET`.
    AfterPercent,
}

use Carries::{AfterColon, AfterPercent, Either, Joined, Next};

/// Programs, their flag, how it carries the secret. Flags keep their case: `-P` is a port where `-p` is a password.
const FLAGS: &[(&[&str], &str, Carries)] = &[
    (
        &[
            "mysql",
            "mysqldump",
            "mysqladmin",
            "mysqlimport",
            "mysqlshow",
            "mysqlsh",
            "mariadb",
            "mariadb-dump",
            "mysqlcheck",
            "mysqlslap",
        ],
        "-p",
        Joined,
    ),
    (
        &[
            "sshpass",
            "psexec",
            "psexec64",
            "paexec",
            "psservice",
            "pslist",
            "psinfo",
            "pskill",
            "psloggedon",
            "mongo",
            "mongosh",
            "mongodump",
            "mongorestore",
            "mongoexport",
            "mongoimport",
            "docker",
            "podman",
            "az",
            "oc",
            "cf",
            "buildah",
            "skopeo",
            "helm",
            "evil-winrm",
            "crackmapexec",
            "cme",
            "netexec",
            "nxc",
            "bloodhound-python",
            "bloodhound.py",
            "ntlmrelayx.py",
            "influx",
            "rabbitmqadmin",
            "nuget",
            "pulp-admin",
            "ipmitool",
            "certipy",
            "kerbrute",
            "smbmap",
            "certutil",
            "crane",
            "tabcmd",
            "clickhouse-client",
            "winrs",
            "vncviewer",
            "hydra",
            "medusa",
            "patator",
            "wmiexec.py",
            "ldapdomaindump",
        ],
        "-p",
        Either,
    ),
    (
        &[
            "sqlcmd", "osql", "bcp", "unzip", "zip", "ipmitool", "isql", "zipcloak", "medusa",
            "vmrun", "dbaccess",
        ],
        "-P",
        Either,
    ),
    (
        &["7z", "7za", "7zr", "7zz", "rar", "unrar", "winrar"],
        "-p",
        Joined,
    ),
    (&["rar", "winrar", "unrar"], "-hp", Joined),
    (
        &[
            "ldapsearch",
            "ldapmodify",
            "ldapadd",
            "ldapdelete",
            "ldapwhoami",
            "ldappasswd",
            "ldapcompare",
            "security",
            "windapsearch",
        ],
        "-w",
        Either,
    ),
    (&["redis-cli", "keydb-cli", "valkey-cli"], "-a", Either),
    (&["plink", "pscp", "psftp", "putty", "pageant"], "-pw", Next),
    (
        &["snmpwalk", "snmpget", "snmpset", "snmpbulkwalk", "snmptrap"],
        "-c",
        Either,
    ),
    (
        &["snmpwalk", "snmpget", "snmpset", "snmpbulkwalk", "snmptrap"],
        "-A",
        Either,
    ),
    (
        &["snmpwalk", "snmpget", "snmpset", "snmpbulkwalk", "snmptrap"],
        "-X",
        Either,
    ),
    (
        &["curl", "http", "https", "httpie", "influx"],
        "-u",
        AfterColon,
    ),
    (&["curl"], "-U", AfterColon),
    (&["curl"], "--user", AfterColon),
    (&["curl"], "--proxy-user", AfterColon),
    (&["http", "https", "xh"], "-a", AfterColon),
    (
        &[
            "smbclient",
            "winexe",
            "rpcclient",
            "net",
            "smbget",
            "pth-winexe",
        ],
        "-U",
        AfterPercent,
    ),
    (
        &["smbclient", "winexe", "rpcclient", "net"],
        "--user",
        AfterPercent,
    ),
    (&["openssl"], "-k", Next),
    (&["openssl"], "-K", Next),
    (&["openssl"], "-pass", Next),
    (&["openssl"], "-passin", Next),
    (&["openssl"], "-passout", Next),
    (
        &["crackmapexec", "cme", "netexec", "nxc", "evil-winrm"],
        "-H",
        Next,
    ),
    (&["xfreerdp", "wlfreerdp", "xfreerdp3"], "/p:", Joined),
    (&["rdesktop"], "-p", Either),
    (&["schtasks", "schtasks.exe", "at"], "/rp", Next),
    (
        &[
            "schtasks",
            "tasklist",
            "taskkill",
            "systeminfo",
            "getmac",
            "driverquery",
            "wecutil",
            "eventcreate",
            "typeperf",
            "logman",
        ],
        "/p",
        Next,
    ),
    (&["sc"], "password=", Next),
    (&["lftp", "wpscan"], "-u", AfterColon),
    (&["ansible-vault", "vagrant"], "--vault-pass", Next),
    (&["gpg", "gpg2"], "--passphrase", Next),
    (&["mount", "mount.cifs"], "-o", Next),
];

/// Programs whose `-p` is a password only where one logs in.
const LOGIN: &[&str] = &[
    "docker", "podman", "az", "oc", "cf", "helm", "skopeo", "buildah", "crane", "nuget",
];

/// Programs whose `-p` is no password: ports, paths, parents, processes, projects.
const PLAIN_P: &[&str] = &[
    "mkdir", "cp", "ssh", "scp", "nmap", "nc", "ps", "kill", "tar", "make", "python", "python3",
    "perl", "git", "cargo", "npm", "netstat", "lsof",
];

pub(super) fn program_flags(
    flag: &str,
    value: &str,
    n: usize,
    words: &[Piece],
    programs: &[String],
    spans: &mut Vec<Span>,
) {
    for (names, wanted, carries) in FLAGS {
        // The last of them decides: `docker exec db mysql -px`. What `find` is told are no programs.
        let Some(program) = programs.iter().rev().find(|p| names.contains(&p.as_str())) else {
            continue;
        };
        let login = LOGIN.contains(&program.as_str()) && !programs.iter().any(|p| p == "login");
        if login || programs.first().is_some_and(|p| p == "find" || p == "grep") {
            continue;
        }
        let windows = wanted.starts_with('/');
        let rest = if windows
            && flag.len() >= wanted.len()
            && flag
                .get(..wanted.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(wanted))
        {
            flag.get(wanted.len()..)
        } else {
            flag.strip_prefix(wanted)
        };
        let Some(rest) = rest else { continue };
        let long = wanted.starts_with("--") || wanted.len() > 2;
        let joined = if long {
            rest.strip_prefix(['=', ':'])
                .unwrap_or(if matches!(carries, Joined) { rest } else { "" })
        } else {
            rest
        };
        let skip = flag.len() - joined.len();
        let here = !joined.is_empty() && !is_no_secret(joined);
        let there = rest.is_empty() && !value.starts_with('-') && !is_no_secret(value);
        // Ports and counts are no secrets: `docker run -p 80:80`.
        let port = |v: &str| {
            v.bytes()
                .all(|b| b.is_ascii_digit() || matches!(b, b':' | b'.' | b'/' | b'-'))
                && v.len() <= 21
                && !v.is_empty()
                && (v.len() < 6 || v.contains([':', '.', '/', '-']))
        };
        let numbers = programs.iter().any(|p| PLAIN_P.contains(&p.as_str()));
        match carries {
            Joined if here => push(words, n, skip, "password", spans),
            Next if there && *wanted != "-o" => push(words, n + 1, 0, "password", spans),
            Either
                if here
                    && !(numbers && port(joined))
                    && joined.len() > 2
                    && !flag.starts_with("--") =>
            {
                push(words, n, skip, "password", spans);
            }
            Either if there && !(numbers && port(value)) => {
                push(words, n + 1, 0, "password", spans);
            }
            AfterColon | AfterPercent => {
                let sign = if matches!(carries, AfterColon) {
                    ':'
                } else {
                    '%'
                };
                let (place, text, base) = if joined.is_empty() {
                    (n + 1, value, 0)
                } else {
                    (n, joined, skip)
                };
                if let Some((_, secret)) = text.split_once(sign)
                    && !is_no_secret(secret)
                {
                    push(
                        words,
                        place,
                        base + text.len() - secret.len(),
                        "password",
                        spans,
                    );
                }
            }
            _ => {}
        }
    }
    // An unknown program's `-p`: what nobody would type but as a password.
    let short = matches!(
        flag,
        "-p" | "-P" | "-w" | "-pw" | "-pass" | "-Pass" | "/p" | "/P"
    );
    if short && is_password_like(value) {
        push(words, n + 1, 0, "password", spans);
    }
}

/// Three classes of characters, one of them a sign, and no path or address.
fn is_password_like(value: &str) -> bool {
    let any = |f: fn(&u8) -> bool| usize::from(value.as_bytes().iter().any(f));
    let sign = any(|b| matches!(b, b'!' | b'#' | b'$' | b'^' | b'&' | b'*' | b'?' | b'~'));
    let classes =
        any(u8::is_ascii_lowercase) + any(u8::is_ascii_uppercase) + any(u8::is_ascii_digit);
    (6..=64).contains(&value.len())
        && !value.starts_with(['$', '-', '{', '%', '<', '*', '/', '.'])
        && !value.contains(['/', '\\', '=', ' ', ':', ',', '.'])
        && (classes == 3 && value.len() >= 8 || classes >= 2 && sign == 1)
}
