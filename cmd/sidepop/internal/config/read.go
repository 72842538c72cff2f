package config

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/BurntSushi/toml"
)

// A Problem is something in a configuration file that can't be used.
type Problem struct {
	File   string // empty: there is none
	Line   int    // 0: the whole file
	Key    string // with its table; empty: no certain one
	Text   string // what is wrong, and what was expected
	Remedy string // what to do; empty: the text says it
}

func (p *Problem) Error() string {
	if p.Remedy == "" {
		return p.Complaint()
	}
	return p.Complaint() + ": " + p.Remedy
}

// Complaint is where and what the problem is, without the remedy.
func (p *Problem) Complaint() string {
	var where []string
	switch {
	case p.Line > 0:
		where = append(where, fmt.Sprintf("%s:%d", p.File, p.Line))
	case p.File != "":
		where = append(where, p.File)
	}
	if p.Key != "" {
		where = append(where, p.Key)
	}
	return strings.Join(append(where, p.Text), ": ")
}

// Problems is everything that is wrong with a file, by line.
type Problems []*Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// asError sorts the problems; no problems are no error.
func (ps Problems) asError() error {
	if len(ps) == 0 {
		return nil
	}
	slices.SortStableFunc(ps, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key))
	})
	return ps
}

// maxFile is the largest configuration file, in bytes: something larger is
// another kind of file.
const maxFile = 1 << 20

// Read reads and checks a configuration file. The error is [Problems].
func Read(file string) (*Config, error) {
	text, err := Text(file)
	if err != nil {
		return nil, err
	}
	return Parse(file, text)
}

// Text gives the content of a configuration file. [DefaultFile] need not be there:
// then it is empty. The error is [Problems].
func Text(file string) (string, error) {
	fi, err := os.Stat(file)
	switch {
	case file == DefaultFile && errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
	case fi.IsDir():
		err = syscall.EISDIR
	case !fi.Mode().IsRegular():
		err = errors.New("not a regular file")
	case fi.Size() > maxFile:
		err = fmt.Errorf("larger than %d bytes: not a configuration", maxFile)
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(file)
	}
	if err != nil {
		p := Problem{File: file, Text: "can't be read: " + reason(err)}
		if errors.Is(err, fs.ErrPermission) {
			p.Remedy = fmt.Sprintf("let everybody read it, or one of the groups of user id %d", os.Geteuid())
		}
		return "", Problems{&p}
	}
	return string(data), nil
}

// reason is an error without the path that the caller names itself.
func reason(err error) string {
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err.Error()
	}
	return err.Error()
}

// Parse is Read for a file's content. File is its name in messages.
func Parse(file, data string) (*Config, error) {
	if file == DefaultFile && data == "" {
		file = "" // it need not be there, and says nothing
	}
	c := Default()
	c.file, c.lines = file, make(map[string]int)
	d := decoder{Config: c, setters: make(map[string]setter)}
	for _, k := range c.keys() {
		d.setters[k.name] = k.set
	}
	var top map[string]toml.Primitive
	var err error
	if d.meta, err = toml.Decode(data, &top); err != nil {
		return nil, Problems{syntax(file, err)}
	}
	d.table("", top)
	d.complete()
	if err := d.problems.asError(); err != nil {
		return nil, err
	}
	return c, nil
}

// syntax is an error of the TOML parser.
func syntax(file string, err error) *Problem {
	p := &Problem{File: file, Text: err.Error()}
	var parse toml.ParseError
	if errors.As(err, &parse) {
		p.Line, p.Text = parse.Position.Line, "not TOML: "+parse.Message
	}
	return p
}

// decoder hands the values of a document to the setters.
type decoder struct {
	*Config
	setters  map[string]setter
	meta     toml.MetaData
	problems Problems
}

// table decodes the keys of a table, whose name is prefix without its last dot.
func (d *decoder) table(prefix string, values map[string]toml.Primitive) {
	for name, value := range values {
		key := prefix + toml.Key{name}.String() // in quotes where it needs them
		if set, ok := d.setters[key]; ok {
			d.decode(key, value, set)
			continue
		}
		var inner map[string]toml.Primitive
		d.decode(key, value, func(v any) error {
			if !d.isTable(key) {
				return errors.New("unknown key" + d.suggestion(key))
			}
			if _, ok := v.(map[string]any); !ok {
				return unexpected(v, "a table: a line with ["+key+"], its keys in the lines below")
			}
			return nil
		})
		if d.isTable(key) && d.meta.PrimitiveDecode(value, &inner) == nil {
			d.table(key+".", inner)
		}
	}
}

// isTable says whether key is a table with keys in it.
func (d *decoder) isTable(key string) bool {
	for known := range d.setters {
		if strings.HasPrefix(known, key+".") {
			return true
		}
	}
	return false
}

// decode hands one value to its setter and notes where it stands.
func (d *decoder) decode(key string, value toml.Primitive, set setter) {
	d.lines[key] = d.line(value)
	err := d.meta.PrimitiveDecode(value, set)
	if err == nil {
		return
	}
	var parse toml.ParseError
	if errors.As(err, &parse) {
		d.problem(key, parse.Message)
		return
	}
	d.problem(key, err.Error())
}

// errPosition makes the decoder say where it is.
var errPosition = errors.New("position wanted")

// line is where a value begins, which is the line of its key. The decoder says
// so only beside an error. A table that is there by its keys alone, as in
// "log.level = ...", has no line of its own: 0.
func (d *decoder) line(value toml.Primitive) int {
	err := d.meta.PrimitiveDecode(value, setter(func(any) error { return errPosition }))
	var parse toml.ParseError
	errors.As(err, &parse)
	return parse.Position.Line
}

