package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"sidepop/cmd/sidepop/internal/maillog"
)

// output is what commands print: laid out for people on a terminal, with tabs
// between the fields elsewhere, or as JSON. Texts are escaped.
type output struct {
	w        io.Writer
	json     bool
	terminal bool
}

func newOutput(w io.Writer, json bool) *output {
	f, ok := w.(*os.File)
	return &output{w: w, json: json, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

// object prints an object as a line of JSON.
func (o *output) object(v any) error {
	e := json.NewEncoder(o.w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// line prints a sentence for people.
func (o *output) line(format string, args ...any) error {
	_, err := fmt.Fprintf(o.w, format+"\n", args...)
	return err
}

// column is a column of a table.
type column struct {
	title  string
	number bool
}

// number is a cell of a column of numbers.
func (o *output) number(n int64) string {
	if o.terminal {
		return grouped(n)
	}
	return fmt.Sprint(n)
}

// table prints rows of cells. Titles are for people, where there are any.
func (o *output) table(columns []column, rows [][]string) error {
	w := bufio.NewWriter(o.w)
	widths := make([]int, len(columns))
	titles := make([]string, len(columns))
	for i, c := range columns {
		titles[i], widths[i] = c.title, len(c.title)
	}
	for _, row := range rows {
		for i := range row {
			row[i] = maillog.Escape(row[i])
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	if o.terminal && columns[0].title != "" {
		rows = append([][]string{titles}, rows...)
	}
	for _, row := range rows {
		if !o.terminal {
			fmt.Fprintln(w, strings.Join(row, "\t"))
			continue
		}
		for i, cell := range row {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			switch {
			case columns[i].number:
				cell = space + cell
			case i < len(row)-1:
				cell += space
			}
			if i > 0 {
				cell = "  " + cell
			}
			_, _ = w.WriteString(cell)
		}
		_ = w.WriteByte('\n')
	}
	return w.Flush() // with the first error
}
