//go:build cgo && linux

package main

import (
	"net"

	"sidepop/auth/helper"
)

// serve answers the keeper until its end of the socket is closed.
func serve(conn *net.UnixConn) error {
	if err := guardSecrets(); err != nil {
		return err
	}
	h, err := newHandler()
	if err != nil {
		return err
	}
	return helper.Serve(conn, h, concurrency)
}
