package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/emersion/go-maildir"
	"github.com/go-crypt/crypt/algorithm/shacrypt"

	"sidepop/cmd/sidepop/internal/certs"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/samples"
)

// folder is what `sidepop try` makes: a temporary folder with a certificate, a
// passwd file with one user and, unless there is one already, a Maildir.
type folder struct {
	path             string
	maildir          string
	passwd           string
	state            string // of the index
	runtime          string // of the keeper's socket
	config           string
	owner            uint32 // whose the mail is
	frontUser        string // what root becomes to speak to the network
	certificate, key string
	user, password   string
	messages         int // delivered
}

// newFolder makes the folder. With an existing Maildir it makes none.
func newFolder(existing string) (_ *folder, err error) {
	path, err := os.MkdirTemp("", "sidepop-try-")
	if err != nil {
		return nil, fmt.Errorf("can't make a temporary folder; set TMPDIR to a folder that you can write to: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(path)
		}
	}()
	f := &folder{
		path:        path,
		maildir:     existing,
		passwd:      filepath.Join(path, "users"),
		state:       filepath.Join(path, "state"),
		runtime:     filepath.Join(path, "run"),
		config:      filepath.Join(path, "sidepop.toml"),
		frontUser:   frontUser(),
		certificate: filepath.Join(path, "cert.pem"),
		key:         filepath.Join(path, "key.pem"),
		user:        userName(),
	}
	if err := certs.WriteLocal(f.certificate, f.key); err != nil {
		return nil, err
	}
	if existing == "" {
		f.maildir = filepath.Join(path, "Maildir")
		if err := f.deliverSamples(); err != nil {
			return nil, err
		}
	}
	if err := f.findOwner(); err != nil {
		return nil, err
	}
	return f, f.addUser()
}

// sampleOwner is whose the sample mail is where root tries sidepop: nobody's, since
// root's own mail is never served.
const sampleOwner = 61000

// findOwner finds out whose the mail is, and gives samples of root's away.
func (f *folder) findOwner() error {
	fi, err := os.Stat(f.maildir)
	if err != nil {
		return err
	}
	f.owner = fi.Sys().(*syscall.Stat_t).Uid
	switch {
	case f.owner != 0:
		return nil
	case f.messages == 0:
		return fmt.Errorf("--maildir: %s belongs to root, whose mail is never served: try a user's", f.maildir)
	}
	f.owner = sampleOwner
	if err := os.Chmod(f.path, 0o711); err != nil { // for the owner to get there
		return err
	}
	return filepath.WalkDir(f.maildir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, sampleOwner, sampleOwner))
	})
}

// frontUser is sidepop's own user, where there is one.
func frontUser() string {
	if _, err := user.Lookup(config.DefaultUser); err == nil {
		return config.DefaultUser
	}
	return "nobody"
}

// plainName is a name that needs no quotes anywhere.
var plainName = regexp.MustCompile(`^[a-z][a-z0-9_.-]{0,30}$`)

// userName is the name of the person at the keyboard. Root's would make people
// think that their root password is asked for.
func userName() string {
	if u, err := user.Current(); err == nil && u.Uid != "0" && plainName.MatchString(u.Username) {
		return u.Username
	}
	return "demo"
}

// addUser chooses a password and writes the passwd file.
func (f *folder) addUser() error {
	var err error
	if f.password, err = newPassword(); err != nil {
		return err
	}
	hasher, err := shacrypt.NewSHA512()
	if err != nil {
		return err
	}
	digest, err := hasher.Hash(f.password)
	if err != nil {
		return err
	}
	line := fmt.Sprintf("%s:{SHA512-CRYPT}%s:%d:%d\n", f.user, digest.Encode(), f.owner, f.owner)
	return os.WriteFile(f.passwd, []byte(line), 0o600)
}

// newPassword is four syllable pairs such as "bako-tilu-meso-rifa": easy to
// read out and to type, and 50 bits.
func newPassword() (string, error) {
	const consonants, vowels, groups = "bdfghjklmnprstvz", "aeiou", 4
	pick := func(letters string) (string, error) {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(letters))))
		if err != nil {
			return "", err
		}
		return letters[n.Int64():][:1], nil
	}
	var b strings.Builder
	for group := range groups {
		if group > 0 {
			b.WriteByte('-')
		}
		for _, letters := range []string{consonants, vowels, consonants, vowels} {
			letter, err := pick(letters)
			if err != nil {
				return "", err
			}
			b.WriteString(letter)
		}
	}
	return b.String(), nil
}

// deliverSamples makes the Maildir and delivers as an MTA would.
func (f *folder) deliverSamples() error {
	if err := maildir.Dir(f.maildir).Init(); err != nil {
		return err
	}
	messages, err := samples.All(f.user+"@localhost", time.Now())
	if err != nil {
		return err
	}
	for _, m := range messages {
		if err := deliver(f.maildir, m); err != nil {
			return err
		}
	}
	f.messages = len(messages)
	return nil
}

func deliver(dir, message string) error {
	d, err := maildir.NewDelivery(dir)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(d, message); err != nil {
		return errors.Join(err, d.Abort())
	}
	return d.Close()
}

// existingMaildir gives the full path of a Maildir, or says why dir is none.
func existingMaildir(dir string) (string, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	fi, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("--maildir: %s does not exist", path)
	case err != nil:
		return "", fmt.Errorf("--maildir: %w", err)
	case !fi.IsDir():
		return "", fmt.Errorf("--maildir: %s is a file, perhaps an mbox; a Maildir is a folder with the folders new, cur and tmp", path)
	}
	for _, name := range []string{"new", "cur"} {
		f, err := os.Open(filepath.Join(path, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("--maildir: %s is not a Maildir: it has no folder %q%s", path, name, maildirBelow(path))
		case err != nil:
			return "", fmt.Errorf("--maildir: %w", err)
		}
		_ = f.Close()
	}
	return path, nil
}

// maildirBelow points at a Maildir below a folder that was mistaken for one,
// such as a home.
func maildirBelow(path string) string {
	below := filepath.Join(path, "Maildir")
	if fi, err := os.Stat(filepath.Join(below, "new")); err == nil && fi.IsDir() {
		return "; is it " + below + "?"
	}
	return ""
}

// escapePercent makes a path mean itself where variables are filled in.
func escapePercent(path string) string { return strings.ReplaceAll(path, "%", "%%") }
