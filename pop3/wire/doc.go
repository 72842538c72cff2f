// Package wire carries [pop3.Backend] and [pop3.Maildrop] from one process to
// another, over a unix socket: from the keeper, which decides who may read
// what, to the front, which speaks with POP3 clients. [Server] is the keeper's
// side and [Client] the front's. The keeper does not trust the front; the front
// trusts the keeper, and outlives it.
//
// What holds throughout:
//
//   - A session has a connection of its own, from its login to its end. The
//     login binds it to one maildrop; what is asked afterwards names message
//     numbers, never a user, never a path. A refused login ends the connection, and
//     the next attempt of the same session takes another one.
//   - A connection whose session is over can serve another one, that begins as on a
//     new connection: nothing of the session before is left, its maildrop is closed,
//     and all that it asked for was taken. To open and close a connection costs both
//     processes a fifth of what a short session does. So the front keeps some for a
//     few seconds.
//   - One packet is one frame: version, verb, and what the verb takes, with
//     nothing left over. Numbers and lengths have bounds, and only their
//     shortest form is taken. A packet that is cut short, too long, or comes
//     when it is not its verb's turn ends the connection that it came on.
//   - One request is under way on a session's connection, and its answer is one
//     packet. Nothing is read ahead, and whoever stops early leaves nothing
//     behind. A front that asks for descriptors with an answer untaken loses the
//     connection, so that a session has no more than [MaxOpen] under way.
//   - The messages themselves don't cross: the front gets descriptors, which the
//     keeper has made sure are regular files open for reading only. Where a
//     descriptor is not expected the kernel closes it, and the connection ends.
//   - Neither do the listings of large maildrops ([Versioned]): the front gets
//     each as a file in memory, as clients are sent it, sealed so that nobody can
//     change it. The keeper keeps them while a maildrop does not change, so that
//     the next session costs as little with many messages as with few. Their
//     memory is bounded in all, whatever the number of maildrops, messages and
//     sessions: 64 MiB, in at most 1,024 files, and what is not used for some
//     minutes goes. Where there is no room, values are sent, as for others.
//   - A connection that waits holds no buffer, on either side, and on the
//     front's no goroutine beside the session's.
//   - Packets with passwords and SASL responses are wiped before their buffers
//     hold something else. The strings that a [pop3.Backend] is given can't be.
//   - A keeper that ends leaves the logins that it has not decided to the next one on
//     its socket, and handshakes wait for that one's signature. Sessions that are
//     logged in end with it.
//   - Why something failed is told to the keeper's [Events]. The front learns what
//     its client may know, and nothing else.
//
// A front has one more connection, the control connection, on which the keeper
// pushes offers, certificates and settings, and signs TLS handshakes with keys
// that it does not give away. Each side can ask the other there what it has
// counted: the front answers with numbers ([Counts]), the keeper with a text
// ([Server].Figures).
package wire
