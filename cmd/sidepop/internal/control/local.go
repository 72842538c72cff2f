package control

import (
	"context"

	"sidepop/index"
)

// Local is the index of this process.
type Local struct{ Index *index.Index }

// owner is whose mailbox is at path.
func (l Local) owner(path string) index.Owner {
	if o, ok := l.Index.Owner(path); ok {
		return o
	}
	return index.ProcessOwner()
}

// List implements [Inspector].
func (l Local) List(context.Context) ([]index.Info, error) { return l.Index.List() }

// Messages implements [Inspector].
func (l Local) Messages(ctx context.Context, path string, each func(Message) error) error {
	m, err := l.Index.Open(ctx, path, "", l.owner(path))
	if err != nil {
		return err
	}
	defer m.Close()
	for i := range m.Len() {
		if err := each(Message{m.Message(i), m.Path(i)}); err != nil {
			return err
		}
	}
	return nil
}

// Verify implements [Inspector].
func (l Local) Verify(ctx context.Context, path string, progress func(done, total int)) ([]index.Difference, error) {
	return l.Index.Verify(ctx, path, l.owner(path), progress)
}

// Rebuild implements [Inspector].
func (l Local) Rebuild(ctx context.Context, path string, progress func(done, total int)) (messages int, err error) {
	return l.Index.Rebuild(ctx, path, l.owner(path), progress)
}
