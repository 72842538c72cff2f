package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"sidepop/pop3"
)

// errTooLong refuses a login that no account can have.
var errTooLong = fmt.Errorf("%w: longer than the keeper is asked for", pop3.ErrCredentials)

var (
	// errGone: the keeper has ended, or does not want to answer.
	errGone = errors.New("the keeper closed the connection")

	// errEnding: the keeper ends, and has not decided about a login.
	errEnding = errors.New("the keeper is ending")
)

// link is the front's end of a session's connection.
type link struct{ *conn }

func (c *Client) dial() (*link, error) {
	u, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Net: "unixpacket", Name: c.Path})
	if err != nil {
		return nil, unreachable("keeper not reachable", err)
	}
	conn, err := newConn(u)
	if err != nil {
		_ = u.Close()
		return nil, unreachable("keeper not reachable", err)
	}
	return &link{conn}, nil
}

// ask sends the packet q, frees b, which it is in, and waits for the answer:
// until ctx is done, and no longer than wait.
func (l *link) ask(ctx context.Context, wait time.Duration, b *buffer, q []byte, rights bool) (received, error) {
	err := l.send(q, nil)
	b.free()
	if err != nil {
		return received{}, err
	}
	until := time.Now().Add(wait)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(until) {
		until = deadline
	}
	if err := l.SetReadDeadline(until); err != nil {
		return received{}, err
	}
	stop := func() bool { return true }
	if ctx.Done() != nil {
		stop = context.AfterFunc(ctx, func() { _ = l.SetReadDeadline(time.Unix(1, 0)) })
	}
	in, err := l.receive(rights)
	if stop() {
		return in, err
	}
	if err == nil { // but the next request would find its time over
		in.free()
		closeAll(in.descriptors)
	}
	return received{}, context.Cause(ctx)
}

// isReset says whether an error is that of a connection that the keeper has closed
// without reading what it was sent.
func isReset(err error) bool {
	return errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
}

// broke closes a link that can't be used any more, because of err, and says so.
func (l *link) broke(what string, err error) error {
	_ = l.Close()
	switch {
	case errors.Is(err, io.EOF), isReset(err):
		err = errGone
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = errors.New("the keeper does not answer in time")
	case isViolation(err):
		err = fmt.Errorf("the keeper: %w", err)
	}
	return unreachable(what, err)
}

// Close ends the connection. Once it is broken there is nothing to end.
func (l *link) Close() error {
	if err := l.conn.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
