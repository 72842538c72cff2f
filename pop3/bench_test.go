package pop3_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"sidepop/pop3"
)

// listener serves s for a benchmark.
func listener(b *testing.B, s *pop3.Server, implicit bool) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	if implicit {
		go s.ServeTLS(l)
	} else {
		go s.Serve(l)
	}
	b.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// talk says something and reads answers until the last line of the last one.
func talk(b *testing.B, conn io.Writer, in *bufio.Reader, say, last string) {
	if _, err := io.WriteString(conn, say); err != nil {
		b.Fatal(err)
	}
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			b.Fatalf("%q: %v", line, err)
		}
		if strings.HasPrefix(string(line), last) {
			return
		}
	}
}

// BenchmarkSession is a session over loopback: connect, log in, STAT, QUIT,
// each command after the answer to the one before.
func BenchmarkSession(b *testing.B) {
	for _, encrypted := range []bool{false, true} {
		b.Run(map[bool]string{false: "plaintext", true: "tls"}[encrypted], func(b *testing.B) {
			s := &pop3.Server{Backend: alice("a: b\n\nc\n"), Settings: pop3.Settings{TLS: serverTLS}}
			address := listener(b, s, encrypted)
			b.ReportAllocs()
			for b.Loop() {
				conn, err := net.Dial("tcp", address)
				if err != nil {
					b.Fatal(err)
				}
				if encrypted {
					conn = tls.Client(conn, clientTLS)
				}
				in := bufio.NewReader(conn)
				for _, say := range []string{"", "USER alice\r\n", "PASS secret\r\n", "STAT\r\n", "QUIT\r\n"} {
					talk(b, conn, in, say, "+OK")
				}
				conn.Close()
			}
		})
	}
}

// BenchmarkRetr fetches 2 KB messages, one by one and 16 at a time.
func BenchmarkRetr(b *testing.B) {
	message := "Subject: x\n\n" + strings.Repeat(strings.Repeat("x", 63)+"\n", 32)
	for _, together := range []int{1, 16} {
		b.Run(fmt.Sprintf("pipelined=%d", together), func(b *testing.B) {
			s := &pop3.Server{Backend: alice(message), Settings: pop3.Settings{UTF8Headers: pop3.SendUTF8}}
			conn, err := net.Dial("tcp", listener(b, s, false))
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			in := bufio.NewReaderSize(conn, 64<<10)
			talk(b, conn, in, "", "+OK POP3")
			talk(b, conn, in, "USER alice\r\nPASS secret\r\n", "+OK 1 ")
			b.SetBytes(int64(len(message)))
			for n := 0; b.Loop(); n++ {
				if n%together == 0 {
					if _, err := io.WriteString(conn, strings.Repeat("RETR 1\r\n", together)); err != nil {
						b.Fatal(err)
					}
				}
				talk(b, conn, in, "", ".\r\n")
			}
		})
	}
}

// BenchmarkList lists 100,000 messages by LIST and by UIDL.
func BenchmarkList(b *testing.B) {
	s := &pop3.Server{Backend: alice(make([]string, 100_000)...)}
	conn, err := net.Dial("tcp", listener(b, s, false))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 64<<10)
	talk(b, conn, in, "", "+OK POP3")
	talk(b, conn, in, "USER alice\r\nPASS secret\r\n", "+OK 1")
	for _, command := range []string{"LIST", "UIDL"} {
		b.Run(command, func(b *testing.B) {
			for b.Loop() {
				talk(b, conn, in, command+"\r\n", ".\r\n")
			}
		})
	}
}
