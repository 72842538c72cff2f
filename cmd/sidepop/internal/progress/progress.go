// Package progress shows on one line how far a long work is: as a bar on a
// terminal, as a line from time to time elsewhere.
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

const (
	// every is how often a line is written where there is no terminal: often
	// enough to see that something happens, and not to fill a log.
	every = 5 * time.Second

	// barWidth is how many columns the bar itself has.
	barWidth = 20

	// narrow is the width of a terminal that does not tell its own.
	narrow = 80
)

// Bar shows the progress of one work. Its methods may be called from many
// goroutines at once.
type Bar struct {
	w     io.Writer
	width func() int // of the terminal, in columns; nil: there is none

	mu    sync.Mutex
	shown int       // columns that are in use
	last  time.Time // when a line was written
}

// New makes a bar. If w is no terminal, there are lines instead.
func New(w io.Writer) *Bar {
	b := &Bar{w: w, last: time.Now()}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		b.width = func() int {
			if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
				return columns
			}
			return narrow
		}
	}
	return b
}

// Show shows that done of total are done, which text says in words. It is cut
// where it is too long.
func (b *Bar) Show(done, total int64, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	percent := 100 * float64(min(done, total)) / float64(max(total, 1))
	if b.width == nil {
		if now := time.Now(); now.Sub(b.last) >= every {
			b.last = now
			fmt.Fprintf(b.w, "%.0f %%, %s\n", percent, text)
		}
		return
	}
	filled := int(percent * barWidth / 100)
	line := fmt.Sprintf("[%s%s] %3.0f %%  %s", strings.Repeat("#", filled), strings.Repeat("-", barWidth-filled), percent, text)
	if runes := []rune(line); len(runes) >= b.width() {
		line = string(runes[:b.width()-1]) // the last column would begin the next line
	}
	columns := utf8.RuneCountInString(line)
	fmt.Fprintf(b.w, "\r%s%s", line, strings.Repeat(" ", max(b.shown-columns, 0)))
	b.shown = max(b.shown, columns)
}

// Clear removes the bar: for output elsewhere, and at the end.
func (b *Bar) Clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
}

// Write removes the bar and writes p, which is whole lines.
func (b *Bar) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
	return b.w.Write(p)
}

func (b *Bar) clear() {
	if b.shown > 0 {
		fmt.Fprintf(b.w, "\r%s\r", strings.Repeat(" ", b.shown))
		b.shown = 0
	}
}
