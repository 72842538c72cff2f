package pop3

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// session is one connection from its greeting to its end.
type session struct {
	server    *Server
	settings  *Settings
	transport net.Conn // without TLS
	conn      net.Conn // transport, or TLS over it
	peer      Peer
	begun     time.Time
	in        input
	out       output
	until     time.Time // when the command that is waited for must be there; zero: not yet decided
	ended     bool      // the loop ends once what is in out was sent
	summary   Summary

	bad     int  // bad commands so far
	utf8    bool // UTF8 was given
	greeted authorization
	drop    *maildrop // nil in the AUTHORIZATION state

	stopping sync.Mutex // guards what Shutdown uses
	stopped  bool       // no further command is read
	serving  bool       // logged in
	waits    time.Time  // since when a command is waited for; zero: one is under way
	removing bool       // messages are being removed: not cut off
}

// reply is what a command did, when it did not fail.
type reply struct {
	text string              // of the status line
	body func(*output) error // adds the other lines of a multi-line answer and the dot; an error cuts the connection
	then func()              // runs when the answer was sent
}

// serve runs the session to its end.
func (c *session) serve(implicit bool) {
	defer c.close()
	c.server.Events.Connected(c.peer)
	if implicit {
		if err := c.startTLS(); err != nil {
			c.answerPlaintext(err)
			return
		}
	}
	c.greet()
	if c.conn == c.transport {
		c.expectPlaintext()
	}
	for !c.ended {
		line, err := c.in.line(c.lineLimit)
		c.endWait()
		if err == nil {
			err = c.out.err // what can't be answered is not done
		}
		switch {
		case err == nil:
			c.answer(c.execute(line))
		case errors.Is(err, errLineTooLong):
			c.answer(reply{}, err)
		default:
			c.disconnected(err)
		}
	}
	// Before the last answer, so that a client that comes back at once finds the
	// maildrop free.
	c.closeDrop()
	c.sendRest()
}

// recordHandshake is the first octet of a TLS client (RFC 8446, section 5.1), and of
// no command.
const recordHandshake = 0x16

var errTLSHere = errors.New("the client begins with TLS, and connections begin in plaintext here: it is set to another port, or to TLS instead of STLS")

// expectPlaintext waits for the first of what the client says, and ends the session
// if that is TLS: the client waits for an answer in TLS, and may wait for long.
func (c *session) expectPlaintext() {
	switch err := c.in.fill(); {
	case err != nil:
		c.disconnected(err)
	case c.in.buf[0] == recordHandshake:
		c.end(ReasonHandshake, errTLSHere)
	}
}

// execute runs one command.
func (c *session) execute(line []byte) (reply, error) {
	if bytes.ContainsAny(line, "\x00\r") {
		return reply{}, errSyntax
	}
	keyword, rest, _ := strings.Cut(string(line), " ")
	keyword = upper(keyword)
	mine, other := authorizationCommands, transactionCommands
	if c.drop != nil {
		mine, other = other, mine
	}
	cmd, ok := mine[keyword]
	if !ok {
		if _, elsewhere := other[keyword]; elsewhere {
			return reply{}, errState
		}
		return reply{}, errUnknown
	}
	args, err := cmd.arguments(rest)
	if err != nil {
		return reply{}, err
	}
	return cmd.run(c, args)
}

// answer writes what a command came to.
func (c *session) answer(r reply, err error) {
	switch {
	case errors.Is(err, errDisconnected):
		return
	case err != nil:
		c.refuse(err)
		return
	}
	c.out.line("+OK ", r.text)
	if r.body != nil {
		if err := r.body(&c.out); err != nil && c.out.err == nil {
			c.fail("sending", err)
			c.end(ReasonMessage, err)
			return
		}
	}
	if r.then != nil {
		if err := c.out.flush(); err != nil {
			c.disconnected(err)
			return
		}
		r.then()
	}
}

