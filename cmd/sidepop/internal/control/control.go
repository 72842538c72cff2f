// Package control is how commands reach a server that runs ([Client] and
// [Server]). What those of `sidepop index` ask can be had of an index in their own
// process too ([Local]).
//
// The server listens on a unix socket in its state folder. A request is a POST
// whose path is the verb and whose body is one JSON object; the answer is a
// stream of lines, each a JSON object, the last of which has the result. Paths
// and names are in base64, since they can have any bytes.
//
// Invariants:
//   - Only root and the server's own user are answered, whatever the mode of the
//     socket has become.
//   - An answer without its last line is an error.
//   - Work ends with the connection of whoever asked for it, and with the server.
//   - Unknown fields, trailing data and long lines are refused by both sides.
package control

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"time"

	"sidepop/index"
)

// Inspector is what commands can do with an index. Progress is told from time
// to time how many messages of a mailbox are counted.
type Inspector interface {
	// List gives all mailboxes, by path.
	List(ctx context.Context) ([]index.Info, error)

	// Messages gives the messages of a Maildir as a login would see them now.
	Messages(ctx context.Context, m Maildir, each func(Message) error) error

	// Verify compares a mailbox with its Maildir, and repairs it.
	Verify(ctx context.Context, m Maildir, progress func(done, total int)) ([]index.Difference, error)

	// Rebuild counts a mailbox anew.
	Rebuild(ctx context.Context, m Maildir, progress func(done, total int)) (messages int, err error)
}

// Maildir is the one that a command is for.
type Maildir struct {
	Path string

	// Owner is whose it is; nil: whose the index knows it to be.
	Owner *index.Owner
}

// Message is a message and where its file is.
type Message struct {
	index.Message
	File string
}

// socketName is the socket's file in the state folder.
const socketName = "control"

const (
	// maxRequest is for one path of PATH_MAX bytes in base64 and an owner with
	// many groups.
	maxRequest = 64 << 10

	// maxLine is for a file name and a sentence that quotes two of them.
	maxLine = 64 << 10

	// maxWorks is how many requests are worked on at once: people at keyboards.
	maxWorks = 16

	// headerTime is for a request or the beginning of an answer, which no work
	// comes before.
	headerTime = 10 * time.Second

	// lineTime is how long a client may be stopped before its work is ended,
	// since a mailbox is locked meanwhile.
	lineTime = 10 * time.Second

	// closeTime is how long work is waited for that was told to end.
	closeTime = 5 * time.Second
)

// request is the body of every request. Those of withoutPath have none.
type request struct {
	Path  raw    `json:"path,omitempty"`
	Owner *owner `json:"owner,omitempty"`
}

// owner is an [index.Owner].
type owner struct {
	UID    uint32   `json:"uid"`
	GID    uint32   `json:"gid"`
	Groups []uint32 `json:"groups"`
}

// answer is a line. One field is there.
type answer struct {
	Mailbox    *mailbox    `json:"mailbox,omitempty"`
	Message    *message    `json:"message,omitempty"`
	Session    *session    `json:"session,omitempty"`
	Difference *difference `json:"difference,omitempty"`
	Metrics    *figures    `json:"metrics,omitempty"`
	Progress   *progress   `json:"progress,omitempty"`
	End        *end        `json:"end,omitempty"`
}

// mailbox is an [index.Info].
type mailbox struct {
	Path     raw   `json:"path"`
	User     raw   `json:"user"`
	Messages int   `json:"messages"`
	Octets   int64 `json:"octets"`
	Current  bool  `json:"current"`
	InUse    bool  `json:"in_use"`
	Watched  bool  `json:"watched"`
	Done     int   `json:"done"`
	Total    int   `json:"total"`
}

// message is a [Message].
type message struct {
	File   raw    `json:"file"`
	UIDL   string `json:"uidl"`
	Bytes  int64  `json:"bytes"`
	Octets int64  `json:"octets"`
}

// difference is an [index.Difference].
type difference struct {
	Name raw `json:"name"`
	What raw `json:"what"`
}

// figures is a piece of a text.
type figures struct {
	Text raw `json:"text"`
}

type progress struct {
	Done  int `json:"done"`
	Total int `json:"total"`
}

// end is the last line.
type end struct {
	Messages    int          `json:"messages,omitempty"`
	Connections *Connections `json:"connections,omitempty"`
	Error       string       `json:"error,omitempty"`
}

// raw is a string of any bytes.
type raw string

// MarshalText implements [encoding.TextMarshaler].
func (r raw) MarshalText() ([]byte, error) {
	return base64.StdEncoding.AppendEncode(nil, []byte(r)), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (r *raw) UnmarshalText(text []byte) error {
	b, err := base64.StdEncoding.Strict().AppendDecode(nil, text)
	*r = raw(b)
	return err
}

// decode takes exactly one JSON object with known fields.
func decode(data []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more than one value")
	}
	return nil
}
