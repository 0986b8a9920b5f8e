//! What the arguments of an ordinary command may look like: the second half of [`super`].
//!
//! What: one general check for every argument ([`clean`]) and one for each kind of program: listed programs with their
//! sub-commands, cloud tools, cmdlets, installed vendor programs, processes of Windows itself.
//!
//! Why texts and not patterns: an argument is refused when it merely *contains* a word of the list. That refuses a file
//! called `shadow.css` too, and is meant to: refusing costs yield, and letting pass costs the set.

use super::super::words::{Word, is_cmdlet, listed, strip_suffix_ignore_case};
use super::programs::{CLOUD_VERBS, CMDLETS, SENSITIVE_CLOUD};

/// Nothing that an attacker reaches for, and nothing that runs other code.
fn clean(argument: &str) -> Result<(), &'static str> {
    const TEXTS: &str = "\
        /etc /root /tmp /var/tmp /dev/ /proc /sys/ /boot /var/log /var/www /var/spool /var/run \
        /run/ .ssh .aws .kube .gnupg .docker .azure id_rsa id_ed25519 passw pwd= secret token \
        credential shadow sudoers .pem .key .pfx .p12 .kdbx .jks history :// \\\\ ` $( ${ <( \
        eval exec system( spawn popen /bin/ \\temp %temp appdata \\downloads \\public \
        programdata $env: base64 \\x hklm hkcu hkey regist payload exploit inject backdoor \
        revers malware evil hack attack shell atomic rootkit beacon lsass ntds mimi dump \
        keychain cookie wallet crontab cron. /cron authorized .bashrc .profile .zshrc bash_ \
        startup autorun launchagent launchdaemon pam.d ld_preload ld.so admin suid setuid 4000 \
        u=s u+s g+s +s c2 msf vuln cve- .hta .sct .vbs .ps1 .bat .scr .jse .wsf javascript: \
        vbscript: proxy sam drivers\\ /inet getline command= cmd= program= script= pager editor \
        -oproxy hook plugin preload rpath loader debug regserver defender bypass disable \
        antivirus delegation c:\\users c:/users $home ~ %";
    const SHELLS: &str = "\
        sh bash zsh dash ksh fish csh cmd cmd.exe powershell powershell.exe pwsh python python3 \
        perl ruby php node nc ncat socat telnet curl wget sudo su";
    let lower = argument.to_lowercase();
    let percent = lower.contains('%') && !lower.starts_with('+'); // `date +%F`
    if lower != "/dev/null"
        && TEXTS
            .split_ascii_whitespace()
            .any(|text| lower.contains(text) && (text != "%" || percent))
    {
        return Err("an argument names something sensitive, remote or executable");
    }
    if listed(SHELLS, &lower)
        || lower
            .rsplit(['/', '\\'])
            .next()
            .is_some_and(|name| listed(SHELLS, name))
    {
        return Err("an argument is a shell or an interpreter");
    }
    if address(&lower) {
        return Err("an argument is a network address");
    }
    if argument.len() > 160 || argument.bytes().filter(|b| *b == b'\\').count() > 24 {
        return Err("an argument is very long");
    }
    if argument
        .split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '='))
        .any(|run| run.len() >= 40)
    {
        return Err("an argument looks encoded");
    }
    Ok(())
}

/// An IPv4 address anywhere in the argument.
fn address(argument: &str) -> bool {
    argument
        .split(|c: char| !(c.is_ascii_digit() || c == '.'))
        .any(|part| {
            let numbers: Vec<&str> = part.split('.').collect();
            numbers.len() == 4 && numbers.iter().all(|n| !n.is_empty() && n.len() <= 3)
        })
}

