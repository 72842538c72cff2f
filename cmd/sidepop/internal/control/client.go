package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"

	"sidepop/index"
)

var (
	// ErrStopped says that no server listens in a state folder.
	ErrStopped = errors.New("no server is running")

	// ErrEnded says that the server ended in the middle of an answer.
	ErrEnded = errors.New("the server ended before its answer was complete; its log may say why. Ask again when it is back: what was done by then is kept")
)

// Client asks a server. It implements [Inspector].
type Client struct {
	socket string
	http   http.Client
}

// Dial finds out whether a server answers in a state folder. The error wraps
// [ErrStopped] when none does.
func Dial(dir string) (*Client, error) {
	socket := filepath.Join(dir, socketName)
	conn, err := net.Dial("unix", socket)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w: %w", ErrStopped, err)
	case err != nil:
		return nil, fmt.Errorf("ask the server: %w", err)
	}
	_ = conn.Close()
	c := &Client{socket: socket}
	c.http.Transport = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		ResponseHeaderTimeout: headerTime,
	}
	return c, nil
}

// Close gives up the connection.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// List implements [Inspector].
func (c *Client) List(ctx context.Context) (all []index.Info, err error) {
	_, err = c.ask(ctx, "list", Maildir{}, func(a *answer) error {
		m := a.Mailbox
		if m == nil {
			return errAnswer
		}
		all = append(all, index.Info{
			Path: string(m.Path), User: string(m.User), Messages: m.Messages, Octets: m.Octets,
			Current: m.Current, InUse: m.InUse, Watched: m.Watched, Done: m.Done, Total: m.Total,
		})
		return nil
	})
	return all, err
}

// Messages implements [Inspector].
func (c *Client) Messages(ctx context.Context, m Maildir, each func(Message) error) error {
	_, err := c.ask(ctx, "messages", m, func(a *answer) error {
		if a.Message == nil {
			return errAnswer
		}
		one := a.Message
		return each(Message{index.Message{UIDL: one.UIDL, Bytes: one.Bytes, Octets: one.Octets}, string(one.File)})
	})
	return err
}

// Verify implements [Inspector].
func (c *Client) Verify(ctx context.Context, m Maildir, progress func(done, total int)) (all []index.Difference, err error) {
	_, err = c.ask(ctx, "verify", m, func(a *answer) error {
		switch {
		case a.Progress != nil:
			progress(a.Progress.Done, a.Progress.Total)
		case a.Difference != nil:
			all = append(all, index.Difference{Name: string(a.Difference.Name), What: string(a.Difference.What)})
		default:
			return errAnswer
		}
		return nil
	})
	return all, err
}

// Rebuild implements [Inspector].
func (c *Client) Rebuild(ctx context.Context, m Maildir, progress func(done, total int)) (messages int, err error) {
	e, err := c.ask(ctx, "rebuild", m, func(a *answer) error {
		if a.Progress == nil {
			return errAnswer
		}
		progress(a.Progress.Done, a.Progress.Total)
		return nil
	})
	return e.Messages, err
}

// errAnswer: server and command are probably of different versions.
var errAnswer = errors.New("the server's answer can't be understood: is it of another version?")

// ask sends a request and hands each line of the answer but the last to a
// function.
func (c *Client) ask(ctx context.Context, verb string, m Maildir, line func(*answer) error) (end, error) {
	body, err := json.Marshal(request{Path: raw(m.Path), Owner: (*owner)(m.Owner)})
	if err != nil {
		return end{}, err
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://sidepop/"+verb, bytes.NewReader(body))
	if err != nil {
		return end{}, err
	}
	r, err := c.http.Do(q)
	if err != nil {
		return end{}, c.failure(ctx, err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(r.Body, maxLine))
		return end{}, fmt.Errorf("the server refuses: %s", strings.TrimSpace(string(text)))
	}
	lines := bufio.NewScanner(r.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var a answer
		if err := decode(lines.Bytes(), &a); err != nil {
			return end{}, fmt.Errorf("%w (%w)", errAnswer, err)
		}
		if a.End == nil {
			if err := line(&a); err != nil {
				return end{}, err
			}
			continue
		}
		if a.End.Error != "" {
			return end{}, errors.New(a.End.Error)
		}
		return *a.End, nil
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return end{}, errAnswer
	}
	return end{}, c.failure(ctx, lines.Err())
}

// failure says why there is no answer, or no whole one; err may be nil.
func (c *Client) failure(ctx context.Context, err error) error {
	var timeout net.Error
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("the server does not answer within %s", headerTime)
	}
	return ErrEnded
}
