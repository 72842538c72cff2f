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

import "sidepop/auth/helper"

// prepare readies the process for foreign code and gives what runs it.
func prepare() (helper.Handler, error) {
	// A module that crashes ends the process by a signal, and that is what the
	// keeper tells. Go would write the registers and all stacks to the log, and
	// with them perhaps a piece of a password; no setting of it prevents that.
	C.die_silently()
	return newHandler()
}
