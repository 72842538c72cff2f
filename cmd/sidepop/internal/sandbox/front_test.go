package sandbox

import (
	"bufio"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sidepop/cmd/sidepop/internal/privilege"

	"golang.org/x/sys/unix"
)

// TestFront runs a front in its sandbox against a keeper and a client here.
func TestFront(t *testing.T) {
	variants(t, func(t *testing.T, asRoot bool) {
		root := folder(t)
		keeper := listenKeeper(t, root)
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		file, err := listener.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		c := start(t, "front", asRoot, []*os.File{file}, "ROOT="+root, "PORT="+listener.Addr().String())
		go keeper()
		c.until(t, "ACCEPT")
		talkTLS(t, listener.Addr().String())
		c.until(t, "SIGNAL")
		c.Process.Signal(syscall.SIGHUP)
		c.until(t, "READY")
		want := []string{"NoNewPrivs:\t1", "Seccomp:\t2",
			"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "CapAmb:\t0000000000000000"}
		if os.Geteuid() == 0 {
			want = append(want, "Uid:\t65534\t65534\t65534\t65534", "Gid:\t65534\t65534\t65534\t65534", "Groups:\t ")
		}
		if asRoot {
			want = append(want, "CapBnd:\t0000000000000000")
		}
		c.checkThreads(t, want...)
		io.WriteString(c.stdin, "panic\n")
		c.lines.Scan()
		c.Wait()
		if text := c.stderr.String(); c.ProcessState.ExitCode() != 2 || !strings.Contains(text, "panic: as asked") || !strings.Contains(text, "goroutine ") {
			t.Errorf("%v, standard error:\n%s", c.ProcessState, text)
		}
	})
}

// folder makes an empty folder that every user may enter.
func folder(t *testing.T) string {
	dir, err := os.MkdirTemp("", "root")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// listenKeeper makes the keeper's socket. The function hands a descriptor of a
// file to the one that connects.
func listenKeeper(t *testing.T, root string) func() {
	name := filepath.Join(root, "keeper.sock")
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: name, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if err := os.Chmod(name, 0o666); err != nil {
		t.Fatal(err)
	}
	message := filepath.Join(t.TempDir(), "message")
	if err := os.WriteFile(message, []byte("a message\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return func() {
		conn, err := l.AcceptUnix()
		if err != nil {
			return
		}
		defer conn.Close()
		file, err := os.Open(message)
		if err != nil {
			return
		}
		defer file.Close()
		conn.WriteMsgUnix([]byte("file"), unix.UnixRights(int(file.Fd())), nil)
	}
}

func talkTLS(t *testing.T, address string) {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "hello\n")
	if line, err := bufio.NewReader(conn).ReadString('\n'); line != "hello\n" {
		t.Errorf("answer %q, %v", line, err)
	}
}

func frontChild() {
	certificate, err := selfSigned()
	check(err)
	listener, err := net.FileListener(os.NewFile(3, "listener"))
	check(err)
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	dir, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	check(err)
	spawnThreads(4)
	root := os.Geteuid() == 0
	begin := time.Now()
	m, err := Front(os.Getenv("ROOT"), &privilege.Identity{Name: "nobody", UID: nobody, GID: nobody, Groups: []int{0, nobody}})
	took := time.Since(begin)
	check(err)
	fmt.Println("Front took", took)
	if root {
		checkMeasures(m)
	} else {
		checkMeasures(m, "root folder", "bounding set")
	}
	for _, f := range frontForbidden(dir) {
		mustFail(f.name, func() error { return refusal(f.try()) })
	}
	mustFail("look up a name", func() error { _, err := net.LookupHost("localhost.example"); return err })
	frontNeeds(listener, certificate)
	fmt.Println("SIGNAL")
	<-hup
	fmt.Println("READY")
	bufio.NewReader(os.Stdin).ReadString('\n')
	panic("as asked")
}

func selfSigned() (*tls.Certificate, error) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, err
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// spawnThreads makes so many threads at least, which stay.
func spawnThreads(n int) {
	var ready sync.WaitGroup
	for range n {
		ready.Add(1)
		go func() {
			runtime.LockOSThread()
			ready.Done()
			select {}
		}()
	}
	ready.Wait()
}

// frontNeeds does all that a front does.
func frontNeeds(listener net.Listener, certificate *tls.Certificate) {
	mustWork("connect to the keeper and read a descriptor", readFromKeeper)
	fmt.Println("ACCEPT")
	mustWork("serve TLS", func() error {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Minute))
		secure := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{*certificate}})
		line, err := bufio.NewReader(secure).ReadString('\n')
		if err == nil {
			_, err = io.WriteString(secure, line)
		}
		return err
	})
	mustWork("1,000 goroutines, new threads, garbage, timers", func() error {
		var wait sync.WaitGroup
		for range 1000 {
			wait.Go(func() {
				garbage := make([]byte, 1<<16)
				time.Sleep(time.Millisecond)
				garbage[0] = 1
			})
		}
		spawnThreads(20)
		wait.Wait()
		runtime.GC()
		// The memory of a large allocation comes from the kernel.
		big := make([]byte, 64<<20)
		for i := 0; i < len(big); i += 4096 {
			big[i] = 1
		}
		return nil
	})
	mustWork("stop a loop by a signal", func() error {
		var stop atomic.Bool
		go func() {
			for !stop.Load() {
			}
		}()
		time.Sleep(time.Millisecond)
		runtime.GC() // stops all goroutines, that one by tgkill
		stop.Store(true)
		return nil
	})
	mustWork("log with local time", func() error {
		return log.Output(1, "a line "+time.Now().Format(time.RFC1123))
	})
}

func readFromKeeper() error {
	conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: "keeper.sock", Net: "unixpacket"})
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	data, oob := make([]byte, 10), make([]byte, 100)
	_, n, _, _, err := conn.ReadMsgUnix(data, oob)
	if err != nil {
		return err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return err
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(fds[0]), "message")
	defer file.Close()
	if info, err := file.Stat(); err != nil || info.Size() != 10 {
		return fmt.Errorf("size %v, %v", info, err)
	}
	if _, err := file.Seek(2, io.SeekStart); err != nil {
		return err
	}
	if text, err := io.ReadAll(file); string(text) != "message\n" {
		return fmt.Errorf("read %q, %v", text, err)
	}
	return nil
}
