package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notifier tells whoever started the process how it is (sd_notify(3)). It is
// connected from the start, since the front soon sees no files.
type notifier struct {
	conn     net.Conn
	watchdog time.Duration // within which signs of life are expected; 0: they are not

	mu     sync.Mutex
	status string // told last
}

func newNotifier() *notifier {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return &notifier{}
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return &notifier{} // nobody listens
	}
	watchdog, _ := daemon.SdWatchdogEnabled(false) // what is no time is none
	return &notifier{conn: conn, watchdog: watchdog}
}

func (n *notifier) ready() { n.tell(daemon.SdNotifyReady) }

// reloading: ready follows, whatever comes of it.
func (n *notifier) reloading() { n.tell(daemon.SdNotifyReloading, daemon.SdNotifyMonotonicUsec()) }

// stopping tells how long that may take, which may be longer than the service
// manager expects.
func (n *notifier) stopping(longest time.Duration) {
	n.tell(daemon.SdNotifyStopping, fmt.Sprint("EXTEND_TIMEOUT_USEC=", longest.Microseconds()))
}

// alive is a sign of life.
func (n *notifier) alive() { n.tell(daemon.SdNotifyWatchdog) }

// is tells what the process does, in a line for people, if that has changed.
func (n *notifier) is(status string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if status != n.status {
		n.status = status
		n.tell("STATUS=" + strings.ReplaceAll(status, "\n", "; "))
	}
}

// answer tells `sidepop serve` whether what it has asked for is used now.
func (n *notifier) answer(number int, used bool) {
	prefix := configRefused
	if used {
		prefix = configUsed
	}
	n.tell(prefix + strconv.Itoa(number))
}

// What the keeper says of a configuration; its number follows. Service managers
// pass over what they don't know.
const (
	configUsed    = "X_SIDEPOP_CONFIGURATION_USED="
	configRefused = "X_SIDEPOP_CONFIGURATION_REFUSED="
)

func (n *notifier) tell(lines ...string) {
	if n.conn != nil {
		_, _ = n.conn.Write([]byte(strings.Join(lines, "\n")))
	}
}

// statusInterval is how often a role tells what it does.
const statusInterval = 10 * time.Second

// pulse is how often a role looks whether it is alive, and tells that: twice within
// the time in which it must (sd_watchdog_enabled(3)).
func (n *notifier) pulse() time.Duration {
	if n.watchdog > 0 {
		return min(statusInterval, n.watchdog/2)
	}
	return statusInterval
}
