package maillog

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"sidepop/pop3"
)

// BenchmarkSession is the two lines that a session with a login makes.
func BenchmarkSession(b *testing.B) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	p := pop3.Peer{Session: "ABCDEFGHIJ", Remote: netip.MustParseAddrPort("192.0.2.1:1234"), Local: netip.MustParseAddrPort("192.0.2.2:110")}
	for _, format := range []string{"json", "text"} {
		b.Run(format, func(b *testing.B) {
			l, err := New(null, "info", format)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				l.LoggedIn(p, "USER", "alice")
				l.Closed(p, pop3.Summary{User: "alice", Mechanism: "USER", Reason: pop3.ReasonQuit, Duration: time.Second})
			}
		})
	}
}
