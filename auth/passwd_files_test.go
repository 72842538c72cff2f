package auth

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// The order is always the same: to a [Guard] another one is a change of the files,
// which forgets all logins.
func TestFilesKeepTheirOrder(t *testing.T) {
	folder := t.TempDir()
	var want []string
	for _, domain := range []string{"a.example", "b.example", "c.example", "d.example"} {
		want = append(want, filepath.Join(folder, domain))
		if err := os.WriteFile(filepath.Join(folder, domain), []byte("joe:{PLAIN}pw\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := NewPasswd(filepath.Join(folder, "%d"), func(err error) { t.Error(err) })
	for _, domain := range []string{"c.example", "a.example", "d.example", "b.example"} {
		if _, err := p.Account(t.Context(), "joe@"+domain); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		if got := p.Files(); !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
	}
}
