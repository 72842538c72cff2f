package maillog

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"sidepop/auth"
	"sidepop/index/store"
	"sidepop/index/watch"
	"sidepop/pop3"
)

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"alice":                         "alice",
		"":                              "",
		`a"b'c`:                         `a"b'c`,
		`a\b`:                           `a\\b`,
		"a\r\nb\x00\x1b[2J":             `a\r\nb\x00\x1b[2J`,
		"Zoë 👋":                         "Zoë 👋",
		"\xff\xfe":                      `\xff\xfe`,
		"\ufffd":                        "\ufffd",
		"a\u202eb\u2028c":               `a\u202eb\u2028c`,
		"\u0085\x7f":                    `\u0085\x7f`,
		strings.Repeat("x", maxValue):   strings.Repeat("x", maxValue),
		strings.Repeat("x", maxValue+1): strings.Repeat("x", maxValue) + "... (1025 octets)",
	} {
		if got := Escape(in); got != want {
			t.Errorf("%q:\n got %s\nwant %s", in, got, want)
		}
	}
}

var peer = pop3.Peer{
	Session: "S1",
	Remote:  netip.MustParseAddrPort("[2001:db8::1]:4000"),
	Local:   netip.MustParseAddrPort("192.0.2.1:110"),
	TLS:     &tls.ConnectionState{Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256},
}

// TestText has events beside their lines, times left out.
func TestText(t *testing.T) {
	const who = `session=S1`
	const where = `remote=[2001:db8::1]:4000 local=192.0.2.1:110 tls="TLS1.3 TLS_AES_128_GCM_SHA256"`
	plain := pop3.Peer{Session: "S2"}
	tests := []struct {
		log  func(*Log)
		want string
	}{
		{func(l *Log) { l.Connected(peer) }, "debug   connection " + who + " " + where},
		{func(l *Log) { l.Connected(plain) }, "debug   connection session=S2 remote=none local=none tls=none"},
		{func(l *Log) { l.LoggedIn(peer, "PLAIN", "a b") }, "info    login " + who + ` user="a b" mech=PLAIN ` + where},
		{func(l *Log) {
			l.LoginFailed(peer, "USER", "x\nlogin user=\"root\" y=1", fmt.Errorf("%w: no\x1b", pop3.ErrCredentials))
		},
			"info    login failed " + who + ` user="x\nlogin user=\"root\" y=1" mech=USER ` + where +
				` failure=credentials reason="[AUTH] authentication failed: no\x1b"`},
		{func(l *Log) {
			l.LoginFailed(plain, "PLAIN", "a", fmt.Errorf("%w: %w", pop3.ErrCredentials, auth.ErrDenied))
		},
			`info    login failed session=S2 user=a mech=PLAIN remote=none local=none tls=none` +
				` failure=denied reason="[AUTH] authentication failed: login not allowed"`},
		{func(l *Log) {
			l.LoginFailed(plain, "PLAIN", "a", fmt.Errorf("%w: %w", pop3.ErrCredentials, auth.ErrProtocol))
		},
			`info    login failed session=S2 user=a mech=PLAIN remote=none local=none tls=none` +
				` failure=protocol reason="[AUTH] authentication failed: malformed SASL response"`},
		{func(l *Log) { l.LoginFailed(plain, "USER", "a", pop3.ErrInUse) },
			`info    login failed session=S2 user=a mech=USER remote=none local=none tls=none` +
				` failure=in-use reason="[IN-USE] the maildrop is in use by another session"`},
		{func(l *Log) { l.LoginFailed(plain, "USER", "a", pop3.ErrPermanent) },
			`error   login failed session=S2 user=a mech=USER remote=none local=none tls=none` +
				` failure=permanent reason="[SYS/PERM] the server is not set up for this account"`},
		{func(l *Log) { l.LoginFailed(plain, "USER", "a", errors.New("e")) },
			`info    login failed session=S2 user=a mech=USER remote=none local=none tls=none failure=temporary reason=e`},
		{func(l *Log) { l.LoginFailed(plain, "USER", "", fmt.Errorf("%w: gone", pop3.ErrTemporary)) },
			`error   login failed session=S2 user="" mech=USER remote=none local=none tls=none failure=temporary reason="[SYS/TEMP] temporary failure, try again later: gone"`},
		{func(l *Log) { l.Failed(plain, "a", "RETR", errors.New("e")) },
			`error   session fault session=S2 user=a remote=none local=none tls=none command=RETR reason=e`},
		{func(l *Log) {
			l.Closed(plain, pop3.Summary{User: "a", Mechanism: "APOP", Reason: pop3.ReasonQuit, Top: 1, Retr: 2, Dele: 3, Octets: 4, Duration: 1234567 * time.Microsecond})
		}, `info    session closed session=S2 user=a mech=APOP remote=none local=none tls=none top=1 retr=2 dele=3 octets=4 seconds=1.235 reason=quit`},
		{func(l *Log) { l.Closed(plain, pop3.Summary{Reason: pop3.ReasonLost, Err: errors.New("broken pipe")}) },
			`info    session closed session=S2 remote=none local=none tls=none seconds=0 reason="connection lost" error="broken pipe"`},
		{func(l *Log) { l.Skipped("/m/new/\xffx", "a FIFO"); l.Skipped("/m/new/\xffx", "a FIFO") },
			`warning not served path=/m/new/\xffx reason="a FIFO"`},
		{func(l *Log) { l.Counting("/m\n", 1, 20) }, `info    counting path=/m\n done=1 total=20`},
		{func(l *Log) { l.Repaired("/m/new/x", "it had\n3 bytes") }, `warning index repaired path=/m/new/x reason="it had\n3 bytes"`},
		{func(l *Log) { l.Lagging() }, `warning watch lost events`},
		{func(l *Log) { l.Recovered("/m", 3, nil) }, `info    interrupted removal finished path=/m messages=3`},
		{func(l *Log) { l.Recovered("/m", 3, errors.New("e")) }, `error   interrupted removal not finished path=/m messages=3 reason=e`},
		{func(l *Log) { l.ControlFault(errors.New("e")) }, `error   control socket reason=e`},
		{func(l *Log) { l.Store(store.Notice{Event: store.SetAside, Path: "/s/x", Err: errors.New("damaged")}) },
			`error   index set aside path=/s/x reason=damaged`},
		{func(l *Log) { l.Store(store.Notice{Event: store.Failed, Path: "/s/x", Err: syscall.ENOSPC}) },
			`error   index not saved path=/s/x reason="no space left on device"`},
		{func(l *Log) { l.Store(store.Notice{Event: store.Recovered, Path: "/s/x"}) }, `info    index saved again path=/s/x`},
		{func(l *Log) { l.Store(store.Notice{Event: store.Forgotten, Path: "/s/x", Count: 3}) },
			`warning mailboxes forgotten by the index path=/s/x mailboxes=3`},
		{func(l *Log) {
			l.Store(store.Notice{Event: store.Refused, Path: "/s/x", Mailbox: "/m\n", Err: errors.New("large")})
		}, `warning mailbox too large for the index path=/s/x maildir=/m\n reason=large`},
		{func(l *Log) { l.Store(store.Notice{Event: store.Compacted, Path: "/s/x"}) }, `info    index compacted path=/s/x`},
		{func(l *Log) { l.Store(store.Notice{Event: store.CompactFailed, Path: "/s/x", Err: errors.New("e")}) },
			`warning index not compacted path=/s/x reason=e`},
		{func(l *Log) { l.Refused(plain, errors.New("many")) },
			`warning connection refused session=S2 remote=none local=none tls=none reason=many`},
	}
	for _, tt := range tests {
		var b bytes.Buffer
		l, err := New(&b, "debug", "text")
		if err != nil {
			t.Fatal(err)
		}
		tt.log(l)
		const stamp = "2006-01-02 15:04:05 "
		got := b.String()
		if len(got) < len(stamp) || got[len(stamp):] != tt.want+"\n" {
			t.Errorf("\n got %s\nwant %s%s", got, stamp, tt.want)
		}
	}
}

