package exim

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"sidepop/auth/internal/program"
	"sidepop/auth/internal/version"
)

// tool is an exim to run, and as whom.
type tool struct {
	path string
	as   *syscall.Credential
}

// run gives what exim prints. Messages to standard error with status 0 are
// warnings, such as of a configuration that grants too much.
func (t tool) run(ctx context.Context, args ...string) (string, error) {
	r, err := program.Run(ctx, program.Options{As: t.as}, t.path, args...)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrTemporary, err)
	}
	if r.Status == 0 && len(r.Stdout) > 0 {
		return string(r.Stdout), nil
	}
	kind, complaint := ErrTemporary, r.Complaint()
	if strings.Contains(strings.ToLower(complaint), "configuration") { // "Exim configuration error in line 7 of ..."
		kind = ErrConfig
	}
	switch {
	case complaint == "":
		complaint = "it printed nothing"
	case kind == ErrConfig && strings.Contains(complaint, "Permission denied"):
		complaint += ": let that user read it (on Debian by CFILEMODE in " + debianSettings + ")"
	}
	return "", fmt.Errorf("%w: %s %s%s: status %d: %s", kind, t.path, args[0], t.user(), r.Status, complaint)
}

// user says in an error as whom exim ran, when it was not as this process.
func (t tool) user() string {
	if t.as == nil {
		return ""
	}
	return fmt.Sprintf(" as user id %d", t.as.Uid)
}

// driver is a router or a transport: its options as they take effect, unexpanded.
type driver struct {
	name string
	text map[string]string // those with a value
	set  map[string]bool   // those that are on
}

// state is one version of a configuration.
type state struct {
	version    string
	config     string // path
	files      []string
	main       map[string]string // options outside of drivers that matter here
	routers    []driver          // in their order
	transports []driver
	local      Delivery
	domains    condition

	seen    version.Version // of files, before they were read
	settled bool            // a later version would differ
}

// read asks exim for its configuration.
func read(ctx context.Context, t tool) (*state, error) {
	s := &state{main: map[string]string{}}
	versions, err := t.run(ctx, "-bV")
	if err != nil {
		return nil, err
	}
	if err := s.readVersion(versions); err != nil {
		return nil, err
	}
	s.files = slices.Concat(s.files, included(s.config, maxIncluded))
	if s.config == debianConfig {
		s.files = append(s.files, debianSettings)
	}
	s.seen, s.settled = version.Look(s.files...)

	options, err := t.run(ctx, "-bP", "exim_user", "exim_group", "system_filter", "pid_file_path")
	if err != nil {
		return nil, err
	}
	s.readMain(options)
	s.readTLS(ctx, t)
	routers, err := t.run(ctx, "-bP", "routers")
	if err != nil {
		return nil, err
	}
	transports, err := t.run(ctx, "-bP", "transports")
	if err != nil {
		return nil, err
	}
	s.routers, s.transports = parseDrivers(routers), parseDrivers(transports)
	s.local, s.domains = s.route()
	return s, nil
}

// readMain reads options as -bP prints them.
func (s *state) readMain(options string) {
	for line := range strings.Lines(options) {
		if name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " = "); ok {
			s.main[name] = value
		}
	}
}

// readVersion reads what -bV prints: version and search path of configurations
// (each once, in lines of its own), and the configuration found.
func (s *state) readVersion(text string) error {
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "Exim version "); ok {
			s.version, _, _ = strings.Cut(rest, " ")
		}
		if rest, ok := strings.CutPrefix(line, "Configuration file search path is "); ok {
			s.files = strings.Split(rest, ":")
		}
		if rest, ok := strings.CutPrefix(line, "Configuration file is "); ok {
			s.config = rest
		}
	}
	if s.version == "" || s.config == "" {
		return fmt.Errorf("%w: its version and the path of its configuration are not in what exim -bV prints", ErrConfig)
	}
	if !slices.Contains(s.files, s.config) {
		s.files = append(s.files, s.config)
	}
	return nil
}

// parseDrivers reads what -bP routers and -bP transports print: for each, a line
// "NAME router:" and one for each option, "name = value", "name" or "no_name".
func parseDrivers(text string) []driver {
	var all []driver
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if name, ok := driverName(line); ok {
			all = append(all, driver{name, map[string]string{}, map[string]bool{}})
			continue
		}
		if len(all) == 0 {
			continue
		}
		last := all[len(all)-1]
		if name, value, ok := strings.Cut(line, " = "); ok {
			if value != "" {
				last.text[name] = value
			}
		} else if line != "" && !strings.HasPrefix(line, "no_") {
			last.set[line] = true
		}
	}
	return all
}

// driverName reads the line that begins a driver.
func driverName(line string) (name string, ok bool) {
	for _, kind := range []string{" router:", " transport:"} {
		if name, ok = strings.CutSuffix(line, kind); ok && !strings.ContainsAny(name, " =") {
			return name, true
		}
	}
	return "", false
}

// transport finds one by its name.
func (s *state) transport(name string) (driver, bool) {
	for _, t := range s.transports {
		if t.name == name {
			return t, true
		}
	}
	return driver{}, false
}

const (
	// maxIncluded bounds how many included files are looked for.
	maxIncluded = 100

	// maxConfigOctets bounds a configuration file that is searched for them:
	// Debian's is 25 KB.
	maxConfigOctets = 4 << 20
)

// include is a line that includes a file with an absolute path (exim's
// specification, "File inclusions in the configuration file").
var include = regexp.MustCompile(`(?m)^[ \t]*\.include(?:_if_exists)?[ \t]+"?(/[^"\s]+)"?[ \t]*$`)

// included are the files that a configuration file includes, at most n. Those
// that only exim's macros can name are not among them, nor what is in a file that
// this process may not read.
func included(path string, n int) []string {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxConfigOctets {
		return nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var all []string
	for _, m := range include.FindAllSubmatch(content, n) {
		all = append(all, string(m[1]))
		all = append(all, included(string(m[1]), n-len(all))...)
		if len(all) >= n {
			return all[:n]
		}
	}
	return all
}

// valid says whether the files are as they were.
func (s *state) valid() bool {
	now, _ := version.Look(s.files...)
	return s.settled && now == s.seen
}
