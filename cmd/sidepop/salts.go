package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"sidepop/auth"
)

// saltsFile is where in the state folder the secret is kept that salts are made of
// (see [auth.Salts]). It may be deleted while nobody uses it: then those whose salts
// change are told apart, once, from those who have their own.
const saltsFile = "salts"

// saltsOctets is as much as the hash that takes the secret gives.
const saltsOctets = 32

// openSalts reads the secret of a state folder, or makes it.
func openSalts(stateDir string) (*auth.Salts, error) {
	path := filepath.Join(stateDir, saltsFile)
	secret, err := os.ReadFile(path)
	if err == nil && len(secret) == saltsOctets {
		return auth.NewSalts(secret), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the secret of salts: %w", err)
	}
	secret = make([]byte, saltsOctets)
	rand.Read(secret) // never fails
	// A crash in between leaves one that is too short, in whose place comes another.
	if err := os.WriteFile(path, secret, 0o600); err != nil {
		return nil, fmt.Errorf("the secret of salts: %w", err)
	}
	return auth.NewSalts(secret), nil
}
