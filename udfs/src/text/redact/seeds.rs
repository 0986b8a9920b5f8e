//! Made secrets in made command lines, of many kinds, by seed: nothing that a secret scanner could find stands in the source.

/// A line and the secret in it.
pub(crate) struct Seeded {
    pub(crate) kind: &'static str,
    pub(crate) secret: String,
    pub(crate) line: String,
}

const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const DIGITS: &str = "0123456789";

/// What a kind is made of: name, prefix, alphabet (`u`pper, `l`ower, `d`igits, `h`ex, `s`igns, `-` for `-_`, `+` for `+/`), length, and the
/// lines that carry it (`{}`).
type Kind = (
    &'static str,
    &'static str,
    &'static str,
    usize,
    &'static [&'static str],
);

/// Lines in which a token of a known issuer may stand with nothing to announce it.
const BARE: &[&str] = &[
    "deploy.sh {} production",
    "curl https://api.example.org/v1/x?a=1&id={}",
    "python3 run.py \"{}\"",
    "cmd /c echo {} > C:\\temp\\x.txt",
    "docker run -e X={} image",
    "git clone https://{}@git.example.org/a/b.git",
];

const KINDS: &[Kind] = &[
    ("aws access key", "AKIA", "ud", 16, BARE),
    ("aws temporary key", "ASIA", "ud", 16, BARE),
    (
        "aws secret key",
        "",
        "uld+",
        40,
        &[
            "aws configure set aws_secret_access_key {}",
            "set AWS_SECRET_ACCESS_KEY={}",
            "s3cmd --secret_key={} ls",
            "terraform apply -var secret_key={}",
        ],
    ),
    ("github token", "ghp_", "uld", 36, BARE),
    ("github app token", "ghs_", "uld", 36, BARE),
    ("github fine token", "github_pat_", "uld", 60, BARE),
    ("gitlab token", "glpat-", "uld-", 20, BARE),
    ("slack bot token", "xoxb-", "d", 24, BARE),
    ("slack user token", "xoxp-", "uld", 40, BARE),
    (
        "slack webhook",
        "https://hooks.slack.com/services/T",
        "ud",
        30,
        &[
            "curl -X POST -d '{\"text\":\"x\"}' {}",
            "Invoke-RestMethod -Uri {} -Method Post",
        ],
    ),
    (
        "discord webhook",
        "https://discord.com/api/webhooks/1",
        "uld-",
        60,
        &["curl -X POST -F file=@x {}", "iwr {} -Method Post"],
    ),
    ("stripe key", "sk_live_", "uld", 24, BARE),
    ("stripe restricted key", "rk_live_", "uld", 24, BARE),
    ("google api key", "AIza", "uld-", 35, BARE),
    ("google oauth secret", "GOCSPX-", "uld-", 28, BARE),
    ("google access token", "ya29.", "uld-", 60, BARE),
    ("openai key", "sk-proj-", "uld-", 48, BARE),
    ("anthropic key", "sk-ant-", "uld-", 48, BARE),
    ("hugging face token", "hf_", "ul", 34, BARE),
    ("npm token", "npm_", "uld", 36, BARE),
    ("pypi token", "pypi-", "uld-", 60, BARE),
    ("digitalocean token", "dop_v1_", "h", 64, BARE),
    ("sendgrid key", "SG.", "uld-", 66, BARE),
    ("mailgun key", "key-", "h", 32, BARE),
    ("shopify token", "shpat_", "h", 32, BARE),
    ("databricks token", "dapi", "h", 32, BARE),
    ("docker token", "dckr_pat_", "uld-", 27, BARE),
    ("vault token", "hvs.", "uld-", 24, BARE),
    ("new relic key", "NRAK-", "ud", 27, BARE),
    ("grafana token", "glsa_", "uld", 32, BARE),
    ("postman key", "PMAK-", "h", 58, BARE),
    ("doppler token", "dp.pt.", "uld", 43, BARE),
    ("figma token", "figd_", "uld-", 40, BARE),
    ("sentry token", "sntrys_", "uld", 60, BARE),
    ("tailscale key", "tskey-", "uld", 30, BARE),
    ("age key", "AGE-SECRET-KEY-1", "ud", 58, BARE),
    (
        "telegram token",
        "123456789:AA",
        "uld-",
        33,
        &[
            "curl https://api.telegram.org/bot{}/sendMessage?text=x",
            "bot.py {}",
        ],
    ),
    ("twilio key", "SK", "h", 32, BARE),
    ("jwt", "eyJhbGciOiJIUzI1NiJ9.eyJ", "uld-", 80, BARE),
    (
        "pem key",
        "-----BEGIN RSA PRIVATE KEY----- MII",
        "uld+",
        200,
        &[
            "echo \"{} -----END RSA PRIVATE KEY-----\" > k.pem",
            "printf '{}' | ssh-add -",
        ],
    ),
    (
        "url password",
        "",
        "uldx",
        12,
        &[
            "git clone https://bob:{}@git.example.org/x.git",
            "psql postgresql://app:{}@db:5432/x",
            "curl ftp://u:{}@ftp.example.org/f",
            "mongo mongodb+srv://root:{}@c0.example.org/x",
        ],
    ),
    (
        "long flag",
        "",
        "uldx",
        14,
        &[
            "tool --password {}",
            "tool --password={}",
            "tool --passwd \"{}\" run",
            "app.exe -Password {} -Force",
            "x --token '{}'",
            "gpg --batch --passphrase {} -d f",
            "app --db-password={} serve",
            "keytool -list -storepass {}",
        ],
    ),
    (
        "environment",
        "",
        "uldx",
        14,
        &[
            "PGPASSWORD={} psql -h db -U app",
            "export DB_PASSWORD='{}'",
            "docker run -e MYSQL_ROOT_PASSWORD={} mysql",
            "$env:API_TOKEN=\"{}\"; run",
            "set SECRET={}&& run.bat",
            "MYSQL_PWD={} mysql -u root",
            "env SSHPASS={} sshpass -e ssh h",
        ],
    ),
    (
        "mysql -p",
        "",
        "uld",
        12,
        &[
            "mysql -u root -p{} db",
            "mysqldump -uroot -p{} --all-databases",
            "docker exec db mysql -uroot -p{}",
        ],
    ),
    (
        "program -p",
        "",
        "uldx",
        12,
        &[
            "sshpass -p {} ssh root@10.0.0.5",
            "sshpass -p{} ssh root@10.0.0.5",
            "docker login -u bob -p {} registry.example.org",
            "psexec \\\\10.0.0.5 -u adm -p {} cmd",
            "sqlcmd -S db -U sa -P {} -Q \"select 1\"",
            "ldapsearch -x -D cn=a -w {} -b dc=x",
            "redis-cli -h r -a {} ping",
            "plink -ssh a@10.0.0.5 -pw {} ls",
            "7z x -p{} a.7z",
            "unzip -P {} a.zip",
            "unknowntool -p {} run",
        ],
    ),
    (
        "net use",
        "",
        "uldx",
        12,
        &[
            "net use Z: \\\\10.0.0.9\\share {} /user:corp\\bob",
            "net use \\\\10.0.0.9\\c$ /user:bob {}",
            "net user bob {} /add",
            "cmd /c \"net user bob {} /add /domain\"",
        ],
    ),
    (
        "windows switch",
        "",
        "uldx",
        12,
        &[
            "cmdkey /add:srv /user:bob /pass:{}",
            "wmic /node:10.0.0.9 /user:bob /password:{} process list",
            "schtasks /create /tn x /tr y /ru bob /rp {}",
            "xfreerdp /v:10.0.0.9 /u:bob /p:{}",
            "tasklist /s 10.0.0.9 /u bob /p {}",
        ],
    ),
    (
        "secure string",
        "",
        "uldx",
        14,
        &[
            "powershell -c \"ConvertTo-SecureString '{}' -AsPlainText -Force\"",
            "ConvertTo-SecureString -String \"{}\" -AsPlainText -Force",
            "$p = ConvertTo-SecureString -AsPlainText {} -Force",
        ],
    ),
    (
        "authorization",
        "",
        "uld+",
        40,
        &[
            "curl -H \"Authorization: Bearer {}\" https://x.example.org",
            "curl -H 'Authorization: Basic {}' https://x.example.org",
            "wget --header=\"Authorization: token {}\" https://x.example.org",
            "curl -H \"X-Api-Key: {}\" https://x.example.org",
            "curl -b \"Cookie: session={}\" https://x.example.org",
            "Invoke-WebRequest -Headers @{Authorization='Bearer {}'} https://x",
        ],
    ),
    (
        "connection string",
        "",
        "uldx",
        14,
        &[
            "app --conn \"Server=db;Database=x;User Id=sa;Password={};\"",
            "sqlpackage /tcs:\"Data Source=db;User ID=sa;Pwd={}\"",
            "func settings add \"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={}\"",
        ],
    ),
    (
        "sas",
        "",
        "uld+",
        43,
        &[
            "azcopy copy f \"https://a.blob.core.windows.net/c?sv=2022&sig={}\"",
            "curl \"https://x.example.org/f?X-Amz-Signature=1&token={}\"",
        ],
    ),
    (
        "json",
        "",
        "uldx",
        14,
        &[
            "curl -d '{\"user\":\"bob\",\"password\":\"{}\"}' https://x.example.org",
            "curl -d \"{\\\"client_secret\\\": \\\"{}\\\"}\" https://x.example.org",
        ],
    ),
    (
        "curl user",
        "",
        "uldx",
        12,
        &[
            "curl -u bob:{} https://x.example.org",
            "curl --user \"bob:{}\" https://x.example.org",
            "smbclient //srv/share -U bob%{}",
        ],
    ),
    (
        "piped",
        "",
        "uldx",
        12,
        &[
            "echo {} | sudo -S apt update",
            "echo \"bob:{}\" | chpasswd",
            "echo {} | docker login --password-stdin -u bob",
        ],
    ),
    (
        "impacket",
        "",
        "uldx",
        12,
        &[
            "secretsdump.py corp/bob:{}@10.0.0.9",
            "impacket-wmiexec corp/bob:{}@10.0.0.9 whoami",
        ],
    ),
    (
        "random run",
        "",
        "uld",
        32,
        &[
            "agent.exe --enroll {}",
            "msiexec /i a.msi /qn K1={}",
            "tool {}",
            "curl https://x.example.org/h/{}",
        ],
    ),
    (
        "hash of a password",
        "",
        "h",
        32,
        &[
            "crackmapexec smb 10.0.0.0/24 -u bob -H {}",
            "tool --hash {}",
            "evil-winrm -i 10.0.0.9 -u bob -H {}",
        ],
    ),
    (
        "openssl",
        "",
        "uldx",
        12,
        &[
            "openssl enc -aes-256-cbc -k {} -in a -out b",
            "openssl rsa -in a.pem -passin pass:{}",
            "openssl pkcs12 -export -passout pass:{} -in a",
        ],
    ),
];

