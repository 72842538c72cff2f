package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sidepop/auth"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/maillog"
	"sidepop/index"
	"sidepop/pop3"
	"sidepop/pop3/wire"
)

// separationMessages is how many messages of 2 KB the benchmark's mailbox has.
const separationMessages = 1000

// separated gives two servers of one mailbox: one that has the backend, and one
// that asks a keeper for it.
func separated(b *testing.B) (direct, through string) {
	b.Helper()
	dir, err := os.MkdirTemp("", "sidepop-separation-") // which the owner can reach
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	mail := filepath.Join(dir, "mail")
	owner := index.ProcessOwner()
	if owner.UID == 0 {
		owner = index.Owner{UID: sampleOwner, GID: sampleOwner}
	}
	message := "Subject: x\n\n" + strings.Repeat(strings.Repeat("x", 63)+"\n", 32)
	err = errors.Join(os.Chmod(dir, 0o755), os.Mkdir(mail, 0o700), os.Mkdir(mail+"/new", 0o700), os.Mkdir(mail+"/cur", 0o700))
	for i := range separationMessages {
		name := fmt.Sprintf("%s/cur/%d.M1P1.mx:2,S", mail, 1700000000+i)
		err = errors.Join(err, os.WriteFile(name, []byte(message), 0o600), os.Chown(name, int(owner.UID), int(owner.GID)))
	}
	for _, folder := range []string{mail, mail + "/new", mail + "/cur"} {
		err = errors.Join(err, os.Chown(folder, int(owner.UID), int(owner.GID)))
	}
	users := fmt.Sprintf("alice:{PLAIN}secret:%d:%d\n", owner.UID, owner.GID)
	err = errors.Join(err, os.WriteFile(dir+"/users", []byte(users), 0o600))
	if err != nil {
		b.Fatal(err)
	}

	log, err := maillog.New(io.Discard, "info", "json")
	if err != nil {
		b.Fatal(err)
	}
	c := config.Default()
	c.Index.StateDir, c.Mailbox = b.TempDir(), mail
	x, err := index.New(indexOptions(c, log))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = x.Close() })
	p := &places{mailbox: mail, minimum: 1}
	if os.Geteuid() != 0 {
		p.self = &owner
	}
	a := onlyPasswd(p, auth.NewPasswd(dir+"/users", log.Accounts))
	backend := newBackend(c, a, lasting{auth.NewGuard(guardOptions(c, a)), new(pop3.Accounts), x, auth.NewSalts(nil), log})

	socket := filepath.Join(b.TempDir(), config.KeeperSocket)
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: socket, Net: "unixpacket"})
	if err != nil {
		b.Fatal(err)
	}
	var keeper wire.Server
	keeper.SetBackend(backend)
	if err := keeper.Push(wire.State{Secure: backend.Offer(pop3.Peer{Secure: true})}); err != nil {
		b.Fatal(err)
	}
	go keeper.Serve(l)
	b.Cleanup(func() { _ = keeper.Shutdown(context.Background()) })
	client := &wire.Client{Path: socket}
	return serveBackend(b, backend, log), serveBackend(b, client, log)
}

func serveBackend(b *testing.B, backend pop3.Backend, log *maillog.Log) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &pop3.Server{Backend: backend, Events: log, Settings: settingsOf(config.Default()).pop3()}
	go s.Serve(l)
	b.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Shutdown(ctx)
	})
	return l.Addr().String()
}

// BenchmarkSeparation has what it costs that network and mail are apart: the same
// sessions with the backend in the server, and through a keeper's socket. CPU is
// that of client, front and keeper, which are one process here.
func BenchmarkSeparation(b *testing.B) {
	direct, through := separated(b)
	for _, address := range []string{direct, through} { // counts the mailbox
		_ = logInAt(b, address).Close()
	}
	time.Sleep(settling)
	for _, server := range []struct{ name, address string }{{"direct", direct}, {"wire", through}} {
		name, address := server.name, server.address
		b.Run("session/"+name, func(b *testing.B) {
			defer reportCPU(b)()
			for b.Loop() {
				c := logInAt(b, address)
				c.say(b, "STAT", "QUIT")
				_ = c.Close()
			}
		})
		b.Run("retr/"+name, func(b *testing.B) {
			c := logInAt(b, address)
			defer c.Close()
			defer reportCPU(b)()
			for i := 0; b.Loop(); i++ {
				c.say(b, fmt.Sprintf("RETR %d", i%separationMessages+1))
				for line := ""; line != ".\r\n"; {
					var err error
					if line, err = c.in.ReadString('\n'); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// settling is how long messages just written are looked at again at each login.
const settling = 2100 * time.Millisecond

// reportCPU notes the processor time that follows, until its result is called.
func reportCPU(b *testing.B) (done func()) {
	used := func() time.Duration {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	return func() { b.ReportMetric(float64((used()-before).Nanoseconds())/float64(b.N), "cpu-ns/op") }
}

// separationClient is a client of the benchmark.
type separationClient struct {
	net.Conn
	in *bufio.Reader
}

func logInAt(b *testing.B, address string) *separationClient {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	c := &separationClient{conn, bufio.NewReader(conn)}
	c.say(b, "")
	c.say(b, "USER alice", "PASS secret")
	return c
}

// say sends commands, one after the other, and expects success; "" only waits for
// the greeting.
func (c *separationClient) say(b *testing.B, commands ...string) {
	for _, command := range commands {
		if command != "" {
			if _, err := io.WriteString(c, command+"\r\n"); err != nil {
				b.Fatal(err)
			}
		}
		if line, err := c.in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "+OK") {
			b.Fatalf("%s: %q, %v", command, line, err)
		}
	}
}
