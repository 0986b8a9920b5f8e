//! The operating system under one of three names.

/// `windows`, `linux` or `macos` for any vendor's spelling; `None` for what is none of them.
pub(super) fn normalise(name: Option<&str>) -> Option<&'static str> {
    const LINUX: [&str; 13] = [
        "linux", "ubuntu", "debian", "centos", "redhat", "red hat", "rhel", "fedora", "suse",
        "alpine", "amazon", "arch", "rocky",
    ];
    let name = name?.trim().to_ascii_lowercase();
    if name.starts_with("mac")
        || name.starts_with("darwin")
        || name.starts_with("os x")
        || name.starts_with("osx")
    {
        Some("macos")
    } else if name.starts_with("win") || name.contains("windows") {
        Some("windows")
    } else if LINUX.iter().any(|word| name.contains(word)) {
        Some("linux")
    } else {
        None
    }
}

/// From the first path that shows it.
pub(super) fn infer(paths: [Option<&str>; 2]) -> Option<&'static str> {
    paths.into_iter().flatten().find_map(|path| {
        let bytes = path.as_bytes();
        let drive = matches!(bytes, [letter, b':', ..] if letter.is_ascii_alphabetic());
        if drive || path.contains('\\') {
            Some("windows")
        } else if path.starts_with("/Applications/")
            || path.starts_with("/System/")
            || path.starts_with("/Library/")
        {
            Some("macos")
        } else if path.starts_with('/') {
            Some("linux")
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_system_is_one_name() {
        for (spelling, name) in [
            ("Windows", Some("windows")),
            ("win32", Some("windows")),
            ("Microsoft Windows 11", Some("windows")),
            ("macOS", Some("macos")),
            ("Darwin", Some("macos")),
            ("Mac OS X", Some("macos")),
            ("Ubuntu", Some("linux")),
            ("Amazon Linux 2", Some("linux")),
            ("LINUX", Some("linux")),
            ("Solaris", None),
            ("", None),
        ] {
            assert_eq!(normalise(Some(spelling)), name, "{spelling}");
        }
    }

    #[test]
    fn a_path_shows_its_system() {
        for (path, name) in [
            (r"C:\Windows\System32\cmd.exe", Some("windows")),
            (r"\\server\share\a.exe", Some("windows")),
            ("/usr/bin/ls", Some("linux")),
            ("/Applications/Mail.app/Contents/MacOS/Mail", Some("macos")),
            ("/System/Library/CoreServices/launchd", Some("macos")),
            ("ls", None),
        ] {
            assert_eq!(infer([Some(path), None]), name, "{path}");
        }
        assert_eq!(infer([Some("sh"), Some("/bin/sh")]), Some("linux"));
    }
}
