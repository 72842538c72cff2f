package pop3

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

func (c *session) cmdStat([]string) (reply, error) {
	octets, err := c.drop.left(c.server.base)
	return reply{text: strconv.Itoa(c.drop.live) + " " + strconv.FormatInt(octets, 10)}, err
}

func (c *session) cmdRetr(args []string) (reply, error) {
	i, err := c.drop.find(args[0])
	if err != nil {
		return reply{}, err
	}
	m, octets, err := c.open(i)
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
	m, _, err := c.open(i)
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
	i, err := c.drop.find(args[0])
	if err != nil {
		return reply{}, err
	}
	c.drop.delete(i)
	return reply{text: "message " + strconv.Itoa(i+1) + " marked"}, nil
}

func (c *session) cmdRset([]string) (reply, error) {
	c.drop.reset()
	summary, err := c.drop.summary(c.server.base)
	return reply{text: summary}, err
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
	if failed > 0 {
		c.end(ReasonQuit, err)
		return reply{}, &Error{Code: "SYS/TEMP", Text: fmt.Sprintf("%d of %d deleted messages were not removed", failed, len(remove))}
	}
	if err != nil { // in something that the client did not ask for
		c.fail("QUIT", err)
	}
	c.end(ReasonQuit, nil)
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
