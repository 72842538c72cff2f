package main

import (
	"encoding/json"
	"os"

	"sidepop/cmd/sidepop/internal/config"
)

// snapshot is the configuration as `sidepop serve` gives it to its roles, whatever
// has become of the file since: a role that is started again goes on with what
// holds.
type snapshot struct {
	File    string `json:"file"`    // its name, for messages
	Started string `json:"started"` // the content at the start
	Current string `json:"current"` // that in force

	// Asked is the content to be used instead, if the keeper finds that it can be,
	// which it says with the number. 0: none.
	Asked  string `json:"asked,omitempty"`
	Number int    `json:"number,omitempty"`
}

// newSnapshot reads and checks the file for the first time.
func newSnapshot(file string) (snapshot, *config.Config, error) {
	text, c, err := readChecked(file)
	return snapshot{File: file, Started: text, Current: text}, c, err
}

// ask reads and checks the file again.
func (s snapshot) ask(number int) (snapshot, error) {
	text, _, err := readChecked(s.File)
	if err != nil {
		return s, err
	}
	s.Asked, s.Number = text, number
	return s, nil
}

// answered is the snapshot when the keeper has said what becomes of a content that
// it was asked to use. It may have been asked for another since.
func (s snapshot) answered(number int, text string, used bool) snapshot {
	if used {
		s.Current = text
	}
	if number == s.Number {
		s.Asked, s.Number = "", 0
	}
	return s
}

func readChecked(file string) (string, *config.Config, error) {
	text, err := config.Text(file)
	if err != nil {
		return "", nil, err
	}
	c, err := config.Parse(file, text)
	if err != nil {
		return "", nil, err
	}
	return text, c, c.Check(os.Geteuid())
}

// line is a snapshot as roles are told it.
func (s snapshot) line() []byte {
	line, _ := json.Marshal(s) // strings always can be
	return line
}

func parseSnapshot(line []byte) (s snapshot, err error) {
	err = json.Unmarshal(line, &s)
	return s, err
}

// current gives the configuration in force.
func (s snapshot) current() (*config.Config, error) {
	c, _, err := s.parse(s.Current)
	return c, err
}

// parse gives the configuration of a content, and the keys in which it is still
// that of the start.
func (s snapshot) parse(text string) (c *config.Config, held []string, err error) {
	started, err := config.Parse(s.File, s.Started)
	if err != nil {
		return nil, nil, err
	}
	if c, err = config.Parse(s.File, text); err != nil {
		return nil, nil, err
	}
	return c, c.HoldOver(started), nil
}
