package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

const patience = 10 * time.Second

// told is what is told of certificates.
type told struct {
	loaded, itself, faults int
	last                   string
}

func (t *told) CertificateInUse(string, *x509.Certificate)      {}
func (t *told) Certificate(file string, _ *x509.Certificate)    { t.loaded++; t.last = file }
func (t *told) CertificateSelfSigned(string, *x509.Certificate) { t.itself++ }
func (t *told) CertificateFault(err error)                      { t.faults++; t.last = err.Error() }

// authority signs certificates, so that these are not signed by themselves.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if ca, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return &authority{ca, key}
}

// issue writes a certificate for a name that is valid for so long.
func (a *authority) issue(t testing.TB, f Files, name string, life time.Duration) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(life),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{f.Certificate: {Type: "CERTIFICATE", Bytes: der}, f.Key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func in(dir string) Files { return Files{filepath.Join(dir, "cert"), filepath.Join(dir, "key")} }

// writeLocal writes another certificate to files.
func writeLocal(t *testing.T, f Files) {
	t.Helper()
	if err := WriteLocal(f.Certificate, f.Key); err != nil {
		t.Fatal(err)
	}
}

// TestPair follows the files of a pair through a replacement, looking twice after
// each change.
func TestPair(t *testing.T) {
	f := in(t.TempDir())
	writeLocal(t, f)
	var events told
	p, err := load(f)
	if err != nil {
		t.Fatal(err)
	}
	look := func() string {
		p.refresh(time.Now(), &events)
		return p.current.Leaf.SerialNumber.String()
	}
	first := look()
	if again := look(); again != first || events != (told{}) {
		t.Errorf("unchanged: serial %s then %s, told %+v", first, again, events)
	}
	if err := os.WriteFile(f.Certificate, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if look() != first || events.faults != 0 {
		t.Errorf("damaged: the old pair must stay and nothing be told yet, told %+v", events)
	}
	if a, b := look(), look(); a != first || b != first || events.faults != 1 {
		t.Errorf("damaged: the old pair must stay and one fault be told, told %+v", events)
	}
	if err := os.Remove(f.Certificate); err != nil {
		t.Fatal(err)
	}
	if a, b, c := look(), look(), look(); a != first || b != first || c != first || events.faults != 2 {
		t.Errorf("removed: the old pair must stay, told %+v", events)
	}
	writeLocal(t, f)
	if look() == first || events.loaded != 1 || events.faults != 2 || events.last != f.Certificate {
		t.Errorf("replaced: the new pair must be used, told %+v", events)
	}

	// The key first, and the certificate between two looks: nobody hears of it.
	other := in(t.TempDir())
	writeLocal(t, other)
	before := look()
	if err := os.Rename(other.Key, f.Key); err != nil {
		t.Fatal(err)
	}
	if look() != before {
		t.Error("a certificate without its key is used")
	}
	if err := os.Rename(other.Certificate, f.Certificate); err != nil {
		t.Fatal(err)
	}
	if look() == before || events.loaded != 2 || events.faults != 2 {
		t.Errorf("one after the other: told %+v", events)
	}
}

// TestEnd has certificates that end, which is told at once and then once a day: how
// often is beside how long they are valid.
func TestEnd(t *testing.T) {
	ca := newAuthority(t)
	looks := []time.Duration{0, warnEvery - time.Minute, warnEvery + time.Hour}
	for life, want := range map[time.Duration][]int{EndsSoon + time.Hour: {0, 1, 1}, EndsSoon - time.Hour: {1, 1, 2}, -time.Hour: {1, 1, 2}} {
		f := in(t.TempDir())
		ca.issue(t, f, "a", life)
		p, err := load(f)
		if err != nil {
			t.Fatal(err)
		}
		var events told
		var got []int
		for now := time.Now(); len(got) < len(looks); {
			p.warnOfEnd(now.Add(looks[len(got)]), &events)
			got = append(got, events.faults)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v: told %v, want %v", life, got, want)
		}
	}
}

func TestNamedFails(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	for _, n := range []string{"1", "2"} {
		writeLocal(t, Files{file("cert" + n), file("key" + n)})
	}
	chain, err := os.ReadFile(file("cert1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file("long"), bytes.Repeat(chain, maxChain+1), 0o600); err != nil {
		t.Fatal(err)
	}
	good := Files{file("cert1"), file("key1")}
	for _, pair := range [][2]string{{"cert1", "key2"}, {"none", "key1"}, {"key1", "cert1"}, {"long", "key1"}} {
		if _, err := Named([]Files{good, {file(pair[0]), file(pair[1])}}, new(told)); err == nil {
			t.Errorf("%v is taken", pair)
		}
	}
}

// certbot is a folder as certbot keeps it.
type certbot struct {
	testing.TB
	*authority
	dir     string
	version int
}

// renew does what certbot does: it writes the next version to archive, and makes
// the symlinks in live lead to it, one after the other.
func (c *certbot) renew(name string) {
	c.Helper()
	c.version++
	live, archive := filepath.Join(c.dir, "live", name), filepath.Join(c.dir, "archive", name)
	file := func(kind string) string { return fmt.Sprintf("%s%d.pem", kind, c.version) }
	c.issue(c.TB, Files{filepath.Join(archive, file("fullchain")), filepath.Join(archive, file("privkey"))}, name, 90*24*time.Hour)
	if err := os.MkdirAll(live, 0o700); err != nil {
		c.Fatal(err)
	}
	for _, kind := range []string{"privkey", "fullchain"} {
		link := filepath.Join(live, kind+".pem")
		_ = os.Remove(link) // there is none at first
		if err := os.Symlink(filepath.Join("../../archive", name, file(kind)), link); err != nil {
			c.Fatal(err)
		}
	}
}

// files are those of a name.
func (c *certbot) files(name string) Files {
	dir := filepath.Join(c.dir, "live", name)
	return Files{filepath.Join(dir, "fullchain.pem"), filepath.Join(dir, "privkey.pem")}
}

// changes waits for a change and says whether there are other certificates then.
func changes(t *testing.T, s *Store) bool {
	t.Helper()
	select {
	case <-s.Changed():
		return s.Refresh()
	case <-time.After(patience):
		t.Fatal("the watch tells of no change")
		return false
	}
}

// TestWatch: a watch tells of what leads to other files: of certbot's symlinks, of
// a folder that is one, as in Kubernetes, and of a file that is written anew. It is
// no matter how much else happens beside the files.
func TestWatch(t *testing.T) {
	bot := &certbot{TB: t, authority: newAuthority(t), dir: t.TempDir()}
	bot.renew("mx.example.org")
	dir := t.TempDir()
	volume := func(version string) {
		t.Helper()
		bot.issue(t, in(filepath.Join(dir, version)), "volume", 90*24*time.Hour)
		link := filepath.Join(dir, "data")
		if err := os.Symlink(version, link+"-new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link+"-new", link); err != nil {
			t.Fatal(err)
		}
	}
	volume("1")
	plain := in(t.TempDir())
	writeLocal(t, plain)
	var events told
	s, err := Named([]Files{bot.files("mx.example.org"), in(filepath.Join(dir, "data")), plain}, &events)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !s.watch.complete {
		t.Fatal("not all is watched")
	}
	for i, change := range []func(){
		func() { bot.renew("mx.example.org") },
		func() { volume("2") },
		func() { writeLocal(t, plain) },
		func() { bot.renew("mx.example.org") },
		func() { volume("3") },
	} {
		before := s.Current()
		change()
		if !changes(t, s) {
			t.Errorf("change %d: the certificates are the old ones", i)
		}
		if events.loaded != i+1 || events.faults != 0 || same(before, s.Current()) {
			t.Errorf("change %d: told %+v", i, events)
		}
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(plain.Key), "other"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Changed():
		t.Error("another file beside is a change")
	case <-time.After(3 * settle):
	}
	if s.Refresh() || s.due(time.Now()) || !s.due(time.Now().Add(watchedInterval)) {
		t.Error("without a change files are looked at now and then")
	}
}

// TestDiscovered: certificates come and go with their folders, and stay while they
// can't be read.
func TestDiscovered(t *testing.T) {
	bot := &certbot{TB: t, authority: newAuthority(t), dir: t.TempDir()}
	bot.renew("a.example.org")
	live := filepath.Join(bot.dir, "live")
	var events told
	s := Discovered(func() []Found { return Search{Live: live}.Find(time.Now()) }, []string{live}, &events)
	defer s.Close()
	names := func() (all []string) {
		for _, c := range s.Current() {
			all = append(all, c.Leaf.DNSNames[0])
		}
		return all
	}
	if got := names(); !slices.Equal(got, []string{"a.example.org"}) || events != (told{}) {
		t.Errorf("at first %q, told %+v", got, events)
	}
	bot.renew("b.example.org")
	if !changes(t, s) || !slices.Equal(names(), []string{"a.example.org", "b.example.org"}) || events.loaded != 1 {
		t.Errorf("one more: %q, told %+v", names(), events)
	}
	if err := os.Remove(bot.files("a.example.org").Key); err != nil {
		t.Fatal(err)
	}
	if changes(t, s) || !slices.Equal(names(), []string{"a.example.org", "b.example.org"}) || events.faults != 0 {
		t.Errorf("without a key: %q, told %+v", names(), events)
	}
	for range 2 {
		if s.Refresh() {
			t.Error("without a key for long: other certificates")
		}
	}
	if events.faults != 1 {
		t.Errorf("without a key for long: told %+v", events)
	}
	if err := os.RemoveAll(filepath.Join(live, "a.example.org")); err != nil {
		t.Fatal(err)
	}
	if !changes(t, s) || !slices.Equal(names(), []string{"b.example.org"}) {
		t.Errorf("removed: %q", names())
	}

	// One that never could be used is told of once.
	broken := bot.files("c.example.org")
	if err := os.Mkdir(filepath.Dir(broken.Certificate), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(broken.Certificate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		s.looked = time.Unix(1, 0) // long ago
		if s.Refresh() {
			t.Error("one that can't be used is")
		}
	}
	if events.faults != 2 {
		t.Errorf("one that can't be used: told %+v", events)
	}
	events = told{}
	Discovered(s.find, s.folders, &events).Close()
	if events.faults != 1 {
		t.Errorf("one that can't be used, at the start: told %+v", events)
	}
}

// TestFind has certificates on a machine beside those that are used, the first of
// all first.
func TestFind(t *testing.T) {
	ca := newAuthority(t)
	const valid, ended = 90 * 24 * time.Hour, -time.Hour
	for _, tt := range []struct {
		about string
		files map[string]time.Duration // how long they are valid; self-signed: 0
		mta   string
		used  []string
	}{
		{"nothing", nil, "", nil},
		{"the mail server's first, and all others", map[string]time.Duration{"mta": valid, "live/a": valid, "live/mx": valid, "snakeoil": 0}, "mta", []string{"mta", "live/mx", "live/a"}},
		{"the mail server's is one of certbot's", map[string]time.Duration{"live/a": valid, "live/b": valid}, "live/b", []string{"live/b", "live/a"}},
		{"the machine's name first", map[string]time.Duration{"live/a": valid, "live/mx": valid}, "", []string{"live/mx", "live/a"}},
		{"the mail server's own signature last", map[string]time.Duration{"mta": 0, "live/a": valid}, "mta", []string{"live/a"}},
		{"no other", map[string]time.Duration{"mta": 0, "snakeoil": 0}, "mta", []string{"mta"}},
		{"the mail server has snakeoil", map[string]time.Duration{"snakeoil": 0}, "snakeoil", []string{"snakeoil"}},
		{"a last resort", map[string]time.Duration{"snakeoil": 0}, "", []string{"snakeoil"}},
		{"one that has ended", map[string]time.Duration{"live/a": ended, "live/b": valid}, "", []string{"live/b"}},
		{"nothing but what has ended", map[string]time.Duration{"live/a": ended, "snakeoil": 0}, "", []string{"live/a"}},
		{"files that are not there", map[string]time.Duration{"live/a": valid}, "mta", []string{"live/a"}},
	} {
		root := t.TempDir()
		files := func(name string) Files {
			dir := filepath.Join(root, name)
			return Files{filepath.Join(dir, "fullchain.pem"), filepath.Join(dir, "privkey.pem")}
		}
		for name, life := range tt.files {
			f := files(name)
			ca.issue(t, f, filepath.Base(name)+".example.org", life)
			if life == 0 {
				writeLocal(t, f)
			}
		}
		s := Search{Live: filepath.Join(root, "live"), Local: files("snakeoil"), Name: "mx.example.org"}
		if tt.mta != "" {
			s.MTA, s.Files = "Postfix", files(tt.mta)
		}
		var used []string
		for _, f := range s.Find(time.Now()) {
			if f.Why == "" || f.Whose == "" || (f.Leaf == nil) != (f.Fault != nil) {
				t.Errorf("%s: %+v", tt.about, f)
			}
			if name, err := filepath.Rel(root, filepath.Dir(f.Certificate)); f.Used && err == nil {
				used = append(used, name)
			}
		}
		if !slices.Equal(used, tt.used) {
			t.Errorf("%s: used %q, want %q", tt.about, used, tt.used)
		}
	}
}

// TestEntries has paths beside what leads to them.
func TestEntries(t *testing.T) {
	dir := t.TempDir()
	for link, to := range map[string]string{"live": "real/live", "up": "real/live/../file", "loop": "loop", "gone": "nothing/at/all", "all": dir + "/real/file"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "real/live"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"real/file", "real/live/file"} {
		if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string][]string{
		"real/file": {"real/file"},
		"live/file": {"live", "real/live/file"},
		"up":        {"up", "real/file"},
		"all":       {"all", "real/file"},
		"gone":      {"gone", "nothing"},
		"none/file": {"none"},
	} {
		got := entries(filepath.Join(dir, path))
		for i := range want {
			want[i] = filepath.Join(dir, want[i])
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", path, got, want)
		}
	}
	if got := entries(filepath.Join(dir, "loop")); len(got) > maxLinks+1 {
		t.Errorf("a loop: %d entries", len(got))
	}
}

// TestLocal makes a handshake with each of the names of a local certificate.
func TestLocal(t *testing.T) {
	f := in(t.TempDir())
	writeLocal(t, f)
	for _, file := range []string{f.Certificate, f.Key} {
		if fi, err := os.Stat(file); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, fi.Mode(), err)
		}
	}
	s := newServer(t, f, nil)
	for name, version := range map[string]uint16{
		"localhost": tls.VersionTLS13, "127.0.0.1": tls.VersionTLS12, "::1": tls.VersionTLS13,
		"example.org": 0, "old": tls.VersionTLS11,
	} {
		c := &tls.Config{RootCAs: s.roots, ServerName: name, MaxVersion: version}
		if name == "old" {
			c.ServerName, c.MinVersion = "localhost", version
		}
		_, err := s.dial(c)
		if wrong := name == "example.org" || name == "old"; wrong != (err != nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
