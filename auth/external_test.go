package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// issuer signs certificates.
type issuer struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

// issue makes a certificate of its own, or with by of another issuer's.
func issue(t *testing.T, by *issuer, change func(*x509.Certificate)) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	change(template)
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{t, key, made}
}

func authority(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: name}
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.ExtKeyUsage = true, true, x509.KeyUsageCertSign, nil
	}
}

func owner(name string, addresses ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject, c.EmailAddresses = pkix.Name{CommonName: name}, addresses
	}
}

func TestCertificates(t *testing.T) {
	root, stranger := issue(t, nil, authority("root")), issue(t, nil, authority("stranger"))
	between := issue(t, root, authority("between"))
	joe := issue(t, root, owner("Joe Doe", "joe@example.org", "joe@example.net"))
	jim := issue(t, root, owner("jim"))
	below := issue(t, between, owner("below"))
	ended := issue(t, root, func(c *x509.Certificate) { owner("old")(c); c.NotAfter = time.Now().Add(-time.Minute) })
	server := issue(t, root, func(c *x509.Certificate) {
		owner("server")(c)
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	fingerprint := sha256.Sum256(jim.cert.Raw)
	var colons []string
	for _, b := range fingerprint {
		colons = append(colons, fmt.Sprintf("%02X", b))
	}
	impostor := issue(t, root, owner(strings.Join(colons, ":"), strings.ToLower(strings.Join(colons, ""))))
	dir := t.TempDir()
	put(t, dir+"/ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.cert.Raw})))
	// Certificates that say of themselves what others are known by.
	mallory := issue(t, root, owner(hex.EncodeToString(fingerprint[:]), "mallory@example.org"))
	marvin := issue(t, root, owner("marvin", hex.EncodeToString(fingerprint[:])))
	mike := issue(t, root, owner("joe@example.net", "mike@example.org"))
	old := issue(t, root, owner("Joe@Example.Net"))
	put(t, dir+"/users", "# owners\n\nJoe Doe doe\nJOE@example.net net\n"+strings.Join(colons, ":")+"  jimmy\n")
	for _, c := range []struct {
		name  string
		chain []*issuer
		names string // without a file of users
		named string // with one
	}{
		{"addresses", []*issuer{joe}, "joe@example.org joe@example.net", "net doe"},
		{"common name", []*issuer{jim}, "jim", "jimmy"},
		{"a name like a fingerprint", []*issuer{mallory}, "mallory@example.org", ""},
		{"an address like a fingerprint", []*issuer{marvin}, marvin.cert.EmailAddresses[0], ""},
		{"another one's address as its name", []*issuer{mike}, "mike@example.org", ""},
		{"its address as its name", []*issuer{old}, "Joe@Example.Net", "net"},
		{"through another", []*issuer{below, between}, "below", ""},
		{"another's fingerprint as its name", []*issuer{impostor}, strings.ToLower(strings.Join(colons, "")), ""},
		{"link missing", []*issuer{below}, "", ""},
		{"ended", []*issuer{ended}, "", ""},
		{"a server's", []*issuer{server}, "", ""},
		{"no name", []*issuer{issue(t, root, owner(""))}, "", ""},
		{"a stranger's", []*issuer{issue(t, stranger, owner("jim")), stranger}, "", ""},
		{"its own", []*issuer{issue(t, nil, owner("jim"))}, "", ""},
		{"none", nil, "", ""},
	} {
		var chain []*x509.Certificate
		for _, i := range c.chain {
			chain = append(chain, i.cert)
		}
		for file, want := range map[string]string{"": c.names, dir + "/users": c.named} {
			certificates, err := OpenCertificates(dir+"/ca.pem", file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := certificates.Users(chain)
			if !slices.Equal(got, strings.Fields(want)) || (want == "") != errors.Is(err, ErrCredentials) {
				t.Errorf("%s, %q: %q, %v; want %q", c.name, file, got, err, want)
			}
		}
	}
}

// TestNamedByProxy has common names of certificates that a proxy has verified.
func TestNamedByProxy(t *testing.T) {
	dir := t.TempDir()
	fingerprint := strings.Repeat("0f", sha256.Size)
	put(t, dir+"/users", "Joe Doe doe\n"+fingerprint+" jimmy\n")
	for _, c := range []struct{ name, user, named string }{
		{"Joe Doe", "Joe Doe", "doe"},
		{"JOE doe", "JOE doe", "doe"},
		{"jim", "jim", ""},
		{fingerprint, fingerprint, ""},
		{strings.ToUpper(fingerprint), strings.ToUpper(fingerprint), ""},
	} {
		for file, want := range map[string]string{"": c.user, dir + "/users": c.named} {
			certificates, err := OpenCertificates("", file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := certificates.Named(c.name)
			if strings.Join(got, " ") != want || (want == "") != errors.Is(err, ErrCredentials) {
				t.Errorf("%s, %q: %q, %v; want %q", c.name, file, got, err, want)
			}
			if _, err := certificates.Users([]*x509.Certificate{issue(t, nil, owner("jim")).cert}); !errors.Is(err, ErrCredentials) {
				t.Errorf("without authorities a certificate is taken: %v", err)
			}
			if all, err := certificates.Authorities(); all != nil || err != nil {
				t.Errorf("authorities where there are none: %q, %v", all, err)
			}
		}
	}
}

func TestOpenCertificates(t *testing.T) {
	dir := t.TempDir()
	root := issue(t, nil, authority("root"))
	put(t, dir+"/ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.cert.Raw})))
	put(t, dir+"/empty", "")
	put(t, dir+"/large", strings.Repeat("\n", MaxAuthorityOctets+1))
	put(t, dir+"/lone", "joe\n")
	put(t, dir+"/twice", "a joe\n# \nA jim\n")
	for _, c := range []struct{ ca, users, want string }{
		{"none", "", "no such file"},
		{"empty", "", "has no certificate"},
		{"large", "", "the authorities of clients alone"},
		{"ca.pem", "none", "no such file"},
		{"ca.pem", "lone", "lone:1: expected"},
		{"ca.pem", "twice", "twice:3: expected"},
	} {
		users := ""
		if c.users != "" {
			users = dir + "/" + c.users
		}
		if _, err := OpenCertificates(dir+"/"+c.ca, users); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, %s: %v, want %s", c.ca, c.users, err, c.want)
		}
	}
}

// TestCertificatesCountAsTheyAre: both files do at each login, as passwd files do.
func TestCertificatesCountAsTheyAre(t *testing.T) {
	dir := t.TempDir()
	of := func(i *issuer) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw}))
	}
	root, other := issue(t, nil, authority("root")), issue(t, nil, authority("other"))
	ours, theirs := []*x509.Certificate{issue(t, root, owner("joe")).cert}, []*x509.Certificate{issue(t, other, owner("joe")).cert}
	put(t, dir+"/ca", of(root))
	put(t, dir+"/users", "joe joe1\n")
	c, err := OpenCertificates(dir+"/ca", dir+"/users")
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name         string
		ca, users    string // "": the file is not there
		ours, theirs string
		err          error // of both, and of names by a proxy where it is of the users
	}{
		{"at first", of(root), "joe joe1\n", "joe1", "", nil},
		{"another user", of(root), "joe joe2\n", "joe2", "", nil},
		{"both authorities", of(root) + of(other), "joe joe2\n", "joe2", "joe2", nil},
		{"the other authority", of(other), "joe joe2\n", "", "joe2", nil},
		{"no authority", "", "joe joe2\n", "", "", ErrTemporary},
		{"half an authority", of(root)[:100], "joe joe2\n", "", "", ErrPermanent},
		{"no users", of(root), "", "", "", ErrTemporary},
		{"users that are none", of(root), "joe\n", "", "", ErrPermanent},
		{"as at first", of(root), "joe joe1\n", "joe1", "", nil},
	} {
		for path, content := range map[string]string{dir + "/ca": step.ca, dir + "/users": step.users} {
			if content == "" {
				_ = os.Remove(path)
			} else {
				put(t, path, content)
			}
		}
		for want, chain := range map[*string][]*x509.Certificate{&step.ours: ours, &step.theirs: theirs} {
			got, err := c.Users(chain)
			kind := step.err
			if *want == "" && (kind == nil || want == &step.theirs && errors.Is(err, ErrCredentials)) {
				kind = ErrCredentials
			}
			if strings.Join(got, " ") != *want || !errors.Is(err, kind) {
				t.Errorf("%s: %q, %v; want %q, %v", step.name, got, err, *want, kind)
			}
		}
		if pem, err := c.Authorities(); string(pem) != step.ca && err == nil {
			t.Errorf("%s: the authorities are %q", step.name, pem)
		}
		if got, err := c.Named("joe"); (err == nil) != strings.HasPrefix(step.users, "joe joe") || err == nil && "joe "+got[0]+"\n" != step.users {
			t.Errorf("%s: by a proxy %q, %v", step.name, got, err)
		}
	}
}

