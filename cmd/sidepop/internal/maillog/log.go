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
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"sidepop/auth"
	"sidepop/cmd/sidepop/internal/certs"
	"sidepop/pop3"
)

// Log is a log. It implements [pop3.Events] and [index.Events].
type Log struct {
	logger     *logrus.Logger
	role       string
	skipped    seen
	notWatched seen

	refused, broken budget // lines that a front can cause
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

// CertificateInUse: a certificate is used from the start on.
func (l *Log) CertificateInUse(file string, leaf *x509.Certificate) {
	l.certificate(file, leaf).Info("certificate in use")
}

// Certificate: a changed certificate is used from now on.
func (l *Log) Certificate(file string, leaf *x509.Certificate) {
	l.certificate(file, leaf).Info("certificate loaded")
}

// CertificateSelfSigned: clients warn of the certificate, and no other was found.
func (l *Log) CertificateSelfSigned(file string, leaf *x509.Certificate) {
	l.certificate(file, leaf).WithField("reason", "clients warn of it, since it is signed by itself and no other was found: "+
		"get one, such as with certbot certonly --standalone -d "+Escape(certs.PublicName(leaf.DNSNames))+
		", or set tls.certificate and tls.key; it is used as soon as it is there").Warn("self-signed certificate")
}

func (l *Log) certificate(file string, leaf *x509.Certificate) *logrus.Entry {
	return l.logger.WithFields(logrus.Fields{
		"path": Escape(file), "names": Escape(strings.Join(certs.Names(leaf), ", ")), "expires": leaf.NotAfter.UTC().Format(time.RFC3339),
	})
}

// CertificateFault: a certificate can't be used, or not for long.
func (l *Log) CertificateFault(err error) {
	l.logger.WithField("reason", escapeError(err)).Error("certificate")
}

// Accounts: something is wrong with the users' file.
func (l *Log) Accounts(err error) {
	l.logger.WithField("reason", escapeError(err)).Warn("passwd file")
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
	l.peer(p, logrus.Fields{"reason": escapeError(reason)}).Warn("connection refused")
}

// Connected implements [pop3.Events].
func (l *Log) Connected(p pop3.Peer) {
	if l.logger.IsLevelEnabled(logrus.DebugLevel) {
		l.peer(p, logrus.Fields{}).Debug("connection")
	}
}

// LoggedIn implements [pop3.Events].
func (l *Log) LoggedIn(p pop3.Peer, mechanism, user string) {
	l.peer(p, logrus.Fields{"mech": Escape(mechanism), "user": Escape(user)}).Info("login")
}

// MasterLogin: a master user logs in as somebody else. Whether that succeeds is told
// after it.
func (l *Log) MasterLogin(p pop3.Peer, mechanism, master, user string) {
	l.peer(p, logrus.Fields{"mech": Escape(mechanism), "master": Escape(master), "user": Escape(user)}).Info("master login")
}

// LoginFailed implements [pop3.Events]. What the operator has to mend is an
// error in the log, what clients do wrong is not. The field failure is for programs
// that ban addresses: reasons are for people, and may change.
func (l *Log) LoginFailed(p pop3.Peer, mechanism, user string, err error) {
	level := logrus.InfoLevel
	if errors.Is(err, pop3.ErrTemporary) || errors.Is(err, pop3.ErrPermanent) {
		level = logrus.ErrorLevel
	}
	l.peer(p, logrus.Fields{
		"mech": Escape(mechanism), "user": Escape(user), "failure": failure(err), "reason": escapeError(err),
	}).Log(level, "login failed")
}

// failure is the kind of a failed login: what the client was told by code, and where
// that tells it nothing, whose fault it is.
func failure(err error) string {
	var told *pop3.Error
	switch {
	case !errors.As(err, &told), told.Code == pop3.ErrTemporary.Code:
		return "temporary"
	case told.Code == pop3.ErrPermanent.Code:
		return "permanent"
	case told.Code != pop3.ErrCredentials.Code:
		return strings.ToLower(told.Code) // the password was right
	case errors.Is(err, auth.ErrDenied):
		return "denied"
	case errors.Is(err, auth.ErrProtocol):
		return "protocol"
	}
	return "credentials"
}

// Failed implements [pop3.Events].
func (l *Log) Failed(p pop3.Peer, user, command string, err error) {
	l.peer(p, logrus.Fields{
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
	l.peer(p, fields).Info("session closed")
}

// peer is an entry with what identifies a connection, and other fields. These
// come in one map, which logrus copies each time: sessions are many.
func (l *Log) peer(p pop3.Peer, fields logrus.Fields) *logrus.Entry {
	fields["session"] = Escape(p.Session) // in the keeper it is what the front says
	fields["remote"] = address(p.Remote)
	fields["local"] = address(p.Local)
	fields["tls"] = DescribeTLS(p.TLS)
	return l.logger.WithFields(fields)
}

func address(a netip.AddrPort) string {
	if !a.IsValid() {
		return "none"
	}
	return Escape(a.String()) // an IPv6 zone can be any name
}

// DescribeTLS is version and cipher, such as "TLS1.3 TLS_AES_128_GCM_SHA256".
func DescribeTLS(s *tls.ConnectionState) string {
	if s == nil {
		return "none"
	}
	if s.Version == 0 { // another program has ended it and says no more
		return "ended before"
	}
	version := strings.ReplaceAll(tls.VersionName(s.Version), " ", "")
	if s.CipherSuite == 0 { // a proxy did not say
		return version
	}
	return version + " " + tls.CipherSuiteName(s.CipherSuite)
}
