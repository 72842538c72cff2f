package maillog

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
)

// fakeJournal is a socket such as the journal's.
func fakeJournal(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// entry is the fields of the next entry.
func entry(t *testing.T, c *net.UnixConn) map[string]string {
	t.Helper()
	b := make([]byte, 64<<10)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	fields := make(map[string]string)
	for l := range strings.Lines(string(b[:n])) {
		name, value, ok := strings.Cut(strings.TrimSuffix(l, "\n"), "=")
		if _, twice := fields[name]; !ok || twice || !strings.HasSuffix(l, "\n") {
			t.Errorf("line %q", l)
		}
		fields[name] = value
	}
	return fields
}

func journalLog(path string) (*Log, *bytes.Buffer) {
	var instead bytes.Buffer
	logger := logrus.New()
	logger.SetOutput(&instead)
	logger.SetFormatter(newJournalFormat(path))
	return &Log{logger: logger}, &instead
}

func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	c := fakeJournal(t, path)
	l, instead := journalLog(path)
	l.LoginFailed(peer, "USER", "x\nPRIORITY=0", os.ErrNotExist)
	got := entry(t, c)
	for name, want := range map[string]string{
		"PRIORITY": "6", "SYSLOG_IDENTIFIER": "sidepop", "SIDEPOP_EVENT": "login failed",
		"SIDEPOP_SESSION": "S1", "SIDEPOP_USER": `x\nPRIORITY=0`, "SIDEPOP_MECH": "USER",
		"SIDEPOP_REMOTE": "[2001:db8::1]:4000", "SIDEPOP_LOCAL": "192.0.2.1:110",
		"SIDEPOP_TLS": "TLS1.3 TLS_AES_128_GCM_SHA256", "SIDEPOP_REASON": "file does not exist",
	} {
		if got[name] != want {
			t.Errorf("%s=%q, want %q", name, got[name], want)
		}
		delete(got, name)
	}
	if m := got["MESSAGE"]; !strings.HasPrefix(m, `login failed session=S1 user="x\nPRIORITY=0" mech=USER`) {
		t.Errorf("MESSAGE=%q", m)
	}
	if delete(got, "MESSAGE"); len(got) > 0 {
		t.Errorf("other fields: %v", got)
	}
	l.As("front").ConfigRefused(os.ErrInvalid)
	if got := entry(t, c); got["PRIORITY"] != "3" || got["SIDEPOP_ROLE"] != "front" {
		t.Errorf("%v", got)
	}
	if instead.Len() > 0 {
		t.Errorf("written to the output too: %q", instead)
	}
}

// TestJournalMoved: a process that no longer sees the journal's file goes on, and
// one that does finds the socket of another journal.
func TestJournalMoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	c := fakeJournal(t, path)
	l, instead := journalLog(path)
	unseen := path + ".unseen"
	if err := os.Rename(path, unseen); err != nil {
		t.Fatal(err)
	}
	l.As("front").Ready("1")
	if got := entry(t, c); got["SIDEPOP_EVENT"] != "ready" {
		t.Errorf("%v", got)
	}
	_ = c.Close()
	next := fakeJournal(t, path)
	l.As("front").Ready("2")
	if got := entry(t, next); got["SIDEPOP_VERSION"] != "2" {
		t.Errorf("%v", got)
	}
	_ = next.Close()
	if instead.Len() > 0 {
		t.Errorf("written to the output too: %q", instead)
	}
	l.As("front").Ready("3") // nobody is there
	if !strings.Contains(instead.String(), " info    ready role=front version=3\n") {
		t.Errorf("instead of the journal: %q", instead)
	}
}

// TestJournalLevels: every level that the configuration knows has a priority.
func TestJournalLevels(t *testing.T) {
	for _, level := range logrus.AllLevels {
		if _, ok := priorities[level]; !ok {
			t.Errorf("%s has none", level)
		}
	}
	if !slices.IsSorted([]int{int(priorities[logrus.ErrorLevel]), int(priorities[logrus.WarnLevel]), int(priorities[logrus.InfoLevel])}) {
		t.Error("worse is not lower")
	}
}