func TestExternal(t *testing.T) {
	m := scramSite(t, "joe@example.org:{SHA1}L55TUjtiq8FBorTWAZ0jy6g129A=::::::user=joe\njoe:!\njim:!\noff:!::::::nologin\nbad:{NO}x\n")
	const none = "\xffnil"
	for _, c := range []struct {
		names     []string
		responses []string
		want      error
		account   string
	}{
		{[]string{"joe@example.org"}, []string{""}, nil, "joe"},
		{[]string{"joe@example.org"}, []string{none, ""}, nil, "joe"},
		{[]string{"joe@example.org"}, []string{"JOE@example.org"}, nil, "joe"},
		{[]string{"joe@example.org"}, []string{"joe"}, nil, "joe"}, // another name of the account
		{[]string{"jim", "joe"}, []string{"joe"}, nil, "joe"},
		{[]string{"jim", "joe"}, []string{""}, nil, "jim"},
		{[]string{"joe"}, []string{"jim"}, ErrDenied, ""},
		{[]string{"joe"}, []string{"nobody"}, ErrDenied, ""},
		{[]string{"joe"}, []string{"bad"}, ErrPermanent, ""},
		{[]string{"nobody"}, []string{""}, ErrCredentials, ""},
		{[]string{"nobody"}, []string{"joe"}, ErrCredentials, ""},
		{[]string{"off"}, []string{""}, ErrDenied, ""},
		{[]string{"joe"}, []string{"a\x00b"}, ErrProtocol, ""},
		{[]string{"joe"}, []string{none, none}, ErrProtocol, ""},
		{[]string{"joe"}, []string{"", ""}, ErrProtocol, "joe"},
	} {
		var account *Account
		e := NewExternal(c.names, func(l Login) (err error) {
			account, err = m.AdmitAs(t.Context(), l)
			return err
		})
		var err error
		for _, response := range c.responses {
			raw := []byte(response)
			if response == none {
				raw = nil
			}
			_, _, err = e.Next(raw)
		}
		name := ""
		if account != nil {
			name = account.Name
		}
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || name != c.account {
			t.Errorf("%q, %q: %q, %v; want %q, %v", c.names, c.responses, name, err, c.account, c.want)
		}
	}
}
