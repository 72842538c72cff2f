package main

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestSlowly: only a role that fails, and was started by a connection, takes its
// time; what it has taken already counts.
func TestSlowly(t *testing.T) {
	for _, tt := range []struct {
		activated  bool
		err        error
		took, want time.Duration
	}{
		{true, errors.New("no"), 0, shortestRun},
		{true, errors.New("no"), shortestRun / 4, shortestRun},
		{true, errors.New("no"), 2 * shortestRun, 2 * shortestRun},
		{true, nil, 0, 0},
		{false, errors.New("no"), 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			begun, err := time.Now(), tt.err
			end := slowly(&err, tt.activated)
			time.Sleep(tt.took)
			end()
			if took := time.Since(begun); took != tt.want {
				t.Errorf("%+v: it took %v", tt, took)
			}
		})
	}
}
