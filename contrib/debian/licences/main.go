// Command licences writes debian/copyright for a source package with vendored
// modules: what stands on standard input, which says all about sidepop itself,
// and after it one paragraph for each licence file below the folder vendor.
//
// The format is Debian's machine-readable one, version 1.0
// (https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/). A licence
// that is not known is an error: somebody has to read it first.
package main

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
)

func main() {
	if err := write(os.Stdout, os.Stdin, os.DirFS(".")); err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

// write copies the head and appends the paragraphs for the vendored modules of a
// source tree.
func write(to io.Writer, head io.Reader, tree fs.FS) error {
	own, err := io.ReadAll(head)
	if err != nil {
		return err
	}
	parts, err := findParts(tree)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(to)
	w.Write(own)
	var all known
	for _, p := range parts {
		name, err := all.add(p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.folder, err)
		}
		fmt.Fprintf(w, "\nFiles: %s/*\nCopyright: %s\nLicense: %s\n", p.folder, strings.Join(p.holders, "\n "), name)
	}
	for _, t := range all {
		fmt.Fprintf(w, "\nLicense: %s\n%s", t.name, field(t.text))
	}
	return w.Flush()
}

// A part is a folder with a licence of its own.
type part struct {
	folder  string // slash-separated, without the one of a part below it
	licence string // the text
	holders []string
}

var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying)(\.txt|\.md)?$`)

// findParts finds the folders with licences and who has the copyright of what is in
// them. One below another comes after it: of the paragraphs that match a file the
// last holds.
func findParts(tree fs.FS) ([]*part, error) {
	var parts []*part
	err := fs.WalkDir(tree, "vendor", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		licence, err := licenceIn(tree, name)
		if err != nil || licence == "" {
			return err
		}
		parts = append(parts, &part{folder: name, licence: licence})
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = fs.WalkDir(tree, "vendor", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || name == "vendor/modules.txt" {
			return err
		}
		p := owner(parts, name)
		if p == nil {
			return fmt.Errorf("%s: no licence in its folder or one above", name)
		}
		text, err := fs.ReadFile(tree, name)
		p.holders = append(p.holders, notices(string(text))...)
		return err
	})
	for _, p := range parts {
		if p.holders = merge(p.holders); len(p.holders) == 0 {
			p.holders = []string{"the authors of " + strings.TrimPrefix(p.folder, "vendor/")}
		}
	}
	return parts, err
}

// licenceIn returns the licence in a folder, or "".
func licenceIn(tree fs.FS, folder string) (string, error) {
	entries, err := fs.ReadDir(tree, folder)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if licenceFile.MatchString(e.Name()) {
			text, err := fs.ReadFile(tree, path.Join(folder, e.Name()))
			return string(text), err
		}
	}
	return "", nil
}

// owner returns the part that a file belongs to: the last that has it.
func owner(parts []*part, name string) *part {
	for _, p := range slices.Backward(parts) {
		if strings.HasPrefix(name, p.folder+"/") {
			return p
		}
	}
	return nil
}
