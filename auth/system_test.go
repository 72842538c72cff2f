package auth

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestSystemAccounts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "passwd")
	text := "root:x:0:0:root:/root:/bin/bash\n" +
		"alice:x:1000:1001:Alice,,,:/home/alice:/bin/bash\n" +
		"\n# bob:x:1:1::/:/\n+::::::\n+\nshort:x:1:1::/home\n" +
		"relative:x:1:1::home:/bin/sh\nnumber:x:4294967296:1::/home:/bin/sh\nnumber:x:-1:1::/home:/bin/sh\n" +
		"last:x:4294967294:5::/home/last:"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := SystemAccounts(file, func(a *Account) {
		got = append(got, fmt.Sprint(a.Name, " ", *a.UID, " ", *a.GID, " ", a.Home))
	})
	want := []string{"root 0 0 /root", "alice 1000 1001 /home/alice", "last 4294967294 5 /home/last"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if err := SystemAccounts(file+"x", nil); err == nil {
		t.Error("a file that is not there gives accounts")
	}
}