// TestNotWatched has reasons, one after the other, beside what is told of them:
// each kind once, whatever the folder is.
func TestNotWatched(t *testing.T) {
	watching := func(dir string, err error) error { return fmt.Errorf("watch %q: %w", dir, err) }
	var b bytes.Buffer
	l, err := New(&b, "info", "text")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		maildir string
		err     error
		want    string
	}{
		{"", fmt.Errorf("%w: fs.inotify.max_user_instances is 1", watch.ErrLimit),
			`reason="the kernel's inotify limit is reached: fs.inotify.max_user_instances is 1"`},
		{"/a", watching("/a/new", fmt.Errorf("%w: %w", watch.ErrLimit, syscall.ENOSPC)), ""},
		{"/a", watching("/a/new", syscall.EACCES), `path=/a reason="watch \"/a/new\": permission denied"`},
		{"/b", watching("/b/new", syscall.EACCES), ""},
		{"/b", watching("/b/new", syscall.ENOTDIR), `path=/b reason="watch \"/b/new\": not a directory"`},
		{"/c", watching("/c/new", fmt.Errorf("%w: NFS", watch.ErrNoNotification)),
			`path=/c reason="watch \"/c/new\": inotify does not tell all changes on this file system: NFS"`},
		{"/d", watching("/d/new", fmt.Errorf("%w: NFS", watch.ErrNoNotification)), ""},
		{"/d", watching("/d/new", fmt.Errorf("%w: FUSE", watch.ErrNoNotification)),
			`path=/d reason="watch \"/d/new\": inotify does not tell all changes on this file system: FUSE"`},
		{"/e", errors.New("odd"), `path=/e reason=odd`},
	} {
		b.Reset()
		l.NotWatched(tt.maildir, tt.err)
		_, got, _ := strings.Cut(strings.TrimSuffix(b.String(), "\n"), "warning not watched ")
		if got != tt.want {
			t.Errorf("%s %v:\n got %s\nwant %s", tt.maildir, tt.err, got, tt.want)
		}
	}
}

