//! What is known of a process beside its command line, and the features made of it (family E).
//!
//! A column that the telemetry lacks is `None` and gives NaN, never 0: the learners impute it and count it. Path classes
//! are those of Elastic's problem-child pipeline, with the counterparts of Linux and macOS, gathered into five groups:
//! fourteen one-hot columns would mostly be constant. **Cost.** One look at each path; nothing is allocated.

/// What the telemetry says of the process; all of it may be missing.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Context<'a> {
    /// Full path of the executable.
    pub image: Option<&'a str>,
    /// Full path of the parent's executable.
    pub parent_image: Option<&'a str>,
    /// The name in the executable's version resource (PE only).
    pub original_file_name: Option<&'a str>,
    /// The user's SID, or user id.
    pub user_sid: Option<&'a str>,
    /// `Low`, `Medium`, `High`, `System`, or the SID `S-1-16-...` of one.
    pub integrity_level: Option<&'a str>,
    /// The executable carries a signature.
    pub signed: Option<bool>,
    /// Its signer is trusted.
    pub signer_trusted: Option<bool>,
}

/// Where an executable lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathClass {
    /// The system's own directories: `\Windows`, `/usr/bin`, `/System`.
    System,
    /// Installed programs: `\Program Files`, `/opt`, `/Applications`.
    Program,
    /// Of a user: `\Users\x`, `/home/x`, `/Users/x`.
    User,
    /// Temporary, downloaded or hidden places, which all may write to.
    Temporary,
    /// Anything else, a bare name too.
    Unknown,
}

/// Prefixes after the drive letter, or from the root, in the order of asking.
const PREFIXES: [(&str, PathClass); 33] = [
    ("\\windows\\temp\\", PathClass::Temporary),
    ("\\windows\\tasks\\", PathClass::Temporary),
    ("\\windows\\", PathClass::System),
    ("\\program files", PathClass::Program),
    (
        "\\programdata\\microsoft\\windows defender\\",
        PathClass::Program,
    ),
    ("\\programdata\\", PathClass::Temporary),
    ("\\users\\public\\", PathClass::Temporary),
    ("\\users\\", PathClass::User),
    ("\\$recycle.bin\\", PathClass::Temporary),
    ("\\system volume information\\", PathClass::Temporary),
    ("\\temp\\", PathClass::Temporary),
    ("\\perflogs\\", PathClass::Temporary),
    ("/tmp/", PathClass::Temporary),
    ("/private/tmp/", PathClass::Temporary),
    ("/private/var/tmp/", PathClass::Temporary),
    ("/var/folders/", PathClass::Temporary),
    ("/private/var/folders/", PathClass::Temporary),
    ("/var/tmp/", PathClass::Temporary),
    ("/dev/shm/", PathClass::Temporary),
    ("/run/shm/", PathClass::Temporary),
    ("/users/shared/", PathClass::Temporary),
    ("/usr/local/", PathClass::Program),
    ("/usr/", PathClass::System),
    ("/bin/", PathClass::System),
    ("/sbin/", PathClass::System),
    ("/lib", PathClass::System),
    ("/system/", PathClass::System),
    ("/opt/", PathClass::Program),
    ("/snap/", PathClass::Program),
    ("/applications/", PathClass::Program),
    ("/home/", PathClass::User),
    ("/root/", PathClass::User),
    ("/users/", PathClass::User),
];

/// The class of a full path; a drive letter or a `\??\` before it does not matter.
pub(crate) fn path_class(path: &str) -> PathClass {
    let path = path.trim_matches(|c| c == '"' || c == ' ');
    let path = path
        .find(":\\")
        .and_then(|at| path.get(at + 1..))
        .filter(|_| !path.starts_with('/'))
        .unwrap_or(path);
    let (_, class) = PREFIXES
        .iter()
        .find(|(prefix, _)| {
            path.as_bytes()
                .get(..prefix.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()))
        })
        .unwrap_or(&("", PathClass::Unknown));
    let temporary = [
        "\\appdata\\local\\temp\\",
        "\\downloads\\",
        "/downloads/",
        "/.cache/",
    ];
    if *class == PathClass::User
        && temporary
            .iter()
            .any(|part| contains_ignore_case(path, part))
    {
        return PathClass::Temporary;
    }
    *class
}

fn contains_ignore_case(text: &str, part: &str) -> bool {
    text.as_bytes()
        .windows(part.len())
        .any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
}

/// The last component of a path, after `\` or `/`.
pub(crate) fn base_name(path: &str) -> &str {
    path.rsplit(['\\', '/']).next().unwrap_or(path)
}

/// The rank of an integrity level from 0 (untrusted) to 4 (system); a level unknown to Windows is none.
pub(crate) fn integrity(level: &str) -> Option<f32> {
    const LEVELS: [(&str, &str, f32); 6] = [
        ("untrusted", "S-1-16-0", 0.0),
        ("low", "S-1-16-4096", 1.0),
        ("medium", "S-1-16-8192", 2.0),
        ("mediumplus", "S-1-16-8448", 2.5),
        ("high", "S-1-16-12288", 3.0),
        ("system", "S-1-16-16384", 4.0),
    ];
    let level = level.trim();
    LEVELS
        .iter()
        .find(|(name, sid, _)| level.eq_ignore_ascii_case(name) || level.eq_ignore_ascii_case(sid))
        .map(|(.., rank)| *rank)
}

/// Whether the user is a system account: the three of Windows, or root.
pub(crate) fn is_system(sid: &str) -> bool {
    matches!(
        sid.trim(),
        "S-1-5-18" | "S-1-5-19" | "S-1-5-20" | "0" | "root"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_fall_into_their_classes() {
        for (path, class) in [
            (r"C:\Windows\System32\cmd.exe", PathClass::System),
            (r"\??\c:\WINDOWS\system32\conhost.exe", PathClass::System),
            (r"C:\Windows\Temp\a.exe", PathClass::Temporary),
            (r"C:\Program Files (x86)\x\y.exe", PathClass::Program),
            (
                r"C:\Users\bob\AppData\Local\Temp\a.exe",
                PathClass::Temporary,
            ),
            (r"C:\Users\bob\a.exe", PathClass::User),
            ("/usr/bin/bash", PathClass::System),
            ("/usr/local/bin/node", PathClass::Program),
            ("/home/bob/x", PathClass::User),
            ("/Users/bob/Downloads/x", PathClass::Temporary),
            ("/tmp/x", PathClass::Temporary),
            ("cmd.exe", PathClass::Unknown),
            ("", PathClass::Unknown),
        ] {
            assert_eq!(path_class(path), class, "{path}");
        }
    }

    #[test]
    fn integrity_levels_are_read_by_name_and_by_sid() {
        assert_eq!(integrity("High"), integrity("S-1-16-12288"));
        assert_eq!(
            (integrity("system"), integrity("nonsense")),
            (Some(4.0), None)
        );
    }

    #[test]
    fn names_and_accounts() {
        assert_eq!(base_name(r"C:\a\b.exe"), "b.exe");
        assert_eq!(base_name("/bin/sh"), "sh");
        assert!(is_system("S-1-5-18") && is_system("0") && !is_system("S-1-5-21-1"));
    }
}
