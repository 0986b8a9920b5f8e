//! Rules for transfer: downloads, uploads, tunnels, bare addresses, archives.
//!
//! Data only; [`super`] says how it is read. Keep a row small: what needs more than three groups is two rules.

use super::Level::{High, Low, Medium};
use super::Rule;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "powershell_download",
        level: Medium,
        technique: "T1105",
        description: "something is downloaded with PowerShell",
        all: &["\
            downloadstring;;downloadfile;;downloaddata;;invoke-webrequest;;=iwr;;=irm;;\
            invoke-restmethod;;net.webclient;;start-bitstransfer;;httpclient;;\
            system.net.webrequest;;xmlhttp"],
        none: "",
        example: "iwr https://a.b/c -OutFile c",
        near_miss: "Get-Content c",
    },
    Rule {
        name: "certutil_download",
        level: High,
        technique: "T1105",
        description: "certutil downloads a file",
        all: &["@certutil", "urlcache;;verifyctl;;http:;;https:;;ftp:"],
        none: "",
        example: "certutil -urlcache -split -f http://a.b/c c",
        near_miss: "certutil -hashfile c SHA256",
    },
    Rule {
        name: "bits_job",
        level: Medium,
        technique: "T1197",
        description: "a background transfer job is made",
        all: &["@bitsadmin;;start-bitstransfer;;set-notifycmdline"],
        none: "",
        example: "bitsadmin /transfer j http://a.b/c c:\\c",
        near_miss: "Get-Service BITS",
    },
    Rule {
        name: "port_forward",
        level: Medium,
        technique: "T1090",
        description: "ports are forwarded or a helper is loaded",
        all: &["\
            portproxy add;;add v4tov4;;add helper;;trace start;;set-netipinterface;;\
            wlan show profile"],
        none: "",
        example: "netsh interface portproxy add v4tov4 listenport=1",
        near_miss: "netsh interface show interface",
    },
    Rule {
        name: "archive_with_password",
        level: Medium,
        technique: "T1560.001",
        description: "data is packed with a password",
        all: &[
            "@rar;;@winrar;;@7z;;@7za;;@7zr;;winrar",
            " -hp;; -p;;-pass;;-v",
        ],
        none: "",
        example: "rar a -hpblue out.rar c:\\docs",
        near_miss: "7z l out.7z",
    },
    Rule {
        name: "pipe_to_shell",
        level: Medium,
        technique: "T1105",
        description: "a download or a text is piped into a shell",
        all: &["\
            | sh;;|sh;;| bash;;|bash;;| sudo;;|sudo;;| python;;|python;;| perl;;|perl;;| zsh;;\
            |zsh;;| php;;| ruby;;| node;;bash <(;;sh <(;;source <(;;| /bin/;;bash -s;;sh -s;;\
            $(curl;;$(wget;;`curl;;`wget;;| iex;;|iex;;-c $("],
        none: "",
        example: "curl -s https://a.b/c | bash",
        near_miss: "cat a | sort",
    },
    Rule {
        name: "download_tool",
        level: Low,
        technique: "T1105",
        description: "something is fetched from or sent to the network",
        all: &["\
            @curl;;@wget;;@fetch;;@aria2c;;@lwp-download;;@lwp-request;;@scp;;@sftp;;@ftp;;@tftp;;\
            @rsync;;@axel;;@http;;@https;;@smbclient;;@smbget;;@rclone;;@lynx;;@w3m;;@links;;\
            @whois;;@finger;;@telnet;;@nc;;@ncat;;@netcat;;@socat;;http://;;https://;;ftp://;;\
            @ssh;;@git clone;;git clone"],
        none: "",
        example: "wget https://a.b/c",
        near_miss: "which make",
    },
    Rule {
        name: "tunnel",
        level: Medium,
        technique: "T1572",
        description: "traffic is tunnelled",
        all: &["\
            @ngrok;;@chisel;;@ligolo;;@cloudflared;;@plink;;@autossh;;ssh -r;;ssh -d;;ssh -l;;\
            ssh -w;;ssh -n;;-d 1080;;socks;;@iodine;;@dnscat;;@dnscat2;;@dns2tcp;;@ptunnel;;\
            @frpc;;@gost;;@rpivot;;@proxychains;;@proxychains4;;@tailscale;;@sshuttle;;@stunnel;;\
            @bore;;@inlets;;@zerotier-cli;;tor ;;@tor;;remoteforward;;dynamicforward;;\
            :localhost:;;-nl ;;-fn;;@redsocks;;@microsocks;;-r 0.0.0.0"],
        none: "",
        example: "ngrok tcp 22",
        near_miss: "ssh host uptime",
    },
    Rule {
        name: "exfiltration",
        level: Medium,
        technique: "T1048",
        description: "a file is sent away",
        all: &["\
            --upload-file;;--post-file;;--data-binary;;-d @;;-f file;;-t file;;--form;;-f @;;\
            curl -t;;curl -f;;-x post;;-x put;;@rclone;;s3 cp;;s3 sync;;s3 mv;;transfer.sh;;\
            file.io;;pastebin;;.onion;;webhook;;api.telegram;;discord.com/api;;requestbin;;\
            burpcollab;;oast.;;interactsh;;ngrok.io;;mega.nz;;@megatools;;anonfiles;;0x0.st;;\
            termbin;;ix.io;;ftp -;;-method post;;-method put;;uploadfile;;uploadstring;;\
            uploaddata;;send-mailmessage;;smtp;;nslookup $;;dig $;;ping -p;;-infile;;dropbox"],
        none: "",
        example: "curl --upload-file x https://a.b",
        near_miss: "curl https://a.b/health",
    },
    Rule {
        name: "raw_address",
        level: Low,
        technique: "T1071",
        description: "a URL or a socket names a bare address",
        all: &["\
            ://0;;://1;;://2;;://3;;://4;;://5;;://6;;://7;;://8;;://9;; 10.;;192.168.;;172.16.;;\
            127.0.0.1;;0.0.0.0;;172.17.;;172.18.;;172.31.;;\\\\1;;@10.;;@192.;;@172.;;=10.;;\
            :4444;;localhost"],
        none: "",
        example: "curl http://10.0.0.5/x",
        near_miss: "curl http://a.b/x",
    },
];
