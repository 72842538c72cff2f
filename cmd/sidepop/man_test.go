package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const manFolder = "../../contrib/man"

// manPage is the name of the page, without its section, that a command is explained
// in: that of the first word after the program's name.
func manPage(cmd *cobra.Command) string {
	words := strings.Fields(cmd.CommandPath())
	if len(words) == 1 || slices.Contains([]string{"help", "completion"}, words[1]) {
		return "sidepop"
	}
	return "sidepop-" + words[1]
}

// usages are the lines of a page's synopsis as somebody would type them: the
// command, and its options.
func usages(page string) map[string][]string {
	all := make(map[string][]string)
	_, synopsis, _ := strings.Cut(page, "\n.Sh SYNOPSIS\n")
	synopsis, _, _ = strings.Cut(synopsis, "\n.Sh ")
	macro := regexp.MustCompile(`^\.?[A-Z][a-z]$`)
	for _, usage := range strings.Split("\n"+synopsis, "\n.Nm")[1:] {
		var words, flags []string
		kind := ".Nm"
		for _, word := range strings.Fields(usage) {
			switch {
			case macro.MatchString(word):
				kind = strings.TrimPrefix(word, ".")
			case kind == "Fl":
				flags = append(flags, "-"+word)
				kind = ""
			case kind == "Cm" && !strings.Contains(usage, "Op Cm "):
				words = append(words, word)
			}
		}
		name := strings.Join(words, " ")
		all[name] = append(all[name], flags...)
	}
	return all
}

// TestManPages: each command and option is in its page, in the synopsis and where
// it is explained, and no other is.
func TestManPages(t *testing.T) {
	type page struct {
		text   string
		usages map[string][]string
		flags  map[string]bool // that its commands have
	}
	pages := make(map[string]*page)
	of := func(cmd *cobra.Command) *page {
		name := manPage(cmd)
		if pages[name] == nil {
			text, err := os.ReadFile(filepath.Join(manFolder, name+".8"))
			if err != nil {
				t.Fatalf("%s: %v", cmd.CommandPath(), err)
			}
			pages[name] = &page{string(text), usages(string(text)), map[string]bool{"--version": true}}
		}
		return pages[name]
	}
	for _, cmd := range allCommands(rootCommand()) {
		p := of(cmd)
		if cmd.HasAvailableSubCommands() || cmd.Name() == "completion" {
			continue // what is typed are those; completion's shells are no options
		}
		name := strings.TrimPrefix(cmd.CommandPath(), "sidepop ")
		var flags []string
		cmd.InheritedFlags() // which makes Flags have them
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && f.Name != "help" {
				flags = append(flags, "--"+f.Name)
				p.flags["--"+f.Name] = true
			}
		})
		documented, ok := p.usages[name]
		if !ok {
			t.Errorf("%s.8: no synopsis of %q", manPage(cmd), name)
		}
		slices.Sort(documented)
		slices.Sort(flags)
		if !slices.Equal(documented, flags) {
			t.Errorf("%s.8: the synopsis of %q has %v, the command has %v", manPage(cmd), name, documented, flags)
		}
		delete(p.usages, name)
	}
	mentioned := regexp.MustCompile(`Fl (-\S+)`)
	for name, p := range pages {
		for _, left := range slices.Sorted(maps.Keys(p.usages)) {
			if name != "sidepop" {
				t.Errorf("%s.8: there is no command %q", name, left)
			}
		}
		_, description, _ := strings.Cut(p.text, "\n.Sh DESCRIPTION\n")
		items := strings.Join(regexp.MustCompile(`(?m)^\.It .*$`).FindAllString(description, -1), "\n")
		for flag := range p.flags {
			if flag != "--version" && !strings.Contains(items+"\n", "Fl -"+strings.TrimPrefix(flag, "--")) {
				t.Errorf("%s.8 does not explain %s", name, flag)
			}
		}
		for _, m := range mentioned.FindAllStringSubmatch(p.text, -1) {
			if !p.flags["-"+m[1]] {
				t.Errorf("%s.8 has -%s, which no command of it has", name, m[1])
			}
		}
	}
}

// TestManReferences: pages refer to pages that there are, sidepop(8) to all, and each
// has the name of its file.
func TestManReferences(t *testing.T) {
	files, err := filepath.Glob(manFolder + "/*.[1-9]")
	if err != nil || len(files) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	reference := regexp.MustCompile(`\.Xr (sidepop\S*) (\d)`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		base := filepath.Base(file)
		name, section := strings.TrimSuffix(base, filepath.Ext(base)), filepath.Ext(base)[1:]
		if want := "\n.Dt " + strings.ToUpper(name) + " " + section + "\n"; !strings.Contains(string(text), want) {
			t.Errorf("%s has not %q", base, want)
		}
		referred := make(map[string]bool)
		for _, m := range reference.FindAllStringSubmatch(string(text), -1) {
			referred[m[1]+"."+m[2]] = true
		}
		for page := range referred {
			if !slices.ContainsFunc(files, func(f string) bool { return filepath.Base(f) == page }) {
				t.Errorf("%s refers to %s, which is not there", base, page)
			}
		}
		if base != "sidepop.8" {
			continue
		}
		for _, other := range files {
			if page := filepath.Base(other); page != base && !referred[page] {
				t.Errorf("sidepop.8 does not refer to %s", page)
			}
		}
	}
}
