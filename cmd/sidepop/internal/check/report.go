// Package check has the parts of `sidepop check` that know nothing of sidepop: a
// report, and what it says of addresses, certificates and paths of this machine.
// It only looks: nothing is changed, made or started.
package check

import (
	"fmt"
	"slices"
)

// Severity is how bad a problem is.
type Severity string

const (
	Warning Severity = "warning" // it works, but not as it should, or not for long
	Error   Severity = "error"   // it will not work
)

// Exit statuses of a command that reports.
const (
	StatusOrder   = 0
	StatusWarning = 1
	StatusError   = 2
)

// Fact is one line of a section.
type Fact struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// Section is what was found out about one thing.
type Section struct {
	Title string `json:"title"`
	Facts []Fact `json:"facts"`
}

// Fact adds a line.
func (s *Section) Fact(name, format string, args ...any) {
	s.Facts = append(s.Facts, Fact{name, fmt.Sprintf(format, args...)})
}

// Problem is something to be changed.
type Problem struct {
	Severity Severity `json:"severity"`
	Text     string   `json:"text"`
	Remedy   string   `json:"remedy"` // what to change, and where
}

// Report is everything that was found out.
type Report struct {
	Sections []*Section `json:"sections"`
	Problems []Problem  `json:"problems"`

	// Unseen is what this user could not find out.
	Unseen []string `json:"unseen"`
}

// NewReport gives one in which nothing is wrong.
func NewReport() *Report {
	return &Report{Sections: []*Section{}, Problems: []Problem{}, Unseen: []string{}}
}

// Section begins a section.
func (r *Report) Section(title string) *Section {
	s := &Section{Title: title, Facts: []Fact{}}
	r.Sections = append(r.Sections, s)
	return s
}

// Error adds a problem because of which it will not work.
func (r *Report) Error(remedy, format string, args ...any) {
	r.add(Problem{Error, fmt.Sprintf(format, args...), remedy})
}

// Warn adds a problem with which it works.
func (r *Report) Warn(remedy, format string, args ...any) {
	r.add(Problem{Warning, fmt.Sprintf(format, args...), remedy})
}

// Add adds problems. The worst come first, otherwise in the order in which they
// were found; one that is there already is not added again.
func (r *Report) Add(problems ...Problem) {
	for _, p := range problems {
		r.add(p)
	}
}

func (r *Report) add(p Problem) {
	if slices.Contains(r.Problems, p) {
		return
	}
	at := len(r.Problems)
	if p.Severity == Error {
		at = r.errors()
	}
	r.Problems = slices.Insert(r.Problems, at, p)
}

// errors is how many problems are errors.
func (r *Report) errors() int {
	first := slices.IndexFunc(r.Problems, func(p Problem) bool { return p.Severity != Error })
	if first < 0 {
		return len(r.Problems)
	}
	return first
}

// Miss adds something that this user could not find out.
func (r *Report) Miss(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(r.Unseen, text) {
		r.Unseen = append(r.Unseen, text)
	}
}

// Status is the exit status that says how bad it is.
func (r *Report) Status() int {
	switch {
	case r.errors() > 0:
		return StatusError
	case len(r.Problems) > 0:
		return StatusWarning
	}
	return StatusOrder
}