/// `shape`: `*` any clean arguments; words: the allowed sub-commands (`a.b` for two levels); `!x`: forbidden in any argument;
/// `0`: no arguments at all is fine too; `--x`: a flag that is allowed as the first argument; `?`: help and version only.
pub(super) fn known_program(
    shape: &str,
    arguments: &[Word<'_>],
    windows: bool,
) -> Result<(), &'static str> {
    for word in arguments {
        clean(&word.text)?;
    }
    let texts: Vec<&str> = arguments.iter().map(|w| w.text.as_ref()).collect();
    let asks = |word: &str| {
        matches!(
            word,
            "--help"
                | "--version"
                | "-h"
                | "-V"
                | "help"
                | "version"
                | "/?"
                | "-?"
                | "-help"
                | "-version"
        )
    };
    if let [only] = texts.as_slice()
        && asks(only)
    {
        return Ok(());
    }
    let parts: Vec<&str> = shape.split(' ').collect();
    for forbidden in parts.iter().filter_map(|part| part.strip_prefix('!')) {
        let hit = texts.iter().any(|word| {
            let cluster = forbidden.len() == 2
                && forbidden.starts_with('-')
                && word.starts_with('-')
                && !word.starts_with("--")
                && word.len() <= 6
                && word.contains(forbidden.get(1..).unwrap_or("-"));
            word.starts_with(forbidden)
                || cluster
                || (!forbidden.starts_with('-') && word.contains(forbidden))
        });
        if hit {
            return Err("an option that runs, writes or hides something");
        }
    }
    if parts.contains(&"*") {
        // what lies outside the working directory may be anything
        let outside =
            |word: &str| word.starts_with('/') && word.len() > 2 && !windows && word != "/dev/null";
        if texts.iter().any(|word| {
            outside(word)
                || word.split('=').nth(1).is_some_and(outside)
                || word.starts_with("../..")
        }) {
            return Err("an argument lies outside the working directory");
        }
        return Ok(());
    }
    if texts.is_empty() {
        return if parts.contains(&"0") {
            Ok(())
        } else {
            Err("the program without a sub-command")
        };
    }
    let flag = |w: &str| w.starts_with('-') || (windows && w.starts_with('/'));
    let bare: Vec<&str> = texts.iter().copied().filter(|w| !flag(w)).collect();
    let first_is_flag = texts.first().is_some_and(|w| flag(w));
    if first_is_flag {
        return if parts.contains(&texts[0].to_lowercase().as_str()) {
            Ok(())
        } else {
            Err("an option before the sub-command")
        };
    }
    let verb = bare.first().copied().unwrap_or("").to_lowercase();
    let two = format!(
        "{verb}.{}",
        bare.get(1).copied().unwrap_or("").to_lowercase()
    );
    if parts.contains(&verb.as_str()) || parts.contains(&two.as_str()) {
        Ok(())
    } else {
        Err("the sub-command is not among the known ordinary ones")
    }
}

