package helper

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// programEnv names the program that this test binary is, if it is one.
const programEnv = "SIDEPOP_TEST_HELPER"

// programs are helpers that behave in every way. What comes after a colon in
// the environment is their argument.
var programs = map[string]func(arg string){
	"right":                func(string) { programServe(64) },
	"dies at start":        func(string) { fmt.Fprintln(os.Stderr, "no library"); os.Exit(3) },
	"mends itself":         programMendsItself,
	"never ready":          func(string) { _, _ = programConn().Read(make([]byte, 1)) },
	"other version":        func(string) { programSays("\x02\x01") },
	"answers first":        func(string) { programSays("\x01\x04" + someID + "\x02\x00") },
	"ready twice":          func(string) { programSays("\x01\x01", "\x01\x01") },
	"closes":               func(string) { programConn().Close(); hang() },
	"garbage":              func(string) { programAnswers("garbage") },
	"too long":             func(string) { programAnswers(strings.Repeat("x", maxPacket+100)) },
	"answers twice":        func(string) { programAnswers("\x01\x04ID\x02\x00", "\x01\x04ID\x02\x00") },
	"unknown id":           func(string) { programAnswers("\x01\x04\xff\xff\xff\xff\xff\xff\xff\xff\x02\x00") },
	"wrong outcome":        func(string) { programAnswers("\x01\x04ID\x0c\x00") },
	"answers and dies":     func(string) { programAnswersAndDies(1) },
	"answers two and dies": func(string) { programAnswersAndDies(2) },
	"deaf":                 func(string) { _, _ = programConn().Write([]byte("\x01\x01")); hang() },
	"floods": func(string) {
		go func() {
			for {
				fmt.Fprintf(os.Stderr, "%s\x1b[1m\n", strings.Repeat("flood ", 1000))
			}
		}()
		programServe(4)
	},
	"leaves a child": func(string) {
		child := exec.Command("/proc/self/exe")
		child.Env = []string{programEnv + "=child"}
		conn := programConn()
		socket, err := conn.File()
		if err != nil {
			panic(err)
		}
		child.ExtraFiles = []*os.File{socket}
		child.Stderr = os.Stderr
		if err := child.Start(); err != nil {
			panic(err)
		}
		_ = Serve(conn, programHandler{}, 4)
	},
	"child": func(string) { // reads nothing, and ends with the keeper's end
		signal.Ignore(syscall.SIGPIPE)
		poll := []unix.PollFd{{Fd: socketFD, Events: unix.POLLRDHUP}}
		for {
			if n, _ := unix.Poll(poll, -1); n > 0 && poll[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0 {
				return
			}
		}
	},
}

func TestMain(m *testing.M) {
	if name, arg, _ := strings.Cut(os.Getenv(programEnv), ":"); name != "" {
		programs[name](arg)
		os.Exit(0)
	}
	before, goroutines := openFDs(), runtime.NumGoroutine()+1 // the framework keeps one for signals
	status := m.Run()
	if leak := leaks(before, goroutines); leak != "" && status == 0 {
		fmt.Println("LEAK:", leak)
		status = 1
	}
	os.Exit(status)
}

// leaks says what the tests have left: processes, descriptors, goroutines.
func leaks(before []string, goroutines int) string {
	if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		return fmt.Sprintf("a child is left: process %d, %v", pid, err)
	}
	if after := openFDs(); len(after) > len(before) {
		return fmt.Sprintf("descriptors %q, and before %q", after, before)
	}
	for range 100 { // goroutines end an instant after what they are waited for by
		if runtime.NumGoroutine() <= goroutines {
			return ""
		}
		time.Sleep(10 * time.Millisecond)
	}
	stacks := make([]byte, 1<<20)
	return string(stacks[:runtime.Stack(stacks, true)])
}

// openFDs lists what the descriptors of this process are.
func openFDs() []string {
	var open []string
	for fd := range 1000 {
		name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		runtimes := strings.HasPrefix(name, "anon_inode:") || strings.HasPrefix(name, "/sys/fs/cgroup/")
		if err == nil && !runtimes {
			open = append(open, fmt.Sprintf("%d %s", fd, name))
		}
	}
	return open
}

func programConn() *net.UnixConn {
	conn, err := Inherited()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return conn
}

