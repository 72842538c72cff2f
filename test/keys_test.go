package test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestKeysInMemory: the front has made TLS handshakes, and nothing of the private
// key is in its memory, but in the keeper's.
func TestKeysInMemory(t *testing.T) {
	needRoot(t)
	const handshakes = 100
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	scalar, err := ec.Bytes()
	must(t, err)
	prime, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	for _, test := range []struct {
		name   string
		key    crypto.Signer
		secret []*big.Int
	}{
		{"ECDSA", ec, []*big.Int{new(big.Int).SetBytes(scalar)}},
		{"RSA", prime, append([]*big.Int{prime.D, prime.Precomputed.Dp, prime.Precomputed.Dq}, prime.Primes...)},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t)
			certificatesFor(t, s.dir, test.key)
			mails := sample()[:2]
			a := s.account("bob", mails)
			srv := s.serve("")
			srv.fetchOne(a, mails[0])
			srv.awaitTLS()
			for i := range handshakes {
				// In turn with TLS 1.2, which signs otherwise.
				c, err := tls.Dial("tcp", srv.pop3s, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12 + uint16(i%2)})
				must(t, err)
				must(t, c.Close())
			}
			for role, found := range map[string]bool{roleFront: false, roleKeeper: true} {
				pid := srv.role(role, 0)
				numbers, _ := search(t, pid, forms(test.secret))
				lines, octets := search(t, pid, srv.keyLines())
				t.Logf("%s: %d numbers and %d lines of the key in %d KiB", role, numbers, lines, octets>>10)
				if numbers > 0 != found || lines > 0 && !found {
					t.Errorf("the %s's memory has %d numbers and %d lines of the key", role, numbers, lines)
				}
				if octets < 1<<20 {
					t.Errorf("only %d octets of the %s's memory could be read", octets, role)
				}
			}
		})
	}
}

// forms are how secret numbers can stand in memory: each by its middle part, which
// is enough to find it.
func forms(secrets []*big.Int) (all [][]byte) {
	middle := func(p []byte) []byte { return p[len(p)/4 : len(p)/4+len(p)/2] }
	for _, n := range secrets {
		big := n.Bytes()
		little := slices.Clone(big)
		slices.Reverse(little)
		all = append(all, middle(big), middle(little))
	}
	return all
}

// keyLines are the lines of the private key's file.
func (s *site) keyLines() (all [][]byte) {
	s.t.Helper()
	pem, err := os.ReadFile(s.path(keyFile))
	must(s.t, err)
	for line := range strings.Lines(string(pem)) {
		if line = strings.TrimSpace(line); len(line) == 64 {
			all = append(all, []byte(line))
		}
	}
	return all
}

// search counts what is found in the memory of a process, proc_pid_maps(5) and
// proc_pid_mem(5), and how much could be read.
func search(t testing.TB, pid int, wanted [][]byte) (found int, octets int64) {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	must(t, err)
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	must(t, err)
	defer mem.Close()
	for line := range strings.Lines(string(maps)) {
		f := strings.Fields(line)
		var from, to int64
		if _, err := fmt.Sscanf(f[0], "%x-%x", &from, &to); err != nil || f[1][0] != 'r' {
			continue // beyond what fits, or not readable
		}
		data, _ := io.ReadAll(io.NewSectionReader(mem, from, to-from)) // up to what is not there
		octets += int64(len(data))
		for _, w := range wanted {
			found += bytes.Count(data, w)
		}
	}
	return found, octets
}

// TestUndumpable: nobody without CAP_SYS_PTRACE reads the roles' memory, not even
// a process of the same user, and no core file has it.
func TestUndumpable(t *testing.T) {
	needRoot(t)
	s := newSite(t)
	mails := sample()[:2]
	a := s.account("bob", mails)
	srv := s.serve("")
	srv.fetchOne(a, mails[0])
	for _, role := range []string{roleFront, roleKeeper} {
		pid := srv.role(role, 0)
		limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
		must(t, err)
		found := false
		for line := range strings.Lines(string(limits)) {
			if rest, ok := strings.CutPrefix(line, "Max core file size"); ok {
				found = strings.Join(strings.Fields(rest), " ") == "0 0 bytes"
			}
		}
		if !found {
			t.Errorf("%s: core files have no limit of 0", role)
		}
		uid, gid := 0, 0
		if role == roleFront {
			uid, gid = identityOf(t, frontUser)
		}
		if err := readAs(uid, gid, pid); !errors.Is(err, unix.EACCES) {
			t.Errorf("%s: user %d may read its memory: %v", role, uid, err)
		}
		// So that the attempt can succeed: a process with the same rights.
		if err := readAs(uid, gid, likewise(t, uid, gid)); err != nil {
			t.Errorf("user %d may not read a process's memory that is as any other: %v", uid, err)
		}
	}
}

// likewise starts a process as a user, with no capability, or as root with those
// of the keeper. It ends with the test.
func likewise(t *testing.T, uid, gid int) (pid int) {
	t.Helper()
	need(t, "setpriv", "util-linux")
	cmd := exec.CommandContext(t.Context(), "/usr/bin/env", "PATH="+programPath, "setpriv", "--clear-groups",
		"--reuid", fmt.Sprint(uid), "--regid", fmt.Sprint(gid), "--bounding-set", "-all,+setuid,+setgid", "cat")
	_, err := cmd.StdinPipe() // which cat waits at
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Wait() })
	await(t, "the program", func() bool {
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", cmd.Process.Pid))
		must(t, err)
		return string(name) == "cat\n"
	})
	return cmd.Process.Pid
}

// readAs opens the environment of a process, which is memory of it, as a user
// without capabilities but those that the keeper has. It is decided as for all
// of the memory, but for Yama (ptrace(2), "Ptrace access mode checking").
func readAs(uid, gid, pid int) error {
	done := make(chan error)
	go func() {
		done <- asThread(uid, gid, func() error {
			const setgidAndSetuid = 1<<unix.CAP_SETGID | 1<<unix.CAP_SETUID
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var sets [2]unix.CapUserData
			if uid == 0 {
				sets[0] = unix.CapUserData{Effective: setgidAndSetuid, Permitted: setgidAndSetuid}
			}
			if err := unix.Capset(&header, &sets[0]); err != nil {
				return err
			}
			fd, err := unix.Open(fmt.Sprintf("/proc/%d/environ", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err == nil {
				_ = unix.Close(fd)
			}
			return err
		})
	}()
	return <-done
}
