package main

import (
	"context"
	"fmt"
	"path/filepath"

	"sidepop/cmd/sidepop/internal/control"
	"sidepop/index"
)

// mailboxJSON is a mailbox as --json prints it.
type mailboxJSON struct {
	User     string `json:"user"`
	Path     string `json:"path"`
	Messages int    `json:"messages"`
	Octets   int64  `json:"octets"`
	Current  bool   `json:"current"`
	InUse    bool   `json:"in_use"`
	Watched  bool   `json:"watched"`
	Counted  int    `json:"counted,omitempty"`
	ToCount  int    `json:"to_count,omitempty"`
}

func toJSON(m index.Info) mailboxJSON {
	j := mailboxJSON{m.User, m.Path, m.Messages, m.Octets, m.Current, m.InUse, m.Watched, 0, 0}
	if m.Total > 0 {
		j.Counted, j.ToCount = m.Done, m.Total
	}
	return j
}

// state is a mailbox's state in words. Without a server nothing is watched.
func (i *inspection) state(m index.Info) string {
	s := "to be checked"
	switch {
	case m.Total > 0:
		s = fmt.Sprintf("counting %d %%", 100*m.Done/m.Total)
	case m.Current:
		s = "current"
	}
	switch {
	case m.Watched:
		s += ", watched"
	case m.InUse && !i.stopped:
		s += ", not watched"
	}
	return s
}

// list is `sidepop index list`.
func (i *inspection) list(ctx context.Context, _ []string) error {
	all, err := i.x.List(ctx)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, m := range all {
		if i.json {
			if err := i.out.object(toJSON(m)); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, []string{m.User, m.Path, i.out.number(int64(m.Messages)), i.out.number(m.Octets), i.state(m)})
	}
	switch {
	case i.json:
		return nil
	case len(rows) == 0 && i.out.terminal:
		return i.out.line("The index knows no mailbox yet: no account has a Maildir, or nobody has logged in.")
	}
	return i.out.table([]column{{"USER", false}, {"PATH", false}, {"MESSAGES", true}, {"OCTETS", true}, {"STATE", false}}, rows)
}

// messageJSON is a message as --json prints it.
type messageJSON struct {
	Number int    `json:"number"`
	Octets int64  `json:"octets"`
	Bytes  int64  `json:"bytes"`
	UIDL   string `json:"uidl"`
	File   string `json:"file"`
}

// show is `sidepop index show`. The messages are collected first: a server must
// not wait for somebody who reads page by page.
func (i *inspection) show(ctx context.Context, users []string) error {
	ts, err := i.targets(ctx, users)
	if err != nil {
		return err
	}
	t := ts[0]
	var messages []control.Message
	err = i.x.Messages(ctx, t.Maildir, func(m control.Message) error {
		messages = append(messages, m)
		return nil
	})
	if err != nil {
		return err
	}
	m, err := i.info(ctx, t)
	if err != nil {
		return err
	}
	if i.json {
		return i.showJSON(m, messages)
	}
	err = i.out.table([]column{{}, {}}, [][]string{
		{"user", m.User},
		{"path", m.Path},
		{"messages", i.out.number(int64(m.Messages))},
		{"octets", i.out.number(m.Octets)},
		{"state", i.state(m)},
	})
	if err != nil || len(messages) == 0 {
		return err
	}
	if err := i.out.line(""); err != nil {
		return err
	}
	rows := make([][]string, len(messages))
	for n, m := range messages {
		rows[n] = []string{i.out.number(int64(n) + 1), i.out.number(m.Octets), i.out.number(m.Bytes), m.UIDL, filepath.Base(m.File)}
	}
	return i.out.table([]column{{"NUMBER", true}, {"OCTETS", true}, {"BYTES", true}, {"UIDL", false}, {"FILE", false}}, rows)
}

func (i *inspection) showJSON(m index.Info, messages []control.Message) error {
	if err := i.out.object(toJSON(m)); err != nil {
		return err
	}
	for n, m := range messages {
		if err := i.out.object(messageJSON{n + 1, m.Octets, m.Bytes, m.UIDL, m.File}); err != nil {
			return err
		}
	}
	return nil
}

// info is what the index says of a mailbox now.
func (i *inspection) info(ctx context.Context, t target) (index.Info, error) {
	all, err := i.x.List(ctx)
	if err != nil {
		return index.Info{}, err
	}
	for _, m := range all {
		if m.Path == t.Path {
			if m.User == "" {
				m.User = t.user
			}
			return m, nil
		}
	}
	return index.Info{Path: t.Path, User: t.user}, nil
}