// refuse writes the answer to a command that failed, and ends the session if
// there were too many of them.
func (c *session) refuse(err error) {
	line, public := replyTo(err)
	if !public && c.drop != nil && !errors.Is(err, ErrGone) { // which is nobody's fault
		c.fail("command", err)
	}
	var e *Error
	if errors.As(err, &e) && e.misuse {
		if c.bad++; c.bad >= c.settings.Limits.BadCommands {
			line = "-ERR too many bad commands"
			c.end(ReasonBadCommands, nil)
		}
	}
	c.out.line(line)
}

// fail reports to the log what went wrong after the login.
func (c *session) fail(what string, err error) {
	c.server.Events.Failed(c.peer, c.summary.User, what, err)
}

// end decides why the session ends, once.
func (c *session) end(why Reason, err error) {
	if !c.ended {
		c.ended, c.summary.Reason, c.summary.Err = true, why, err
	}
}

// disconnected ends the session because nothing more can be read or written,
// and tells the client why where it is the server's decision. RFC 1939,
// section 3 would have an idle client hear nothing; one that comes back and
// reads -ERR knows more than one that finds the connection gone.
func (c *session) disconnected(err error) {
	timeout := errors.Is(err, os.ErrDeadlineExceeded)
	switch {
	case c.ended:
	case c.isStopped():
		c.farewell(ReasonShutdown, errShutdown, nil)
	case c.out.err != nil && timeout:
		c.end(ReasonSlow, nil)
	case errors.Is(err, io.EOF):
		c.end(ReasonClosed, nil)
	case errors.Is(err, errFlood):
		c.farewell(ReasonFlood, errLineTooLong, nil)
	case timeout && c.drop != nil:
		c.farewell(ReasonIdle, errIdle, nil)
	case timeout:
		c.farewell(ReasonLoginTime, errLoginTime, nil)
	default:
		c.end(ReasonLost, err)
	}
}

func (c *session) farewell(why Reason, e *Error, err error) {
	c.end(why, err)
	c.out.timeout = goodbye
	c.out.line("-ERR ", e.Error())
}

// sendRest sends the last answers.
func (c *session) sendRest() {
	quit := c.summary.Reason == ReasonQuit && len(c.in.buf) == c.in.start
	if err := c.out.flush(); err == nil && !quit && c.summary.Reason != ReasonClosed {
		linger(c.conn, c.transport)
	}
}

// linger gives the client time to read the last answer: closing a TCP
// connection with unread input resets it and takes that answer away.
func linger(conn, transport net.Conn) {
	if t, ok := conn.(interface{ CloseWrite() error }); ok && t.CloseWrite() == nil {
		_ = transport.SetReadDeadline(time.Now().Add(goodbye))
		_, _ = io.CopyN(io.Discard, transport, maxSkip)
	}
}

// close gives up everything the session holds. A fault in a session, or in the
// backend on its behalf, ends that session alone.
func (c *session) close() {
	if p := recover(); p != nil {
		c.fault(p)
	}
	c.closeDrop()
	_ = c.out.flush()
	_ = c.conn.Close()
	c.summary.Duration = time.Since(c.begun)
	c.server.Events.Closed(c.peer, c.summary)
}

// fault ends the session because of a defect.
func (c *session) fault(p any) {
	err := fmt.Errorf("panic: %v\n%s", p, debug.Stack())
	c.end(ReasonFault, err)
	c.fail("session", err)
}

// use makes conn the one that is read and written.
func (c *session) use(conn net.Conn) {
	c.conn = conn
	c.in.r = conn
	c.out = output{conn: conn, timeout: c.settings.Limits.Write, until: c.loginDeadline().Add(goodbye)}
}

// beforeRead is called before each read: everything is answered, so what was
// answered goes out, and the client's time begins.
func (c *session) beforeRead() error {
	if err := c.out.flush(); err != nil {
		return err
	}
	if c.until.IsZero() {
		c.until = c.loginDeadline()
		if c.drop != nil {
			c.until = time.Now().Add(c.settings.Limits.Idle)
		}
	}
	c.stopping.Lock()
	defer c.stopping.Unlock()
	if c.stopped {
		return errShutdown
	}
	if c.waits.IsZero() {
		c.waits = time.Now()
	}
	return c.transport.SetReadDeadline(c.until)
}