func programServe(concurrency int) {
	if err := Serve(programConn(), programHandler{}, concurrency); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// programMendsItself fails until it has run as often as its argument says;
// the working directory counts.
func programMendsItself(arg string) {
	runs, _ := os.ReadFile("runs")
	_ = os.WriteFile("runs", append(runs, 'x'), 0o600)
	if need, _ := strconv.Atoi(arg); len(runs) < need {
		os.Exit(4)
	}
	programServe(4)
}

// programSays sends packets and waits for the end of the socket.
func programSays(packets ...string) {
	conn := programConn()
	for _, p := range packets {
		_, _ = conn.Write([]byte(p))
	}
	_, _ = conn.Read(make([]byte, 1))
}

// programAnswers answers every request with packets, in which ID stands for
// the request's number.
func programAnswers(packets ...string) {
	conn := programConn()
	_, _ = conn.Write([]byte("\x01\x01"))
	buffer := make([]byte, maxPacket)
	for {
		n, err := conn.Read(buffer)
		if err != nil || n < 10 {
			return
		}
		for _, p := range packets {
			_, _ = conn.Write([]byte(strings.ReplaceAll(p, "ID", string(buffer[2:10]))))
		}
	}
}

// programAnswersAndDies answers so many requests. If there are several, it
// waits for one more before, which it does not read.
func programAnswersAndDies(requests int) {
	conn := programConn()
	_, _ = conn.Write([]byte("\x01\x01"))
	var ids []string
	more := requests > 1
	for len(ids) < requests {
		buffer := make([]byte, maxPacket)
		if n, err := conn.Read(buffer); err != nil || n < 10 {
			os.Exit(7)
		}
		if buffer[0] != version {
			more = false // it came first
			continue
		}
		ids = append(ids, string(buffer[2:10]))
	}
	if more {
		raw, _ := conn.SyscallConn()
		_ = raw.Read(func(fd uintptr) bool {
			_, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK)
			return err != unix.EAGAIN
		})
	}
	for _, id := range ids {
		_, _ = conn.Write([]byte("\x01\x04" + id + "\x02\x00"))
	}
	os.Exit(6)
}

// programHandler is told what to do by the user's name, which may be a time to take. Its accounts have the
// process's id as the user id.
type programHandler struct{}

// released is closed when the user "release" was looked up: until then the
// password of the user "wait" is being checked.
var released = make(chan struct{})

// hang does not end within a test's time, though it does if a test loses it.
func hang() { time.Sleep(time.Minute) }

func (programHandler) Authenticate(l *Login) Answer {
	account := Account{Name: l.User, UID: uint32(os.Getpid()), GID: 100, Groups: []uint32{4}, Home: "/home/" + l.User}
	pause, _ := time.ParseDuration(l.User) // of no name: 0
	time.Sleep(pause)
	switch {
	case l.User == "hang":
		hang()
	case l.User == "wait":
		<-released
	case l.User == "fault":
		os.Exit(5)
	case l.User == "service":
		return Answer{Outcome: Accepted, Account: account,
			Messages: []string{l.Service, l.Remote.String(), fmt.Sprint(l.SetCred, l.OpenSession)}}
	case string(l.Password) != "right":
		return Answer{Outcome: Credentials}
	}
	return Answer{Outcome: Accepted, Account: account}
}

func (programHandler) Admit(l *Login) Answer {
	return Answer{Outcome: Denied, Messages: []string{l.Service, l.User, l.Remote.String(), fmt.Sprint(len(l.Password), l.SetCred, l.OpenSession)}}
}

func (programHandler) Lookup(user string) Answer {
	found := Answer{Outcome: Found, Account: Account{Name: user, UID: uint32(os.Getpid())}}
	switch user {
	case "nobody there":
		return Answer{Outcome: Unknown}
	case "environment":
		found.Messages = os.Environ()
	case "capabilities":
		status, _ := os.ReadFile("/proc/self/status")
		for line := range strings.Lines(string(status)) {
			if strings.HasPrefix(line, "Cap") {
				found.Messages = append(found.Messages, strings.TrimSpace(line))
			}
		}
	case "descriptors":
		found.Messages = openFDs()
	case "folder":
		found.Account.Home, _ = os.Getwd()
	case "session":
		sid, _ := unix.Getsid(0)
		found.Account.GID = uint32(sid)
	case "release":
		close(released)
	case "stop":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		hang() // the signal may take its time
	}
	return found
}
