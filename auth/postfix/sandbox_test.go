package postfix

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"golang.org/x/sys/unix"
)

// Root without a capability and without the network can still ask: what the
// tools need is to read files that root owns. The test runs itself in a sandbox.
func TestTruthSandbox(t *testing.T) {
	needTruth(t)
	if tables := os.Getenv("SIDEPOP_TEST_SANDBOXED"); tables != "" {
		testSandboxed(t, strings.Split(tables, "\n"))
		return
	}
	write(t, truthDir+"/main.cf", truthMain)
	tables := []string{}
	for _, name := range []string{"hash", "lmdb", "cdb", "texthash", "inline", "sqlite", "regexp", "pcre", "unionmap", "pipemap"} {
		tables = append(tables, truthTables[name](t))
	}
	tables = append(tables, "mysql:"+truthDir+"/mysql.cf", "mysql:"+truthDir+"/network.cf")
	write(t, truthDir+"/mysql.cf", "hosts = unix:/nonexistent\nuser = x\npassword = x\ndbname = x\nquery = x\n")
	write(t, truthDir+"/network.cf", "hosts = inet:127.0.0.1:1\nuser = x\npassword = x\ndbname = x\nquery = x\n")
	write(t, truthDir+"/main.cf", truthMain+"virtual_mailbox_maps = "+strings.ReplaceAll(inlineTruth(), "$", "$$")+"\n")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", "--no-new-privs",
		self, "-test.run=^TestTruthSandbox$", "-test.v")
	c.Env = append(os.Environ(), "SIDEPOP_TEST_SANDBOXED="+strings.Join(tables, "\n"))
	out, err := c.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !strings.Contains(string(out), "--- PASS: TestTruthSandbox") {
		t.Error(err)
	}
}

func testSandboxed(t *testing.T, tables []string) {
	t.Helper()
	group := seccomp.SyscallGroup{Action: seccomp.ActionErrno | seccomp.Action(unix.EAFNOSUPPORT)}
	for _, family := range []uint64{unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK, unix.AF_PACKET} {
		group.NamesWithCondtions = append(group.NamesWithCondtions, seccomp.NameWithConditions{
			Name: "socket", Conditions: seccomp.ArgumentConditions{{Argument: 0, Operation: seccomp.Equal, Value: family}}})
	}
	err := seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: true, Flag: seccomp.FilterFlagTSync,
		Policy: seccomp.Policy{DefaultAction: seccomp.ActionAllow, Syscalls: []seccomp.SyscallGroup{group}}})
	if err != nil {
		t.Fatal(err)
	}
	if fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0); err != unix.EAFNOSUPPORT {
		t.Fatal("there is a network: ", fd, err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil || !strings.Contains(string(status), "CapEff:\t0000000000000000") || !strings.Contains(string(status), "CapBnd:\t0000000000000000") {
		t.Fatalf("capabilities are left: %v\n%s", err, status)
	}
	p := openTruth(t)
	if m, err := p.Mailbox(t.Context(), "user+ext@a.example"); err != nil || m.Path != truthBase+"/user.ext" {
		t.Errorf("%+v %v", m, err)
	}
	if local, err := p.LocalDomain(t.Context(), "[127.0.0.1]"); local || err != nil {
		t.Error(local, err)
	}
	for _, name := range tables {
		table, err := p.Table(name)
		if err != nil {
			t.Error(err)
			continue
		}
		value, ok, err := table.Lookup(t.Context(), "user@a.example")
		down := strings.HasPrefix(name, "mysql:")
		if (err != nil) != down || ok == down {
			t.Errorf("%.40s: %q %v %v", name, value, ok, err)
		}
		if down && !strings.Contains(err.Error(), "connect to mysql server") {
			t.Errorf("the cause is not in: %v", err)
		}
	}
}
