// Package systemd tests sidepop's Debian package on a machine with systemd and a real
// Postfix or exim4: test/run systemd. in-machine boots a root of test/mta/make-root
// and runs the tests of this package in it, with the package in a folder beside them.
//
// What holds throughout:
//
//   - Every test has a machine of its own, whose root it is, with a network of
//     loopback alone. Nothing of it is there afterwards. On any other machine all
//     tests are skipped.
//   - sidepop is installed with apt-get, from the package that contrib/debian/build
//     made. Only that part is configured which a test is about.
//   - A connection that is refused, and a login that fails, fails the test, whatever
//     is restarted meanwhile.
//   - Every wait has a limit, and so has every load.
package systemd
