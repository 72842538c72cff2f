package maillog

import (
	"strings"

	"github.com/sirupsen/logrus"
)

// Helper tells of the PAM helper. It implements helper.Events.
type Helper struct{ *Log }

// Logged implements helper.Events.
func (l Helper) Logged(pid int, line string) {
	l.process().WithFields(logrus.Fields{"pid": pid, "line": line}).Info("PAM helper said")
}

// Died implements helper.Events.
func (l Helper) Died(err error) {
	l.process().WithField("reason", escapeError(err)).Warn("PAM helper ended")
}

// Unavailable implements helper.Events.
func (l Helper) Unavailable(err error) {
	l.process().WithField("reason", escapeError(err)).Error("PAM helper fails")
}

// Available implements helper.Events.
func (l Helper) Available() { l.process().Info("PAM helper works again") }

// Said: modules had something to say to a user who may log in.
func (l Helper) Said(user string, messages []string) {
	l.process().WithFields(logrus.Fields{"user": Escape(user), "line": strings.Join(messages, "; ")}).Info("PAM said")
}

// NoMaildirs: an MTA delivers the mail of system users to something else, because of
// a setting in a file.
func (l *Log) NoMaildirs(mta, setting, file string) {
	l.process().WithFields(logrus.Fields{
		"mta": mta, "path": Escape(file), "reason": Escape(setting) + `: not to Maildirs; "sidepop check" says what to change`,
	}).Warn("mail of system users is delivered elsewhere")
}

// Found is what holds for accounts that say nothing else.
func (l *Log) Found(mta, mailbox string, sources []string) {
	l.process().WithFields(logrus.Fields{"mta": mta, "mailbox": mailbox, "sources": strings.Join(sources, ", ")}).Info("accounts")
}
