package main

import (
	"encoding/json"
	"os"

	"sidepop/cmd/sidepop/internal/config"
)

// snapshot is the configuration in force as `sidepop serve` gives it to its roles,
// whatever has become of the file since: a role that is started again goes on
// with what holds.
type snapshot struct {
	File    string `json:"file"`    // its name, for messages
	Started string `json:"started"` // the content at the start
	Current string `json:"current"` // the latest that can be used
}

// newSnapshot reads and checks the file for the first time.
func newSnapshot(file string) (snapshot, *config.Config, error) {
	return snapshot{File: file}.next()
}

// next reads and checks the file again.
func (s snapshot) next() (snapshot, *config.Config, error) {
	text, err := config.Text(s.File)
	if err != nil {
		return s, nil, err
	}
	c, err := config.Parse(s.File, text)
	if err != nil {
		return s, nil, err
	}
	if err := c.Check(os.Geteuid()); err != nil {
		return s, nil, err
	}
	s.Current = text
	if s.Started == "" {
		s.Started = text
	}
	return s, c, nil
}

// line is a snapshot as roles are told it.
func (s snapshot) line() []byte {
	line, _ := json.Marshal(s) // strings always can be
	return line
}

// parseSnapshot is parse for a line.
func parseSnapshot(line []byte) (c *config.Config, held []string, err error) {
	var s snapshot
	if err := json.Unmarshal(line, &s); err != nil {
		return nil, nil, err
	}
	return s.parse()
}

// parse gives the configuration, and the keys in which it is still that of the
// start.
func (s snapshot) parse() (c *config.Config, held []string, err error) {
	started, err := config.Parse(s.File, s.Started)
	if err != nil {
		return nil, nil, err
	}
	if c, err = config.Parse(s.File, s.Current); err != nil {
		return nil, nil, err
	}
	return c, c.HoldOver(started), nil
}
