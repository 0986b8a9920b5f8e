//! Which names announce a secret, and which values are none though a secret's name stands before them.

/// One of these words in a name makes its value secret, whatever the value looks like.
const STRONG: &[&str] = &[
    "password",
    "passwd",
    "passwort",
    "passphrase",
    "passcode",
    "pwd",
    "pass",
    "secret",
    "secrets",
    "token",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "connectionstring",
    "connstr",
    "credential",
    "credentials",
    "psk",
    "storepass",
    "keypass",
    "passin",
    "passout",
    "userpass",
    "rootpw",
    "jwt",
    "otp",
    "authtoken",
    "pgpassword",
    "authkey",
    "sharedkey",
    "clientsecret",
    "accesstoken",
    "bearer",
    "asplaintext",
    "passw",
    "motdepasse",
    "kennwort",
];

/// Endings of names written in one word: `MYADMINPASSWORD`.
const ENDINGS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "pwd",
];

/// Two words that are strong together.
const PAIRS: &[(&str, &str)] = &[
    ("api", "key"),
    ("access", "key"),
    ("secret", "key"),
    ("private", "key"),
    ("account", "key"),
    ("shared", "key"),
    ("encryption", "key"),
    ("master", "key"),
    ("storage", "key"),
    ("signing", "key"),
    ("auth", "key"),
    ("license", "key"),
    ("subscription", "key"),
    ("function", "key"),
    ("product", "key"),
    ("primary", "key"),
    ("session", "key"),
    ("connection", "string"),
    ("service", "key"),
    ("app", "key"),
    ("application", "key"),
    ("deploy", "key"),
];

/// These make a value secret that looks like one.
const WEAK: &[&str] = &[
    "auth",
    "cred",
    "creds",
    "session",
    "sessionid",
    "cookie",
    "sig",
    "signature",
    "sas",
    "pin",
    "key",
    "pw",
    "authorization",
];

/// A name that ends so names no secret: a file that holds it, a rule about it.
const HARMLESS_ENDINGS: &[&str] = &[
    "file",
    "path",
    "stdin",
    "prompt",
    "policy",
    "length",
    "url",
    "uri",
    "endpoint",
    "type",
    "name",
    "names",
    "expiry",
    "expires",
    "ttl",
    "age",
    "days",
    "count",
    "min",
    "max",
    "store",
    "manager",
    "provider",
    "algorithm",
    "lifetime",
    "dir",
    "cache",
    "helper",
    "version",
    "mode",
    "required",
    "only",
    "never",
    "never_expires",
    "ref",
    "arn",
    "size",
    "format",
    "hash_type",
    "authentication",
    "encryption",
    "filter",
    "vault",
    "group",
    "env",
    "list",
    "rotation",
    "hint",
];

const HARMLESS_STARTS: &[&str] = &[
    "no", "ask", "disable", "disabled", "enable", "has", "require", "reset", "force", "get",
    "remove", "delete", "prompt", "show", "skip", "use", "with", "without",
];

/// What a name says of its value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Strong,
    Weak,
    Plain,
}

pub(super) fn judge(name: &str) -> Name {
    let name = name.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    if name.is_empty() || name.len() > 80 {
        return Name::Plain;
    }
    let parts = parts(name);
    let part = |n: usize| parts.get(n).map_or("", String::as_str);
    let last = parts.last().map_or("", String::as_str);
    let secret_id = last == "id" && parts.iter().any(|p| p == "secret");
    // `-pPASS` is the flag -p with its value, no name.
    if name.len() < 2 || (parts.len() > 1 && part(0).len() == 1 && !name.contains(['-', '_', '.']))
    {
        return Name::Plain;
    }
    if HARMLESS_ENDINGS.contains(&last) && parts.len() > 1
        || last == "id" && !secret_id
        || HARMLESS_STARTS.contains(&part(0)) && parts.len() > 1
    {
        return Name::Plain;
    }
    let lower = name.to_ascii_lowercase();
    let strong = parts.iter().any(|p| STRONG.contains(&p.as_str()))
        || parts
            .windows(2)
            .any(|pair| PAIRS.iter().any(|(a, b)| pair[0] == *a && pair[1] == *b))
        || ENDINGS.iter().any(|end| lower.ends_with(end))
        || (lower.ends_with("pass") && !lower.ends_with("bypass") && !lower.ends_with("compass"));
    if strong {
        Name::Strong
    } else if WEAK.contains(&last) {
        Name::Weak
    } else {
        Name::Plain
    }
}

