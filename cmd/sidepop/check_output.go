package main

import (
	"strings"

	"sidepop/cmd/sidepop/internal/check"
	"sidepop/cmd/sidepop/internal/maillog"
)

// printReport prints a report, the same for people on a terminal and elsewhere: it
// is copied into letters and tickets.
func printReport(o *output, r *check.Report) error {
	if o.json {
		return o.object(struct {
			*check.Report
			Status int `json:"status"`
		}{r, r.Status()})
	}
	var b strings.Builder
	for _, s := range r.Sections {
		b.WriteString(s.Title + "\n")
		width := 0
		for _, f := range s.Facts {
			width = max(width, len(f.Name))
		}
		for _, f := range s.Facts {
			b.WriteString("  " + f.Name + strings.Repeat(" ", width-len(f.Name)) + "  " + maillog.Escape(f.Text) + "\n")
		}
		b.WriteString("\n")
	}
	for _, text := range r.Unseen {
		b.WriteString("Not seen: " + maillog.Escape(text) + "\n")
	}
	if len(r.Unseen) > 0 {
		b.WriteString("\n")
	}
	b.WriteString(conclusion(r))
	return o.line("%s", b.String())
}

// conclusion is the list of problems, or that there are none.
func conclusion(r *check.Report) string {
	switch {
	case len(r.Problems) == 0 && len(r.Unseen) > 0:
		return "Everything that could be seen is in order."
	case len(r.Problems) == 0:
		return "Everything is in order."
	}
	marks := map[check.Severity]string{check.Error: "Error: ", check.Warning: "Warning: "}
	lines := []string{plural(int64(len(r.Problems)), "problem") + ":"}
	for _, p := range r.Problems {
		lines = append(lines, marks[p.Severity]+maillog.Escape(p.Text))
		if p.Remedy != "" {
			lines = append(lines, "  What to do: "+maillog.Escape(p.Remedy))
		}
	}
	return strings.Join(lines, "\n")
}
