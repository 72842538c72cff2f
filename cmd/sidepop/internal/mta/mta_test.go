package mta

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sidepop/auth/postfix"
)

// fakeServer stands for a Postfix instance or an exim.
type fakeServer struct {
	name, dir string
	values    map[string]string // of Postfix's parameters
	pidFile   string
}

func (f fakeServer) Version() string                                       { return f.name + " 1" }
func (f fakeServer) Files() []string                                       { return []string{f.name} }
func (f fakeServer) Certificate() (certificate, key string)                { return "", "" }
func (f fakeServer) Local() Delivery                                       { return Delivery{Setting: f.name} }
func (f fakeServer) ConfigDir() string                                     { return f.dir }
func (f fakeServer) Parameter(name string) string                          { return f.values[name] }
func (f fakeServer) PIDFile() string                                       { return f.pidFile }
func (f fakeServer) real() *postfix.Postfix                                { return &postfix.Postfix{} }
func (f fakeServer) LocalDomain(_ context.Context, d string) (bool, error) { return d == f.name, nil }

var errFake = errors.New("main.cf: no such file")

// fakeMachine is a root folder, and the mail servers that are installed.
type fakeMachine struct {
	machine
	t         *testing.T
	instances map[string]fakeServer // of Postfix, by folder
	server    *fakeServer           // exim
	fault     error                 // of opening that
}

func newMachine(t *testing.T) *fakeMachine {
	m := &fakeMachine{t: t, instances: map[string]fakeServer{}}
	m.root = t.TempDir()
	m.postfix = postfixPackage{
		installed: func() bool { return len(m.instances) > 0 },
		open: func(_ context.Context, dir string) (postfixInstance, error) {
			if dir == "" {
				dir = "/etc/postfix"
			}
			if i, ok := m.instances[dir]; ok {
				return i, nil
			}
			return nil, errFake
		},
	}
	m.exim = eximPackage{
		installed: func() bool { return m.server != nil },
		open: func(context.Context) (eximServer, error) {
			if m.fault != nil {
				return nil, m.fault
			}
			return *m.server, nil
		},
	}
	return m
}

// file writes one in the root folder.
func (m *fakeMachine) file(path, content string) {
	m.t.Helper()
	path = m.path(path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
		m.t.Fatal(err)
	}
}

// link makes a symbolic link in the root folder, relative to its place.
func (m *fakeMachine) link(path, to string) {
	m.t.Helper()
	path = m.path(path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(to, path)); err != nil {
		m.t.Fatal(err)
	}
}

func (m *fakeMachine) process(pid int, args ...string) {
	m.t.Helper()
	m.file(fmt.Sprintf("/proc/%d/comm", pid), filepath.Base(args[0])+"\n")
	m.file(fmt.Sprintf("/proc/%d/cmdline", pid), strings.Join(args, "\x00")+"\x00")
}

// instance installs a Postfix; with a process id it runs.
func (m *fakeMachine) instance(dir string, pid int, others string) {
	m.t.Helper()
	queue := "/queue" + dir
	m.instances[dir] = fakeServer{name: dir, dir: dir, values: map[string]string{"queue_directory": queue, "multi_instance_directories": others}}
	if pid > 0 {
		m.file(queue+"/pid/master.pid", fmt.Sprintf("%32d\n", pid))
		m.process(pid, "/usr/lib/postfix/sbin/master", "-w")
	}
}

// exim4 installs an exim; with a process id it runs.
func (m *fakeMachine) exim4(pid int) {
	m.t.Helper()
	m.server = &fakeServer{name: "exim", pidFile: "/run/exim4/exim.pid"}
	if pid > 0 {
		m.file("/run/exim4/exim.pid", fmt.Sprintf("%d\n", pid))
		m.process(pid, "/usr/sbin/exim4", "-bd", "-q30m")
	}
}

