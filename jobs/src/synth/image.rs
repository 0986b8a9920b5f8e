//! Where a program lies and what its version resource says, from its command line and path.

use super::fleet::Os;

/// What the version resource of a known image says; the file's name for other signed ones, nothing for unsigned.
pub(super) fn original_name(image: &str, signed: Option<bool>) -> Option<&str> {
    let name = image.rsplit('\\').next().unwrap_or(image);
    let known = ORIGINAL_NAMES
        .iter()
        .find(|known| known.eq_ignore_ascii_case(name))
        .copied();
    match known {
        Some("pwsh.exe") => Some("pwsh.dll"),
        None if signed == Some(false) || name.contains('«') => None,
        known => known.or(Some(name)),
    }
}

/// Names whose spelling in the version resource differs from that on disk.
const ORIGINAL_NAMES: [&str; 17] = [
    "Cmd.Exe",
    "PowerShell.EXE",
    "pwsh.exe",
    "CONHOST.EXE",
    "RUNDLL32.EXE",
    "REGSVR32.EXE",
    "MSHTA.EXE",
    "Wmiprvse.exe",
    "CertUtil.exe",
    "EXPLORER.EXE",
    "WinWord.exe",
    "Excel.exe",
    "Outlook.exe",
    "WBADMIN.EXE",
    "VSSADMIN.EXE",
    "DISM.EXE",
    "NETSH.EXE",
];

/// Programs that lie in `/usr/sbin`.
const SBIN: [&str; 16] = [
    "iptables", "ip", "nft", "ethtool", "useradd", "usermod", "groupadd", "chpasswd", "visudo",
    "lvextend", "mdadm", "smartctl", "insmod", "tcpdump", "certbot", "fstrim",
];

/// The path of the program that a command line starts, from its first word.
pub(super) fn image_of(line: &str, os: Os, folder: &str, out: &mut String) {
    let windows = os == Os::Windows;
    let bundle = ["/System/", "/Applications/", "/Library/"]
        .iter()
        .any(|root| line.starts_with(root));
    let first = match line.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().unwrap_or(""),
        // Paths of macOS hold spaces, and `ps` quotes nothing: the path ends where an option or another path begins.
        None if bundle => {
            &line[..[" -", " /"]
                .iter()
                .filter_map(|end| line.find(end))
                .min()
                .unwrap_or(line.len())]
        }
        None => line.split(' ').next().unwrap_or(""),
    };
    let first = first.trim_start_matches('(').trim_end_matches([')', ':']);
    let whole = first.contains(if windows { '\\' } else { '/' });
    let bare = |name: &str| {
        name.strip_suffix(".exe")
            .unwrap_or(name)
            .to_ascii_lowercase()
    };
    if !whole {
        out.push_str(match (os, bare(first).as_str()) {
            _ if !folder.is_empty() => folder,
            (Os::Windows, "powershell") => r"C:\Windows\System32\WindowsPowerShell\v1.0",
            (Os::Windows, "pwsh") => r"C:\Program Files\PowerShell\7",
            (Os::Windows, "wmic") => r"C:\Windows\System32\wbem",
            (Os::Windows, "ssh") => r"C:\Windows\System32\OpenSSH",
            (Os::Windows, _) => r"C:\Windows\System32",
            (Os::Macos, "sh" | "bash" | "zsh" | "cp" | "launchctl" | "cat") => "/bin",
            (Os::Linux, name) if SBIN.contains(&name) => "/usr/sbin",
            (Os::Macos, "node" | "brew" | "ffmpeg" | "pnpm") => "/opt/homebrew/bin",
            _ => "/usr/bin",
        });
        out.push(if windows { '\\' } else { '/' });
    }
    out.push_str(first);
    let has_ending = first
        .rsplit(['\\', '/'])
        .next()
        .is_some_and(|name| name.contains('.'));
    if windows && !has_ending {
        out.push_str(".exe");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_follows_from_the_first_word() {
        for (line, os, folder, want) in [
            ("sc query", Os::Windows, "", r"C:\Windows\System32\sc.exe"),
            (
                r#""C:\Program Files\x\y.exe" -a"#,
                Os::Windows,
                "",
                r"C:\Program Files\x\y.exe",
            ),
            (
                "kubectl get",
                Os::Linux,
                "/usr/local/bin",
                "/usr/local/bin/kubectl",
            ),
            ("/opt/a/b -c", Os::Linux, "", "/opt/a/b"),
            ("sh -c x", Os::Macos, "", "/bin/sh"),
        ] {
            let mut out = String::new();
            image_of(line, os, folder, &mut out);
            assert_eq!(out, want);
        }
    }

    #[test]
    fn a_known_image_has_the_name_of_its_version_resource() {
        assert_eq!(
            original_name(r"C:\Windows\System32\cmd.exe", Some(true)),
            Some("Cmd.Exe")
        );
        assert_eq!(original_name(r"C:\x\tool.exe", Some(false)), None);
    }
}
