package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"sidepop/index"
	"sidepop/index/store"
	"sidepop/pop3"
)

// tryProcess is a running `sidepop try`.
type tryProcess struct {
	*testing.T
	cmd    *exec.Cmd
	output string // a file
}

// startTry starts it in a process of its own and waits until it is ready.
func startTry(t *testing.T, args ...string) *tryProcess {
	t.Helper()
	p := &tryProcess{T: t, output: filepath.Join(t.TempDir(), "output")}
	f, err := os.Create(p.output)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p.cmd = exec.Command(buildSidepop(t), append([]string{"try"}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = f, f
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(os.Interrupt)
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("try: %v\n%s", err, p.text())
		}
		if left := regexp.MustCompile(`/\S*/sidepop-try-\d+`).FindString(p.text()); left != "" {
			if _, err := os.Stat(left); err == nil {
				t.Errorf("%s is left", left)
			}
		}
	})
	p.wait("ready for clients")
	return p
}

// buildSidepop gives the command's executable.
func buildSidepop(t *testing.T) string {
	t.Helper()
	exe := filepath.Join(t.TempDir(), "sidepop")
	build := exec.Command("go", "build", "-o", exe, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return exe
}

func (p *tryProcess) text() string {
	data, err := os.ReadFile(p.output)
	if err != nil {
		p.Fatal(err)
	}
	return string(data)
}

// wait waits until something is printed.
func (p *tryProcess) wait(part string) {
	p.Helper()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(p.text(), part); {
		if time.Now().After(deadline) {
			p.Fatalf("%q is not printed:\n%s", part, p.text())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// commands is what is printed for people to paste.
func commands(guide string) (all []string) {
	var current []string
	for line := range strings.Lines(guide) {
		text, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "    ")
		begins := ok && regexp.MustCompile(`^(curl|openssl|\()`).MatchString(text)
		if !begins && len(current) == 0 {
			continue
		}
		current = append(current, text)
		if !strings.HasSuffix(text, `\`) && !strings.HasSuffix(text, "&&") {
			all = append(all, strings.Join(current, "\n"))
			current = nil
		}
	}
	return all
}

// TestTryCommands pastes each printed command into a shell.
func TestTryCommands(t *testing.T) {
	for _, program := range []string{"sh", "curl", "openssl"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("SIDEPOP_TEST_REQUIRE_ALL") == "1" {
				t.Fatalf("%s is not installed", program)
			}
			t.Skipf("%s is not installed", program)
		}
	}
	p := startTry(t)
	guide := p.text()
	for line := range strings.Lines(guide) {
		if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > 80 {
			t.Errorf("over 80 columns: %s", line)
		}
	}
	found := regexp.MustCompile(`PASS ([a-z-]+), LIST`).FindStringSubmatch(guide)
	user := regexp.MustCompile(`USER (\S+), PASS`).FindStringSubmatch(guide)
	if found == nil || user == nil {
		t.Fatalf("no user and password:\n%s", guide)
	}
	typed := "USER " + user[1] + "\nPASS " + found[1] + "\nLIST\nRETR 1\nQUIT\n"
	all := commands(guide)
	if len(all) != 7 {
		t.Fatalf("%d commands: %q", len(all), all)
	}
	const welcome = "Subject: Welcome to sidepop"
	for i, tt := range []struct{ has, input, wants, told string }{
		{"pop3://localhost", "", "\n9 ", "in plaintext (PLAIN)"},
		{"pop3://localhost", "", welcome, "1 message fetched, 720 octets"},
		{"--ssl-reqd", "", welcome, "over TLS 1.3 (PLAIN)"},
		{"pop3s://localhost", "", welcome, ""},
		{"openssl", typed, welcome, "over TLS 1.3 (USER)"},
		{"starttls", typed, welcome, ""},
		{"mktemp", "", "", `new mail: "Hello", from "you@example.org", 48 bytes`},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		cmd := exec.CommandContext(ctx, "sh", "-c", all[i])
		cmd.Stdin = strings.NewReader(tt.input)
		var complaints bytes.Buffer
		cmd.Stderr = &complaints
		out, err := cmd.Output()
		cancel()
		if err != nil || !strings.Contains(all[i], tt.has) || !strings.Contains(string(out), tt.wants) {
			t.Errorf("%s\n%v\n%s%s", all[i], err, out, complaints.String())
		}
		p.wait(tt.told)
	}
}

// TestTryWords: what others wrote is shown harmless and short.
func TestTryWords(t *testing.T) {
	long := strings.Repeat("ä", 100)
	for _, tt := range []struct{ message, from, subject string }{
		{"From: A <a@b.c>\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\n\n", `"a@b.c"`, `"Grüße"`},
		{"From: =?utf-8?q?=1B[2J?= <a@b.c>\nSubject: =?utf-8?q?=1B[2J=07?=\n\n", `"\x1b[2J <a@b.c>"`, `"\x1b[2J\a"`},
		{"From: nobody in particular\nSubject: " + long + "\n\n", `"nobody in particular"`, `"` + strings.Repeat("ä", 37) + `..."`},
		{"Subject: x\n\n", `"nobody"`, `"x"`},
		{"no header", "somebody", "a message without a readable header"},
		{"", "somebody", "a message without a readable header"},
	} {
		from, subject := head(strings.NewReader(tt.message))
		if from != tt.from || subject != tt.subject {
			t.Errorf("%q:\n got %s, %s\nwant %s, %s", tt.message, from, subject, tt.from, tt.subject)
		}
	}
	for _, tt := range []struct {
		s    pop3.Summary
		want string
	}{
		{pop3.Summary{}, "nothing fetched"},
		{pop3.Summary{Retr: 1, Octets: 1}, "1 message fetched, 1 octet"},
		{pop3.Summary{Top: 2, Retr: 1234, Octets: 1234567, Dele: 3}, "1,234 messages fetched, top of 2 messages fetched, 1,234,567 octets, 3 messages REMOVED"},
	} {
		if got := strings.Join(deeds(tt.s), ", "); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

// TestTryIndexWords has events of the index beside what is said of them, times
// left out.
func TestTryIndexWords(t *testing.T) {
	fault := errors.New("no\nway")
	for _, tt := range []struct {
		event func(index.Events)
		want  string
	}{
		{func(e index.Events) { e.Skipped("/m/new/x", "a FIFO") }, "not served: /m/new/x: a FIFO"},
		{func(e index.Events) { e.Counting("/m", 64, 1234) }, "counting the mail in /m: 64 of 1,234 messages"},
		{func(e index.Events) { e.Repaired("/m", "x") }, "the index was wrong and is mended: /m: x"},
		{func(e index.Events) { e.NotWatched("", fault) }, `new mail is looked for at logins only: no\nway`},
		{func(e index.Events) { e.NotWatched("/m", fault) }, `new mail in /m is looked for at logins only: no\nway`},
		{func(e index.Events) { e.Lagging() }, "too much happened at once: the next login reads the Maildir again"},
		{func(e index.Events) { e.Recovered("/m", 2, nil) }, "a removal in /m that was interrupted is finished: 2 messages REMOVED"},
		{func(e index.Events) { e.Recovered("/m", 0, fault) }, `a removal in /m that was interrupted can't be finished: no\nway`},
		{func(e index.Events) { e.Store(store.Notice{Event: store.SetAside, Path: "/s", Err: fault}) },
			`the index can't be used and is kept as /s; a new one is begun: no\nway`},
		{func(e index.Events) { e.Store(store.Notice{Event: store.Failed, Path: "/s", Err: fault}) }, `the index /s can't be saved: no\nway`},
		{func(e index.Events) { e.Store(store.Notice{Event: store.Recovered, Path: "/s"}) }, "the index /s can be saved again"},
		{func(e index.Events) { e.Store(store.Notice{Event: store.Forgotten, Path: "/s", Count: 2}) },
			"the index forgets 2 mailboxes, which will be counted again: it could not be saved"},
		{func(e index.Events) { e.Store(store.Notice{Event: store.Refused, Mailbox: "/m", Err: fault}) }, `the index does not keep /m: no\nway`},
		{func(e index.Events) { e.Store(store.Notice{Event: store.Compacted, Path: "/s"}) }, "the index /s is smaller now"},
		{func(e index.Events) { e.Store(store.Notice{Event: store.CompactFailed, Path: "/s", Err: fault}) },
			`the index /s could not be made smaller: no\nway`},
	} {
		var b bytes.Buffer
		tt.event(&words{screen: newScreen(&b)})
		if _, got, _ := strings.Cut(b.String(), "  "); got != tt.want+"\n" {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestShellQuote(t *testing.T) {
	for _, path := range []string{"/tmp/x-1/cert.pem", "/a b/$(c)", "/it's", "/ä"} {
		out, err := exec.Command("sh", "-c", "printf %s "+shellQuote(path)).Output()
		if err != nil || string(out) != path {
			t.Errorf("%s: got %s, %v", path, out, err)
		}
	}
}

func TestPassword(t *testing.T) {
	seen := make(map[string]bool)
	for range 100 {
		p, err := newPassword()
		if err != nil || seen[p] || !regexp.MustCompile(`^([a-z]{4}-){3}[a-z]{4}$`).MatchString(p) {
			t.Fatalf("%q, %v", p, err)
		}
		seen[p] = true
	}
}
