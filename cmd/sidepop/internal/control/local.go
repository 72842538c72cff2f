package control

import (
	"context"
	"fmt"

	"sidepop/index"
)

// Local is the index of this process.
type Local struct{ Index *index.Index }

// owner is whose a Maildir is.
func (l Local) owner(m Maildir) (index.Owner, error) {
	if m.Owner != nil {
		return *m.Owner, nil
	}
	o, ok := l.Index.Owner(m.Path)
	if !ok {
		return o, fmt.Errorf("the index does not know %s, nor whose it is: name the user", m.Path)
	}
	return o, nil
}

// List implements [Inspector].
func (l Local) List(context.Context) ([]index.Info, error) { return l.Index.List() }

// Messages implements [Inspector].
func (l Local) Messages(ctx context.Context, m Maildir, each func(Message) error) error {
	o, err := l.owner(m)
	if err != nil {
		return err
	}
	mailbox, err := l.Index.Open(ctx, m.Path, "", o)
	if err != nil {
		return err
	}
	defer mailbox.Close()
	for i := range mailbox.Len() {
		if err := each(Message{mailbox.Message(i), mailbox.Path(i)}); err != nil {
			return err
		}
	}
	return nil
}

// Verify implements [Inspector].
func (l Local) Verify(ctx context.Context, m Maildir, progress func(done, total int)) ([]index.Difference, error) {
	o, err := l.owner(m)
	if err != nil {
		return nil, err
	}
	return l.Index.Verify(ctx, m.Path, o, progress)
}

// Rebuild implements [Inspector].
func (l Local) Rebuild(ctx context.Context, m Maildir, progress func(done, total int)) (messages int, err error) {
	o, err := l.owner(m)
	if err != nil {
		return 0, err
	}
	return l.Index.Rebuild(ctx, m.Path, o, progress)
}
