// Package pop3 is a POP3 server: RFC 1939 with the extensions of RFC 2449
// (CAPA, response codes, pipelining), RFC 2595 and RFC 8314 (TLS), RFC 3206
// (SYS and AUTH codes), RFC 5034 (SASL) and RFC 6856 (UTF-8, languages).
//
// It knows no file, process or user database. A [Backend] decides who may log
// in and gives each session its [Maildrop]; package memory is a small one.
//
// What holds throughout:
//
//   - One goroutine serves a connection, and it alone reads, writes and changes
//     the session. No lock is held while it waits for a client.
//   - Answers are collected in one buffer of fixed size, sent when no complete
//     command is left to answer, or when it is full. While a client does not
//     read its answers the server does not read its commands, so a session's
//     memory is bounded whatever the client does and however large a message is.
//   - Messages are removed by QUIT in the TRANSACTION state and by nothing else,
//     and +OK is its answer only when they are gone.
//   - A multi-line answer that can't be completed ends the connection without
//     its final dot, so that no client takes part of a message for the whole.
//   - Handlers return what they did; only the session's loop writes a status
//     line, and only [replyTo] turns an error into one. What an error says
//     beside its [Error] value goes to the log and never to the client.
//   - Arguments of PASS, APOP and AUTH reach the backend and nothing else.
package pop3
