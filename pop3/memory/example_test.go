package memory_test

import (
	"fmt"
	"net"
	"net/textproto"

	"sidepop/pop3"
	"sidepop/pop3/memory"
)

// A POP3 server with one account and one message.
func Example() {
	b := memory.New()
	b.Add("alice", "secret", "Subject: hello\n\nHello, Alice.\n")
	s := &pop3.Server{Backend: b}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go s.Serve(l)

	c, err := textproto.Dial("tcp", l.Addr().String())
	if err != nil {
		panic(err)
	}
	for _, command := range []string{"USER alice", "PASS secret", "STAT", "QUIT"} {
		line, _ := c.ReadLine()
		fmt.Println(line)
		c.PrintfLine("%s", command)
	}
	line, _ := c.ReadLine()
	fmt.Println(line)
	// Output:
	// +OK POP3 ready
	// +OK send PASS
	// +OK 1 messages (33 octets)
	// +OK 1 33
	// +OK 0 messages removed
}
