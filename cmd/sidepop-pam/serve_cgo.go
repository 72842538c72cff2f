//go:build cgo && linux

package main

/*
#include <signal.h>

static void die_silently(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS, SIGQUIT };

	for (unsigned int i = 0; i < sizeof signals / sizeof *signals; i++)
		signal(signals[i], SIG_DFL);
}
*/
import "C"

import (
	"net"

	"sidepop/auth/helper"
)

// serve answers the keeper until its end of the socket is closed.
func serve(conn *net.UnixConn) error {
	if err := guardSecrets(); err != nil {
		return err
	}
	// A module that crashes ends the process by a signal, and that is what the
	// keeper tells. Go would write the registers and all stacks to the log, and
	// with them perhaps a piece of a password; no setting of it prevents that.
	C.die_silently()
	h, err := newHandler()
	if err != nil {
		return err
	}
	return helper.Serve(conn, h, concurrency)
}
