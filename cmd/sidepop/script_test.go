package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"sidepop/cmd/sidepop/internal/certs"
	"sidepop/test/ports"
)

// TestScripts runs testdata/script with the program as it is built for a release:
// its sandbox needs that. In the scripts, $PORT and $TLSPORT are free ports, $ROLES
// is what the configuration needs for two roles, three lines, and cert.pem and
// key.pem are a pair. Mail of accounts without a uid is nobody's. Commands beside
// testscript's own:
//
//	expand FILE       fill in $VARIABLES in a file
//	await FILE        wait until there is such a file
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
	bin := filepath.Dir(buildSidepop(t))
	testscript.Run(t, testscript.Params{
		Dir:         "testdata/script",
		WorkdirRoot: root,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			return setUpScript(env)
		},
		Condition: func(cond string) (bool, error) {
			files := map[string]string{"bash-completion": "/usr/share/bash-completion/bash_completion", "snakeoil": certs.Snakeoil.Key}
			if cond == "root" {
				return os.Geteuid() == 0, nil
			}
			_, err := os.Stat(files[cond])
			return err == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await":  await,
			"expand": expand,
			"talk":   talk,
		},
	})
}

func setUpScript(env *testscript.Env) error {
	if err := os.Chmod(env.WorkDir, 0o755); err != nil {
		return err
	}
	free, err := ports.Free(2)
	if err != nil {
		return err
	}
	for i, name := range []string{"PORT", "TLSPORT"} {
		_, port, _ := net.SplitHostPort(free[i])
		env.Setenv(name, port)
	}
	roles := `runtime_dir = "` + env.WorkDir + "/run\"\n\n"
	if os.Geteuid() == 0 {
		roles = strings.TrimSuffix(roles, "\n") + "user = \"daemon\"\nmail_user = \"nobody\""
	}
	env.Setenv("ROLES", roles)
	env.Setenv("ROLES_2", strings.ReplaceAll(roles, "/run", "/run2")) // of another server
	return certs.WriteLocal(env.WorkDir+"/cert.pem", env.WorkDir+"/key.pem")
}

func expand(ts *testscript.TestScript, _ bool, args []string) {
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o644))
}

// patience is how long scripts wait for something.
const patience = 20 * time.Second

func await(ts *testscript.TestScript, _ bool, args []string) {
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Lstat(ts.MkAbs(args[0])); err == nil {
			return
		}
		if time.Since(begun) > patience {
			ts.Fatalf("%s does not come", args[0])
		}
	}
}

func talk(ts *testscript.TestScript, _ bool, args []string) {
	address, secure := strings.CutPrefix(args[0], "tls:")
	conn, err := dialPatiently(address, secure)
	ts.Check(err)
	defer conn.Close()
	ts.Check(conn.SetDeadline(time.Now().Add(patience)))
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

// dialPatiently connects as soon as somebody listens, and has a certificate.
func dialPatiently(address string, secure bool) (conn net.Conn, err error) {
	deadline := time.Now().Add(patience)
	for {
		if secure {
			conn, err = tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
		} else {
			conn, err = net.Dial("tcp", address)
		}
		if err == nil || time.Now().After(deadline) {
			return conn, err
		}
		time.Sleep(10 * time.Millisecond)
	}
}
