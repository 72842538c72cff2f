package main

import "fmt"

// live tells whoever started the keeper what it does, and that it is alive: that its
// loop runs, which calls this, and that the index answers.
func (k *keeper) live() {
	_, folders := k.index.InUse()
	text := fmt.Sprintf("%s, watched mailboxes: %s", plural(int64(len(k.server.Sessions())), "session"), grouped(int64(folders/2)))
	if k.refusal != "" {
		text += "; the configuration was refused and the one before holds: " + k.refusal
	}
	k.notify.is(text)
	k.notify.alive()
}