func TestDetect(t *testing.T) {
	for _, tc := range []struct {
		name  string
		set   func(m *fakeMachine)
		want  string   // name, version, active
		found []string // part of each remark
	}{
		{"none", func(*fakeMachine) {}, "  false", []string{"neither Postfix nor exim is installed: set mailbox"}},
		{"another", func(m *fakeMachine) { m.link("/usr/sbin/sendmail", "smtpctl"); m.file("/usr/sbin/smtpctl", "") },
			"  false", []string{"/usr/sbin/sendmail is OpenSMTPD's"}},
		{"Postfix runs", func(m *fakeMachine) { m.instance("/etc/postfix", 7, "") }, "Postfix /etc/postfix 1 true", nil},
		{"Postfix is stopped", func(m *fakeMachine) { m.instance("/etc/postfix", 0, "") }, "Postfix /etc/postfix 1 false", nil},
		{"Postfix has left its process id", func(m *fakeMachine) {
			m.instance("/etc/postfix", 7, "")
			m.process(7, "/usr/bin/sh")
		}, "Postfix /etc/postfix 1 false", nil},
		{"exim runs", func(m *fakeMachine) { m.exim4(7) }, "exim exim 1 true", nil},
		{"exim is stopped", func(m *fakeMachine) { m.exim4(0) }, "exim exim 1 false", nil},
		{"exim runs without a process id", func(m *fakeMachine) {
			m.exim4(0)
			m.server.pidFile = ""
			m.process(8, "/usr/sbin/exim4", "-Mc", "1xV9Eq-0001rr-0n")
			m.process(9, "/usr/sbin/exim4", "-bdf")
		}, "exim exim 1 true", nil},
		{"exim runs without its process id's file", func(m *fakeMachine) {
			m.exim4(0)
			m.process(9, "/usr/sbin/exim4", "-bd", "-q30m")
		}, "exim exim 1 true", nil},
		{"exim only delivers", func(m *fakeMachine) {
			m.exim4(0)
			m.server.pidFile = ""
			m.process(8, "/usr/sbin/exim4", "-Mc", "1xV9Eq-0001rr-0n")
		}, "exim exim 1 false", nil},
		{"both, Postfix runs", func(m *fakeMachine) { m.instance("/etc/postfix", 7, ""); m.exim4(0) },
			"Postfix /etc/postfix 1 true", []string{"exim is installed too: Postfix was taken, since it runs"}},
		{"both, exim runs", func(m *fakeMachine) { m.instance("/etc/postfix", 0, ""); m.exim4(7) },
			"exim exim 1 true", []string{"Postfix is installed too: exim was taken, since it runs"}},
		{"both run, sendmail is exim's", func(m *fakeMachine) {
			m.instance("/etc/postfix", 7, "")
			m.exim4(8)
			m.link("/usr/sbin/sendmail", "exim4")
			m.file("/usr/sbin/exim4", "")
		}, "exim exim 1 true", []string{"Postfix is installed too and runs: exim was taken, since /usr/sbin/sendmail is its own"}},
		{"both stopped, sendmail is Postfix's", func(m *fakeMachine) {
			m.instance("/etc/postfix", 0, "")
			m.exim4(0)
			m.file("/usr/sbin/sendmail", "...%s/postdrop -r...")
		}, "Postfix /etc/postfix 1 false", []string{"since /usr/sbin/sendmail is its own"}},
		{"both stopped, by alternatives", func(m *fakeMachine) {
			m.instance("/etc/postfix", 0, "")
			m.exim4(0)
			m.link("/usr/sbin/sendmail", "../../etc/alternatives/mta")
			m.link("/etc/alternatives/mta", "../../usr/sbin/sendmail.exim")
			m.file("/usr/sbin/sendmail.exim", "")
		}, "exim exim 1 false", []string{"since /usr/sbin/sendmail is its own"}},
		{"both stopped, nothing tells", func(m *fakeMachine) { m.instance("/etc/postfix", 0, ""); m.exim4(0) },
			"Postfix /etc/postfix 1 false", []string{"nothing tells which one delivers"}},
		{"exim cannot be asked and is not needed", func(m *fakeMachine) {
			m.instance("/etc/postfix", 7, "")
			m.exim4(0)
			m.fault = errFake
		}, "Postfix /etc/postfix 1 true", []string{"exim is installed too and cannot be asked (main.cf: no such file)"}},
		{"exim runs and cannot be asked", func(m *fakeMachine) {
			m.instance("/etc/postfix", 0, "")
			m.exim4(7)
			m.fault = errFake
		}, "!exim: main.cf", nil},
		{"Postfix cannot be asked", func(m *fakeMachine) { m.instance("/etc/other", 0, "") }, "!Postfix: main.cf", nil},
		{"instances, none runs", func(m *fakeMachine) {
			m.instance("/etc/postfix", 0, "/etc/postfix-in, /etc/postfix-out")
			m.instance("/etc/postfix-in", 0, "")
			m.instance("/etc/postfix-out", 0, "")
		}, "Postfix /etc/postfix 1 false", []string{"/etc/postfix (does not run), /etc/postfix-in (does not run), /etc/postfix-out (does not run): that of /etc/postfix was taken"}},
		{"instances, the default runs", func(m *fakeMachine) {
			m.instance("/etc/postfix", 7, "/etc/postfix-in")
			m.instance("/etc/postfix-in", 8, "")
		}, "Postfix /etc/postfix 1 true", []string{"/etc/postfix-in (runs): that of /etc/postfix was taken"}},
		{"instances, another runs", func(m *fakeMachine) {
			m.instance("/etc/postfix", 0, "/etc/postfix-in /etc/postfix-gone")
			m.instance("/etc/postfix-in", 8, "")
		}, "Postfix /etc/postfix-in 1 true", []string{"the Postfix instance /etc/postfix-gone cannot be asked", "that of /etc/postfix-in was taken"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := newMachine(t)
			tc.set(m)
			got, err := m.detect(context.Background())
			if fault, ok := strings.CutPrefix(tc.want, "!"); ok {
				if err == nil || !strings.Contains(err.Error(), fault) {
					t.Errorf("got %+v, %v, want an error with %q", got, err, fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if is := fmt.Sprintf("%s %s %v", got.Name, got.Version, got.Active); is != tc.want {
				t.Errorf("got %q, want %q", is, tc.want)
			}
			if (got.Postfix != nil) != (got.Name == Postfix) {
				t.Errorf("%s with %v", got.Name, got.Postfix)
			}
			if !slices.EqualFunc(got.Found, tc.found, strings.Contains) {
				t.Errorf("found: got\n%s\nwant\n%s", strings.Join(got.Found, "\n"), strings.Join(tc.found, "\n"))
			}
			checkAnswers(t, got)
		})
	}
}

// checkAnswers checks that it is the server taken that answers.
func checkAnswers(t *testing.T, m *MTA) {
	t.Helper()
	name, _, _ := strings.Cut(m.Version, " ")
	local, err := m.LocalDomain(context.Background(), name)
	if m.Name == "" {
		if !errors.Is(err, ErrNone) || m.Local().Setting != "" || m.Files() != nil {
			t.Errorf("got %v, %v, %v, %v", local, err, m.Local(), m.Files())
		}
		return
	}
	if !local || err != nil || m.Local().Setting != name || !slices.Equal(m.Files(), []string{name}) {
		t.Errorf("%s: got %v, %v, %v, %v", name, local, err, m.Local(), m.Files())
	}
}

// TestUnreadable: where root alone reads a process id, any process of the kind
// counts.
func TestUnreadable(t *testing.T) {
	m := newMachine(t)
	// A folder cannot be read as a file, by root neither.
	if err := os.MkdirAll(m.path("/queue/etc/postfix/pid/master.pid"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.instance("/etc/postfix", 0, "")
	for _, want := range []bool{false, true} {
		got, err := m.detect(context.Background())
		if err != nil || got.Active != want {
			t.Errorf("got %+v, %v, want %v", got, err, want)
		}
		m.process(7, "/usr/lib/postfix/sbin/master", "-w")
	}
}

// TestProcess reads what processes that have ended, or are not any, leave.
func TestProcess(t *testing.T) {
	m := newMachine(t)
	m.file("/proc/1/comm", "gone\n")
	m.file("/proc/self/comm", "self\n")
	m.file("/proc/self/cmdline", "self")
	for _, pid := range []string{"1", "2", "self", "", ".."} {
		if p, ok := m.machine.process(pid); ok {
			t.Errorf("%q: got %+v", pid, p)
		}
	}
}

func TestSendmail(t *testing.T) {
	for _, tc := range []struct{ link, content, want string }{
		{"", "", ""},
		{"exim4", "", Exim},
		{"sendmail.postfix", "", Postfix},
		{"sendmail.sendmail", "", "sendmail"},
		{"dma", "", "dma"},
		{"../bin/msmtp", "", "msmtp"},
		{"", "x/postdrop -r", Postfix},
		{"", "/etc/mail/submit.cf", "sendmail"},
		{"", "another", ""},
		{"../lib/sm.bin/mystery", "x/postdrop", Postfix},
	} {
		m := newMachine(t)
		target := "/usr/sbin/sendmail"
		if tc.link != "" {
			m.link(target, tc.link)
			target = filepath.Join("/usr/sbin", tc.link)
		}
		if tc.link != "" || tc.content != "" {
			m.file(target, tc.content)
		}
		if got := m.sendmail(); got != tc.want {
			t.Errorf("%+v: got %q", tc, got)
		}
	}
}
