package progress

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

// TestBar has what is shown after each step on a terminal of 40 columns.
func TestBar(t *testing.T) {
	var b bytes.Buffer
	bar := &Bar{w: &b, width: func() int { return 40 }}
	for _, tt := range []struct {
		do   func()
		want string
	}{
		{func() { bar.Clear() }, ""},
		{func() { bar.Show(0, 0, "of 0") }, "\r[--------------------]   0 %  of 0"},
		{func() { bar.Show(1, 3, "1/3") }, "\r[######--------------]  33 %  1/3 "},
		{func() { bar.Show(5, 3, "äöü äöü äöü äöü") }, "\r[####################] 100 %  äöü äöü ä"},
		{func() { bar.Clear() }, "\r                                       \r"},
		{func() { bar.Clear() }, ""},
	} {
		b.Reset()
		tt.do()
		if got := b.String(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
		if columns := utf8.RuneCountInString(b.String()); columns > 1+39+1 {
			t.Errorf("%d columns", columns)
		}
	}
}

// TestLines: without a terminal there is a line every few seconds.
func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		bar := New(&b)
		for i := range int64(13) {
			bar.Show(i, 100, "some")
			time.Sleep(time.Second)
		}
		bar.Clear()
		if got, want := b.String(), "5 %, some\n10 %, some\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
