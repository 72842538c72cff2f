package maillog

import (
	"errors"
	"net"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"sidepop/pop3"
)

// As makes a log of the same output for a role, which its lines on the process
// name.
func (l *Log) As(role string) *Log {
	return &Log{logger: l.logger, role: role}
}

func (l *Log) process() *logrus.Entry { return l.logger.WithField("role", l.role) }

// Listening: the server accepts connections at an address.
func (l *Log) Listening(protocol string, a net.Addr) {
	l.logger.WithFields(logrus.Fields{"protocol": protocol, "local": Escape(a.String())}).Info("listening")
}

// Legacy: the address is one for old devices, with protocols that are given up.
func (l *Log) Legacy(protocol string, a net.Addr) {
	l.logger.WithFields(logrus.Fields{
		"protocol": protocol, "local": Escape(a.String()),
		"reason": "tls.profile is legacy: TLS 1.0 and 1.1 are spoken here (RFC 8996 says not to), let only those who need them connect",
	}).Warn("old TLS")
}

// Sandboxed: the process has given up what it does not need, and has tried to
// get it back. Missing is what this kernel or whoever started it does not let it
// do; where it was not started as root that is nothing to worry about.
func (l *Log) Sandboxed(held, missing []string, root bool) {
	e := l.process().WithField("held", strings.Join(held, ", "))
	if len(missing) > 0 {
		e = e.WithField("missing", Escape(strings.Join(missing, ", ")))
	}
	if len(missing) > 0 && root {
		e.Warn("sandboxed")
		return
	}
	e.Info("sandboxed")
}

// Unseparated: everything runs as the user that started it.
func (l *Log) Unseparated(uid int) {
	l.process().WithFields(logrus.Fields{
		"uid": uid, "reason": "not started as root: network and mail have processes of their own, but both run as this user",
	}).Warn("roles not separated by user")
}

// Ready: everything is set up.
func (l *Log) Ready(version string) {
	l.process().WithField("version", Escape(version)).Info("ready")
}

// Stopping: the process was told to end.
func (l *Log) Stopping(why string) {
	l.process().WithField("reason", why).Info("stopping")
}

// CutOff: sessions had more time than they may have, and were ended.
func (l *Log) CutOff(patience time.Duration) {
	l.process().WithField("seconds", patience.Seconds()).Warn("sessions cut off")
}

// Stopped: the process ends. Err, of which each line is told, is why it did not
// end as it should have, or could not begin.
func (l *Log) Stopped(err error) {
	if err == nil {
		l.process().Info("stopped")
		return
	}
	for line := range strings.Lines(err.Error()) {
		l.process().WithField("reason", escapeError(errors.New(strings.TrimSuffix(line, "\n")))).Error("stopped")
	}
}

// Ended: a role has ended, and is started again after a wait.
func (l *Log) Ended(role, how string, wait time.Duration) {
	l.process().WithFields(logrus.Fields{"ended": role, "reason": Escape(how), "seconds": wait.Seconds()}).Error("role ended")
}

// ConfigLoaded: the configuration was read again, and holds.
func (l *Log) ConfigLoaded() { l.process().Info("configuration loaded") }

// ConfigRefused: the configuration was read again and can't be used; the one
// before stays. It is told line by line, as at the start.
func (l *Log) ConfigRefused(err error) {
	for line := range strings.Lines(err.Error()) {
		l.process().WithField("reason", escapeError(errors.New(strings.TrimSuffix(line, "\n")))).Error("configuration refused")
	}
}

// NeedsRestart: these keys of the configuration have changed, which a restart
// alone makes hold.
func (l *Log) NeedsRestart(keys []string) {
	l.process().WithField("keys", strings.Join(keys, ", ")).Warn("needs a restart")
}

// FrontRefused: a process that is not the front, or one too many of its
// connections, was turned away by the keeper.
func (l *Log) FrontRefused(uid uint32, reason error) {
	if l.spared(&l.refused) {
		return
	}
	l.process().WithFields(logrus.Fields{"uid": uid, "reason": escapeError(reason)}).Warn("front refused")
}

// FrontBroken: the front did what it never does, unless somebody has taken it
// over; its connection was ended.
func (l *Log) FrontBroken(p pop3.Peer, user string, err error) {
	if l.spared(&l.broken) {
		return
	}
	l.peer(p, logrus.Fields{"user": Escape(user), "reason": escapeError(err)}).Error("front broke the protocol")
}

// spared says whether a line of a kind that a process can cause without end is
// left out; how many were is told with the next window.
func (l *Log) spared(b *budget) bool {
	ok, left := b.spend(time.Now())
	if left > 0 {
		l.process().WithField("lines", left).Warn("lines left out")
	}
	return !ok
}

// KeeperReachable: the front has found the keeper, or has lost it.
func (l *Log) KeeperReachable(err error) {
	if err != nil {
		l.process().WithField("reason", escapeError(err)).Error("keeper not reachable")
		return
	}
	l.process().Info("keeper reachable")
}

// Fault: something went wrong that nobody is to blame for but the program.
func (l *Log) Fault(err error) {
	l.process().WithField("reason", escapeError(err)).Error("fault")
}

// FewDescriptors: the process may open fewer files than its limits allow.
func (l *Log) FewDescriptors(have, want uint64) {
	l.process().WithFields(logrus.Fields{"have": have, "want": want}).Warn("limit of open files is low")
}
