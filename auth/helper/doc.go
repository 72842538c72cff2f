// Package helper lets another program check passwords, and who may log in.
//
// What does so there is foreign code: it can crash, leak, block for
// seconds, or change the identity of every thread of its process. So it runs in
// a process of its own. A [Pool] starts that program when it is first needed and
// asks it; the program's main function calls [Inherited] and [Serve].
//
// They talk over one SOCK_SEQPACKET socket pair. A packet is a message and
// begins with the octets version and verb. After it has said that it is ready,
// the program answers requests in any order, each by its number.
//
// Invariants:
//   - A fault of the program, of the machine or of this package is
//     [ErrTemporary], never a wrong password.
//   - No request waits for another one's answer, except for a free place.
//   - A process that breaks the protocol is killed, and what it had not answered
//     before fails: nothing that it says afterwards counts.
//   - The program ends at the end of its socket, so it does not outlive the
//     process that asks. Only a process that a Pool has started is ever killed.
//   - No lock is held while a socket is written to or [Events] are told.
//   - No password is in an error, and none is kept: each side overwrites the
//     buffers it has copied it to, as soon as the packet is written or the
//     handler has returned. Beyond this reach are the kernel's copy while a
//     packet is under way, what the caller's string was, and the copies that
//     a [Handler] makes.
package helper
