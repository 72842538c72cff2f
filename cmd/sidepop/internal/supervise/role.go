package supervise

import (
	"io"
	"os"
	"strconv"
)

// Join makes this process, started by a [Process], what systemd would have made
// it. The channel is closed when the supervisor is gone. It is called before
// anything looks at the environment.
func Join() (orphaned <-chan struct{}) {
	// Who starts a process can't know its id.
	_ = os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid())) // a name without =, a value without NUL
	end := make(chan struct{})
	go func() {
		defer close(end)
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	return end
}
