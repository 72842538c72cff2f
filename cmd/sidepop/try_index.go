package main

import (
	"sidepop/cmd/sidepop/internal/maillog"
	"sidepop/index/store"
)

// Skipped implements [index.Events].
func (w *words) Skipped(path, reason string) {
	w.screen.say("not served: %s: %s", maillog.Escape(path), maillog.Escape(reason))
}

// Counting implements [index.Events].
func (w *words) Counting(maildir string, done, total int) {
	w.screen.say("counting the mail in %s: %s of %s", maillog.Escape(maildir), grouped(int64(done)), plural(int64(total), "message"))
}

// Repaired implements [index.Events].
func (w *words) Repaired(path, what string) {
	w.screen.say("the index was wrong and is mended: %s: %s", maillog.Escape(path), maillog.Escape(what))
}

// NotWatched implements [index.Events].
func (w *words) NotWatched(maildir string, err error) {
	where := ""
	if maildir != "" {
		where = " in " + maillog.Escape(maildir)
	}
	w.screen.say("new mail%s is looked for at logins only: %s", where, maillog.Escape(err.Error()))
}

// Lagging implements [index.Events].
func (w *words) Lagging() {
	w.screen.say("too much happened at once: the next login reads the Maildir again")
}

// Recovered implements [index.Events].
func (w *words) Recovered(maildir string, messages int, err error) {
	if err != nil {
		w.screen.say("a removal in %s that was interrupted can't be finished: %s", maillog.Escape(maildir), maillog.Escape(err.Error()))
		return
	}
	w.screen.say("a removal in %s that was interrupted is finished: %s REMOVED", maillog.Escape(maildir), plural(int64(messages), "message"))
}

// Store implements [index.Events].
func (w *words) Store(n store.Notice) {
	path, reason := maillog.Escape(n.Path), ""
	if n.Err != nil {
		reason = maillog.Escape(n.Err.Error())
	}
	switch n.Event {
	case store.SetAside:
		w.screen.say("the index can't be used and is kept as %s; a new one is begun: %s", path, reason)
	case store.Failed:
		w.screen.say("the index %s can't be saved: %s", path, reason)
	case store.Recovered:
		w.screen.say("the index %s can be saved again", path)
	case store.Forgotten:
		w.screen.say("the index forgets %d mailboxes, which will be counted again: it could not be saved", n.Count)
	case store.Refused:
		w.screen.say("the index does not keep %s: %s", maillog.Escape(n.Mailbox), reason)
	case store.Compacted:
		w.screen.say("the index %s is smaller now", path)
	case store.CompactFailed:
		w.screen.say("the index %s could not be made smaller: %s", path, reason)
	}
}