// TestNotices: each event of the store has its words.
func TestNotices(t *testing.T) {
	for e := store.SetAside; e <= store.CompactFailed; e++ {
		if notices[e].message == "" {
			t.Errorf("event %d has none", e)
		}
	}
}

// TestHelper: what is told of a helper is text in every format.
func TestHelper(t *testing.T) {
	for _, c := range []struct {
		log  func(Helper)
		want string
	}{
		{func(h Helper) { h.Died(errors.New("e\x1b")) }, `"message":"PAM helper ended","reason":"e\\x1b"`},
		{func(h Helper) { h.Unavailable(errors.New("e")) }, `"message":"PAM helper fails","reason":"e"`},
		{func(h Helper) { h.Logged(7, "words") }, `"line":"words","message":"PAM helper said","pid":7`},
		{func(h Helper) { h.Said("a\n", []string{"m1", "m2"}) }, `"line":"m1; m2","message":"PAM said"`},
		{func(h Helper) { h.NoMaildirs("Postfix", "s = 1", "/f") }, `"message":"mail of system users is delivered elsewhere","mta":"Postfix","path":"/f","reason":"s = 1: not`},
	} {
		var b bytes.Buffer
		l, err := New(&b, "info", "json")
		if err != nil {
			t.Fatal(err)
		}
		if c.log(Helper{l}); !strings.Contains(b.String(), c.want) {
			t.Errorf("%s, want %s", b.String(), c.want)
		}
	}
}

// TestJSON: one object a line, whatever is in it.
func TestJSON(t *testing.T) {
	var b bytes.Buffer
	l, err := New(&b, "info", "auto") // no terminal, no journal: JSON
	if err != nil {
		t.Fatal(err)
	}
	l.Connected(peer) // debug: not logged
	l.LoginFailed(peer, "USER", "x\n{\"\xff\u202e", errors.New("e"))
	var got map[string]any
	if strings.Count(b.String(), "\n") != 1 {
		t.Errorf("not one line: %q", b.String())
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "time")
	want := map[string]any{
		"level": "info", "message": "login failed", "session": "S1", "user": `x\n{"\xff\u202e`, "mech": "USER",
		"remote": "[2001:db8::1]:4000", "local": "192.0.2.1:110", "tls": "TLS1.3 TLS_AES_128_GCM_SHA256",
		"failure": "temporary", "reason": "e",
	}
	if !maps.Equal(got, want) {
		t.Errorf("\n got %v\nwant %v", got, want)
	}
}

func TestSeenIsBounded(t *testing.T) {
	var s seen
	for i := range maxSeen + 5 {
		if what := fmt.Sprint(i); !s.first(what) || s.first(what) {
			t.Fatalf("%s is not new once", what)
		}
	}
	if len(s.told) > maxSeen {
		t.Errorf("%d are remembered", len(s.told))
	}
}

func TestNewFails(t *testing.T) {
	if _, err := New(new(bytes.Buffer), "loud", "text"); err == nil {
		t.Error("an unknown level is taken")
	}
}

// TestJSONAgrees compares lines with those of logrus's own formatter.
func TestJSONAgrees(t *testing.T) {
	reference := &logrus.JSONFormatter{
		TimestampFormat: time.RFC3339Nano, DisableHTMLEscape: true,
		FieldMap: logrus.FieldMap{logrus.FieldKeyMsg: "message"},
	}
	for _, fields := range []logrus.Fields{
		{},
		{"a": "plain", "b": `quo"te`, "c": `back\slash`, "d": "<&>", "e": "tab\t", "f": "ä\u2028", "g": "\xff", "h": "\x7f", "i": ""},
		{"int": -5, "int64": int64(1) << 60, "uint64": uint64(1) << 63, "float": 0.003, "bool": true, "uint32": uint32(7)},
	} {
		e := &logrus.Entry{Data: fields, Time: time.Now(), Level: logrus.WarnLevel, Message: "a \"message\""}
		got, err := jsonFormat{}.Format(e)
		want, wantErr := reference.Format(e)
		if err != nil || wantErr != nil || string(got) != string(want) {
			t.Errorf("\n got %s\nwant %s (%v, %v)", got, want, err, wantErr)
		}
	}
}
