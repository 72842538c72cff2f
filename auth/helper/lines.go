package helper

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"
)

const (
	// maxLine is how much of a line of the program's output is told, in octets.
	maxLine = 1024

	// At most linesPerWindow lines are told in each lineWindow, so that a
	// module with a debug option cannot fill the log's disk.
	linesPerWindow = 100
	lineWindow     = 10 * time.Second

	// lastLines is how long output is read after the process has ended. Only
	// children that it left behind can make the wait this long.
	lastLines = 250 * time.Millisecond
)

// tellLines tells the lines of the program's output, until its end or the
// deadline that wait sets. It reads on whatever comes, so that the program
// never waits for it.
func (h *process) tellLines(pid int, out *os.File) {
	defer close(h.lines)
	defer out.Close()
	t := teller{tell: func(line string) { h.pool.options.Events.Logged(pid, line) }}
	in := bufio.NewReaderSize(out, maxLine)
	rest := false // what comes belongs to a line that was told
	for {
		line, err := in.ReadSlice('\n')
		if len(line) > 0 && !rest {
			t.line(string(bytes.TrimRight(line, "\r\n")), time.Now())
		}
		rest = errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !rest {
			t.close()
			return
		}
	}
}

// teller bounds how many lines are told.
type teller struct {
	tell  func(line string)
	since time.Time // when the window began
	told  int       // lines in this window
	left  int       // lines left out in this window
}

func (t *teller) line(text string, now time.Time) {
	if now.Sub(t.since) >= lineWindow {
		t.close()
		t.since, t.told = now, 0
	}
	if text == "" {
		return
	}
	if t.told >= linesPerWindow {
		t.left++
		return
	}
	t.told++
	t.tell(printable(text, maxLine))
}

// close ends the window.
func (t *teller) close() {
	if t.left > 0 {
		t.tell(fmt.Sprintf("(%d more lines were left out)", t.left))
	}
	t.left = 0
}
