package config

import (
	"crypto/tls"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"sidepop/auth"
	"sidepop/auth/oauth"
	"sidepop/cmd/sidepop/internal/certs"
	"sidepop/index"
	"sidepop/pop3"
)

// minimal is two lines before the one that is tried.
const minimal = `listen.pop3 = ["[::]:110"] # and the file of the users
auth.passwd_file = "/users"
`

func TestParse(t *testing.T) {
	c, err := Parse("f", `
hostname = "mx_1.example.org"
user = "pop"
runtime_dir = "/srv/run//pop/"
mailbox = "/var/mail/%d/%n/"
mail_user = "vmail"
minimum_uid = 500
uidl = "courier"
x_uidl = true
uidl_lists_before = 2026-11-22T08:30:00+01:00
listen = { pop3 = ["127.0.0.1:110", "[::1]:110"], pop3s = ["[::]:995"] }
[tls]
certificate = "/c"
key = "/k"
certificates = [{ certificate = "/c2", key = "/k2" }, { certificate = "/c3", key = "/c3" }]
profile = "modern"
minimum_version = "1.3"
curves = ["X25519", "X25519MLKEM768"]
client_ca = "/ca"
[auth]
sources = ["pam", "passwd", "virtual"]
passwd_file = "/etc/%d/users"
passwd_domains = ["Example.ORG", "b"]
pam_service = "pop"
pam_helper = "/opt/sidepop-pam"
pam_domains = ["c"]
pam_session = true
fold_case = false
postfix = ["/etc/postfix", "/etc/postfix-in"]
password_maps = "hash:/etc/postfix/pw, proxy:mysql:/etc/pw.cf"
virtual_domains = ["d"]
allow = ["10.0.0.0/8"]
deny = ["10.1.0.0/16", "local"]
user_networks = { "Joe@Example.org" = ["::1"] }
cache_time = "5m"
failure_delay = "1s"
network = true
plaintext = true
apop = true
cram_md5 = true
scram = "always"
channel_binding = true
master_users = "/etc/masters"
certificate_users = "/etc/owners"
oauth_issuer = "https://id.example.org"
oauth_audience = ["mail", "pop"]
oauth_jwks = "https://id.example.org/keys"
oauth_introspection = "http://localhost:5556/introspect"
oauth_client_id = "c"
oauth_client_secret_file = "/secret"
oauth_user_claim = "sub"
oauth_scope = ["openid", "mail"]
[pop3]
utf8_headers = "refuse"
expire = 30
[index]
state_dir = "/srv/pop/"
watch = "active"
commit_delay = "10s"
commit_count = 100
keep_time = "1h"
mark_seen = false
[limits]
line = 512
idle_time = "1h30m"
sessions_per_user = 1
[log]
level = "debug"
format = "journald"
`)
	if err != nil {
		t.Fatal(err)
	}
	if c.Hostname != "mx_1.example.org" || c.User != "pop" || c.Runtime != "/srv/run/pop" ||
		c.Mailbox != "/var/mail/%d/%n/" || c.MailUser != "vmail" || c.MinUID != 500 || c.UIDL != index.SchemeCourier || !c.XUIDL || c.ListsBefore.Unix() != 1795332600 {
		t.Errorf("top: %+v", c)
	}
	if len(c.Listen.POP3) != 2 || c.Listen.POP3S[0] != netip.MustParseAddrPort("[::]:995") {
		t.Errorf("listen: %+v", c.Listen)
	}
	nets := func(list ...string) auth.Networks {
		n, err := auth.ParseNetworks(list)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	wantAuth := Auth{
		Sources: []string{"pam", "passwd", "virtual"}, PasswdFile: "/etc/%d/users", PasswdDomains: []string{"example.org", "b"},
		PAMService: "pop", PAMHelper: "/opt/sidepop-pam", PAMDomains: []string{"c"}, PAMSession: true, FoldCase: false,
		Postfix: []string{"/etc/postfix", "/etc/postfix-in"}, PasswordMaps: "hash:/etc/postfix/pw, proxy:mysql:/etc/pw.cf",
		VirtualDomains: []string{"d"}, Allow: nets("10.0.0.0/8"), Deny: nets("10.1.0.0/16", "local"),
		UserNetworks: map[string]auth.Networks{"joe@example.org": nets("::1")},
		CacheTime:    5 * time.Minute, FailureDelay: time.Second, Network: true, Plaintext: true, APOP: true,
		CRAMMD5: true, SCRAM: SCRAMAlways, Binding: true, MasterUsers: "/etc/masters", CertificateUsers: "/etc/owners",
		OAuth: oauth.Options{
			Issuer: "https://id.example.org", Audience: []string{"mail", "pop"}, JWKSURL: "https://id.example.org/keys",
			IntrospectionURL: "http://localhost:5556/introspect", ClientID: "c", ClientSecretFile: "/secret",
			UserClaim: "sub", Scope: []string{"openid", "mail"},
		},
	}
	wantTLS := TLS{
		Certificate: "/c", Key: "/k", ClientCA: "/ca", Certificates: []certs.Files{{Certificate: "/c2", Key: "/k2"}, {Certificate: "/c3", Key: "/c3"}},
		Profile: "modern", Minimum: tls.VersionTLS13, Curves: []tls.CurveID{tls.X25519, tls.X25519MLKEM768},
	}
	if !reflect.DeepEqual(c.TLS, wantTLS) || !reflect.DeepEqual(c.Auth, wantAuth) {
		t.Errorf("tls, auth: %+v\n got %+v\nwant %+v", c.TLS, c.Auth, wantAuth)
	}
	if c.POP3 != (POP3{pop3.RefuseUTF8, "30"}) || c.Log != (Log{"debug", "journald"}) {
		t.Errorf("pop3, log: %+v %+v", c.POP3, c.Log)
	}
	if c.Index != (Index{"/srv/pop", index.WatchActive, 10 * time.Second, 100, time.Hour, false}) {
		t.Errorf("index: %+v", c.Index)
	}
	want := Default().Limits
	want.Line, want.Idle, want.SessionsPerUser = 512, 90*time.Minute, 1
	if c.Limits != want {
		t.Errorf("limits: %+v", c.Limits)
	}
}

// TestProblems has bad configurations beside the messages they must give. A
// text that ends in minimal is complete but for what it shows.
func TestProblems(t *testing.T) {
	const pairList = `expected a list of tables, such as [{ certificate = "/etc/ssl/mx.pem", key = "/etc/ssl/mx.key" }], with paths from /`
	const addressList = `expected a list of IP addresses with ports, such as ["[::]:110"] or ["127.0.0.1:110", "[::1]:110"]`
	tests := []struct{ text, want string }{
		{"user = vmail\n", `f:1: not TOML: `},
		{"[listen]\npop3 = []\npop3 = []\n", `f:3: not TOML: `},

		{minimal + "usr = \"x\"", `f:3: usr: unknown key, expected user?`},
		{minimal + "[log]\n\nuser = \"x\"", `f:5: log.user: unknown key, expected user? It belongs above the first table.`},
		{minimal + "idle_time = \"1h\"", `f:3: idle_time: unknown key, expected limits.idle_time? It belongs in the table [limits].`},
		{minimal + "[limits]\nidletime = \"1h\"", `f:4: limits.idletime: unknown key, expected limits.idle_time?`},
		{minimal + "[limts]\nline = 3\nlime = 3", `f:3: limts: unknown key, expected limits?`},
		{minimal + "[limits.line]\nx = 3", `f:3: limits.line: a table, expected a whole number from 255 to 8192`},
		{minimal + "frobnicate = 1979-05-27", `f:3: frobnicate: unknown key, expected one of those in sidepop.toml(5)`},
		{minimal + "log = \"info\"", `f:3: log: "info", expected a table: a line with [log], its keys in the lines below`},
		{minimal + "[[log]]\nlevel = \"info\"", `f:3: log: a list of tables, expected a table: a line with [log], its keys in the lines below`},
		{minimal + "\"log\".'levle' = \"info\"", `f:3: log.levle: unknown key, expected log.level?`},

		{minimal + `"limits.line" = 300`, `f:3: "limits.line": unknown key, expected limits.line? It belongs in the table [limits].`},

		{minimal + `hostname = "a b"`, `f:3: hostname: "a b", expected a host name such as "mx.example.org"`},
		{minimal + `hostname = "evil>\r\n+OK"`, `f:3: hostname: "evil>\r\n+OK", expected a host name such as "mx.example.org"`},
		{minimal + `user = ""`, `f:3: user: "", expected the name of a user of this machine, such as "vmail"`},
		{minimal + `user = 0`, `f:3: user: 0, expected the name of a user of this machine, such as "vmail"`},
		{minimal + `mail_user = ""`, `f:3: mail_user: "", expected the name of a user of this machine, such as "vmail"`},
		{minimal + `mail_user = 5000`, `f:3: mail_user: 5000, expected the name of a user of this machine, such as "vmail"`},
		{minimal + `mailuser = "vmail"`, `f:3: mailuser: unknown key, expected mail_user?`},
		{minimal + "[auth]\nmail_user = \"vmail\"", `f:4: auth.mail_user: unknown key, expected mail_user? It belongs above the first table.`},
		{minimal + `minimum_uid = 0`, `f:3: minimum_uid: 0, expected a whole number from 1 to 2147483647`},
		{minimal + `minimum_uid = 2147483648`, `f:3: minimum_uid: 2147483648, expected a whole number from 1 to 2147483647`},
		{minimal + `minimum_uid = "1000"`, `f:3: minimum_uid: "1000", expected a whole number from 1 to 2147483647`},
		{minimal + `minimum_gid = 1000`, `f:3: minimum_gid: unknown key, expected minimum_uid?`},
		{minimal + `runtime_dir = ""`, `f:3: runtime_dir: "", expected the path of a folder, from /, of at most 95 bytes`},
		{minimal + `runtime_dir = "//"`, `f:3: runtime_dir: "//", expected the path of a folder, from /, of at most 95 bytes`},
		{minimal + `runtime_dir = "run/sidepop"`, `f:3: runtime_dir: "run/sidepop", expected the path of a folder, from /, of at most 95 bytes`},
		{minimal + `runtime_dir = "/run/\u0000"`, `f:3: runtime_dir: "/run/\x00", expected the path of a folder, from /, of at most 95 bytes`},
		{minimal + `runtime_dir = "/` + strings.Repeat("x", 95) + `"`,
			`f:3: runtime_dir: "/` + strings.Repeat("x", 95) + `", expected the path of a folder, from /, of at most 95 bytes`},
		{minimal + `mailbox = "Maildir"`, `f:3: mailbox: "Maildir", expected a path that begins with "/", "~/" or "%h", in which %u, %n and %d stand for the user`},
		{minimal + `mailbox = "/mail/%x"`, `f:3: mailbox: "/mail/%x": expand: unknown variable "%x": only %u, %n, %d, %h and %% exist`},
		{minimal + `uidl = "Md5"`, `f:3: uidl: "Md5", expected one of "courier", "md5", "sidepop"`},
		{minimal + `x_uidl = "yes"`, `f:3: x_uidl: "yes", expected true or false`},
		{minimal + `uidl_lists_before = "yesterday"`, `f:3: uidl_lists_before: "yesterday", expected a date, such as 2026-11-22 or 2026-11-22T08:30:00+01:00, without quotes, or ""`},

		{"auth.passwd_file = \"/u\"\n[listen]\npop3 = \"[::]:110\"", `f:3: listen.pop3: "[::]:110", ` + addressList},
		{"auth.passwd_file = \"/u\"\n[listen]\npop3 = [\"localhost:110\"]", `f:3: listen.pop3: "localhost:110", ` + addressList},
		{"auth.passwd_file = \"/u\"\n[listen]\npop3 = [\":110\"]", `f:3: listen.pop3: ":110", ` + addressList},
		{"auth.passwd_file = \"/u\"\n[listen]\npop3 = [\n  \"0.0.0.0:110\",\n  110,\n]", `f:3: listen.pop3: 110, ` + addressList},
		{"auth.passwd_file = \"/u\"\n[listen]\npop3 = [\"[::]:0\"]", `f:3: listen.pop3: "[::]:0", ` + addressList},
		{"auth.passwd_file = \"/u\"\n[listen]\npop3 = [\"[::]:65536\"]", `f:3: listen.pop3: "[::]:65536", ` + addressList},
		{"auth.passwd_file = \"/u\"\n[listen]\npop3 = [\"[::]:1\", \"[::]:1\"]", `f:3: listen.pop3: [::]:1 is there twice, expected each address once`},
		{"auth.passwd_file = \"/u\"\n[listen]\npop3 = []\n", `f:2: listen: no address, expected pop3 = ["[::]:110"], pop3s = ["[::]:995"] or both in the table [listen]`},
		{minimal + "listen.pop3s = [\"[::]:110\"]\ntls = {certificate = \"/c\", key = \"/k\"}", `f:3: listen.pop3s: [::]:110 is in listen.pop3 too, expected each address once`},
		{minimal + `tls.certificate = "/c"`, `f:3: tls.key: missing, expected the file of the certificate's private key`},
		{minimal + "[tls]\nkey = \"/k\"", `f:3: tls.certificate: missing, expected the file of the certificate with its chain`},
		{minimal + "listen.pop3s_legacy = [\"[::]:110\"]\ntls.profile = \"legacy\"", `f:3: listen.pop3s_legacy: [::]:110 is in listen.pop3 too, expected each address once`},
		{minimal + "listen.pop3s_legacy = [\"[::]:10995\"]", `f:3: listen.pop3s_legacy: needs tls.profile = "legacy"`},
		{minimal + "listen.proxy_networks = [\"proxy\"]", `f:3: listen.proxy_networks: "proxy", expected a list of networks and addresses, such as ["10.0.0.5", "2001:db8::/64"]`},
		{minimal + "listen.proxy_certificates = true", `f:3: listen.proxy_certificates: there are no proxies, expected listen.proxy_networks too`},
		{minimal + "listen.proxy_networks = \"10.0.0.0/8\"", `f:3: listen.proxy_networks: "10.0.0.0/8", expected a list of networks and addresses, such as ["10.0.0.5", "2001:db8::/64"]`},
		{minimal + `tls.profile = "old"`, `f:3: tls.profile: "old", expected one of "modern", "intermediate", "legacy"`},
		{minimal + `tls.profile = "legacy"`, `f:3: tls.profile: "legacy" without a listener for old devices, expected listen.pop3s_legacy = ["[::]:10995"], listen.pop3_legacy or both: nobody else is spoken to with TLS 1.0 and 1.1`},
		{minimal + `tls.minimum_version = "1.1"`, `f:3: tls.minimum_version: "1.1", expected "1.2" or "1.3", or tls.profile = "legacy" with a listener for old devices`},
		{minimal + `tls.minimum_version = 1.2`, `f:3: tls.minimum_version: 1.2, expected one of "1.0", "1.1", "1.2", "1.3"`},
		{minimal + "tls.profile = \"modern\"\ntls.minimum_version = \"1.2\"", `f:4: tls.minimum_version: "1.2", expected "1.3" for tls.profile = "modern", or another profile`},
		{minimal + "tls.profile = \"legacy\"\nlisten.pop3_legacy = [\"[::]:10110\"]\ntls.minimum_version = \"1.2\"",
			`f:5: tls.minimum_version: "1.2", expected "1.0" or "1.1" for tls.profile = "legacy", or another profile`},
		{minimal + `tls.curves = ["P-224"]`,
			`f:3: tls.curves: "P-224", expected a list with any of "P-256", "P-384", "P-521", "SecP256r1MLKEM768", "SecP384r1MLKEM1024", "X25519", "X25519MLKEM768", each once`},
		{minimal + `tls.certificates = ["/c"]`, `f:3: tls.certificates: a list, ` + pairList},
		{minimal + `tls.certificates = []`, `f:3: tls.certificates: a list, ` + pairList},
		{minimal + `tls.certificates = [{certificate = "/c"}]`, `f:3: tls.certificates: number 1 is not a table with certificate and key, ` + pairList},
		{minimal + `tls.certificates = [{certificate = "/c", key = "k"}]`, `f:3: tls.certificates: number 1 is not a table with certificate and key, ` + pairList},
		{minimal + "[[tls.certificates]]\ncertificate = \"/c\"\nkey = \"/k\"\nname = \"x\"\n", `f:3: tls.certificates: number 1 is not a table with certificate and key, ` + pairList},
		{minimal + `tls.certificates = [{certificate = "/c", key = "/k"}, {key = "/k", certificate = "/c"}]`, `f:3: tls.certificates: /c is there twice, expected each certificate once`},
		{minimal + "[tls]\ncertificate = \"c.pem\"\nkey = \"/k\"", `f:4: tls.certificate: "c.pem", expected the path of a file, from /`},

		{"auth.sources = [\"passwd\"]", `f:1: auth.sources: "passwd" needs auth.passwd_file`},
		{minimal + "auth.sources = [\"virtual\"]", `f:3: auth.sources: "virtual" needs auth.password_maps`},
		{minimal + "auth.sources = [\"pam\", \"pam\"]", `f:3: auth.sources: "pam", expected a list with any of "passwd", "virtual", "pam", each once, in the order in which they are asked`},
		{minimal + "auth.sources = []", `f:3: auth.sources: a list, expected a list with any of "passwd", "virtual", "pam", each once, in the order in which they are asked`},
		{minimal + "auth.pam_service = \"../other\"", `f:3: auth.pam_service: "../other", expected the name of a file in /etc/pam.d, such as "sidepop"`},
		{minimal + "auth.pam_domains = [\"a b\"]", `f:3: auth.pam_domains: "a b", expected a list of domains, such as ["example.org"]`},
		{minimal + "auth.postfix = \"/etc/postfix\"", `f:3: auth.postfix: "/etc/postfix", expected a list of folders, from /, such as ["/etc/postfix"]`},
		{minimal + "auth.password_maps = \"/etc/postfix/pw\"", `f:3: auth.password_maps: "/etc/postfix/pw", expected Postfix tables, such as "hash:/etc/postfix/passwords"`},
		{minimal + "auth.allow = \"10.0.0.0/8\"", `f:3: auth.allow: "10.0.0.0/8", expected a list of networks and addresses, such as ["10.0.0.0/8", "2001:db8::1", "local"]`},
		{minimal + "auth.allow = []", `f:3: auth.allow: a list, expected a list of networks and addresses, such as ["10.0.0.0/8", "2001:db8::1", "local"]`},
		{minimal + "auth.allow = [10]", `f:3: auth.allow: a list, expected a list of networks and addresses, such as ["10.0.0.0/8", "2001:db8::1", "local"]`},
		{minimal + "auth.user_networks = []", `f:3: auth.user_networks: a list, expected a table, such as { "joe" = ["10.0.0.0/8"], "@example.org" = ["local"] }`},
		{minimal + "auth.failure_delay = \"2m\"", `f:3: auth.failure_delay: "2m", expected a time from "10ms" to "1m", such as "90s" or "1h30m"`},
		{"listen.pop3 = [\"[::]:110\"]\n[auth]\npasswd_file = \"/%u\"", `f:3: auth.passwd_file: "/%u", expected the path of a file, from /, in which %d may stand for the domain`},
		{minimal + `auth.certificate_users = "/x"`, `f:3: auth.certificate_users: there are no certificates of clients, expected tls.client_ca too`},
		{minimal + `auth.scram = "on"`, `f:3: auth.scram: "on", expected one of "always", "auto", "never"`},
		{minimal + "auth.oauth_jwks = \"keys\"", `f:3: auth.oauth_jwks: "keys", expected the path of a file, from /, or a URL such as "https://id.example.org/keys"`},
		{minimal + "auth.oauth_jwks = \"http://id.example.org/\"", `f:3: auth.oauth_jwks: "http://id.example.org/", expected https (http only with an address of the loopback interface)`},
		{minimal + "auth.oauth_introspection = \"/x\"", `f:3: auth.oauth_introspection: "/x", expected a URL such as https://id.example.org/keys`},
		{minimal + "auth.oauth_issuer = \"\"", `f:3: auth.oauth_issuer: "", expected the issuer as its tokens name it, such as "https://id.example.org"`},
		{minimal + "auth.oauth_audience = []", `f:3: auth.oauth_audience: a list, expected a list of those whom tokens are for, such as ["mail"]`},
		{minimal + "auth.oauth_scope = [\"a b\"]", `f:3: auth.oauth_scope: "a b", expected a list of words, such as ["openid", "mail"]`},
		{minimal + "[auth]\noauth_audience = [\"mail\"]\noauth_issuer = \"i\"", `f:4: auth.oauth_audience: OAuth: neither keys of the issuer nor an introspection endpoint is given, expected a JWKS file, a JWKS URL or an introspection URL`},
		{minimal + "auth.oauth_jwks = \"/keys\"", `f:3: auth.oauth_jwks: OAuth: keys are given without issuer or audience, expected both: a token for somebody else may have the same signature`},
		{minimal + "auth.oauth_introspection = \"https://id.example.org/\"", `f:3: auth.oauth_introspection: OAuth: an introspection URL is given without client id or the file with its secret, expected both (RFC 7662, section 2.1)`},
		{minimal + `auth.apop = 1`, `f:3: auth.apop: 1, expected true or false`},

		{minimal + `pop3.utf8_headers = "drop"`, `f:3: pop3.utf8_headers: "drop", expected one of "refuse", "send"`},
		{minimal + `pop3.expire = "30"`, `f:3: pop3.expire: "30", expected "never", a number of days from 0 to 3650 without quotes, or "" to announce nothing`},
		{minimal + `pop3.expire = -1`, `f:3: pop3.expire: -1, expected "never", a number of days from 0 to 3650 without quotes, or "" to announce nothing`},

		{minimal + `index.state_dir = ""`, `f:3: index.state_dir: "", expected the path of a folder, from /, of at most 93 bytes`},
		{minimal + `index.state_dir = "/"`, `f:3: index.state_dir: "/", expected the path of a folder, from /, of at most 93 bytes`},
		{minimal + `index.state_dir = "sidepop"`, `f:3: index.state_dir: "sidepop", expected the path of a folder, from /, of at most 93 bytes`},
		{minimal + `index.state_dir = "/` + strings.Repeat("x", 93) + `"`,
			`f:3: index.state_dir: "/` + strings.Repeat("x", 93) + `", expected the path of a folder, from /, of at most 93 bytes`},
		{minimal + `index.watch = true`, `f:3: index.watch: true, expected one of "active", "all", "none"`},
		{minimal + `index.commit_delay = "0s"`, `f:3: index.commit_delay: "0s", expected a time from "10ms" to "10m", such as "90s" or "1h30m"`},
		{minimal + `index.commit_count = 0`, `f:3: index.commit_count: 0, expected a whole number from 100 to 100000`},
		{minimal + `index.keep_time = "59s"`, `f:3: index.keep_time: "59s", expected a time from "1m" to "24h", such as "90s" or "1h30m"`},
		{minimal + `index.mark_seen = "yes"`, `f:3: index.mark_seen: "yes", expected true or false`},

		{minimal + "[limits]\nidle_time = \"9m59s\"", `f:4: limits.idle_time: "9m59s", expected a time from "10m" to "24h", such as "90s" or "1h30m"`},
		{minimal + "[limits]\nlogin_time = 180", `f:4: limits.login_time: 180, expected a time from "5s" to "24h", such as "90s" or "1h30m"`},
		{minimal + "[limits]\nlogin_time = \"3 minutes\"", `f:4: limits.login_time: "3 minutes", expected a time from "5s" to "24h", such as "90s" or "1h30m"`},
		{minimal + "[limits]\nlogin_delay = \"-1s\"", `f:4: limits.login_delay: "-1s", expected a time from "0s" to "24h", such as "90s" or "1h30m"`},
		{minimal + "[limits]\nline = 254", `f:4: limits.line: 254, expected a whole number from 255 to 8192`},
		{minimal + "[limits]\nline = 255.0", `f:4: limits.line: 255, expected a whole number from 255 to 8192`},
		{minimal + "[limits]\nconnections = 99999999999999999", `f:4: limits.connections: 99999999999999999, expected a whole number from 1 to 1000000`},
		{minimal + "[limits]\nsessions_per_user = 0", `f:4: limits.sessions_per_user: 0, expected a whole number from 1 to 10000`},

		{minimal + `log.level = "trace"`, `f:3: log.level: "trace", expected one of "error", "warn", "info", "debug"`},
		{minimal + `log.format = true`, `f:3: log.format: true, expected one of "auto", "text", "json", "journald"`},

		{"uidl = 1\n\n[limits]\nline = 1\n[log]\nlevel = 1\n", // all at once
			`f:1: uidl: 1, expected one of "courier", "md5", "sidepop"
f:4: limits.line: 1, expected a whole number from 255 to 8192
f:6: log.level: 1, expected one of "error", "warn", "info", "debug"`},
	}
	for _, tt := range tests {
		_, err := Parse("f", tt.text)
		switch got := ""; {
		case err == nil:
			t.Errorf("%q is taken", tt.text)
		case strings.HasSuffix(tt.want, "not TOML: "):
			if got = err.Error(); !strings.HasPrefix(got, tt.want) || len(got) == len(tt.want) {
				t.Errorf("%q:\n got %s\nwant %s...", tt.text, got, tt.want)
			}
		default:
			if got = err.Error(); got != tt.want {
				t.Errorf("%q:\n got %s\nwant %s", tt.text, got, tt.want)
			}
		}
	}
	if _, err := Parse("f", minimal); err != nil {
		t.Errorf("what is good in all of them is refused: %v", err)
	}
}

// TestBounds has values that are just not too little or too much: a path of the
// most bytes leaves room for a socket in it, whose address the kernel takes.
func TestBounds(t *testing.T) {
	c, err := Parse("f", minimal+"minimum_uid = 1\nruntime_dir = \"/"+strings.Repeat("r", 94)+"\"\nindex.state_dir = \"/"+strings.Repeat("s", 92)+"\"")
	if err != nil {
		t.Fatal(err)
	}
	if c.MinUID != 1 {
		t.Errorf("minimum_uid: %d", c.MinUID)
	}
	const most = len(syscall.RawSockaddrUnix{}.Path) - 1 // a zero comes last
	for _, socket := range []string{c.Runtime + "/" + KeeperSocket, c.Index.StateDir + "/notify-keeper"} {
		if len(socket) != most {
			t.Errorf("%s has %d bytes, not %d", socket, len(socket), most)
		}
	}
	if c, err = Parse("f", minimal+"minimum_uid = 2147483647"); err != nil || c.MinUID != math.MaxInt32 {
		t.Errorf("minimum_uid: %+v, %v", c, err)
	}
}

func TestReadFails(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, maxFile+1); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		dir + "/none": ": can't be read: no such file or directory",
		dir:           ": can't be read: is a directory",
		large:         ": can't be read: larger than 1048576 bytes: not a configuration",
	} {
		if _, err := Read(file); err == nil || err.Error() != file+want {
			t.Errorf("%s: got %v, want %s", file, err, want)
		}
	}
}
