// Package mta tests sidepop beside a real Postfix or exim4, as Debian installs
// them: test/run mta. make-root makes a Debian root with one of them, in-root runs
// the tests of this package in it.
//
// What holds throughout:
//
//   - Every test has a root of its own: it is the machine's root, has a network of
//     loopback alone, and may configure and break what it likes. Nothing of it is
//     there afterwards. On any other machine all tests are skipped.
//   - The MTA delivers what it was given by sendmail or SMTP, and a client fetches
//     it with a password as users have. What arrives must be the file in the Maildir
//     octet by octet, and end in what was sent.
//   - Only the part of a configuration that a test is about is written down; the
//     rest is the default of the package or of sidepop.
//   - Every wait has a limit. Daemons are ended by their own ids. No password is in
//     sidepop's log.
package mta
