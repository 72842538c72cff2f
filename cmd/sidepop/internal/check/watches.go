package check

import "fmt"

// PerMailbox is how many watches of inotify(7) a mailbox takes: of new and of cur.
const PerMailbox = 2

// Watches gives a problem if the kernel's limit, whose name is as sysctl(8) has
// it, is too low for the mailboxes.
func Watches(mailboxes int, name string, limit uint64) []Problem {
	need := uint64(PerMailbox * mailboxes)
	if need <= limit {
		return nil
	}
	return []Problem{{
		Warning,
		fmt.Sprintf("%d watches are wanted for %d mailboxes, and the kernel allows %d (%s): logins to the rest are slower.", need, mailboxes, limit, name),
		raise(name, need),
	}}
}

// Instances gives a problem if all that the kernel allows a user are in use.
func Instances(used int, name string, limit uint64) []Problem {
	if uint64(used) < limit {
		return nil
	}
	return []Problem{{
		Warning,
		fmt.Sprintf("All %d watchers that the kernel allows (%s) are in use: mailboxes can't be watched, and logins are slower.", limit, name),
		raise(name, limit),
	}}
}

// raise is how a kernel's setting is raised for good, to twice what is needed.
func raise(name string, need uint64) string {
	return fmt.Sprintf("echo %s=%d > /etc/sysctl.d/60-sidepop.conf && sysctl --system", name, 2*need)
}
