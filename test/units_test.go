package test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const unitFolder = "../contrib/systemd"

// units gives the names of the units of a kind that are shipped, such as ".socket".
func units(t *testing.T, kind string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(unitFolder, "*"+kind))
	must(t, err)
	for i, path := range all {
		all[i] = filepath.Base(path)
	}
	return all
}

// setting is a line of a unit.
type setting struct {
	section, key, value string
	comment             bool // the line before it is one
}

// settings reads a unit file. No line of those shipped goes on in the next.
func settings(t *testing.T, path string) (all []setting) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(unitFolder, path))
	must(t, err)
	section, comment := "", false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		key, value, isSetting := strings.Cut(line, "=")
		switch {
		case strings.HasPrefix(line, "#"):
			comment = true
			continue
		case strings.HasPrefix(line, "["):
			section = line
		case isSetting:
			all = append(all, setting{section, key, value, comment})
		case line != "":
			t.Errorf("%s: %q", path, line)
		}
		comment = false
	}
	return all
}

// values are those of a key, in order.
func values(all []setting, key string) (found []string) {
	for _, s := range all {
		if s.key == key {
			found = append(found, s.value)
		}
	}
	return found
}

// TestUnits: what the program, packages and documentation rely on.
func TestUnits(t *testing.T) {
	if got, want := units(t, ".socket"), []string{"sidepop-keeper.socket", "sidepop-metrics.socket", "sidepop-pop3.socket", "sidepop-pop3s.socket"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, tt := range []struct{ unit, key, want string }{
		{"sidepop-pop3s.socket", "ListenStream", "995"},
		{"sidepop-pop3s.socket", "FileDescriptorName", "pop3s"},
		{"sidepop-pop3s.socket", "Service", "sidepop.service"},
		{"sidepop-pop3.socket", "ListenStream", "110"},
		{"sidepop-pop3.socket", "FileDescriptorName", "pop3"},
		{"sidepop-pop3.socket", "Service", "sidepop.service"},
		{"sidepop-metrics.socket", "ListenStream", "127.0.0.1:11995"},
		{"sidepop-metrics.socket", "FileDescriptorName", "metrics"},
		{"sidepop-metrics.socket", "Service", "sidepop.service"},
		{"sidepop-keeper.socket", "ListenSequentialPacket", "/run/sidepop/keeper.sock"},
		{"sidepop-keeper.socket", "FileDescriptorName", "keeper"},
		{"sidepop-keeper.socket", "Service", "sidepop-keeper.service"},
		{"sidepop-keeper.socket", "SocketMode", "0660"},
		{"sidepop-keeper.socket", "SocketGroup", "sidepop"},
		{"sidepop.service", "Type", "notify"},
		{"sidepop.service", "User", "sidepop"},
		{"sidepop.service", "TemporaryFileSystem", "/:ro /run:ro"},
		{"sidepop.service", "ProtectSystem", "no"}, // "strict" would take the line above away, without a word
		{"sidepop.service", "PropagatesReloadTo", "sidepop-keeper.service"},
		{"sidepop-keeper.service", "Type", "notify"},
	} {
		if got := values(settings(t, tt.unit), tt.key); !slices.Equal(got, []string{tt.want}) {
			t.Errorf("%s: %s=%q, want %q", tt.unit, tt.key, got, tt.want)
		}
	}
	for _, unit := range append(units(t, ".socket"), units(t, ".service")...) {
		all := settings(t, unit)
		if len(values(all, "Also")) > 0 {
			t.Errorf("%s has Also=: an upgrade would restart the sockets with the services, and lose who waits in them", unit)
		}
		if len(values(all, "Sockets")) > 0 {
			t.Errorf("%s has Sockets=: it would start sockets that are not enabled", unit)
		}
	}
	user, err := os.ReadFile("../contrib/sysusers.d/sidepop.conf")
	must(t, err)
	if !regexp.MustCompile(`(?m)^u sidepop - "[^"]+" - -$`).Match(user) {
		t.Errorf("sysusers.d: %s", user)
	}
}

// TestUnitsGiveReasons: each line of the sandboxes has a comment of its own.
func TestUnitsGiveReasons(t *testing.T) {
	plain := []string{"Type", "ExecStart", "Restart", "Group"}
	for _, unit := range units(t, ".service") {
		for _, s := range settings(t, unit) {
			if s.section == "[Service]" && !s.comment && !slices.Contains(plain, s.key) {
				t.Errorf("%s: %s=%s has no reason", unit, s.key, s.value)
			}
		}
	}
}

// TestUnitsVerify: systemd understands every line, those of the drop-ins included,
// which are comments where they are shipped.
func TestUnitsVerify(t *testing.T) {
	need(t, "systemd-analyze", "systemd")
	dir := folder(t)
	var paths []string
	for _, unit := range append(units(t, ".socket"), units(t, ".service")...) {
		text, err := os.ReadFile(filepath.Join(unitFolder, unit))
		must(t, err)
		path := filepath.Join(dir, unit)
		// It looks for the programs.
		must(t, os.WriteFile(path, bytes.ReplaceAll(text, []byte("/usr/sbin/sidepop"), []byte("/bin/true")), 0o644))
		paths = append(paths, path)
		dropIns, err := filepath.Glob(filepath.Join(unitFolder, unit+".d", "*.conf"))
		must(t, err)
		for _, dropIn := range dropIns {
			text, err := os.ReadFile(dropIn)
			must(t, err)
			used := regexp.MustCompile(`(?m)^#([A-Z])`).ReplaceAll(text, []byte("$1"))
			if bytes.Equal(text, used) {
				t.Errorf("%s has no setting to use", dropIn)
			}
			must(t, os.MkdirAll(path+".d", 0o755))
			must(t, os.WriteFile(filepath.Join(path+".d", filepath.Base(dropIn)), used, 0o644))
		}
	}
	out, err := exec.Command("systemd-analyze", append([]string{"verify", "--man=no"}, paths...)...).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, dir) || strings.HasPrefix(line, "sidepop") { // not what it says of the machine's own
			t.Errorf("systemd-analyze verify: %s", line)
		}
	}
	if err != nil {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// TestUnitsSecurity: the sandboxes are as tight as the documentation says, by
// systemd's own measure (0 to 10; a unit without any has 9.6).
func TestUnitsSecurity(t *testing.T) {
	need(t, "systemd-analyze", "systemd")
	for unit, most := range map[string]string{"sidepop.service": "15", "sidepop-keeper.service": "35"} {
		out, err := exec.Command("systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold="+most, filepath.Join(unitFolder, unit)).CombinedOutput()
		summary := regexp.MustCompile(`Overall exposure level for .*: [0-9.]+`).Find(out)
		if err != nil || summary == nil {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
		t.Logf("%s", summary)
	}
}
