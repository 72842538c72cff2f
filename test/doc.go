// Package test tests the sidepop binary from outside: it is built without cgo,
// started as an operator starts it, and talked to by programs that people use
// and by clients, owners of mail and a front that mean harm.
//
// What holds throughout:
//
//   - When the tests run as root, the server is started as root: its keeper stays
//     that and its front becomes daemon. The mail is nobody's, or that of users of
//     the test's own, and mail programs run as nobody. Otherwise everything is
//     the caller's, and what takes several users is skipped.
//   - What a client must receive is computed from the stored files by code of
//     this package alone, written to be obvious. So is what a hostile front says.
//   - Every server's log is read at its end, of all its roles: no secret is in it,
//     every session has its closing line unless its front was killed, and nothing
//     worse than what the test provokes.
//   - Every wait has a limit. Processes are ended by their own ids.
//   - A program that is missing skips its tests, or fails them where
//     SIDEPOP_TEST_REQUIRE_ALL is 1; so do missing rights of root.
//
// The tests beside mail servers are in [sidepop/test/mta].
package test
