package main

import (
	"context"

	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/mta"
)

// accountFinder has the accounts for commands of the operator, which ask for them
// in a process of their own.
type accountFinder struct {
	helpers  helpers
	accounts *accounts
}

// of gives the accounts of a configuration, the same at each call.
func (f *accountFinder) of(ctx context.Context, c *config.Config) (*accounts, error) {
	if f.accounts != nil {
		return f.accounts, nil
	}
	found, err := mta.Detect(ctx)
	if err != nil && c.Mailbox == "" {
		return nil, unknownPlace(c, err)
	}
	f.helpers.events = silentHelper{}
	f.accounts, err = newAccounts(ctx, c, found, &f.helpers, func(error) {}) // of others' lines
	return f.accounts, err
}

func (f *accountFinder) close() { f.helpers.close() }

// silentHelper tells nothing of a helper: what matters is in the answers.
type silentHelper struct{}

func (silentHelper) Logged(int, string) {}
func (silentHelper) Died(error)         {}
func (silentHelper) Unavailable(error)  {}
func (silentHelper) Available()         {}

func (silentHelper) Said(string, []string) {}
