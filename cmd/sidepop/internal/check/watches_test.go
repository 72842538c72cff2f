package check

import (
	"strings"
	"testing"
)

func TestWatches(t *testing.T) {
	const name = "fs.inotify.max_user_watches"
	for mailboxes, want := range map[int]string{
		0: "", 50: "", 51: "echo fs.inotify.max_user_watches=204 > /etc/sysctl.d/60-sidepop.conf && sysctl --system",
	} {
		problems := Watches(mailboxes, name, 100)
		switch {
		case want == "" && len(problems) > 0:
			t.Errorf("%d mailboxes: %+v", mailboxes, problems)
		case want != "" && (len(problems) != 1 || problems[0].Remedy != want || problems[0].Severity != Warning):
			t.Errorf("%d mailboxes: %+v, want %q", mailboxes, problems, want)
		}
	}
	if problems := Instances(127, "x", 128); problems != nil {
		t.Errorf("one is left: %+v", problems)
	}
	if problems := Instances(128, "x", 128); len(problems) != 1 || !strings.Contains(problems[0].Remedy, "echo x=256 >") {
		t.Errorf("none is left: %+v", problems)
	}
}
