// Package maillog writes sidepop's log: one method for each event that an
// operator reads of.
//
// Invariants:
//   - An event is one line, or one journal entry, with a fixed phrase as its
//     message and fixed field names.
//   - Whatever comes from clients, mail owners or files is escaped before it
//     reaches a format: it cannot end a line, begin a field, or drive a terminal.
//   - No method is given a secret.
package maillog

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"sidepop/pop3"
)

// Log is a log. It implements [pop3.Events] and [index.Events].
type Log struct {
	logger     *logrus.Logger
	skipped    seen
	notWatched seen
}

// New makes a log that writes to w. Level and format are as in the
// configuration file; w is examined for the format auto.
func New(w io.Writer, level, format string) (*Log, error) {
	l, err := logrus.ParseLevel(level)
	if err != nil {
		return nil, err
	}
	logger := logrus.New()
	logger.SetLevel(l)
	setFormat(logger, w, format)
	return &Log{logger: logger}, nil
}

// Listening: the server accepts connections at an address.
func (l *Log) Listening(protocol string, a net.Addr) {
	l.logger.WithFields(logrus.Fields{"protocol": protocol, "local": Escape(a.String())}).Info("listening")
}

// Dropped: the process has become another user, for good.
func (l *Log) Dropped(user string, uid, gid int) {
	l.logger.WithFields(logrus.Fields{"user": Escape(user), "uid": uid, "gid": gid}).Info("root's rights given up")
}

// Ready: everything is set up.
func (l *Log) Ready(version string) {
	l.logger.WithField("version", Escape(version)).Info("ready")
}

// CertificateUnreadable: a certificate is in use that can't be read again.
func (l *Log) CertificateUnreadable(err error) {
	l.logger.WithField("reason", escapeError(err)).Warn("certificate")
}

// Hangup: SIGHUP came, which reads nothing again.
func (l *Log) Hangup() {
	l.logger.Warn("SIGHUP ignored: certificates and passwd files are read again when they change, the configuration at a restart")
}

// Stopping: the server was told to end and gives sessions some time.
func (l *Log) Stopping(signal string, patience time.Duration) {
	l.logger.WithFields(logrus.Fields{"signal": signal, "seconds": patience.Seconds()}).Info("stopping")
}

// Stopped: the server has ended. Err is why it did not end as it should have.
func (l *Log) Stopped(err error) {
	if err != nil {
		l.logger.WithField("reason", escapeError(err)).Warn("stopped")
		return
	}
	l.logger.Info("stopped")
}

// Certificate: a changed certificate is used from now on.
func (l *Log) Certificate(file string, notAfter time.Time) {
	l.logger.WithFields(logrus.Fields{"path": Escape(file), "expires": notAfter.UTC().Format(time.RFC3339)}).Info("certificate loaded")
}

// CertificateFault: a certificate can't be used, or not for long.
func (l *Log) CertificateFault(err error) {
	l.logger.WithField("reason", escapeError(err)).Error("certificate")
}

// Accounts: something is wrong with the users' file.
func (l *Log) Accounts(err error) {
	l.logger.WithField("reason", escapeError(err)).Warn("passwd file")
}

// FewDescriptors: the process may open fewer files than its limits allow.
func (l *Log) FewDescriptors(have, want uint64) {
	l.logger.WithFields(logrus.Fields{"have": have, "want": want}).Warn("limit of open files is low")
}

// ControlFault: something is wrong with the socket for commands.
func (l *Log) ControlFault(err error) {
	l.logger.WithField("reason", escapeError(err)).Error("control socket")
}

// AcceptFailed implements [pop3.Events].
func (l *Log) AcceptFailed(listener net.Addr, err error) {
	l.logger.WithFields(logrus.Fields{"local": Escape(listener.String()), "reason": escapeError(err)}).Error("accept failed")
}

// Refused implements [pop3.Events].
func (l *Log) Refused(p pop3.Peer, reason error) {
	l.peer(p).WithField("reason", escapeError(reason)).Warn("connection refused")
}

// Connected implements [pop3.Events].
func (l *Log) Connected(p pop3.Peer) {
	l.peer(p).Debug("connection")
}

// LoggedIn implements [pop3.Events].
func (l *Log) LoggedIn(p pop3.Peer, mechanism, user string) {
	l.peer(p).WithFields(logrus.Fields{"mech": Escape(mechanism), "user": Escape(user)}).Info("login")
}

// LoginFailed implements [pop3.Events]. What the operator has to mend is an
// error in the log, what clients do wrong is not.
func (l *Log) LoginFailed(p pop3.Peer, mechanism, user string, err error) {
	level := logrus.InfoLevel
	if errors.Is(err, pop3.ErrTemporary) || errors.Is(err, pop3.ErrPermanent) {
		level = logrus.ErrorLevel
	}
	l.peer(p).WithFields(logrus.Fields{
		"mech": Escape(mechanism), "user": Escape(user), "reason": escapeError(err),
	}).Log(level, "login failed")
}

// Failed implements [pop3.Events].
func (l *Log) Failed(p pop3.Peer, user, command string, err error) {
	l.peer(p).WithFields(logrus.Fields{
		"user": Escape(user), "command": Escape(command), "reason": escapeError(err),
	}).Error("session fault")
}

// Closed implements [pop3.Events].
func (l *Log) Closed(p pop3.Peer, s pop3.Summary) {
	fields := logrus.Fields{
		"reason":  string(s.Reason),
		"seconds": float64(s.Duration.Round(time.Millisecond).Milliseconds()) / 1000,
	}
	if s.Err != nil {
		fields["error"] = escapeError(s.Err)
	}
	if s.User != "" {
		fields["user"], fields["mech"] = Escape(s.User), Escape(s.Mechanism)
		fields["top"], fields["retr"], fields["dele"], fields["octets"] = s.Top, s.Retr, s.Dele, s.Octets
	}
	l.peer(p).WithFields(fields).Info("session closed")
}

// peer is an entry with what identifies a connection.
func (l *Log) peer(p pop3.Peer) *logrus.Entry {
	return l.logger.WithFields(logrus.Fields{
		"session": p.Session,
		"remote":  address(p.Remote),
		"local":   address(p.Local),
		"tls":     describeTLS(p.TLS),
	})
}

func address(a netip.AddrPort) string {
	if !a.IsValid() {
		return "none"
	}
	return Escape(a.String()) // an IPv6 zone can be any name
}

// describeTLS is version and cipher, such as "TLS1.3 TLS_AES_128_GCM_SHA256".
func describeTLS(s *tls.ConnectionState) string {
	if s == nil {
		return "none"
	}
	return strings.ReplaceAll(tls.VersionName(s.Version), " ", "") + " " + tls.CipherSuiteName(s.CipherSuite)
}
