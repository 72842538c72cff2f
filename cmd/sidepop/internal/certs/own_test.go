package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestOwn has what happens to a server's own certificate beside whether there is
// another one then.
func TestOwn(t *testing.T) {
	o := Own{File: filepath.Join(t.TempDir(), "certificate.pem"), Names: []string{"mx.example.org", "mx"}}
	rubbish := func(t *testing.T) { put(t, o.File, "rubbish") }
	lone := func(t *testing.T) { // a certificate without its key
		content, _ := os.ReadFile(o.File)
		put(t, o.File, string(content[bytes.Index(content, []byte("-----BEGIN CERTIFICATE")):]))
	}
	var before []byte
	for _, tt := range []struct {
		about  string
		change func(*testing.T)
		later  time.Duration
		names  []string
		anew   bool
	}{
		{"the first", nil, 0, nil, true},
		{"another start", nil, 0, nil, false},
		{"a year later", nil, 365 * 24 * time.Hour, nil, false},
		{"a name that is gone", nil, 0, []string{"mx"}, false},
		{"a name that is new", nil, 0, []string{"mail.example.org", "mx"}, true},
		{"its end is near", nil, ownLife - ownRenewal + time.Minute, nil, true},
		{"the clock was ahead", nil, -2 * clockSkew, nil, true},
		{"damaged", rubbish, 0, nil, true},
		{"without its key", lone, 0, nil, true},
		{"removed", func(t *testing.T) { _ = os.Remove(o.File) }, 0, nil, true},
		{"what a crash has left", func(t *testing.T) { put(t, o.File+".new", strings.Repeat("rubbish", 1000)); _ = os.Remove(o.File) }, 0, nil, true},
	} {
		if tt.change != nil {
			tt.change(t)
		}
		if tt.names != nil {
			o.Names = tt.names
		}
		now := time.Now().Add(tt.later)
		if f := o.find(now); (f.Fault == nil) == tt.anew {
			t.Errorf("%s: found %v", tt.about, f.Fault)
		}
		f := o.ready(now)
		after, err := os.ReadFile(o.File)
		if err != nil || f.Leaf == nil {
			t.Fatalf("%s: %+v, %v", tt.about, f, err)
		}
		if bytes.Equal(before, after) == tt.anew {
			t.Errorf("%s: another certificate: %v, want %v", tt.about, !tt.anew, tt.anew)
		}
		if tt.anew && (!slices.Equal(f.Leaf.DNSNames, o.Names) || time.Until(f.Leaf.NotAfter) > ownLife || !SelfSigned(f.Leaf)) {
			t.Errorf("%s: %v, until %v", tt.about, f.Leaf.DNSNames, f.Leaf.NotAfter)
		}
		if key, ok := f.Leaf.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
			t.Errorf("%s: a key of %T", tt.about, f.Leaf.PublicKey)
		}
		if fi, err := os.Stat(o.File); err != nil || fi.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", tt.about, fi.Mode(), err)
		}
		before = after
	}
	if left, _ := filepath.Glob(o.File + "*"); len(left) != 1 {
		t.Errorf("left: %q", left)
	}
}

func put(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestOwnCannotBeMade: where nothing can be written, one that is not quite right is
// better than none.
func TestOwnCannotBeMade(t *testing.T) {
	o := Own{File: filepath.Join(t.TempDir(), "certificate.pem"), Names: []string{"mx.example.org"}}
	if f := o.ready(time.Now()); f.Fault != nil {
		t.Fatal(f.Fault)
	}
	if err := os.Mkdir(o.File+".new", 0o700); err != nil { // in the way
		t.Fatal(err)
	}
	o.Names = []string{"mail.example.org"}
	for later, ok := range map[time.Duration]bool{0: true, ownLife - time.Hour: true, ownLife + time.Hour: false} {
		if f := o.ready(time.Now().Add(later)); (f.Fault == nil) != ok || f.Leaf == nil {
			t.Errorf("%v later: %v", later, f.Fault)
		}
	}
	if err := os.Remove(o.File); err != nil {
		t.Fatal(err)
	}
	if f := o.ready(time.Now()); f.Fault == nil || !strings.Contains(f.Fault.Error(), o.File+" can't be made: ") {
		t.Errorf("without any: %v", f.Fault)
	}
	var events told
	s := Discovered(func() []Found { return Search{Own: o}.FindOrMake(time.Now()) }, nil, &events)
	defer s.Close()
	if len(s.Current()) > 0 || events.faults != 1 || !strings.Contains(events.last, "can't be made") {
		t.Errorf("without any: told %+v", events)
	}
}

// TestOwnGivesWay: a certificate that is found is used at once in place of the
// server's own, which comes back, the same as it was, when that is gone.
func TestOwnGivesWay(t *testing.T) {
	bot := &certbot{TB: t, authority: newAuthority(t), dir: t.TempDir()}
	live := filepath.Join(bot.dir, "live") // which is not there yet
	search := Search{Live: live, Own: Own{File: filepath.Join(t.TempDir(), "own.pem"), Names: []string{"own.example.org"}}}
	if found := search.Find(time.Now()); len(found) != 1 || found[0].Used || found[0].Fault == nil || !found[0].Own {
		t.Fatalf("without making one: %+v", found)
	}
	var events told
	s := Discovered(func() []Found { return search.FindOrMake(time.Now()) }, []string{live}, &events)
	defer s.Close()
	name := func() string {
		t.Helper()
		if len(s.Current()) != 1 {
			t.Fatalf("%d certificates", len(s.Current()))
		}
		return s.Current()[0].Leaf.DNSNames[0]
	}
	own := s.Current()
	if name() != "own.example.org" || events.itself != 1 {
		t.Errorf("at first %s, told %+v", name(), events)
	}
	bot.renew("mx.example.org")
	if !changes(t, s) || name() != "mx.example.org" || events.itself != 1 {
		t.Errorf("with another: %s, told %+v", name(), events)
	}
	if err := os.RemoveAll(filepath.Join(live, "mx.example.org")); err != nil {
		t.Fatal(err)
	}
	if !changes(t, s) || name() != "own.example.org" || s.Current()[0].Leaf.SerialNumber.Cmp(own[0].Leaf.SerialNumber) != 0 || events.itself != 2 {
		t.Errorf("without it: %s, told %+v", name(), events)
	}
	// What is replaced while it is used is loaded.
	put(t, search.Own.File, "rubbish")
	if !changes(t, s) || name() != "own.example.org" || s.Current()[0].Leaf.SerialNumber.Cmp(own[0].Leaf.SerialNumber) == 0 || events.faults != 0 {
		t.Errorf("damaged: %s, told %+v", name(), events)
	}
}
