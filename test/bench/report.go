package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
)

// figure is one line of the table: a metric of a row at all servers.
type figure struct {
	Work    string               `json:"work"`
	Unit    string               `json:"unit"`
	Rounds  map[string][]float64 `json:"rounds"`  // by server, in the order measured
	Medians map[string]float64   `json:"medians"` // by server
	Target  string               `json:"target,omitempty"`
	Verdict verdict              `json:"verdict"`
}

// results are all figures and where they come from.
type results struct {
	Machine machine           `json:"machine"`
	Servers map[string]string `json:"servers"` // name: version
	Quick   bool              `json:"quick"`
	Figures []figure          `json:"figures"`
}

// figures makes the lines of a row from the samples of each server.
func figures(r row, samples map[string][]sample) []figure {
	var all []figure
	for _, m := range r.metrics {
		f := figure{Work: r.name, Unit: m.unit, Rounds: make(map[string][]float64), Medians: make(map[string]float64), Target: m.target.String()}
		for server, rounds := range samples {
			for _, s := range rounds {
				f.Rounds[server] = append(f.Rounds[server], m.value(s))
			}
			f.Medians[server] = median(f.Rounds[server])
		}
		f.Verdict = undecided
		if ours, ok := f.Medians[ownName]; ok {
			f.Verdict = m.target.judge(ours, f.Medians[dovecotTuned])
		}
		all = append(all, f)
	}
	return all
}

func (t target) String() string {
	bound := threeDigits(t.bound)
	switch t.kind {
	case atMostOfTuned:
		return "<= " + bound + " x " + dovecotTuned
	case atLeastOfTuned:
		return ">= " + bound + " x " + dovecotTuned
	case atMostInItsUnit:
		return "<= " + bound
	default:
		return ""
	}
}

// table writes medians, how they compare, and what became of the targets.
func table(w io.Writer, servers []*server, all []figure) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	heading := []string{"work", "unit"}
	for _, s := range servers {
		heading = append(heading, s.name)
	}
	for _, s := range servers[1:] {
		heading = append(heading, "x "+s.name)
	}
	heading = append(heading, "target", "")
	fmt.Fprintln(t, strings.Join(heading, "\t"))
	for _, f := range all {
		cells := []string{f.Work, f.Unit}
		for _, s := range servers {
			cells = append(cells, cell(f.Medians, s.name))
		}
		for _, s := range servers[1:] {
			cells = append(cells, ratio(f.Medians[ownName], f.Medians[s.name]))
		}
		fmt.Fprintln(t, strings.Join(append(cells, f.Target, string(f.Verdict)), "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, `
Medians. "x NAME" is sidepop's figure divided by that of NAME. KB are 1024 bytes,
MB 1,000,000 octets as sent.`)
	return err
}

func cell(medians map[string]float64, server string) string {
	v, ok := medians[server]
	if !ok {
		return "failed"
	}
	return threeDigits(v)
}

// threeDigits rounds to what a measurement of this kind can mean.
func threeDigits(v float64) string {
	if math.Abs(v) >= 1000 {
		unit := math.Pow10(int(math.Log10(math.Abs(v))) - 2)
		return strconv.FormatFloat(math.Round(v/unit)*unit, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// ratio is ours to theirs, where both were measured and are more than nothing.
func ratio(ours, theirs float64) string {
	if ours <= 0 || theirs <= 0 {
		return "-"
	}
	return strconv.FormatFloat(ours/theirs, 'g', 2, 64)
}

func (r *results) writeJSON(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	e := json.NewEncoder(f)
	e.SetIndent("", "\t")
	e.SetEscapeHTML(false)
	return errors.Join(e.Encode(r), f.Close())
}
