// Package ports picks TCP ports for the servers that tests start.
package ports

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Linux gives connections ports from 32768 on by itself (ip_local_port_range). One of
// these, though nothing listens on it, can be a connection's before a server has it.
const (
	lowest  = 20000
	highest = 32767
)

// Free picks n addresses of 127.0.0.1 that nothing listens on.
func Free(n int) (addresses []string, err error) {
	for tries := 10 * n; len(addresses) < n; tries-- {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(lowest+rand.IntN(highest-lowest+1)))
		l, err := net.Listen("tcp", address)
		if err == nil {
			defer l.Close() // after all, so that they differ
			addresses = append(addresses, address)
		} else if tries <= 0 {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
	}
	return addresses, nil
}
