package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// unprivileged is whom sidepop becomes and whom mail belongs to when this
// program is run by root.
const unprivileged = "nobody"

// frontUser is whom the role becomes that speaks to the network: another one.
const frontUser = "daemon"

// buildSidepop builds the binary as it is for a release.
func buildSidepop(ctx context.Context, dir string) (path string, err error) {
	path = filepath.Join(dir, "bin", "sidepop")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", path, "sidepop/cmd/sidepop")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build, which works only in a checkout of sidepop: %w\n%s", err, out)
	}
	return path, nil
}

// sidepop prepares a sidepop with nothing configured but where things are.
func (s *site) sidepop(binary string) (*server, error) {
	srv, err := s.newServer(ownName, "of this checkout")
	if err != nil {
		return nil, err
	}
	user := ""
	if s.owner.change {
		user = fmt.Sprintf("user = %q\n", frontUser)
	}
	config := fmt.Sprintf(`%sruntime_dir = %q
[listen]
pop3  = [%q]
pop3s = [%q]

[tls]
certificate = %q
key         = %q

[auth]
passwd_file = %q

[index]
state_dir = %q
`, user, srv.path("run"), srv.pop3, srv.pop3s, s.cert, s.key, srv.path(usersFile), srv.path("state"))
	srv.argv = []string{binary, "serve", "--config", srv.path("sidepop.toml")}
	srv.forget = func() error { return os.RemoveAll(srv.path("state")) }
	srv.uidlsDerived = true
	return srv, os.WriteFile(srv.path("sidepop.toml"), []byte(config), 0o600)
}