// endWait ends the time that the client had for what was waited for.
func (c *session) endWait() {
	c.until = time.Time{}
	c.stopping.Lock()
	defer c.stopping.Unlock()
	c.waits = time.Time{}
}

func (c *session) beginRemoving() {
	c.stopping.Lock()
	defer c.stopping.Unlock()
	c.removing = true
}

func (c *session) endRemoving() {
	c.stopping.Lock()
	defer c.stopping.Unlock()
	if c.stopped {
		c.out.timeout = goodbye
	}
}

func (c *session) isStopped() bool {
	c.stopping.Lock()
	defer c.stopping.Unlock()
	return c.stopped
}

// loginDeadline is when a login must have succeeded.
func (c *session) loginDeadline() time.Time { return c.begun.Add(c.settings.Limits.Login) }

// lineLimit is the limit of the command that begins so.
func (c *session) lineLimit(begin []byte) int {
	const auth = "AUTH "
	if c.drop == nil && len(begin) >= len(auth) && strings.EqualFold(string(begin[:len(auth)]), auth) {
		return max(c.settings.Limits.Line, c.saslLimit(nil))
	}
	return c.settings.Limits.Line
}

func (c *session) saslLimit([]byte) int { return c.settings.Limits.SASLLine + len("\r\n") }

// startTLS does the server's side of the handshake. With an error the session ends.
func (c *session) startTLS() error {
	c.in.discard() // whatever came in plaintext is nobody's
	c.peer.TLS = nil
	if c.settings.TLS == nil {
		c.end(ReasonHandshake, errNoTLS)
		return errNoTLS
	}
	conn := tls.Server(c.transport, c.settings.TLS)
	c.until = c.loginDeadline()
	if soon := time.Now().Add(handshakeWait); soon.Before(c.until) {
		c.until = soon
	}
	var certificate []byte
	err := c.beforeRead()
	if err == nil {
		err = c.transport.SetWriteDeadline(c.until)
	}
	if err == nil {
		err = conn.HandshakeContext(noting(c.server.base, &certificate))
	}
	c.endWait()
	switch {
	case err == nil:
	case c.isStopped():
		c.end(ReasonShutdown, nil)
		return errShutdown
	default:
		c.end(ReasonHandshake, handshakeError(err))
		return err
	}
	state := conn.ConnectionState()
	c.peer.TLS, c.peer.Secure = &state, true
	c.peer.Bindings = channelBindings(&state, certificate)
	c.peer.Certificates, c.peer.ClientName = c.settings.trusted(state.PeerCertificates), ""
	c.use(conn)
	return nil
}

// answerPlaintext tells a client that does not begin with TLS, which waits for a
// greeting or has sent a command, that it should. Err is what startTLS came to.
func (c *session) answerPlaintext(err error) {
	var record tls.RecordHeaderError
	if errors.As(err, &record) && record.Conn != nil || errors.Is(err, os.ErrDeadlineExceeded) {
		_ = c.transport.SetDeadline(time.Now().Add(goodbye))
		if _, err := io.WriteString(c.transport, "-ERR "+errTLSFirst.Error()+"\r\n"); err == nil {
			linger(c.transport, c.transport)
		}
	}
}

// handshakeError says what a handshake failed of, where Go's words don't.
func handshakeError(err error) error {
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &record):
		return fmt.Errorf("the client does not speak TLS here: it sent %q", record.RecordHeader[:])
	case errors.Is(err, io.EOF):
		return errors.New("the client left during the handshake")
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return errors.New("the client did not finish the handshake in time: if it sent nothing, it waits for a greeting in plaintext, and is set to another port or to TLS")
	}
	return err
}
