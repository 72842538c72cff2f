// Package test tests the sidepop binary from outside: it is built without cgo,
// started as an operator starts it, and talked to by programs that people use
// and by clients that mean harm.
//
// What holds throughout:
//
//   - The server and the clients run as nobody when the tests run as root: the
//     server drops to it by its own configuration.
//   - What a client must receive is computed from the stored files by code of
//     this package alone, written to be obvious.
//   - Every server's log is read at its end: no secret is in it, every session
//     has its closing line, and nothing worse than what the test provokes.
//   - Every wait has a limit. Processes are ended by their own ids.
//   - A program that is missing skips its tests, or fails them where
//     SIDEPOP_TEST_REQUIRE_ALL is 1.
package test
