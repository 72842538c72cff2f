package wire

import (
	"errors"
	"fmt"

	"sidepop/pop3"
)

// told is an error of the keeper's side as the front learns of it.
type told struct{ public *pop3.Error }

func (t *told) Error() string { return "refused by the keeper: " + t.public.Error() }
func (t *told) Unwrap() error { return t.public }

// Told says whether err came from the keeper, which has logged the reason: the
// front knows no more than what its client was answered.
func Told(err error) bool {
	var t *told
	return errors.As(err, &t)
}

// wellKnown are the errors that programs compare with.
var wellKnown = []*pop3.Error{
	pop3.ErrCredentials, pop3.ErrInUse, pop3.ErrLoginDelay, pop3.ErrTemporary, pop3.ErrPermanent, pop3.ErrGone,
}

// public is what the client may know of an error.
func public(err error) *pop3.Error {
	known := pop3.ErrTemporary
	if errors.As(err, &known) && (len(known.Code) > maxCode || len(known.Text) > maxText) {
		return pop3.ErrTemporary
	}
	return known
}

// appendError adds what the client may know of an error.
func appendError(p []byte, err error) []byte {
	known := public(err)
	return appendBytes(appendBytes(p, known.Code), known.Text)
}

// error is what appendError added.
func (d *decoder) error() error {
	code, text := d.string(maxCode), d.string(maxText)
	if !printable(code) || !printable(text) {
		d.fail(violation("an answer with control characters"))
	}
	if d.err != nil {
		return d.err
	}
	for _, known := range wellKnown {
		if known.Code == code && known.Text == text {
			return &told{known}
		}
	}
	return &told{&pop3.Error{Code: code, Text: text}}
}

// printable: what goes into a line of POP3 must not end it.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7F {
			return false
		}
	}
	return true
}

// errNoRoom: the front may not have the descriptors that came. The packet was
// taken, so that the session can go on.
var errNoRoom = fmt.Errorf("%w: too many open files: more than RLIMIT_NOFILE allows", pop3.ErrTemporary)

// unreachable is an error of the connection to the keeper as the front's server
// takes it.
func unreachable(what string, err error) error {
	return fmt.Errorf("%w: %s: %w", pop3.ErrTemporary, what, err)
}