pub(super) fn cloud(arguments: &[Word<'_>]) -> Result<(), &'static str> {
    let verbs: Vec<&str> = arguments
        .iter()
        .map(|w| w.text.as_ref())
        .take_while(|w| !w.starts_with('-'))
        .collect();
    for word in arguments {
        let text = word.text.to_lowercase();
        // resource ids are paths, and ids of ours are no secrets
        if [
            "://",
            "`",
            "$(",
            "passw",
            "secret",
            "token",
            "@",
            "payload",
            "script",
            "command",
            "key",
            "sas",
            "exploit",
            "reverse",
            "shell",
            "base64",
            "admin",
            "/etc",
            "/tmp",
            "identity",
            "credential",
            "cert",
            "run-",
            "custom-data",
            "user-data",
            "role",
            "scope",
        ]
        .iter()
        .any(|bad| text.contains(bad))
        {
            return Err("an argument names something sensitive, remote or executable");
        }
    }
    if verbs.iter().any(|verb| listed(SENSITIVE_CLOUD, verb)) {
        return Err("the cloud service is a sensitive one");
    }
    let Some(last) = verbs.last().filter(|_| verbs.len() >= 2) else {
        return Err("the program without a sub-command");
    };
    if listed(CLOUD_VERBS, last) {
        Ok(())
    } else {
        Err("the sub-command is not among the known ordinary ones")
    }
}

pub(super) fn cmdlet(name: &str, arguments: &[Word<'_>]) -> Result<(), &'static str> {
    if !listed(CMDLETS, name) {
        return Err("the cmdlet is not among the known ordinary ones");
    }
    for word in arguments {
        clean(&word.text)?;
        let text = word.text.as_ref();
        let variable = text.starts_with("$_") || text.starts_with("{$_");
        if text.contains(['(', '[', '@', '=', '}', '{', '$'])
            && !variable
            && !matches!(text, "{" | "}")
        {
            return Err("an expression among the arguments");
        }
        if text.to_lowercase().starts_with("-comp")
            || text.to_lowercase().starts_with("-cim")
            || text.to_lowercase().starts_with("-cred")
        {
            return Err("a remote machine or an account among the arguments");
        }
        if is_cmdlet(text) && text != name {
            return Err("a cmdlet among the arguments");
        }
    }
    // a script block may only look at the object: `{ $_.x -eq y }`
    for pair in arguments.windows(2) {
        if pair[0].text == "{" && !pair[1].text.starts_with("$_") {
            return Err("a script block");
        }
    }
    Ok(())
}

/// A program that an administrator installed: its own executable with plain arguments.
pub(super) fn vendor_program(
    path: &str,
    name: &str,
    arguments: &[Word<'_>],
) -> Result<(), &'static str> {
    const HOSTS: &str = "\
        7z 7za winrar rar python pythonw node java javaw javaws ruby perl php bash sh git ssh \
        scp sftp nmap ncat wireshark dumpcap tshark procdump psexec powershell pwsh cmd mimikatz \
        winscp plink putty pscp rclone code msbuild dotnet devenv vmware-vmx vboxmanage anydesk \
        teamviewer vncviewer tvnserver curl wget openssl gpg sqlcmd mysql mysqldump psql \
        mpcmdrun configsecuritypolicy offlinescannershell winword excel powerpnt msaccess \
        outlook appvlp msoxmled protocolhandler createdump dump64 sqldumper sqlps sqltoolsps \
        tracker vsjitdebugger wsl wt iexplore setup update installer wfica32 netsh reg bginfo";
    let parts = path.split('\\').count();
    if parts < 4
        || strip_suffix_ignore_case(path, ".exe").is_none()
        || path.contains("..")
        || path.contains('%')
    {
        return Err("the program lies outside a vendor's directory");
    }
    if listed(HOSTS, name) || path.contains("windowsapps\\python") {
        return Err("the program runs what its arguments say");
    }
    let prefix = [
        "renderer-cmd",
        "gpu-launcher",
        "utility-cmd",
        "load-extension",
        "remote-debugging",
        "headless",
        "no-sandbox",
        "dump-dom",
        "disable-web-security",
        "user-data-dir",
        "load-and-launch",
        "uninstall",
        "username",
        "install",
    ];
    for word in arguments {
        let text = word.text.to_lowercase();
        if prefix.iter().any(|p| text.contains(p)) {
            return Err("an option that runs, writes or hides something");
        }
        if text.starts_with("--")
            && !text.contains("://")
            && !text.contains(".exe")
            && !text.contains(".dll")
            && !text.contains('\\')
        {
            continue; // switches of browsers and agents: values without a path or a URL
        }
        clean(&text)?;
        if text.contains(".exe") || text.contains(".dll") || text.contains(".js") {
            return Err("an argument names something sensitive, remote or executable");
        }
    }
    Ok(())
}

/// `shape`: the allowed arguments, `#` for a number, `{}` for a GUID, `w` for a plain word after a flag; empty: none.
pub(super) fn system_process(shape: &str, arguments: &[Word<'_>]) -> Result<(), &'static str> {
    let allowed: Vec<&str> = shape.split(' ').collect();
    for word in arguments {
        let text = word.text.to_lowercase();
        let number = text.bytes().all(|b| b.is_ascii_digit())
            || text
                .strip_prefix("0x")
                .is_some_and(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
        let plain = text.len() <= 48
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':'));
        let guid = text.strip_prefix("/processid:").unwrap_or(&text);
        let guid = guid.starts_with('{')
            && guid.ends_with('}')
            && guid.len() <= 64
            && !guid.contains(['\\', '/', '%']);
        let fits = allowed.iter().any(|shape| match *shape {
            "#" => number,
            "{}" => guid,
            "w" => {
                plain && !text.starts_with('-') && !text.contains(".exe") && !text.contains(".dll")
            }
            prefix if prefix.ends_with(':') => text
                .strip_prefix(prefix)
                .is_some_and(|value| value.len() <= 96 && !value.contains(['\\', '/', '%'])),
            exact => text == exact,
        });
        if !fits {
            return Err("a system process with unusual arguments");
        }
    }
    if shape.starts_with("-k") && arguments.first().is_none_or(|w| w.text != "-k") {
        return Err("a system process with unusual arguments");
    }
    Ok(())
}

pub(super) fn writes(target: &str, program: &str) -> Result<(), &'static str> {
    if matches!(target, "/dev/null" | "nul" | "$null") {
        return Ok(());
    }
    let data = [
        ".txt", ".log", ".csv", ".json", ".out", ".md", ".xml", ".html", ".tsv", ".yaml", ".yml",
    ]
    .iter()
    .any(|e| target.ends_with(e));
    if !data || matches!(program, "echo" | "printf" | "cat" | "type") {
        return Err("it writes a file that may be run or read by another program");
    }
    clean(target)
}