func (d *decoder) problem(key, text string) {
	d.problems = append(d.problems, d.Problem(key, text))
}

// Problem is a problem with a key's value.
func (c *Config) Problem(key, text string) *Problem {
	return &Problem{File: c.file, Line: c.place(key), Key: key, Text: text}
}

// WithRemedy adds what to do.
func (p *Problem) WithRemedy(remedy string) *Problem {
	p.Remedy = remedy
	return p
}

// place is the line of a key or, for one that is not there, of its table or
// what else is in that; 0 when there is nothing.
func (c *Config) place(key string) int {
	if line := c.lines[key]; line > 0 {
		return line
	}
	table, _, ok := strings.Cut(key, ".")
	if !ok {
		return 0
	}
	first := c.lines[table]
	for k, line := range c.lines {
		if strings.HasPrefix(k, table+".") && (first == 0 || line < first) {
			first = line
		}
	}
	return first
}

// complete finds what is missing or does not fit together.
func (d *decoder) complete() {
	c := d.Config
	d.completeListen()
	d.completeTLS()
	switch hasCertificate, hasKey := d.given("tls.certificate"), d.given("tls.key"); {
	case hasCertificate && !hasKey:
		d.problem("tls.key", "missing, expected the file of the certificate's private key")
	case hasKey && !hasCertificate:
		d.problem("tls.certificate", "missing, expected the file of the certificate with its chain")
	}
	if d.given("auth.certificate_users") && !d.given("tls.client_ca") && !c.Listen.ProxyCertificates {
		d.problem("auth.certificate_users", "there are no certificates of clients, expected tls.client_ca too")
	}
	if c.Listen.ProxyCertificates && !d.given("listen.proxy_networks") {
		d.problem("listen.proxy_certificates", "there are no proxies, expected listen.proxy_networks too")
	}
	for source, key := range map[string]string{SourcePasswd: "auth.passwd_file", SourceVirtual: "auth.password_maps"} {
		if slices.Contains(c.Auth.Sources, source) && !d.given(key) {
			d.problem("auth.sources", fmt.Sprintf("%q needs %s", source, key))
		}
	}
	d.completeOAuth()
}

// completeListen is complete for the table [listen].
func (d *decoder) completeListen() {
	l := &d.Listen
	if !d.given("listen.pop3") && !d.given("listen.pop3s") {
		l.POP3S = []netip.AddrPort{defaultPOP3S}
	}
	if len(l.POP3)+len(l.POP3S) == 0 && !d.faulty("listen") {
		d.problem("listen", `no address, expected pop3 = ["[::]:110"], pop3s = ["[::]:995"] or both in the table [listen]`)
	}
	seen := make(map[netip.AddrPort]string)
	lists := l.addresses()
	for _, k := range d.keys() { // in order, so that the later one is complained of
		if lists[k.name] == nil {
			continue
		}
		for _, a := range *lists[k.name] {
			if before, ok := seen[a]; ok {
				d.problem(k.name, a.String()+" is in "+before+" too, expected each address once")
				continue
			}
			seen[a] = k.name
		}
	}
}

// completeTLS is complete for what of the table [tls] is spoken.
func (d *decoder) completeTLS() {
	t, legacy := &d.TLS, len(d.Listen.POP3Legacy)+len(d.Listen.POP3SLegacy) > 0
	switch {
	case d.faulty("tls.profile") || d.faulty("tls.minimum_version"):
		return
	case t.Profile == ProfileLegacy && !legacy && !d.faulty("listen"):
		d.problem("tls.profile", `"legacy" without a listener for old devices, expected listen.pop3s_legacy = ["[::]:10995"], `+
			`listen.pop3_legacy or both: nobody else is spoken to with TLS 1.0 and 1.1`)
	case t.Profile != ProfileLegacy && legacy:
		for _, key := range []string{"listen.pop3_legacy", "listen.pop3s_legacy"} {
			if len(*d.Listen.addresses()[key]) > 0 {
				d.problem(key, `needs tls.profile = "legacy"`)
			}
		}
	}
	var expected string
	switch {
	case t.Minimum == 0:
	case t.Profile == ProfileModern && t.Minimum < tls.VersionTLS13:
		expected = `"1.3" for tls.profile = "modern", or another profile`
	case t.Profile == ProfileIntermediate && t.Minimum < tls.VersionTLS12:
		expected = `"1.2" or "1.3", or tls.profile = "legacy" with a listener for old devices`
	case t.Profile == ProfileLegacy && t.Minimum > tls.VersionTLS11:
		expected = `"1.0" or "1.1" for tls.profile = "legacy", or another profile`
	}
	if expected != "" {
		d.problem("tls.minimum_version", fmt.Sprintf("%q, expected %s", VersionName(t.Minimum), expected))
	}
}

// defaultPOP3S is every address, for connections that begin with TLS: nothing
// else is needed by clients of today (RFC 8314, section 3).
var defaultPOP3S = netip.MustParseAddrPort("[::]:995")

// given says whether a key is in the file, with whatever value.
func (d *decoder) given(key string) bool { _, ok := d.lines[key]; return ok }

// faulty says whether something is wrong with a table already.
func (d *decoder) faulty(table string) bool {
	return slices.ContainsFunc(d.problems, func(p *Problem) bool {
		return p.Key == table || strings.HasPrefix(p.Key, table+".")
	})
}
