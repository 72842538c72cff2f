package test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// secretMail is mail of the victim, with the marker in header and body.
func secretMail() []mail {
	mails := make([]mail, 3)
	for i := range mails {
		mails[i] = mail{dir: []string{"new", "cur", "new"}[i], name: fmt.Sprintf("%d.M1P1.mx1", 1700000000+i),
			data: fmt.Appendf(nil, "Subject: %s %d\n\n%[1]s\n", marker, i)}
	}
	return mails
}

// foreign is what no session of another user may be sent.
func foreign(t testing.TB) [][]byte {
	t.Helper()
	all := [][]byte{[]byte(marker)}
	shadow, err := os.ReadFile("/etc/shadow")
	must(t, err)
	for line := range bytes.Lines(shadow) {
		all = append(all, bytes.TrimSpace(line))
	}
	return all
}

// goodMail is what arrives in spite of what lies beside it. Its names sort after
// those of everything hostile.
func goodMail() []mail {
	names := []struct{ dir, rest string }{
		{"new", ".M1P1.mx1"},
		{"cur", ".\xe9\xff\xfe\x01.mx1:2,S"},         // not UTF-8
		{"new", "." + strings.Repeat("n", 255-10-1)}, // all that ext4 has
	}
	var mails []mail
	for i, n := range names {
		seconds := 1710000000 + i
		mails = append(mails, mail{dir: n.dir, name: fmt.Sprint(seconds) + n.rest, data: fmt.Appendf(nil, "Subject: good %d\n\nText.\n.\n", i)})
	}
	return mails
}

// hostility is what the owner of a Maildir can do to it.
type hostility struct {
	name string
	// do does it, to the Maildir at path. The victim has the mail of secretMail.
	do func(t *testing.T, path string, victim account)
	// good is whether the good messages can still be reached.
	good bool
}

// hostile is the place of a message that is none.
func hostile(path string) string { return filepath.Join(path, "new", "1700000000.M1P1.mx1") }

// instead puts a link where a folder was, which stays beside it.
func instead(t *testing.T, path, target string) {
	t.Helper()
	must(t, os.Rename(path, path+".aside"))
	must(t, os.Symlink(target, path))
}

// beside are the files of a Maildir that are read or written beside its messages:
// unique-ids of previous servers, and the quota.
var beside = []string{"dovecot-uidlist", "courierpop3dsizelist", "maildirsize"}

// public is a file of the victim's that anybody can read, with the marker.
func public(t *testing.T, victim account) (path string) {
	t.Helper()
	path = filepath.Join(folder(t), "1700000000.M1P1.mx1")
	must(t, os.WriteFile(path, []byte(marker), 0o644))
	must(t, os.Chown(path, victim.uid, victim.gid))
	return path
}

var hostilities = []hostility{
	{"symbolic link to /etc/shadow", func(t *testing.T, path string, _ account) {
		must(t, os.Symlink("/etc/shadow", hostile(path)))
	}, true},
	{"symbolic link to the other's message", func(t *testing.T, path string, victim account) {
		must(t, os.Symlink(secretMail()[0].path(victim.maildir), hostile(path)))
	}, true},
	{"symbolic link to what anybody can read", func(t *testing.T, path string, victim account) {
		must(t, os.Symlink(public(t, victim), hostile(path)))
	}, true},
	{"symbolic link to one's own message", func(t *testing.T, path string, _ account) {
		must(t, os.Symlink(goodMail()[0].path(path), hostile(path)))
	}, true},
	{"symbolic link to itself", func(t *testing.T, path string, _ account) {
		must(t, os.Symlink(hostile(path), hostile(path)))
	}, true},
	{"hard link to the other's message", func(t *testing.T, path string, victim account) {
		must(t, os.Link(secretMail()[0].path(victim.maildir), hostile(path)))
	}, true},
	{"hard link to root's file", func(t *testing.T, path string, victim account) {
		file := filepath.Join(filepath.Dir(victim.home), "of-root")
		must(t, os.WriteFile(file, []byte(marker), 0o600))
		must(t, os.Link(file, hostile(path)))
	}, true},
	{"FIFO", func(t *testing.T, path string, _ account) { must(t, syscall.Mkfifo(hostile(path), 0o666)) }, true},
	{"device", func(t *testing.T, path string, _ account) {
		const zero = 1<<8 | 5 // /dev/zero, which has no end
		if err := syscall.Mknod(hostile(path), syscall.S_IFCHR|0o666, zero); err != nil {
			skip(t, "mknod: "+err.Error())
		}
	}, true},
	{"socket", func(t *testing.T, path string, _ account) {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: hostile(path)})
		must(t, err)
		t.Cleanup(func() { _ = l.Close() })
	}, true},
	{"folder", func(t *testing.T, path string, _ account) { must(t, os.MkdirAll(hostile(path)+"/new", 0o777)) }, true},
	{"unreadable file", func(t *testing.T, path string, _ account) {
		must(t, os.WriteFile(hostile(path), []byte("not even for its owner"), 0))
	}, true},
	{"root's file", func(t *testing.T, path string, _ account) {
		must(t, os.WriteFile(hostile(path), []byte(marker), 0o600))
		must(t, os.Chown(hostile(path), 0, 0))
	}, true},
	{"FIFOs beside the messages", func(t *testing.T, path string, _ account) {
		for _, name := range beside {
			must(t, syscall.Mkfifo(filepath.Join(path, name), 0o666))
		}
	}, true},
	{"links to the other's files beside the messages", func(t *testing.T, path string, victim account) {
		for _, name := range beside {
			must(t, os.Symlink(secretMail()[0].path(victim.maildir), filepath.Join(path, name)))
		}
	}, true},
	{"links to what anybody can read beside the messages", func(t *testing.T, path string, victim account) {
		for _, name := range beside {
			must(t, os.Symlink(public(t, victim), filepath.Join(path, name)))
		}
	}, true},
	{"new is the other's", func(t *testing.T, path string, victim account) {
		instead(t, path+"/new", victim.maildir+"/new")
	}, false},
	{"cur is the other's", func(t *testing.T, path string, victim account) {
		instead(t, path+"/cur", victim.maildir+"/cur")
	}, false},
	{"new is where anybody can read", func(t *testing.T, path string, victim account) {
		instead(t, path+"/new", filepath.Dir(public(t, victim)))
	}, false},
	{"new is /etc", func(t *testing.T, path string, _ account) { instead(t, path+"/new", "/etc") }, false},
	{"the Maildir is the other's", func(t *testing.T, path string, victim account) {
		instead(t, path, victim.maildir)
	}, false},
	{"the Maildir is its owner's, elsewhere", func(t *testing.T, path string, _ account) {
		instead(t, path, path+".aside")
	}, true},
	{"the Maildir is a FIFO", func(t *testing.T, path string, _ account) {
		must(t, os.Rename(path, path+".aside"))
		must(t, syscall.Mkfifo(path, 0o666))
	}, false},
	{"new is a FIFO", func(t *testing.T, path string, _ account) {
		must(t, os.Rename(path+"/new", path+"/aside"))
		must(t, syscall.Mkfifo(path+"/new", 0o666))
	}, false},
}
