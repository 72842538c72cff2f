//go:build !cgo || !linux

package main

import (
	"errors"

	"sidepop/auth/helper"
)

// prepare says that there is no PAM in this program.
func prepare() (helper.Handler, error) {
	return nil, errors.New("this program was built without PAM: build it on Linux with CGO_ENABLED=1, a C compiler and " +
		"PAM's header files (libpam0g-dev, pam-devel)")
}
