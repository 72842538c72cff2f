package main

import (
	"context"
	"errors"
	"fmt"

	"sidepop/cmd/sidepop/internal/control"
	"sidepop/cmd/sidepop/internal/maillog"
	"sidepop/index"
)

// verifiedJSON is what --json prints of a mailbox that was verified.
type verifiedJSON struct {
	User        string           `json:"user"`
	Path        string           `json:"path"`
	Differences []differenceJSON `json:"differences"`
	Repaired    bool             `json:"repaired"`
	Error       string           `json:"error,omitempty"`
}

type differenceJSON struct {
	File       string `json:"file"`
	Difference string `json:"difference"`
}

// rebuiltJSON is what --json prints of a mailbox that was counted anew.
type rebuiltJSON struct {
	User     string `json:"user"`
	Path     string `json:"path"`
	Messages int    `json:"messages"`
	Error    string `json:"error,omitempty"`
}

// errDifferent: a verification has found something.
var errDifferent = errors.New("the index was not as the Maildirs are")

// verify is `sidepop index verify`. A mailbox that can't be verified does not
// keep the others from it.
func (i *inspection) verify(ctx context.Context, users []string) error {
	differences, differing, verified, failed := 0, 0, 0, 0
	err := i.each(ctx, users, func(t target, show func(done, total int)) error {
		all, err := i.x.Verify(ctx, t.Maildir, show)
		switch {
		case ctx.Err() != nil, errors.Is(err, control.ErrEnded):
			return err
		case err != nil:
			failed++
		default:
			verified++
		}
		if differences += len(all); len(all) > 0 {
			differing++
		}
		return i.verified(t, all, err)
	})
	if err == nil && !i.json {
		err = i.out.line("%s", summary(verified, differences, differing))
	}
	switch {
	case err != nil:
		return err
	case failed > 0:
		return fmt.Errorf("%s could not be verified", mailboxes(failed))
	case differences > 0:
		return errDifferent
	}
	return nil
}

// verified prints what came of one mailbox.
func (i *inspection) verified(t target, all []index.Difference, err error) error {
	i.bar.Clear()
	if i.json {
		v := verifiedJSON{User: t.user, Path: t.Path, Differences: []differenceJSON{}, Repaired: err == nil && len(all) > 0}
		for _, d := range all {
			v.Differences = append(v.Differences, differenceJSON{d.Name, d.What})
		}
		if err != nil {
			v.Error = err.Error()
		}
		return i.out.object(v)
	}
	if err != nil {
		return i.out.line("%s: not verified: %s", t, maillog.Escape(err.Error()))
	}
	for _, d := range all {
		what := maillog.Escape(d.What)
		if d.Name != "" {
			what = maillog.Escape(d.Name) + ": " + what
		}
		if err := i.out.line("%s: %s (repaired)", t, what); err != nil {
			return err
		}
	}
	return nil
}

func summary(verified, differences, differing int) string {
	switch differences {
	case 0:
		return mailboxes(verified) + " verified, no difference"
	case 1:
		return mailboxes(verified) + " verified, 1 difference, repaired"
	}
	return fmt.Sprintf("%s verified, %s in %s, repaired", mailboxes(verified), plural(int64(differences), "difference"), mailboxes(differing))
}

func mailboxes(n int) string {
	if n == 1 {
		return "1 mailbox"
	}
	return grouped(int64(n)) + " mailboxes"
}

// rebuild is `sidepop index rebuild`.
func (i *inspection) rebuild(ctx context.Context, users []string) error {
	failed := 0
	err := i.each(ctx, users, func(t target, show func(done, total int)) error {
		n, err := i.x.Rebuild(ctx, t.Maildir, show)
		switch {
		case ctx.Err() != nil, errors.Is(err, control.ErrEnded):
			return err
		case err != nil:
			failed++
		}
		return i.rebuilt(t, n, err)
	})
	if err == nil && failed > 0 {
		err = fmt.Errorf("%s could not be counted", mailboxes(failed))
	}
	return err
}

// rebuilt prints what came of one mailbox.
func (i *inspection) rebuilt(t target, messages int, err error) error {
	i.bar.Clear()
	switch {
	case i.json && err != nil:
		return i.out.object(rebuiltJSON{User: t.user, Path: t.Path, Error: err.Error()})
	case i.json:
		return i.out.object(rebuiltJSON{User: t.user, Path: t.Path, Messages: messages})
	case err != nil:
		return i.out.line("%s: not counted: %s", t, maillog.Escape(err.Error()))
	}
	return i.out.line("%s: %s", t, plural(int64(messages), "message"))
}

// each does something with each mailbox and shows how far all of it is. It ends
// at the first error.
func (i *inspection) each(ctx context.Context, users []string, work func(t target, show func(done, total int)) error) error {
	ts, err := i.targets(ctx, users)
	if err != nil {
		return err
	}
	var before, all int64
	for _, t := range ts {
		all += int64(t.messages)
	}
	for _, t := range ts {
		show := func(done, total int) {
			n, of := before+int64(done), all+int64(total-t.messages)
			i.bar.Show(n, of, fmt.Sprintf("%s of %s, %s", grouped(n), plural(of, "message"), t))
		}
		show(0, t.messages)
		if err := work(t, show); err != nil {
			return err
		}
		before += int64(t.messages)
	}
	return nil
}
