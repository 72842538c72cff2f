//go:build race

package index

// slower is how many times longer things may take, and larger things may be,
// under the race detector.
const slower = 3
