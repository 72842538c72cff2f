package main

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"testing/fstest"
)

const expat = `Permission is hereby granted, free of charge, to any person.

THE SOFTWARE IS PROVIDED "AS IS".
`

const bsd = `Redistributions of source code must retain the notice.
Neither the name of %HOLDER% may be used to endorse or promote products.
`

func file(parts ...string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(strings.Join(parts, ""))}
}

var tree = fstest.MapFS{
	"vendor/modules.txt":          file("# a.example/expat v1.0.0\n"),
	"vendor/a.example/x/LICENSE":  file("The MIT License (MIT)\n\nCopyright (c) 2013 Ann\n\n", expat),
	"vendor/a.example/x/x.go":     file("// Copyright 2019, Bob. All rights reserved.\n\npackage x\n"),
	"vendor/a.example/x/y/y.go":   file("// Copyright (C) 2011-2015 Ann\n"),
	"vendor/b.example/COPYING":    file("Copyright © Cleo\n", strings.ToUpper(expat)),
	"vendor/c.example/LICENCE.md": file("Copyright 2009 The C Authors.\n", strings.ReplaceAll(bsd, "%HOLDER%", "C")),
	// A part of another, with a licence of its own.
	"vendor/c.example/in/LICENSE": file("Copyright 2010 Dan.\n", strings.ReplaceAll(bsd, "%HOLDER%", "Dan")),
	"vendor/c.example/in/in.go":   file("// Copyright 2020 Dan\n"),
	"vendor/d.example/License": file("The licensed conditions are one or the other of these two Licenses:\n\n  - BSD 3-clause\n  - GPL v2.0\n",
		"Keep the notice.\n", strings.Repeat("-", 73), "\nGPL v2.0:\nall of it\n"),
	"vendor/e.example/LICENSE": file("   Apache License\n   Version 2.0, January 2004\n   \"Licensor\" shall mean the copyright owner\n"),
	"vendor/e.example/e.go":    file("package e\n"),
}

const copyright = `head

Files: vendor/a.example/x/*
Copyright: 2011-2015 Ann
 2019 Bob
License: Expat

Files: vendor/b.example/*
Copyright: Cleo
License: Expat

Files: vendor/c.example/*
Copyright: 2009 The C Authors
License: BSD-3-clause

Files: vendor/c.example/in/*
Copyright: 2010-2020 Dan
License: BSD-3-clause~in

Files: vendor/d.example/*
Copyright: the authors of d.example
License: BSD-3-clause~d.example or GPL-2

Files: vendor/e.example/*
Copyright: the authors of e.example
License: Apache-2.0

License: Expat
 Permission is hereby granted, free of charge, to any person.
 .
 THE SOFTWARE IS PROVIDED "AS IS".

License: BSD-3-clause
 Redistributions of source code must retain the notice.
 Neither the name of C may be used to endorse or promote products.

License: BSD-3-clause~in
 Redistributions of source code must retain the notice.
 Neither the name of Dan may be used to endorse or promote products.

License: BSD-3-clause~d.example
 The licensed conditions are one or the other of these two Licenses:
 .
   - BSD 3-clause
   - GPL v2.0
 Keep the notice.

License: GPL-2
 On Debian systems the text is in /usr/share/common-licenses/GPL-2.

License: Apache-2.0
 On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.
`

func TestWrite(t *testing.T) {
	var b strings.Builder
	if err := write(&b, strings.NewReader("head\n"), tree); err != nil {
		t.Fatal(err)
	}
	if b.String() != copyright {
		t.Errorf("wrote:\n%s\nand not:\n%s", b.String(), copyright)
	}
}

func TestWriteRefuses(t *testing.T) {
	for _, c := range []struct {
		name, file string
		is         error
		says       string
	}{
		{"no licence", "vendor/z.example/z.go", nil, "vendor/z.example/z.go: no licence"},
		{"a licence below, none above", "vendor/a.example/z.go", nil, "vendor/a.example/z.go: no licence"},
		{"an unknown licence", "vendor/z.example/LICENSE", errUnknownLicence, "vendor/z.example: a licence that is not known"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree := maps.Clone(tree)
			tree[c.file] = file("Do what you want on Tuesdays.\n")
			var b strings.Builder
			err := write(&b, strings.NewReader(""), tree)
			if err == nil || !strings.Contains(err.Error(), c.says) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("error %v, not %q", err, c.says)
			}
		})
	}
}

func TestNotices(t *testing.T) {
	for text, want := range map[string]string{
		"// Copyright 2009 The Go Authors. All rights reserved.":    "2009 The Go Authors",
		"   Copyright (c) 2018 by David A. Golden. ":                "2018 David A. Golden",
		" * Copyright: 2016, 2018 CoreOS, Inc.":                     "2016, 2018 CoreOS, Inc",
		"Copyright © fsnotify Authors. All rights reserved.":        "fsnotify Authors",
		"Copyright 2015, Michael Steinert <m@example.com>":          "2015, Michael Steinert <m@example.com>",
		"copyright notice, this list of conditions":                 "",
		"Copyright holders are not liable.":                         "",
		"Copyright 2025":                                            "",
		strings.Repeat("\n", noticeLines) + "Copyright 2009 Nobody": "",
	} {
		if got := strings.Join(notices(text), "|"); got != want {
			t.Errorf("notices(%q) = %q, not %q", text, got, want)
		}
	}
}
