package pop3

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// maildrop is the session's view of its Maildrop: what is marked as deleted.
type maildrop struct {
	Maildrop
	messages int    // in all
	live     int    // not deleted
	octets   int64  // of those
	marks    []mark // by message; nil while there are none
}

// mark is what has become of a message in this session.
type mark uint8

const (
	deleted   mark = 1 << iota // by DELE, to be removed
	retrieved                  // by RETR
)

func (d *maildrop) mark(i int, m mark) {
	if d.marks == nil {
		d.marks = make([]mark, d.messages)
	}
	d.marks[i] |= m
}

func (d *maildrop) deleted(i int) bool { return d.marks != nil && d.marks[i]&deleted != 0 }

// reset forgets all deletions.
func (d *maildrop) reset() {
	d.messages, d.octets = d.Stat()
	d.live = d.messages
	for i := range d.marks {
		d.marks[i] &^= deleted
	}
}

// done gives what is to be removed and, of the rest, what was retrieved.
func (d *maildrop) done() (remove, kept []int) {
	for i, m := range d.marks {
		switch {
		case m&deleted != 0:
			remove = append(remove, i)
		case m&retrieved != 0:
			kept = append(kept, i)
		}
	}
	return remove, kept
}

// find is the one place where a message number from the wire, from 1, becomes
// one of the maildrop, from 0.
func (d *maildrop) find(arg string) (int, error) {
	n, ok := number(arg)
	switch {
	case !ok:
		return 0, errNumber
	case n < 1 || n > d.messages:
		return 0, errNoMessage
	case d.deleted(n - 1):
		return 0, errDeleted
	}
	return n - 1, nil
}

func (d *maildrop) summary() string {
	return fmt.Sprintf("%d messages (%d octets)", d.live, d.octets)
}

func (c *session) cmdStat([]string) (reply, error) {
	return reply{text: strconv.Itoa(c.drop.live) + " " + strconv.FormatInt(c.drop.octets, 10)}, nil
}

func (c *session) cmdList(args []string) (reply, error) {
	return c.listing(args, func(dst []byte, i int) ([]byte, error) {
		octets, err := c.drop.Octets(c.server.base, i)
		return strconv.AppendInt(dst, octets, 10), err
	})
}

func (c *session) cmdUidl(args []string) (reply, error) {
	return c.listing(args, func(dst []byte, i int) ([]byte, error) {
		uidl, err := c.drop.UIDL(c.server.base, i)
		return append(dst, uidl...), err
	})
}

// listing answers LIST and UIDL, for one message or for all. value appends
// what is said of a message to dst, which has room for it.
func (c *session) listing(args []string, value func(dst []byte, i int) ([]byte, error)) (reply, error) {
	if len(args) == 1 {
		i, err := c.drop.find(args[0])
		if err != nil {
			return reply{}, err
		}
		text, err := value(append(strconv.AppendInt(nil, int64(i+1), 10), ' '), i)
		return reply{text: string(text)}, err
	}
	body := func(o *output) error {
		for i := range c.drop.messages {
			if c.drop.deleted(i) {
				continue
			}
			if o.room(listLine); o.err != nil {
				return o.err
			}
			var err error
			o.buf = append(strconv.AppendInt(o.buf, int64(i+1), 10), ' ')
			if o.buf, err = value(o.buf, i); err != nil {
				return err
			}
			o.buf = append(o.buf, "\r\n"...)
		}
		o.dot()
		return nil
	}
	return reply{text: c.drop.summary() + " follow", body: body}, nil
}

// listLine is more than the longest line of a listing: a message number, a
// UIDL of 255 characters, and what stands between them.
const listLine = 300

func (c *session) cmdRetr(args []string) (reply, error) {
	i, err := c.drop.find(args[0])
	if err != nil {
		return reply{}, err
	}
	octets, err := c.drop.Octets(c.server.base, i)
	if err != nil {
		return reply{}, err
	}
	m, err := c.open(i)
	if err != nil {
		return reply{}, err
	}
	body := func(o *output) error {
		defer m.Close()
		sent, err := o.message(m)
		c.summary.Octets += sent
		if err != nil {
			return fmt.Errorf("message %d: %w", i+1, err)
		}
		c.summary.Retr++
		c.drop.mark(i, retrieved)
		if sent != octets {
			c.fail("RETR", fmt.Errorf("message %d has changed: %d octets were listed and %d sent", i+1, octets, sent))
		}
		return nil
	}
	return reply{text: strconv.FormatInt(octets, 10) + " octets", body: body}, nil
}

func (c *session) cmdTop(args []string) (reply, error) {
	i, err := c.drop.find(args[0])
	if err != nil {
		return reply{}, err
	}
	lines, ok := number(args[1])
	if !ok {
		return reply{}, errTopArgs
	}
	m, err := c.open(i)
	if err != nil {
		return reply{}, err
	}
	body := func(o *output) error {
		defer m.Close()
		sent, err := o.message(&topReader{r: m, lines: int64(lines)})
		c.summary.Octets += sent
		if err != nil {
			return fmt.Errorf("message %d: %w", i+1, err)
		}
		c.summary.Top++
		return nil
	}
	return reply{text: "top of message follows", body: body}, nil
}

func (c *session) cmdDele(args []string) (reply, error) {
	d := c.drop
	i, err := d.find(args[0])
	if err != nil {
		return reply{}, err
	}
	octets, err := d.Octets(c.server.base, i)
	if err != nil {
		return reply{}, err
	}
	d.mark(i, deleted)
	d.live--
	d.octets -= octets
	return reply{text: "message " + strconv.Itoa(i+1) + " marked"}, nil
}

func (c *session) cmdRset([]string) (reply, error) {
	c.drop.reset()
	return reply{text: c.drop.summary()}, nil
}

func (c *session) cmdNoop([]string) (reply, error) { return reply{text: "nothing done"}, nil }

// cmdQuit is the UPDATE state (RFC 1939, section 6).
func (c *session) cmdQuit([]string) (reply, error) {
	remove, retrieved := c.drop.done()
	failed, err := c.commit(remove, retrieved)
	if errors.Is(err, errDisconnected) {
		return reply{}, err
	}
	c.summary.Dele = len(remove) - failed
	c.end(ReasonQuit, err)
	if err != nil {
		return reply{}, &Error{Code: "SYS/TEMP", Text: fmt.Sprintf("%d of %d deleted messages were not removed", failed, len(remove))}
	}
	return reply{text: strconv.Itoa(len(remove)) + " messages removed"}, nil
}

// commit removes messages, once the client has what it was sent: it must not
// lose a message that it asked for in the same breath.
func (c *session) commit(remove, retrieved []int) (failed int, err error) {
	if len(remove)+len(retrieved) == 0 {
		return 0, nil
	}
	if err := c.out.flush(); err != nil {
		c.disconnected(err)
		return len(remove), errDisconnected
	}
	c.beginRemoving()
	failed, err = c.drop.Commit(context.WithoutCancel(c.server.base), remove, retrieved)
	c.endRemoving()
	if err == nil && failed > 0 {
		err = errors.New("the backend does not say why")
	}
	return failed, err
}

// closeDrop gives the maildrop up. That happens once, even if it panics.
func (c *session) closeDrop() {
	d := c.drop
	if d == nil {
		return
	}
	c.drop = nil
	defer func() {
		if p := recover(); p != nil {
			c.fault(p)
		}
	}()
	if err := d.Close(); err != nil {
		c.fail("closing the maildrop", err)
	}
}
