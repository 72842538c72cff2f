package ports

import (
	"net"
	"testing"
)

// TestFree: they are free, each is another, and none is one that connections get.
func TestFree(t *testing.T) {
	const n = 5
	all, err := Free(n)
	if err != nil || len(all) != n {
		t.Fatal(len(all), err)
	}
	for _, address := range all {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if port := l.Addr().(*net.TCPAddr).Port; port < lowest || port > highest {
			t.Error(port)
		}
	}
}
