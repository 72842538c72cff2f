package supervise

import (
	"bufio"
	"os"
	"strconv"
)

// maxLine is more than a role is ever told in one line, in bytes.
const maxLine = 16 << 20

// Join makes this process, started by a [Process], what systemd would have made
// it. The channel has the lines that it is told; it is closed when the supervisor
// is gone. It is called before anything looks at the environment.
func Join() (told <-chan []byte) {
	// Who starts a process can't know its id.
	_ = os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid())) // a name without =, a value without NUL
	lines := make(chan []byte)
	go func() {
		defer close(lines)
		in := bufio.NewScanner(os.Stdin)
		in.Buffer(nil, maxLine)
		for in.Scan() {
			lines <- append([]byte{}, in.Bytes()...)
		}
	}()
	return lines
}
