//! Rules for credentials: memory, hives, files, tickets, cloud keys, searches for passwords.
//!
//! Data only; [`super`] says how it is read. Keep a row small: what needs more than three groups is two rules.

use super::Level::{High, Low, Medium};
use super::Rule;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "credential_dump_lsass",
        level: High,
        technique: "T1003.001",
        description: "memory of the security service is dumped or opened",
        all: &[
            "lsass",
            "\
                procdump;;minidump;;comsvcs;;-ma ;;-mm ;;createdump;;sqldumper;;tttracer;;\
                rdrleakdiag;;.dmp;;dumpert;;out-minidump;;procexp;;avdump;;dump64",
        ],
        none: "",
        example: "procdump.exe -accepteula -ma lsass.exe out.dmp",
        near_miss: "tasklist /fi \"imagename eq lsass.exe\"",
    },
    Rule {
        name: "lsass_mentioned",
        level: Low,
        technique: "T1003.001",
        description: "the security service is named",
        all: &["lsass"],
        none: "",
        example: "tasklist /fi \"imagename eq lsass.exe\"",
        near_miss: "tasklist /fi \"imagename eq spoolsv.exe\"",
    },
    Rule {
        name: "process_dump_library",
        level: High,
        technique: "T1003.001",
        description: "a process is dumped through comsvcs",
        all: &["comsvcs"],
        none: "",
        example: "rundll32 comsvcs.dll, #24 624 x full",
        near_miss: "rundll32 shell32.dll,Control_RunDLL",
    },
    Rule {
        name: "process_dump_tool",
        level: Low,
        technique: "T1003",
        description: "a tool that writes the memory of a process",
        all: &["\
            @procdump;;@procdump64;;@sqldumper;;@createdump;;@rdrleakdiag;;@dumpert;;@tttracer;;\
            writeminidump;;minidumpwritedump"],
        none: "",
        example: "procdump -ma notepad.exe",
        near_miss: "procexp.exe",
    },
    Rule {
        name: "registry_hive_save",
        level: High,
        technique: "T1003.002",
        description: "a registry hive with credentials is saved",
        all: &[
            "reg save;;reg.exe save;;reg export;;reg.exe export;;save-registry;;esentutl;;copy ",
            "\
                hklm\\sam;;hklm\\security;;hklm\\system ;;hkey_local_machine\\sam;;\
                hkey_local_machine\\security;;config\\sam;;config\\security;;config\\system;;\
                config/sam",
        ],
        none: "",
        example: "reg save HKLM\\sam sam.hiv",
        near_miss: "reg export HKLM\\Software\\Vendor x.reg",
    },
    Rule {
        name: "domain_database",
        level: High,
        technique: "T1003.003",
        description: "the domain database is reached",
        all: &["ntds.dit;;@ntdsutil;;ntds\\ntds;;ac i ntds"],
        none: "",
        example: "ntdsutil \"ac i ntds\" ifm \"create full c:\\x\" q q",
        near_miss: "nltest /dclist",
    },
    Rule {
        name: "shadow_copy_access",
        level: Medium,
        technique: "T1003.003",
        description: "a shadow copy is made, mounted or listed",
        all: &["vssadmin;;@vshadow;;globalroot\\device;;shadowcopy;;@diskshadow;;shadow copy"],
        none: "",
        example: "vssadmin create shadow /for=C:",
        near_miss: "wbadmin get versions",
    },
    Rule {
        name: "kerberos_or_directory_attack",
        level: High,
        technique: "T1558",
        description: "Kerberos tickets or directory replication are abused",
        all: &["\
            asktgt;;asktgs;;kerberoast;;asreproast;;dcsync;;golden;;s4u;;dumpcreds;;lsadump;;\
            sekurlsa;;kerberos::;;privilege::debug;;token::elevate;;/ptt;;pass-the;;overpass;;\
            krbtgt;;getuserspns;;getnpusers;;zerologon;;printnightmare;;ticketer;;goldenpac;;\
            dcshadow;;ntlmrelay;;petitpotam;;ldapnomnom"],
        none: "goldendict",
        example: "x asktgt /user:a /rc4:b /ptt",
        near_miss: "klist",
    },
    Rule {
        name: "password_file",
        level: High,
        technique: "T1003.008",
        description: "the password hashes of the system are read or written",
        all: &["\
            /etc/shadow;;/etc/master.passwd;;/etc/gshadow;;/etc/security/passwd;;shadow.bak;;\
            /var/db/dslocal;;unshadow;;etc/shadow"],
        none: "",
        example: "cat /etc/shadow",
        near_miss: "cat /etc/hosts",
    },
    Rule {
        name: "ssh_keys",
        level: Medium,
        technique: "T1098.004",
        description: "SSH keys are read or planted",
        all: &["\
            authorized_keys;;id_rsa;;id_ed25519;;id_dsa;;.ssh/;;ssh_host_;;ssh-keygen;;\
            ssh-copy-id;;@ssh-add;;known_hosts"],
        none: "",
        example: "echo x >> ~/.ssh/authorized_keys",
        near_miss: "ssh host uptime",
    },
    Rule {
        name: "cluster_secrets",
        level: Medium,
        technique: "T1552.007",
        description: "secrets or rights of a cluster are read",
        all: &[
            "kubectl;;kubeletctl;;serviceaccount;;@peirates;;etcdctl;;@oc",
            "\
                secret;;auth can-i;;serviceaccount;;exec ;;--token;;clusterrole;;create -f;;\
                apply -f;;run ;;cp ;;port-forward;;proxy;;--insecure;;--as;;10250;;--kubeconfig;;\
                sa/;;cronjob;;impersonate",
        ],
        none: "",
        example: "kubectl get secrets -A",
        near_miss: "kubectl get pods",
    },
    Rule {
        name: "cloud_metadata",
        level: High,
        technique: "T1552.005",
        description: "cloud credentials are read from the instance",
        all: &["\
            169.254.169.254;;metadata.google.internal;;169.254.170.2;;latest/meta-data;;\
            latest/user-data;;metadata.azure;;100.100.100.200;;fd00:ec2"],
        none: "",
        example: "curl http://169.254.169.254/latest/meta-data/",
        near_miss: "curl http://10.1.1.1/status",
    },
    Rule {
        name: "cloud_credentials",
        level: Medium,
        technique: "T1098.001",
        description: "cloud identities, keys or logs are changed",
        all: &["\
            create-access-key;;create-login-profile;;put-user-policy;;attach-user-policy;;\
            add-user-to-group;;get-session-token;;assume-role;;get-access-token;;stop-logging;;\
            delete-trail;;update-trail;;put-event-selectors;;delete-log-group;;delete-log-stream;;\
            delete-flow-logs;;delete-detector;;stop-configuration-recorder;;delete-config-rule;;\
            get-secret-value;;get-password-data;;create-user;;create-snapshot;;modify-snapshot;;\
            send-command;;create-key;;create-image;;update-function-code;;add-permission;;\
            attach-role;;put-role;;passrole;;start-session;;put-bucket;;get-caller-identity;;\
            get-account-authorization;;list-users;;get-credential;;diagnostic-settings delete;;\
            role assignment;;ad app;;ad sp;;ad user;;ad signed;;get-federation;;credential reset;;\
            run-command;;keyvault;;create-remote-connection;;add-iam;;set-iam;;\
            service-accounts keys;;print-access-token;;add-role"],
        none: "",
        example: "aws iam create-access-key --user-name x",
        near_miss: "aws s3 ls",
    },
    Rule {
        name: "keychain",
        level: Medium,
        technique: "T1555.001",
        description: "the keychain or saved passwords are read",
        all: &["\
            keychain;;find-generic-password;;find-internet-password;;security dump;;kcpassword;;\
            login data;;logins.json;;key4.db;;cookies;;web data;;local state;;@security;;\
            gnome-keyring;;secret-tool;;passwordvault;;.kdbx;;keepass;;chrome\\user data;;\
            edge\\user data;;firefox\\profiles;;sitemanager.xml;;.git-credentials;;.netrc;;\
            .pgpass;;confcons;;unattend;;web.config;;.rdp;;wallet;;defaultpassword;;cpassword;;\
            groups.xml;;sysprep"],
        none: "",
        example: "security dump-keychain -d login.keychain",
        near_miss: "sec list",
    },
    Rule {
        name: "secret_search",
        level: Medium,
        technique: "T1552.001",
        description: "passwords are searched for, typed or written",
        all: &["\
            password;;passwd;;passphrase;;cpassword;;secret;;credential;;api_key;;apikey;;\
            api-key;;private_key;;private-key;;access_key;;accesskey;;_token;;-token;;token=;;\
            -creds;;=creds;;pwd=;;sshpass;;-asplaintext;;securestring;;pscredential;;\
            connectionstring;;private key;;bearer ;;authorization:;;rc4:;;aes256:;;ntlm;;-hashes;;\
            logonpasswords;;.pfx;;.p12;;.pem"],
        none: "",
        example: "grep -ri password /srv",
        near_miss: "grep -ri colour /srv",
    },
];