/// `rounds` secrets of each kind, in each of its lines by turns. `below(n)` draws a number below n.
pub(crate) fn seeded(rounds: usize, below: &mut dyn FnMut(usize) -> usize) -> Vec<Seeded> {
    let mut out = vec![];
    for (kind, prefix, alphabet, length, lines) in KINDS {
        for round in 0..rounds {
            let secret = format!("{prefix}{}", body(alphabet, *length, below));
            let line = lines[round % lines.len()].replace("{}", &secret);
            out.push(Seeded { kind, secret, line });
        }
    }
    out
}

/// How many kinds there are.
pub(crate) fn kinds() -> usize {
    KINDS.len()
}

fn body(alphabet: &str, length: usize, below: &mut dyn FnMut(usize) -> usize) -> String {
    let classes: Vec<&str> = alphabet
        .chars()
        .map(|class| match class {
            'u' => UPPER,
            'l' => LOWER,
            'd' => DIGITS,
            'h' => "0123456789abcdef",
            '-' => "-_",
            '+' => "+/",
            _ => "!#*?~",
        })
        .collect();
    let all: String = classes
        .iter()
        .filter(|class| class.len() > 5)
        .copied()
        .collect();
    let mut out: Vec<char> = (0..length)
        .map(|_| all.as_bytes()[below(all.len())] as char)
        .collect();
    // Each class at least once, signs once, and never at an end.
    for (n, class) in classes.iter().enumerate() {
        out[1 + n * (length - 2) / classes.len()] = class.as_bytes()[below(class.len())] as char;
    }
    out.into_iter().collect()
}
