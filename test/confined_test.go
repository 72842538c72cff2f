package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestConfined looks at the roles from outside, when sessions have been there:
// each thread has the rights of its role and no other ones, and the front has
// nothing to do with files.
func TestConfined(t *testing.T) {
	needRoot(t)
	s := newSite(t)
	mails := sample()[:5]
	a := s.user("bob", victimUID, victimUID, mails)
	// What a careless start script leaves open must not reach the roles.
	left := s.path("left-open")
	must(t, os.WriteFile(left, []byte(marker), 0o600))
	file, err := os.Open(left)
	must(t, err)
	defer file.Close()
	folder, err := os.Open("/")
	must(t, err)
	defer folder.Close()
	srv := s.prepare("")
	cmd := exec.Command(sidepop(t), "serve", "--config", srv.config)
	// More of them than there are sockets, which take the first places.
	cmd.ExtraFiles = []*os.File{file, folder, file, folder, file, folder}
	srv.program = srv.start(cmd)
	t.Cleanup(srv.stop)
	srv.awaitReady()
	for range 20 {
		srv.fetchOne(a, mails[0])
	}
	srv.awaitTLS()
	uid, gid := identityOf(t, frontUser)
	const none, setgidAndSetuid = "0000000000000000", "00000000000000c0" // capabilities(7): bits 6 and 7
	for role, want := range map[string]map[string]string{
		roleFront: {
			"Uid": four(uid), "Gid": four(gid), "Groups": "",
			"CapInh": none, "CapPrm": none, "CapEff": none, "CapBnd": none, "CapAmb": none,
			"NoNewPrivs": "1", "Seccomp": "2",
		},
		roleKeeper: {
			"Uid": four(0), "Gid": four(0), "Groups": strings.Join(strings.Fields(ownGroups(t)), " "),
			"CapInh": none, "CapPrm": setgidAndSetuid, "CapEff": setgidAndSetuid, "CapBnd": setgidAndSetuid, "CapAmb": none,
			"NoNewPrivs": "1", "Seccomp": "2",
		},
	} {
		pid := srv.role(role, 0)
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		must(t, err)
		for _, thread := range threads {
			got := status(t, fmt.Sprintf("%d/task/%s", pid, thread.Name()))
			for field, value := range want {
				if strings.Join(strings.Fields(got[field]), " ") != value {
					t.Errorf("%s, thread %s of %d: %s is %q, want %q", role, thread.Name(), len(threads), field, got[field], value)
				}
			}
		}
		t.Logf("%s: %d threads", role, len(threads))
	}
	srv.checkFrontFiles()
	srv.checkKeeperSockets()
	for fd, target := range descriptors(t, srv.role(roleKeeper, 0)) {
		if target == left || target == "/" {
			t.Errorf("descriptor %s of the keeper is %s", fd, target)
		}
	}
}

// four are the real, effective, saved and file system ids.
func four(id int) string { return fmt.Sprintf("%d %[1]d %[1]d %[1]d", id) }

// ownGroups are the supplementary groups of this process, which the keeper has too.
func ownGroups(t testing.TB) string {
	t.Helper()
	return status(t, "self")["Groups"]
}

// checkFrontFiles: the root and working directory of the front is an empty folder
// but for the keeper's socket, and its descriptors are no files but the log.
func (s *server) checkFrontFiles() {
	s.t.Helper()
	pid := s.role(roleFront, 0)
	for _, link := range []string{"root", "cwd"} {
		if got, err := os.Readlink(fmt.Sprintf("/proc/%d/%s", pid, link)); err != nil || got != s.path("run") {
			s.t.Errorf("%s of the front: %q, %v, want %s", link, got, err, s.path("run"))
		}
	}
	entries, err := os.ReadDir(s.path("run"))
	must(s.t, err)
	if len(entries) != 1 || entries[0].Name() != "keeper.sock" || entries[0].Type() != os.ModeSocket {
		s.t.Errorf("in the front's root: %v", entries)
	}
	for fd, target := range descriptors(s.t, pid) {
		kind, _, _ := strings.Cut(target, ":[")
		switch {
		case kind == "socket", kind == "pipe", target == "anon_inode:[eventpoll]", target == "anon_inode:[eventfd]":
		case strings.HasPrefix(target, "/sys/fs/cgroup/"): // the runtime follows the limit of processors
		case target == s.log && (fd == "1" || fd == "2"):
		default:
			s.t.Errorf("descriptor %s of the front is %s", fd, target)
		}
	}
}

// checkKeeperSockets: none of the keeper's sockets is one of a network, and the
// front's listeners are, so that this can fail.
func (s *server) checkKeeperSockets() {
	s.t.Helper()
	network := make(map[string]string)
	for _, protocol := range []string{"tcp", "tcp6", "udp", "udp6", "raw", "raw6", "netlink", "packet"} {
		table, err := os.ReadFile(filepath.Join("/proc/net", protocol))
		if err != nil {
			continue // the kernel does not have it
		}
		inode := 9 // the field, counted from 0, proc_pid_net(5)
		if protocol == "packet" {
			inode = 8
		}
		for line := range strings.Lines(string(table)) {
			if f := strings.Fields(line); len(f) > inode {
				network["socket:["+f[inode]+"]"] = protocol
			}
		}
	}
	for role, want := range map[string]bool{roleKeeper: false, roleFront: true} {
		has := false
		for _, target := range descriptors(s.t, s.role(role, 0)) {
			has = has || network[target] != ""
		}
		if has != want {
			s.t.Errorf("the %s has sockets of a network: %v", role, has)
		}
	}
}