/// `aws_secretAccessKey` → aws, secret, access, key.
fn parts(name: &str) -> Vec<String> {
    let mut parts: Vec<String> = vec![String::new()];
    let mut previous = '_';
    for c in name.chars() {
        let humps = previous.is_ascii_lowercase() && c.is_ascii_uppercase();
        if !c.is_ascii_alphanumeric() || humps {
            parts.push(String::new());
        }
        if c.is_ascii_alphanumeric()
            && let Some(part) = parts.last_mut()
        {
            part.push(c.to_ascii_lowercase());
        }
        previous = c;
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// References, placeholders, switches: what may stand where a secret would.
pub(in crate::text::redact) fn is_no_secret(value: &str) -> bool {
    let value = value.trim_matches(['"', '\'', '`']);
    let lower = value.to_ascii_lowercase();
    value.is_empty()
        || value.starts_with(['$', '<', '{', '[', '(', '@', '*', '|', '&', ';', ',', '>'])
        || value.starts_with('%')
            && value.trim_end_matches('%').len() < value.len()
            && value.len() > 2
        || value.starts_with('!') && value.ends_with('!')
        || value.starts_with("...")
        || value == "…"
        || [
            "file:",
            "env:",
            "fd:",
            "keyring:",
            "secretref:",
            "op://",
            "vault:",
        ]
        .iter()
        .any(|p| lower.starts_with(p))
        || masked(value)
        || named_file(&lower)
        || matches!(
            lower.as_str(),
            "true"
                | "false"
                | "yes"
                | "no"
                | "null"
                | "none"
                | "nil"
                | "prompt"
                | "stdin"
                | "required"
                | "on"
                | "off"
                | "0"
                | "1"
                | "basic"
                | "digest"
                | "ntlm"
                | "\\"
                | "/"
        )
}

/// `xxxx`, `0000-0000`, `****`: what stands where a secret was, in documentation.
fn masked(value: &str) -> bool {
    ["xX-", "0-", "*", ".", "_", "#", "?"]
        .iter()
        .any(|mask| value.chars().all(|c| mask.contains(c)))
}

/// A path with an extension: the file that holds the secret.
fn named_file(lower: &str) -> bool {
    let extension = lower.rsplit('.').next().unwrap_or_default();
    lower.contains(['/', '\\'])
        && matches!(
            extension,
            "gpg"
                | "pem"
                | "key"
                | "txt"
                | "json"
                | "yml"
                | "yaml"
                | "p12"
                | "pfx"
                | "jks"
                | "crt"
                | "cer"
                | "pub"
                | "asc"
                | "conf"
                | "ini"
                | "env"
                | "xml"
        )
}

/// `Read-Host`, `Get-Credential`: a call whose answer is assigned.
pub(super) fn is_call(value: &str) -> bool {
    value.split_once('-').is_some_and(|(verb, noun)| {
        let letters = |part: &str| part.len() >= 3 && part.bytes().all(|b| b.is_ascii_alphabetic());
        letters(verb)
            && letters(noun)
            && verb.len() <= 10
            && noun.as_bytes()[0].is_ascii_uppercase()
    })
}

/// A value that a weak name may keep: words, numbers, paths.
pub(super) fn looks_secret(value: &str) -> bool {
    let digits = value.bytes().any(|b| b.is_ascii_digit());
    let letters = value.bytes().filter(u8::is_ascii_alphabetic).count();
    let path = value.starts_with(['/', '.', '~', '\\']) || value.get(1..3) == Some(":\\");
    !path && value.len() >= 8 && letters >= 3 && digits
}

pub(super) fn kind(name: &str) -> &'static str {
    let lower = name.to_ascii_lowercase();
    if lower.contains("pass") || lower.contains("pwd") || lower.contains("psk") {
        "password"
    } else if lower.contains("token") || lower.contains("jwt") || lower.contains("bearer") {
        "token"
    } else if lower.contains("key") {
        "key"
    } else if lower.contains("connection") {
        "connection_string"
    } else {
        "secret"
    }
}
