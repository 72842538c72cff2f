package pop3_test

import (
	"context"
	"net"
	"testing"

	"sidepop/pop3"
)

// TestDrain: those who have connected log in, nobody else is accepted, and Drain
// ends when nobody is left without a login, or with its context.
func TestDrain(t *testing.T) {
	s := &pop3.Server{Backend: alice("Subject: x\n\nbody\n")}
	address := serve(t, s)
	early, session, leaves := dial(t, address), dial(t, address), dial(t, address)
	session.login()
	leaves.hear(`\+OK POP3 ready`)

	drained := make(chan struct{})
	go func() { defer close(drained); s.Drain(t.Context()) }()
	waitFor(t, func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	session.say("NOOP")
	session.hear(`\+OK .*`)
	select {
	case <-drained:
		t.Fatal("there are connections without a login")
	default:
	}
	early.login()
	leaves.say("QUIT")
	leaves.hear(`\+OK goodbye`)
	<-drained
	early.say("STAT")
	early.hear(`\+OK 1 .*`)

	s = &pop3.Server{Backend: alice()}
	address = serve(t, s)
	stays := dial(t, address)
	waits := dial(t, address)
	waits.hear(`\+OK POP3 ready`)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	s.Drain(over)
	stays.login() // until Shutdown
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := s.Serve(l); err != pop3.ErrServerClosed {
		t.Errorf("Serve afterwards: %v", err)
	}
}
