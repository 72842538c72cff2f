package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"sidepop/cmd/sidepop/internal/certs"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sidepop": main})
}

// TestScripts runs testdata/script. In them, $PORT and $TLSPORT are free ports,
// $USER is a user line for the configuration where one is needed, and
// cert.pem and key.pem are a pair. Commands beside testscript's own:
//
//	expand FILE       fill in $VARIABLES in a file
//	talk ADDRESS FILE connect, waiting until somebody listens; send the lines
//	                  with "C: ", and compare lines received with those with
//	                  "S: ", which are beginnings; at the end the server closes.
//	                  With tls: before the address it begins with TLS
func TestScripts(t *testing.T) {
	// A user that sidepop becomes must be able to get there.
	root, err := os.MkdirTemp("", "sidepop-script-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:         "testdata/script",
		WorkdirRoot: root,
		Setup:       setUpScript,
		Condition: func(cond string) (bool, error) {
			return cond == "root" && os.Geteuid() == 0, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"expand": expand,
			"talk":   talk,
		},
	})
}

func setUpScript(env *testscript.Env) error {
	if err := os.Chmod(env.WorkDir, 0o755); err != nil {
		return err
	}
	ports := freePorts(2)
	env.Setenv("PORT", ports[0])
	env.Setenv("TLSPORT", ports[1])
	env.Setenv("USER", "")
	// With the race detector each command would wait for a second at its end.
	env.Setenv("GORACE", "atexit_sleep_ms=10")
	if os.Geteuid() == 0 {
		env.Setenv("USER", `user = "nobody"`)
	}
	return certs.WriteLocal(env.WorkDir+"/cert.pem", env.WorkDir+"/key.pem")
}

// freePorts finds ports that are free at the moment.
func freePorts(n int) (ports []string) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		defer l.Close()
		ports = append(ports, fmt.Sprint(l.Addr().(*net.TCPAddr).Port))
	}
	return ports
}

func expand(ts *testscript.TestScript, _ bool, args []string) {
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o644))
}

func talk(ts *testscript.TestScript, _ bool, args []string) {
	address, secure := strings.CutPrefix(args[0], "tls:")
	conn, err := dialPatiently(address)
	ts.Check(err)
	if secure {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	defer conn.Close()
	ts.Check(conn.SetDeadline(time.Now().Add(10 * time.Second)))
	in := bufio.NewReader(conn)
	for line := range strings.Lines(ts.ReadFile(args[1])) {
		line = strings.TrimSuffix(line, "\n")
		if command, ok := strings.CutPrefix(line, "C: "); ok {
			_, err := fmt.Fprintf(conn, "%s\r\n", command)
			ts.Check(err)
			continue
		}
		want, ok := strings.CutPrefix(line, "S: ")
		if !ok {
			ts.Fatalf("%q is neither C: nor S:", line)
		}
		got, err := in.ReadString('\n')
		ts.Check(err)
		if !strings.HasPrefix(got, want) {
			ts.Fatalf("got %q, want %q...", got, want)
		}
	}
	if rest, err := in.ReadString('\n'); err == nil {
		ts.Fatalf("the server goes on with %q", rest)
	}
}

// dialPatiently connects as soon as somebody listens.
func dialPatiently(address string) (net.Conn, error) {
	deadline := time.Now().Add(10 * time.Second)
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil || time.Now().After(deadline) {
			return conn, err
		}
		time.Sleep(10 * time.Millisecond)
	}
}
